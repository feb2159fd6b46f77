/* SPDX-License-Identifier: MIT
 * test_http_failing.c - requests where libcurl or the resolver fails.
 *
 * The program defines functions with the names of theirs, which the linker
 * prefers, and which fail on request. No request leaves the machine: no name
 * resolves to an address. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#endif

#include "http_handle.h"
#include "run.h"
#include "scripted_server.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>
#include <weir/http.h>

/* Look up the next function of this name. POSIX intends the conversion through
 * memory. */
#define REAL(name)                                                          \
    __extension__({                                                         \
        __typeof__(&name) real_;                                            \
        void *found_ = dlsym(RTLD_NEXT, #name);                             \
        REQUIRE(found_ != NULL);                                            \
        memcpy(&real_, &found_, sizeof(real_));                             \
        real_;                                                              \
    })

/* Visible to the libraries, however the program is compiled. */
#define SHOWN __attribute__((visibility("default")))

/* ---- functions that fail ---- */

static CURLcode fail_init;
static int fail_share, fail_easy, fail_multi, fail_list, fail_poll, fail_wakeup;
static atomic_int polls; /* of curl_multi_poll() */
static int lists_before_failure;
static const char *fake_text; /* for any error */
static int fail_connect;      /* errno of a stream's connect(), 0: none */
static int fail_descriptors;  /* the resolver and sockets get none */
static const char *counted_file;
static atomic_int opened; /* number of times it was opened */
static curl_version_info_data *fake_version;

/* Of "blocked.test". libcurl may use a thread for each kind of address. */
static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_changed = PTHREAD_COND_INITIALIZER;
static int resolver_blocks, resolving, resolved; /* under resolver_lock */
static atomic_int asked;

SHOWN CURLcode curl_global_init(long flags)
{
    return fail_init != CURLE_OK ? fail_init : REAL(curl_global_init)(flags);
}

SHOWN curl_version_info_data *curl_version_info(CURLversion age)
{
    return fake_version != NULL ? fake_version
                                : REAL(curl_version_info)(age);
}

SHOWN const char *curl_easy_strerror(CURLcode code)
{
    return fake_text != NULL ? fake_text : REAL(curl_easy_strerror)(code);
}

SHOWN CURL *curl_easy_init(void)
{
    return fail_easy ? NULL : REAL(curl_easy_init)();
}

SHOWN CURLSH *curl_share_init(void)
{
    return fail_share ? NULL : REAL(curl_share_init)();
}

SHOWN CURLM *curl_multi_init(void)
{
    return fail_multi ? NULL : REAL(curl_multi_init)();
}

SHOWN struct curl_slist *curl_slist_append(struct curl_slist *list,
                                           const char *text)
{
    if (fail_list && lists_before_failure-- == 0)
        return NULL;
    return REAL(curl_slist_append)(list, text);
}

SHOWN CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd extra[],
                                unsigned int count, int ms, int *ready)
{
    atomic_fetch_add(&polls, 1);
    return fail_poll ? CURLM_INTERNAL_ERROR
                     : REAL(curl_multi_poll)(multi, extra, count, ms, ready);
}

SHOWN CURLMcode curl_multi_wakeup(CURLM *multi)
{
    return fail_wakeup ? CURLM_WAKEUP_FAILURE
                       : REAL(curl_multi_wakeup)(multi);
}

/* Only its linker name: headers may declare it with a union of pointers. */
SHOWN int stand_in_connect(int fd, const void *to, socklen_t bytes)
    __asm__("connect");
SHOWN int stand_in_connect(int fd, const void *to, socklen_t bytes)
{
    int (*real)(int, const void *, socklen_t);
    void *found = dlsym(RTLD_NEXT, "connect");
    int type = 0;
    socklen_t length = sizeof(type);

    if (fail_connect != 0 &&
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
        type == SOCK_STREAM) {
        errno = fail_connect;
        return -1;
    }
    REQUIRE(found != NULL);
    memcpy(&real, &found, sizeof(real));
    return real(fd, to, bytes);
}

