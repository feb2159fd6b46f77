/* SPDX-License-Identifier: MIT
 * http_answers.c - mutated HTTP answers against the real client.
 *
 *   fuzz_http_answers COUNT [SEED]
 *
 * A server on 127.0.0.1 sends random mutations of good answers: bytes are
 * changed, repeated, left out; answers are cut, mixed and sent in pieces; the
 * connection is kept, closed or reset. Whatever arrives, the response has a
 * status or a named error, all its texts are printable, and no request is
 * sent more than once. Connections are kept from one answer to the next.
 * Answer k of a seed is always the same, its timing is not. Prints TAP. */
#define _POSIX_C_SOURCE 200809L

#include "deflated.h"
#include "run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <weir/http.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define ANSWER_MAX 8192
#define BODY_MAX 4096
#define CLIENTS 16 /* connections the client may have */
#define PIECES 4

/* ---- random numbers ---- */

/* xorshift64* */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t below(uint64_t *state, size_t bound)
{
    return bound == 0 ? 0 : (size_t)((draw(state) >> 33) % bound);
}

/* ---- good answers ---- */

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"

/* @G is a gzip member, @D a deflate stream, @L its length in hexadecimal. */
static const char *const good[] = {
    OK "Server: x\r\nContent-Length: 2\r\n\r\nok",
    OK " Folded: y\r\nContent-Length: 2\r\n\r\nok",
    OK "X: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\nok",
    OK CHUNKED "2\r\nok\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    OK CHUNKED "2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
    OK "Content-Encoding: gzip\r\n" CHUNKED "@L\r\n@G\r\n0\r\n\r\n",
    OK "Content-Encoding: deflate\r\nConnection: close\r\n\r\n@D",
    "HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n@G",
    "HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n@G@G",
    "HTTP/1.0 200 OK\r\nContent-Encoding: gzip, br\r\n\r\n@G",
    OK "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
    OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK "Content-Length: 2\r\n" CHUNKED "2\r\nok\r\n0\r\n\r\n",
    OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    OK "Content-Length: -1\r\n\r\nok",
    OK "Content-Length: 99999999999999999999\r\n\r\nok",
    OK "Content-Type: text/html; charset=\x1b[1m\r\nContent-Length: 0\r\n\r\n",
    OK "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Secure\r\n"
       "Content-Length: 0\r\n\r\n",
    OK "Connection: close\r\n\r\nuntil the end",
    OK "Connection: keep-alive\r\nKeep-Alive: timeout=1, max=1\r\n"
       "Content-Length: 2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\n\r\nold",
    "HTTP/1.1 204 None\r\n\r\n",
    "HTTP/1.1 304 Same\r\nETag: \"x\"\r\n\r\n",
    "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/9\r\n"
    "Content-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nok",
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK
    "Content-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switch\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nblah",
    "HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
    "Content-Length: 0\r\n\r\n",
    "HTTP/1.1 401 Who\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n"
    "WWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
    "Content-Length: 0\r\n\r\n",
    "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 301 To\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 To\r\nLocation: //127.0.0.1:1/x?y#z\r\n"
    "Set-Cookie: c=3\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 307 To\r\nLocation: next?a b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 308 To\r\nLocation: http://u:p@h:99999/\r\n\r\n",
    "HTTP/1.1 503 Wait\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 426 Upgrade\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n"
    "Content-Length: 0\r\n\r\n",
    "HTTP/2 200\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/3 200 \r\n\r\nok",
    "ICY 200 OK\r\n\r\nok",
    "HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1  200 OK\r\nContent-Length: 2\n\nok",
    "\r\n\r\n" OK "Content-Length: 2\r\n\r\nok",
    "just words",
    "",
};
#define GOOD (sizeof(good) / sizeof(good[0]))