SHOWN int socket(int family, int type, int protocol)
{
    if (fail_descriptors) {
        errno = EMFILE;
        return -1;
    }
    return REAL(socket)(family, type, protocol);
}

static FILE *count_file(const char *name, const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *);
    void *found = dlsym(RTLD_NEXT, name);

    REQUIRE(found != NULL);
    memcpy(&real, &found, sizeof(real));
    if (counted_file != NULL && strcmp(path, counted_file) == 0)
        atomic_fetch_add(&opened, 1);
    return real(path, mode);
}

/* One function, by both of its names. */
SHOWN FILE *stand_in_fopen(const char *path, const char *mode)
    __asm__("fopen");
SHOWN FILE *stand_in_fopen(const char *path, const char *mode)
{
    return count_file("fopen", path, mode);
}

SHOWN FILE *stand_in_fopen64(const char *path, const char *mode)
    __asm__("fopen64");
SHOWN FILE *stand_in_fopen64(const char *path, const char *mode)
{
    return count_file("fopen64", path, mode);
}

SHOWN int getaddrinfo(const char *node, const char *service,
                      const struct addrinfo *hints,
                      struct addrinfo **result)
{
    (void)service;
    (void)hints;
    *result = NULL;
    atomic_fetch_add(&asked, 1);
    if (node != NULL && strcmp(node, "blocked.test") == 0) {
        pthread_mutex_lock(&resolver_lock);
        resolving++;
        pthread_cond_broadcast(&resolver_changed);
        while (resolver_blocks)
            pthread_cond_wait(&resolver_changed, &resolver_lock);
        resolved++;
        pthread_cond_broadcast(&resolver_changed);
        pthread_mutex_unlock(&resolver_lock);
    }
    return EAI_NONAME;
}

/* ---- helpers ---- */

static struct scripted_server *server;

static int perform(struct weir_http *http, const char *url,
                   struct weir_http_response *r)
{
    return weir_http_perform(http, NULL,
                             &(struct weir_http_request){ .url = url }, r);
}

/* ---- cases ---- */

static void begin_fails(void)
{
    static const char *const no_tls[] = { "file", "http", NULL };
    static const char *const both[] = { "http", "https", NULL };
    curl_version_info_data version = *curl_version_info(CURLVERSION_NOW);

    fail_init = CURLE_OUT_OF_MEMORY;
    /* returns: weir_http_global_init -ENOMEM */
    EXPECT_INT(weir_http_global_init(), -ENOMEM);
    fail_init = CURLE_FAILED_INIT;
    /* returns: weir_http_global_init -ENOSYS */
    EXPECT_INT(weir_http_global_init(), -ENOSYS);
    fail_init = CURLE_OK;
    fake_version = &version;
    version.protocols = no_tls;
    EXPECT_INT(weir_http_global_init(), -ENOSYS);
    version.protocols = both;
    version.version_num = 0x075400;
    EXPECT_INT(weir_http_global_init(), -ENOSYS);
    version.version_num = 0x075500;
    /* returns: weir_http_global_init 0 */
    EXPECT_INT(weir_http_global_init(), 0);
    weir_http_global_cleanup();
    fake_version = NULL;
}

static void create_fails(void)
{
    struct weir_http *http = (struct weir_http *)&http;

    fail_share = 1;
    /* returns: weir_http_create -ENOMEM */
    EXPECT_INT(weir_http_create(&http, NULL), -ENOMEM);
    EXPECT(http == NULL);
    fail_share = 0;
}

static void share_fails(void)
{
    struct weir_http_share *share = (struct weir_http_share *)&share;

    fail_share = 1;
    /* returns: weir_http_share_create -ENOMEM */
    EXPECT_INT(weir_http_share_create(&share), -ENOMEM);
    EXPECT(share == NULL);
    fail_share = 0;
}

static void perform_fails(void)
{
    static const char *const headers[] = { "A: 1", "B: 2" };
    struct weir_http *http = make(&plain);
    struct weir_http_request request = { .headers = headers,
                                         .header_count = 2, .body = "" };
    struct weir_http_response r;
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/hop/0",
             scripted_port(server));
    request.url = url;
    for (int i = 0; i < 2; i++) {
        fail_easy = i == 0;
        fail_multi = i == 1;
        /* returns: weir_http_perform -ENOMEM */
        EXPECT_INT(weir_http_perform(http, NULL, &request, &r), -ENOMEM);
        EXPECT(strcmp(r.url, "") == 0 && r.note != NULL);
        fail_easy = fail_multi = 0;
    }
    for (int i = 0; i < 5; i++) {
        lists_before_failure = i;
        fail_list = 1;
        EXPECT_INT(weir_http_perform(http, NULL, &request, &r), -ENOMEM);
        EXPECT(strcmp(r.url, "") == 0 && strcmp(r.error_text, "") == 0);
        EXPECT(r.body != NULL && r.body_bytes == 0 && r.status == 0);
        fail_list = 0;
        /* returns: weir_http_perform 0 */
        EXPECT_INT(weir_http_perform(http, NULL, &request, &r), 0);
        EXPECT_INT(r.error, WEIR_HTTP_OK);
    }
    weir_http_destroy(http);
}

static void other_error(void)
{
    struct weir_http *http = make(&plain);
    struct weir_http_response r;
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/stall",
             scripted_port(server));
    fail_poll = 1;
    EXPECT_INT(perform(http, url, &r), 0);
    fail_poll = 0;
    EXPECT_INT(r.error, WEIR_HTTP_OTHER);
    EXPECT(strcmp(r.error_text, "") != 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/hop/0",
             scripted_port(server));
    EXPECT_INT(perform(http, url, &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_OK);
    weir_http_destroy(http);
}

static void text_is_a_line(void)
{
    struct weir_http *http = make(&plain);
    struct weir_http_response r;
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/stall",
             scripted_port(server));
    fail_poll = 1;
    fake_text = "\033[1mtwo\r\nlines\x7f\xc3\r\n";
    EXPECT_INT(perform(http, url, &r), 0);
    fail_poll = 0;
    fake_text = NULL;
    EXPECT(strcmp(r.error_text, "?[1mtwo??lines??") == 0);
    weir_http_destroy(http);
}