static const char *const inserts[] = {
    "\r\n", "\n", "\r", "\r\n\r\n", " ", "\t", ":", "\0", "HTTP/1.1 200 OK\r\n",
    "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n",
    "Location: /a\r\n", "Content-Encoding: gzip\r\n", "\xff\xfe", "ffffffff",
    "Connection: close\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "\x1b[2J",
    "X-Long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
};
#define INSERTS (sizeof(inserts) / sizeof(inserts[0]))

enum ending { KEEP, CLOSE, RESET, ENDINGS };

struct answer {
    unsigned char bytes[ANSWER_MAX];
    size_t count;
    size_t pieces[PIECES]; /* where it is divided */
    int pause_at;          /* before this piece; PIECES: never */
    enum ending ending;
};

static void add(struct answer *a, const void *bytes, size_t count)
{
    if (count > sizeof(a->bytes) - a->count)
        count = sizeof(a->bytes) - a->count;
    memcpy(a->bytes + a->count, bytes, count);
    a->count += count;
}

static void add_number(struct answer *a, uint32_t value)
{
    unsigned char bytes[4];

    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    add(a, bytes, 4);
}

static void add_good(struct answer *a, const char *from)
{
    static const unsigned char head[10] = { 0x1f, 0x8b, 8 };
    char length[8];

    for (; *from != '\0'; from++) {
        if (from[0] != '@' || strchr("GDL", from[1]) == NULL) {
            add(a, from, 1);
            continue;
        }
        from++;
        if (*from == 'D') {
            add(a, deflated, sizeof(deflated));
        } else if (*from == 'G') {
            add(a, head, sizeof(head));
            add(a, deflated, sizeof(deflated));
            add_number(a, TEXT_CRC);
            add_number(a, TEXT_BYTES);
        } else {
            snprintf(length, sizeof(length), "%zx", sizeof(deflated) + 18);
            add(a, length, strlen(length));
        }
    }
}

/* ---- random mutations ---- */

static void cut_out(struct answer *a, size_t at, size_t count)
{
    if (count > a->count - at)
        count = a->count - at;
    memmove(a->bytes + at, a->bytes + at + count, a->count - at - count);
    a->count -= count;
}

static void put_in(struct answer *a, size_t at, const void *bytes,
                   size_t count)
{
    unsigned char copy[ANSWER_MAX];

    if (count > ANSWER_MAX - a->count)
        count = ANSWER_MAX - a->count;
    memcpy(copy, bytes, count); /* they may be part of it */
    memmove(a->bytes + at + count, a->bytes + at, a->count - at);
    memcpy(a->bytes + at, copy, count);
    a->count += count;
}

static void mutate(struct answer *a, uint64_t *state)
{
    size_t at = below(state, a->count + 1), count;
    const char *insert;

    switch (below(state, 9)) {
    case 0: /* a bit */
        if (at < a->count)
            a->bytes[at] ^= (unsigned char)(1 << below(state, 8));
        break;
    case 1: /* a byte */
        if (at < a->count)
            a->bytes[at] = (unsigned char)draw(state);
        break;
    case 2:
        cut_out(a, at, 1 + below(state, 8));
        break;
    case 3:
        cut_out(a, at, below(state, a->count + 1));
        break;
    case 4: /* repeat */
        count = below(state, 64);
        put_in(a, below(state, a->count + 1), a->bytes + at,
               count < a->count - at ? count : a->count - at);
        break;
    case 5:
    case 6:
        insert = inserts[below(state, INSERTS)];
        put_in(a, at, insert, insert[0] == '\0' ? 1 : strlen(insert));
        break;
    case 7: /* end early */
        a->count = at;
        break;
    default: /* go on as another one */
        a->count = at;
        add_good(a, good[below(state, GOOD)]);
    }
}

static void make_answer(struct answer *a, uint64_t *state)
{
    size_t at = 0;

    a->count = 0;
    add_good(a, good[below(state, GOOD)]);
    for (size_t n = below(state, 4); n > 0; n--)
        mutate(a, state);
    for (int i = 0; i < PIECES; i++)
        a->pieces[i] = at += below(state, (a->count - at) / 2 + 1);
    a->pieces[PIECES - 1] = a->count;
    a->pause_at = below(state, 64) == 0 ? (int)below(state, PIECES) : PIECES;
    a->ending = (enum ending)below(state, ENDINGS);
}

/* ---- the server ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct answer answers[2]; /* (l) of the first request, and the rest */
static int served;               /* (l) requests since they were made */
static char path[32];            /* (l) of the request, with a blank */
static int arrived;              /* (l) how often: a late one, whose answer
                                    was there before it, does not count */

static struct server {
    int listener, stop[2], port;
    struct pollfd set[CLIENTS + 2];
    char requests[CLIENTS][2048]; /* received on each connection */
    size_t have[CLIENTS];
} server;

/* Send an answer. Returns 0 to keep the connection, -1 if it is closed. */
static int serve(int fd, const char *request)
{
    const char *blank = strchr(request, ' ');
    static struct answer a;
    static const struct linger reset = { 1, 0 };
    size_t at = 0;

    pthread_mutex_lock(&lock);
    a = answers[served > 0];
    served++;
    arrived += blank != NULL && strncmp(blank + 1, path, strlen(path)) == 0;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < PIECES; i++) {
        if (i == a.pause_at)
            poll(NULL, 0, 1);
        while (at < a.pieces[i]) {
            ssize_t n = send(fd, a.bytes + at, a.pieces[i] - at,
                             MSG_NOSIGNAL);

            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                goto closed;
            at += (size_t)n;
        }
    }
    if (a.ending == KEEP)
        return 0;
    if (a.ending == RESET)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
closed:
    close(fd);
    return -1;
}