static void no_address(void)
{
    struct weir_http_options proxied = plain;
    struct weir_http *http = make(&plain);
    struct weir_http_response r;

    EXPECT_INT(perform(http, "http://u:s3cret@none.test/", &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_RESOLVE);
    EXPECT_INT(r.processed, 0);
    EXPECT(strstr(r.error_text, "s3cret") == NULL);
    weir_http_destroy(http);
    proxied.proxy = "http://u:s3cret@none.test:1/";
    http = make(&proxied);
    EXPECT_INT(perform(http, "http://127.0.0.1/", &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_RESOLVE);
    EXPECT(strstr(r.error_text, "s3cret") == NULL);
    weir_http_destroy(http);
}

/* A lack on this machine is not the host's fault; a refusal by the host is. */
static void local_errors(void)
{
    static const struct {
        int err;
        enum weir_http_error error;
    } cases[] = { { EADDRNOTAVAIL, WEIR_HTTP_LOCAL },
                  { ENOBUFS, WEIR_HTTP_LOCAL },
                  { ECONNREFUSED, WEIR_HTTP_CONNECT },
                  { ENETUNREACH, WEIR_HTTP_CONNECT } };
    struct weir_http *http = make(&plain);
    struct weir_http_response r;
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/hop/0",
             scripted_port(server));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fail_connect = cases[i].err;
        EXPECT_INT(perform(http, url, &r), 0);
        EXPECT_INT(r.error, cases[i].error);
        EXPECT_INT(r.processed, 0);
    }
    fail_connect = 0;
    fail_descriptors = 1;
    EXPECT_INT(perform(http, url, &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_LOCAL);
    EXPECT_INT(perform(http, "http://none.test/", &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_LOCAL);
    fail_descriptors = 0;
    EXPECT_INT(perform(http, "http://none.test/", &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_RESOLVE);
    EXPECT_INT(perform(http, url, &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_OK);
    weir_http_destroy(http);
}

/* Each of ten connections needs the certificates; the server does not speak
 * TLS. Handles with a share act like one handle. */
static void certificates_read_once(void)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    struct weir_http_options o = plain;
    struct weir_http_response r;
    char url[64];
    FILE *file = v->cainfo != NULL ? fopen(v->cainfo, "r") : NULL;

    if (file == NULL || v->version_num < 0x075700) {
        SKIP("no certificate file, or a libcurl that caches none");
        return;
    }
    fclose(file);
    counted_file = v->cainfo;
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/",
             scripted_port(server));
    REQUIRE(weir_http_share_create(&o.share) == 0);
    for (int i = 0; i < 10; i++) {
        struct weir_http *http = make(&o);

        EXPECT_INT(perform(http, url, &r), 0);
        EXPECT_INT(r.error, WEIR_HTTP_TLS);
        weir_http_destroy(http);
    }
    weir_http_share_destroy(o.share);
    counted_file = NULL;
    printf("# opened %d times\n", atomic_load(&opened));
    EXPECT(atomic_load(&opened) <= 1);
}

/* ---- requests in a job ---- */

struct job {
    const char *url;
    int err;
    enum weir_http_error error;
    int64_t ended;
};

static int run_job(struct weir_context *cx, void *arg)
{
    struct job *job = arg;
    struct weir_http_response r;

    job->err = weir_http_perform(weir_local(cx), cx,
        &(struct weir_http_request){ .url = job->url }, &r);
    job->ended = weir_now();
    job->error = r.error;
    return job->err;
}

static struct weir_pool *make_pool(const struct weir_http_options *options,
                                   struct job *job)
{
    struct weir_http_options o = *options;
    struct weir_job submitted = { .fn = run_job, .arg = job };
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .worker_start = weir_http_worker_start,
        .worker_stop = weir_http_worker_stop, .user = &o }) == 0);
    REQUIRE(weir_pool_submit(pool, &submitted, 1, WEIR_FOREVER) == 1);
    return pool;
}

static const char *stall_url(void)
{
    static char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/stall",
             scripted_port(server));
    return url;
}

static void not_woken(void)
{
    struct job job = { .url = stall_url() };
    int before = scripted_requests(server);
    struct weir_pool *pool;
    int64_t told;

    fail_wakeup = 1; /* the pool has no thread yet */
    pool = make_pool(&plain, &job);
    scripted_await(server, before + 1);
    told = weir_now();
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    fail_wakeup = 0;
    EXPECT_INT(job.error, WEIR_HTTP_CANCELLED);
    EXPECT(job.ended - told < 5 * WEIR_S);
}

static void sleeps_through(void)
{
    struct weir_http_options o = plain;
    struct job job = { .url = stall_url() };
    struct weir_pool *pool;

    o.timeout_ns = WEIR_S;
    atomic_store(&polls, 0);
    pool = make_pool(&o, &job);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    EXPECT_INT(job.error, WEIR_HTTP_TIMEOUT);
    printf("# a second without an answer: %d polls\n", atomic_load(&polls));
    /* with a poll every 50 ms it would be 20 */
    EXPECT(atomic_load(&polls) <= 10);
}

/* ---- a resolver that does not respond ---- */

/* Only libcurl's threaded resolver can be abandoned, since 7.87. An earlier
 * case has shown that it calls our getaddrinfo(). */
static int resolver_can_be_left(void)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);

    return atomic_load(&asked) > 0 && v->version_num >= 0x075700 &&
           (v->features & CURL_VERSION_ASYNCHDNS) != 0;
}

/* Return how many look-ups there were before. */
static int block_resolver(void)
{
    int before;

    pthread_mutex_lock(&resolver_lock);
    resolver_blocks = 1;
    before = resolving;
    pthread_mutex_unlock(&resolver_lock);
    return before;
}

/* Wait until a look-up has ended, whose thread may be late. Return how many
 * have ended. */
static int await_resolver(int before)
{
    int ended;

    pthread_mutex_lock(&resolver_lock);
    while (resolving == before)
        pthread_cond_wait(&resolver_changed, &resolver_lock);
    ended = resolved;
    pthread_mutex_unlock(&resolver_lock);
    return ended;
}

static void release_resolver(void)
{
    pthread_mutex_lock(&resolver_lock);
    resolver_blocks = 0;
    pthread_cond_broadcast(&resolver_changed);
    while (resolved != resolving)
        pthread_cond_wait(&resolver_changed, &resolver_lock);
    pthread_mutex_unlock(&resolver_lock);
}

static void blocked_times_out(void)
{
    struct weir_http_options o = plain;
    struct weir_http *http;
    struct weir_http_response r;
    int before;

    if (!resolver_can_be_left()) {
        SKIP("this libcurl waits for its resolver");
        return;
    }
    o.connect_timeout_ns = 100 * WEIR_MS;
    before = block_resolver();
    http = make(&o);
    EXPECT_INT(perform(http, "http://blocked.test/", &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_TIMEOUT);
    weir_http_destroy(http); /* with all its connections */
    EXPECT_INT(await_resolver(before), before);
    release_resolver();
}

static void blocked_cancelled(void)
{
    struct job job = { .url = "http://blocked.test/" };
    struct weir_pool *pool;
    int64_t told;
    int before;

    if (!resolver_can_be_left()) {
        SKIP("this libcurl waits for its resolver");
        return;
    }
    before = block_resolver();
    pool = make_pool(&plain, &job);
    await_resolver(before);
    told = weir_now();
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    EXPECT_INT(await_resolver(before), before); /* it still blocks */
    EXPECT_INT(job.err, 0);
    EXPECT_INT(job.error, WEIR_HTTP_CANCELLED);
    EXPECT(job.ended - told < 5 * WEIR_S);
    printf("# a blocked resolver was left after %.1f ms\n",
           (double)(job.ended - told) / (double)WEIR_MS);
    release_resolver();
}

static const struct tap_case cases[] = {
    { "weir_http_global_init returns ENOMEM, and ENOSYS if libcurl lacks a "
      "feature", begin_fails },
    { "weir_http_create without memory returns ENOMEM and stores NULL",
      create_fails },
    { "creating a share without memory returns ENOMEM", share_fails },
    { "weir_http_perform without memory returns ENOMEM, and works once there "
      "is memory", perform_fails },
    { "an error of libcurl that belongs to no class is classified as other",
      other_error },
    { "an error text is one line without control characters",
      text_is_a_line },
    { "a host or proxy that has no address is a resolve error", no_address },
    { "running out of descriptors or ports is a local error", local_errors },
    { "the certificates are read once for ten connections",
      certificates_read_once },
    { "a handle that cannot be woken polls for a cancel", not_woken },
    { "a request that waits sleeps until there is something to do",
      sleeps_through },
    { "a blocked resolver ends at the connect timeout", blocked_times_out },
    { "cancelling does not wait for a blocked resolver",
      blocked_cancelled },
};

int main(void)
{
    static const struct scripted_answer answers[] = {
        { .path = "/stall", .then = SCRIPTED_STALL } };
    int failed;

    server = scripted_open(answers, 1);
    REQUIRE(weir_http_global_init() == 0);
    failed = TAP_RUN(cases);
    weir_http_global_cleanup();
    scripted_close(server);
    return failed;
}