/* Return 1 if a whole request has arrived: its head, and a body of 1 byte. */
static int is_whole(const char *request, size_t bytes)
{
    const char *end = strstr(request, "\r\n\r\n");

    return end != NULL &&
           (strstr(request, "Content-Length: 1\r\n") == NULL ||
            (size_t)(end - request) + 4 < bytes);
}

static void read_from(int i)
{
    struct pollfd *p = &server.set[i + 2];
    size_t room = sizeof(server.requests[i]) - 1 - server.have[i];
    ssize_t n = recv(p->fd, server.requests[i] + server.have[i], room, 0);

    if (n <= 0) {
        close(p->fd);
        p->fd = -1;
        return;
    }
    server.have[i] += (size_t)n;
    server.requests[i][server.have[i]] = '\0';
    if (!is_whole(server.requests[i], server.have[i]))
        return;
    server.have[i] = 0;
    if (serve(p->fd, server.requests[i]) < 0)
        p->fd = -1;
}

static void accept_one(void)
{
    int on = 1, fd = accept(server.listener, NULL, NULL);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (int i = 0; i < CLIENTS; i++)
        if (server.set[i + 2].fd < 0) {
            server.set[i + 2].fd = fd;
            server.have[i] = 0;
            return;
        }
    close(fd);
}

/* An answer that never ends is cut off: a connection on which nothing arrives
 * for 3 ms is closed, as the client waits for up to 50 ms. */
static void *serve_all(void *arg)
{
    (void)arg;
    for (;;) {
        int n = poll(server.set, CLIENTS + 2, 3);

        if (n < 0)
            continue;
        if (server.set[1].revents != 0)
            break;
        if (server.set[0].revents != 0)
            accept_one();
        for (int i = 0; i < CLIENTS; i++) {
            struct pollfd *p = &server.set[i + 2];

            if (p->fd < 0)
                continue;
            if (n == 0) {
                close(p->fd);
                p->fd = -1;
            } else if (p->revents != 0) {
                read_from(i);
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        if (server.set[i + 2].fd >= 0)
            close(server.set[i + 2].fd);
    return NULL;
}

static void open_server(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(pipe(server.stop) == 0);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(server.listener >= 0 &&
            bind(server.listener, (struct sockaddr *)&address, length) == 0 &&
            listen(server.listener, 64) == 0 &&
            fcntl(server.listener, F_SETFL, O_NONBLOCK) == 0 &&
            getsockname(server.listener, (struct sockaddr *)&address,
                        &length) == 0);
    server.port = ntohs(address.sin_port);
    for (int i = 0; i < CLIENTS + 2; i++)
        server.set[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
    server.set[0].fd = server.listener;
    server.set[1].fd = server.stop[0];
}

/* ---- the client ---- */

static char base[64];
static unsigned long long errors[WEIR_HTTP_OTHER + 1];
static unsigned long long total, first;
static uint64_t seed = 1;

/* A mutation may redirect it anywhere. */
static int only_here(struct weir_context *cx, void *user, const char *to)
{
    (void)cx;
    (void)user;
    return strncmp(to, base, strlen(base)) != 0;
}

static int printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            return 0;
    return 1;
}

static int check(const struct weir_http_response *r, int requests,
                 struct weir_http *http)
{
    static const char *const names[] = { "Content-Type", "Set-Cookie",
                                         "Location", "Retry-After", "X" };
    int good_one = 1;

    good_one &= EXPECT(r->status >= 0 && r->status <= 999);
    good_one &= EXPECT(r->status != 0 || r->error != WEIR_HTTP_OK);
    good_one &= EXPECT((r->error == WEIR_HTTP_OK) ==
                       (r->error_text[0] == '\0'));
    good_one &= EXPECT(r->error <= WEIR_HTTP_OTHER);
    good_one &= EXPECT(r->error != WEIR_HTTP_LOCAL);
    good_one &= EXPECT(printable(r->error_text) && printable(r->note) &&
                       printable(r->url) && printable(r->content_type));
    good_one &= EXPECT(r->body_bytes <= BODY_MAX);
    good_one &= EXPECT(((const char *)r->body)[r->body_bytes] == '\0');
    good_one &= EXPECT((r->status == 0) == (r->http_version == 0));
    good_one &= EXPECT(requests <= 1 + r->redirects);
    good_one &= EXPECT(requests == 0 || r->processed);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = weir_http_header(http, names[i]);

        good_one &= EXPECT(value == NULL || (r->status != 0 &&
                                             strlen(value) < ANSWER_MAX));
    }
    return good_one;
}

static void one_answer(struct weir_http *http, unsigned long long number)
{
    static const char *const methods[] = { "GET", "GET", "GET", "HEAD", "PUT",
                                           "POST", "OPTIONS", "ODD" };
    static const char *const headers[] = { "Authorization: x",
                                           "Expect: 100-continue" };
    uint64_t state = (seed + number) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    struct weir_http_request request = { .on_redirect = only_here };
    struct weir_http_response r;
    char url[128];
    int requests;

    pthread_mutex_lock(&lock);
    make_answer(&answers[0], &state);
    make_answer(&answers[1], &state);
    served = arrived = 0;
    snprintf(path, sizeof(path), "/%llu ", number);
    pthread_mutex_unlock(&lock);
    request.method = methods[below(&state, 8)];
    if (strcmp(request.method, "PUT") == 0 ||
        strcmp(request.method, "POST") == 0) {
        request.body = "b";
        request.body_bytes = 1;
    }
    request.headers = headers;
    request.header_count = below(&state, 16) == 0 ? 2 : below(&state, 2);
    snprintf(url, sizeof(url), "%s/%llu", base, number);
    request.url = url;
    REQUIRE(weir_http_perform(http, NULL, &request, &r) == 0);
    pthread_mutex_lock(&lock);
    requests = arrived;
    pthread_mutex_unlock(&lock);
    if (!check(&r, requests, http))
        printf("# answer %llu of seed %llu: %s: %s\n", number,
               (unsigned long long)seed, weir_http_error_name(r.error),
               r.error_text);
    errors[r.error]++;
    if (r.error == WEIR_HTTP_OTHER)
        printf("# answer %llu: other: %s\n", number, r.error_text);
}

static void all_answers(void)
{
    struct weir_http_options o = { .timeout_ns = 50 * WEIR_MS, .proxy = "",
                                   .body_max = BODY_MAX, .redirects = 3 };
    struct weir_http *handles[3];
    pthread_t thread;

    open_server();
    snprintf(base, sizeof(base), "http://127.0.0.1:%d", server.port);
    thread = start(serve_all, NULL);
    REQUIRE(weir_http_global_init() == 0);
    REQUIRE(weir_http_share_create(&o.share) == 0);
    for (int i = 0; i < 3; i++) {
        o.cookies = i == 1;
        o.raw = i == 2;
        REQUIRE(weir_http_create(&handles[i], &o) == 0);
    }
    for (unsigned long long i = first; i < first + total; i++)
        one_answer(handles[i % 3], i);
    for (int i = 0; i < 3; i++)
        weir_http_destroy(handles[i]);
    weir_http_share_destroy(o.share);
    weir_http_global_cleanup();
    close(server.stop[1]);
    join(thread);
    close(server.stop[0]);
    close(server.listener);
    for (int i = 0; i <= WEIR_HTTP_OTHER; i++)
        printf("# %llu %s\n", errors[i],
               weir_http_error_name((enum weir_http_error)i));
    EXPECT_INT(errors[WEIR_HTTP_OTHER], 0);
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "every mutated response has a status or a named error", all_answers }
    };

    total = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0; /* to repeat one */
    return TAP_RUN(cases);
}
