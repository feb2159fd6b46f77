/* SPDX-License-Identifier: MIT
 * test_http_answers.c - unusual and truncated answers, how often a request is
 * sent, and redirects, against a scripted server on 127.0.0.1. */
#define _POSIX_C_SOURCE 200809L

#include "deflated.h"
#include "http_handle.h"
#include "run.h"
#include "scripted_server.h"

#include <weir/http.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define CLOSING_GZIP "HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
#define CLOSING_DEFLATE "HTTP/1.0 200 OK\r\nContent-Encoding: deflate\r\n\r\n"

/* Made in main(). */
static char text[TEXT_BYTES + 1];
static unsigned char member[sizeof(deflated) + 18]; /* gzip */
static unsigned char named[sizeof(member) + 15];    /* with all fields */
static unsigned char three[3 * sizeof(member)];
static unsigned char padded[sizeof(member) + 512];
static unsigned char trailed[sizeof(member) + 7];
static unsigned char wrong_sum[sizeof(member)], wrong_size[sizeof(member)];
static unsigned char zlib[sizeof(deflated) + 6], wrong_adler[sizeof(zlib)];
static unsigned char twice[sizeof(member) + 23 + 5]; /* stored in gzip */
static const unsigned char far_back[] = { /* a distance before the start */
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x63, 0x04, 0x22, 0, 0, 0, 0, 0 };

static char away[2][256]; /* set by their test */

static struct scripted_answer answers[] = {
    { .path = "/away0", .head = away[0] },
    { .path = "/away1", .head = away[1] },
    { .path = "/plain", .head = OK_HEAD "Server: x\r\nContent-Length: 2"
      "\r\n\r\nok" },
    { .path = "/folded", .head = OK_HEAD " Folded: y\r\nContent-Length: 2"
      "\r\n\r\nok" },
    { .path = "/fold", .head = OK_HEAD "X: a\r\n b\r\nContent-Length: 2"
      "\r\n\r\nok" },
    /* ends */
    { .path = "/nothing", .then = SCRIPTED_CLOSE },
    { .path = "/reset", .then = SCRIPTED_RESET },
    { .path = "/cutstatus", .head = "HTTP/1.1 20", .then = SCRIPTED_CLOSE },
    { .path = "/cutline", .head = OK_HEAD "X", .then = SCRIPTED_CLOSE },
    { .path = "/cuthead", .head = OK_HEAD "X: y\r\n",
      .then = SCRIPTED_CLOSE },
    { .path = "/cutbody", .head = OK_HEAD "Content-Length: 9\r\n\r\nabc",
      .then = SCRIPTED_CLOSE },
    { .path = "/cutchunk", .head = OK_HEAD "Transfer-Encoding: chunked"
      "\r\n\r\n9\r\nabc", .then = SCRIPTED_CLOSE },
    { .path = "/nolastchunk", .head = OK_HEAD "Transfer-Encoding: chunked"
      "\r\n\r\n3\r\nabc\r\n", .then = SCRIPTED_CLOSE },
    { .path = "/cuttrailer", .head = OK_HEAD "Transfer-Encoding: chunked"
      "\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n", .then = SCRIPTED_CLOSE },
    { .path = "/trailers", .head = OK_HEAD "Transfer-Encoding: chunked"
      "\r\n\r\n2\r\nok\r\n0\r\nHTTP/1.1: 500 Odd\r\n X: y\r\n"
      "Content-Encoding: gzip\r\nTransfer-Encoding: x\r\n\r\n" },
    /* interim */
    { .path = "/100", .head = "HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD
      "Content-Length: 2\r\n\r\nok" },
    { .path = "/103", .head = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
      OK_HEAD "Content-Length: 2\r\n\r\nok" },
    { .path = "/100cut", .head = "HTTP/1.1 100 Continue\r\n\r\n",
      .then = SCRIPTED_CLOSE },
    { .path = "/103cut", .head = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n",
      .then = SCRIPTED_CLOSE },
    { .path = "/100junk", .head = "HTTP/1.1 100 Continue\r\n\r\njunk\r\n\r\n",
      .then = SCRIPTED_CLOSE },
    { .path = "/101", .head = "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\nblah",
      .then = SCRIPTED_STALL },
    { .path = "/gzipte", .head = OK_HEAD "Transfer-Encoding: gzip, chunked"
      "\r\n\r\n0\r\n\r\n" },
    /* codings */
    { .path = "/gzip", .head = CLOSING_GZIP, .part = member,
      .part_bytes = sizeof(member), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/xgzip", .head = "HTTP/1.0 200 OK\r\nContent-Encoding: "
      "identity, X-GZIP\r\n\r\n", .part = member,
      .part_bytes = sizeof(member), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/named", .head = CLOSING_GZIP, .part = named,
      .part_bytes = sizeof(named), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/three", .head = CLOSING_GZIP, .part = three,
      .part_bytes = sizeof(three), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/padded", .head = CLOSING_GZIP, .part = padded,
      .part_bytes = sizeof(padded), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/trailed", .head = CLOSING_GZIP, .part = trailed,
      .part_bytes = sizeof(trailed), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/wrongsum", .head = CLOSING_GZIP, .part = wrong_sum,
      .part_bytes = sizeof(wrong_sum), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/wrongsize", .head = CLOSING_GZIP, .part = wrong_size,
      .part_bytes = sizeof(wrong_size), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/far", .head = CLOSING_GZIP, .part = far_back,
      .part_bytes = sizeof(far_back), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/twice", .head = "HTTP/1.0 200 OK\r\nContent-Encoding: gzip"
      "\r\nContent-Encoding: gzip\r\n\r\n", .part = twice,
      .part_bytes = sizeof(twice), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/zlib", .head = CLOSING_DEFLATE, .part = zlib,
      .part_bytes = sizeof(zlib), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/bare", .head = CLOSING_DEFLATE, .part = deflated,
      .part_bytes = sizeof(deflated), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/wrongadler", .head = CLOSING_DEFLATE, .part = wrong_adler,
      .part_bytes = sizeof(wrong_adler), .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/brgzip", .head = "HTTP/1.0 200 OK\r\nContent-Encoding: br, "
      "gzip\r\n\r\n", .part = member, .part_bytes = sizeof(member),
      .parts = 1, .then = SCRIPTED_CLOSE },
    { .path = "/br", .head = OK_HEAD "Content-Encoding: br\r\n"
      "Content-Length: 5\r\n\r\nhello" },
    { .path = "/layers", .head = OK_HEAD "Content-Encoding: gzip, gzip, gzip,"
      " gzip, gzip, gzip\r\nContent-Length: 5\r\n\r\nhello" },
    { .path = "/empty", .head = OK_HEAD "Content-Encoding: gzip\r\n"
      "Content-Length: 0\r\n\r\n" },
    { .path = "/emptychunks", .head = OK_HEAD "Content-Encoding: gzip\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { .path = "/emptyclose", .head = CLOSING_GZIP, .then = SCRIPTED_CLOSE },
    { .path = "/partial", .head = "HTTP/1.1 206 Part\r\nContent-Encoding: "
      "gzip\r\nContent-Length: 5\r\n\r\nhello" },
    /* redirects */
    { .path = "/setcookie", .head = "HTTP/1.1 302 Found\r\nLocation: /echo"
      "\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n" },
    { .path = "/typed", .head = OK_HEAD "Content-Type: a/b\x1b\r\n"
      "Content-Length: 2\r\n\r\nok" },
};

static struct scripted_server *server;
static int closed_port; /* where nothing listens */

/* ---- helpers ---- */

#define URL_BYTES 256
static const char *url_of(char *buffer, int port, const char *path)
{
    snprintf(buffer, URL_BYTES, "http://127.0.0.1:%d%s", port, path);
    return buffer;
}

static struct weir_http_response ask(struct weir_http *http,
                                     const char *path,
                                     struct weir_http_request request)
{
    struct weir_http_response r;
    char url[URL_BYTES];

    request.url = url_of(url, scripted_port(server), path);
    EXPECT_INT(weir_http_perform(http, NULL, &request, &r), 0);
    /* What holds for every response. */
    EXPECT(r.status != 0 || r.error != WEIR_HTTP_OK);
    EXPECT((r.error == WEIR_HTTP_OK) == (strcmp(r.error_text, "") == 0));
    EXPECT((r.status == 0) == (r.http_version == 0));
    return r;
}

static struct weir_http_response get(struct weir_http *http,
                                     const char *path)
{
    return ask(http, path, (struct weir_http_request){ 0 });
}

static int has(const struct weir_http_response *r, const char *what)
{
    return strstr(r->body, what) != NULL;
}

static int is_text(const struct weir_http_response *r)
{
    return r->error == WEIR_HTTP_OK && r->body_bytes == TEXT_BYTES &&
           strcmp(r->body, text) == 0;
}

/* ---- unusual and truncated answers ---- */

/* With libcurl 7.83 to 8.0 a reused handle frees memory twice. */
static void folded_first(void)
{
    struct weir_http *http = make(&plain);
    const char *value;

    for (int i = 0; i < 3; i++) {
        EXPECT_INT(get(http, "/plain").error, WEIR_HTTP_OK);
        EXPECT_INT(get(http, "/folded").error, WEIR_HTTP_PROTOCOL);
    }
    EXPECT_INT(get(http, "/fold").error, WEIR_HTTP_OK);
    value = weir_http_header(http, "X");
    EXPECT(value != NULL && strcmp(value, "a b") == 0);
    weir_http_destroy(http);
}

static void ends_early(void)
{
    static const char *const paths[] = {
        "/nothing", "/reset", "/cutline", "/cuthead", "/cutbody",
        "/cutchunk", "/nolastchunk", "/cuttrailer" };
    struct weir_http *http = make(&plain);

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct weir_http_response r = get(http, paths[i]);

        if (!EXPECT_INT(r.error, WEIR_HTTP_CUT))
            printf("# %s: %s\n", paths[i], r.error_text);
        EXPECT_INT(r.processed, 1);
    }
    EXPECT(get(http, "/cutstatus").error != WEIR_HTTP_OK);
    weir_http_destroy(http);
}

static void trailers_are_none(void)
{
    struct weir_http *http = make(&plain);
    struct weir_http_response r = get(http, "/trailers");

    EXPECT_INT(r.error, WEIR_HTTP_OK);
    EXPECT_INT(r.status, 200);
    EXPECT(strcmp(r.body, "ok") == 0);
    weir_http_destroy(http);
}

static void interim(void)
{
    struct weir_http *http = make(&plain);
    struct weir_http_response r;

    EXPECT_INT(get(http, "/100").status, 200);
    r = get(http, "/103");
    EXPECT_INT(r.status, 200);
    EXPECT(strcmp(r.body, "ok") == 0);
    EXPECT_INT(get(http, "/100cut").error, WEIR_HTTP_CUT);
    EXPECT_INT(get(http, "/103cut").error, WEIR_HTTP_CUT);
    EXPECT_INT(get(http, "/100junk").error, WEIR_HTTP_PROTOCOL);
    r = get(http, "/101"); /* ends before the server continues */
    EXPECT_INT(r.error, WEIR_HTTP_PROTOCOL);
    EXPECT_INT(r.status, 0);
    EXPECT_INT(get(http, "/gzipte").error, WEIR_HTTP_PROTOCOL);
    weir_http_destroy(http);
}

/* ---- codings ---- */

static void decoded(void)
{
    static const char *const paths[] = { "/gzip", "/xgzip", "/named",
                                         "/padded", "/twice", "/zlib",
                                         "/bare" };
    struct weir_http *http = make(&plain);
    struct weir_http_response r;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        r = get(http, paths[i]);
        if (!EXPECT(is_text(&r)))
            printf("# %s: %zu bytes, %s\n", paths[i], r.body_bytes,
                   r.error_text);
        EXPECT(strcmp(r.note, "") == 0);
    }
    r = get(http, "/three");
    EXPECT_INT(r.body_bytes, 3 * TEXT_BYTES);
    EXPECT(strcmp((const char *)r.body + 2 * TEXT_BYTES, text) == 0);
    r = get(http, "/trailed");
    EXPECT(is_text(&r));
    EXPECT(strstr(r.note, "7 bytes") != NULL);
    weir_http_destroy(http);
}

static void left_alone(void)
{
    struct weir_http_options o = plain;
    struct weir_http *http = make(&plain);
    struct weir_http_response r = get(http, "/br");

    EXPECT(strcmp(r.body, "hello") == 0);
    EXPECT_INT(r.error, WEIR_HTTP_OK);
    EXPECT(strstr(r.note, "br") != NULL);
    r = get(http, "/brgzip");
    EXPECT(is_text(&r)); /* one of the two codings is known */
    EXPECT(strstr(r.note, "br") != NULL);
    r = get(http, "/partial");
    EXPECT(strcmp(r.body, "hello") == 0 && strcmp(r.note, "") != 0);
    weir_http_destroy(http);
    o.raw = 1;
    http = make(&o);
    r = get(http, "/gzip");
    EXPECT_INT(r.body_bytes, sizeof(member));
    EXPECT(memcmp(r.body, member, sizeof(member)) == 0);
    EXPECT(strcmp(r.note, "") == 0);
    weir_http_destroy(http);
}

static void damaged(void)
{
    static const char *const paths[] = { "/wrongsum", "/wrongsize", "/far",
                                         "/wrongadler", "/layers" };
    struct weir_http *http = make(&plain);

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (!EXPECT_INT(get(http, paths[i]).error, WEIR_HTTP_PROTOCOL))
            printf("# %s\n", paths[i]);
    weir_http_destroy(http);
}

/* A separate server has one answer for each place where the body may end. */
static void cut_everywhere(const char *head, const unsigned char *from,
                           size_t bytes)
{
    static struct scripted_answer cuts[sizeof(member)];
    static char paths[sizeof(member)][8];
    struct weir_http *http = make(&plain);
    struct scripted_server *own;

    for (size_t i = 1; i < bytes; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/%zu", i);
        cuts[i] = (struct scripted_answer){
            .path = paths[i], .head = head, .part = from, .part_bytes = i,
            .parts = 1, .then = SCRIPTED_CLOSE };
    }
    own = scripted_open(cuts + 1, bytes - 1);
    for (size_t i = 1; i < bytes; i++) {
        struct weir_http_response r;
        char url[URL_BYTES];

        url_of(url, scripted_port(own), paths[i]);
        EXPECT_INT(weir_http_perform(http, NULL,
                                     &(struct weir_http_request){
                                         .url = url }, &r), 0);
        if (!EXPECT_INT(r.error, WEIR_HTTP_CUT))
            printf("# of %zu bytes\n", i);
        EXPECT_INT(r.status, 200);
        EXPECT(r.body_bytes <= TEXT_BYTES &&
               memcmp(r.body, text, r.body_bytes) == 0);
    }
    weir_http_destroy(http);
    scripted_close(own);
}

static void coded_cut(void)
{
    struct weir_http *http = make(&plain);

    cut_everywhere(CLOSING_GZIP, member, sizeof(member));
    cut_everywhere(CLOSING_DEFLATE, zlib, sizeof(zlib));
    EXPECT_INT(get(http, "/emptyclose").error, WEIR_HTTP_CUT);
    EXPECT_INT(get(http, "/empty").error, WEIR_HTTP_OK);
    EXPECT_INT(get(http, "/emptychunks").error, WEIR_HTTP_OK);
    EXPECT_INT(ask(http, "/empty", (struct weir_http_request){
                   .method = "HEAD" }).error, WEIR_HTTP_OK);
    weir_http_destroy(http);
}

static void coded_bounded(void)
{
    struct weir_http_options o = plain;
    struct weir_http *http;
    struct weir_http_response r;

    o.body_max = TEXT_BYTES;
    http = make(&o);
    r = get(http, "/gzip");
    EXPECT(is_text(&r));
    r = get(http, "/three");
    EXPECT_INT(r.error, WEIR_HTTP_TOO_LARGE);
    EXPECT_INT(r.body_bytes, TEXT_BYTES);
    weir_http_destroy(http);
    o.body_max = 4;
    http = make(&o);
    r = get(http, "/br");
    EXPECT_INT(r.error, WEIR_HTTP_TOO_LARGE);
    EXPECT_INT(r.body_bytes, 4);
    weir_http_destroy(http);
}

/* ---- how often a request is sent ---- */

/* The server reads the next request on a used connection and closes it without
 * an answer. */
static void sent_once(void)
{
    static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "TRACE",
                                           "PUT", "DELETE", "POST", "PATCH",
                                           "X-OWN" };
    static const char *const paths[] = { "/nothing", "/reset" };
    struct weir_http *http = make(&plain);

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        for (int k = 0; k < 2; k++) {
            struct weir_http_request request = { .method = methods[i] };
            int idempotent = i < 6, before, connected;
            struct weir_http_response r = get(http, "/plain");

            EXPECT_INT(r.error, WEIR_HTTP_OK);
            before = scripted_requests(server);
            connected = scripted_connections(server);
            r = ask(http, paths[k], request);
            EXPECT_INT(r.error, WEIR_HTTP_CUT);
            EXPECT_INT(r.processed, 1);
            EXPECT_INT(r.reused, idempotent);
            EXPECT_INT(scripted_requests(server) - before, 1);
            EXPECT_INT(scripted_connections(server) - connected, !idempotent);
        }
    weir_http_destroy(http);
}

static void processed(void)
{
    struct weir_http *http = make(&plain);
    struct weir_http_response r;
    char url[URL_BYTES];

    r = get(http, "/plain");
    EXPECT_INT(r.processed, 1);
    EXPECT_INT(r.reused, 0);
    EXPECT_INT(r.http_version, 11);
    EXPECT_INT(get(http, "/plain").reused, 1);
    EXPECT_INT(get(http, "/bare").http_version, 10);
    EXPECT_INT(weir_http_perform(http, NULL, &(struct weir_http_request){
                   .url = url_of(url, closed_port, "/"), .method = "POST" },
                   &r), 0);
    EXPECT_INT(r.error, WEIR_HTTP_CONNECT);
    EXPECT_INT(r.processed, 0);
    EXPECT_INT(get(http, "/nothing").processed, 1);
    r = ask(http, "/echo", (struct weir_http_request){ .body = "abc",
                                                       .body_bytes = 3 });
    EXPECT_INT(r.bytes_sent, 3);
    r = ask(http, "/status/307", (struct weir_http_request){
        .method = "PUT", .body = "abc", .body_bytes = 3 });
    EXPECT_INT(r.bytes_sent, 6);
    r = get(http, "/typed");
    EXPECT(strcmp(r.content_type, "a/b?") == 0);
    EXPECT(strcmp(get(http, "/plain").content_type, "") == 0);
    weir_http_destroy(http);
}

/* ---- redirects ---- */

struct hops {
    int count, refuse_at;
    char last[URL_BYTES];
};

static int on_redirect(struct weir_context *cx, void *user, const char *to)
{
    struct hops *hops = user;

    EXPECT(cx == NULL);
    snprintf(hops->last, sizeof(hops->last), "%s", to);
    return ++hops->count == hops->refuse_at;
}

static void asked_before(void)
{
    struct weir_http *http = make(&plain);
    struct hops hops = { 0 };
    struct weir_http_request request = { .on_redirect = on_redirect,
                                         .on_redirect_user = &hops };
    struct weir_http_response r = ask(http, "/hop/3", request);
    char url[URL_BYTES];
    int before = scripted_requests(server);

    EXPECT_INT(r.redirects, 3);
    EXPECT_INT(hops.count, 3);
    EXPECT(strcmp(hops.last, r.url) == 0);
    hops = (struct hops){ .refuse_at = 2 };
    r = ask(http, "/hop/3", request);
    EXPECT_INT(r.error, WEIR_HTTP_OK);
    EXPECT_INT(r.status, 302);
    EXPECT_INT(r.redirects, 1);
    EXPECT(strcmp(r.url, url_of(url, scripted_port(server), "/hop/2")) == 0);
    EXPECT(strcmp(weir_http_header(http, "Location"), "/hop/1") == 0);
    EXPECT_INT(scripted_requests(server) - before, 2);
    ask(http, "/to?http://u:p@h:x/", request); /* not a URL */
    EXPECT_INT(hops.count, 2);
    hops.refuse_at = 3;
    ask(http, "/to?http://u:p@h/", request);
    EXPECT(strcmp(hops.last, "http://h/") == 0);
    weir_http_destroy(http);
}

static void secrets_stay(void)
{
    static const char *const headers[] = {
        "Authorization: s3cret", "Cookie: s3cret", "X-Api-Key: s3cret",
        "Acceptance: s3cret", "Referer: s3cret", "Host: s3cret",
        "Accept: a/b", "Accept-Language: tlh", "User-Agent: me",
        "Content-Type: c/d", "Range: bytes=0-", "If-Match: x" };
    static const char *const safe[] = {
        "Accept: a/b", "Accept-Language: tlh", "User-Agent: me",
        "Content-Type: c/d", "Range: bytes=0-", "If-Match: x" };
    struct scripted_server *other;
    struct weir_http *http = make(&plain);
    struct weir_http_request request = {
        .headers = headers, .header_count = 12, .body = "b", .body_bytes = 1,
        .method = "PUT" };
    struct scripted_answer there[] = {
        { .path = "/on" }, { .path = "/back" } };
    char head[2][URL_BYTES];
    struct weir_http_response r;

    /* another origin, which sends the request on, or back */
    other = scripted_open(there, 2);
    snprintf(head[0], URL_BYTES, "HTTP/1.1 307 To\r\nContent-Length: 0\r\n"
             "Location: /echo\r\n\r\n");
    snprintf(head[1], URL_BYTES, "HTTP/1.1 307 To\r\nContent-Length: 0\r\n"
             "Location: http://127.0.0.1:%d/echo\r\n\r\n",
             scripted_port(server));
    there[0].head = head[0];
    there[1].head = head[1];
    for (int i = 0; i < 2; i++)
        snprintf(away[i], sizeof(away[i]),
                 "HTTP/1.1 307 To\r\nContent-Length: 0\r\nLocation: "
                 "http://127.0.0.1:%d%s\r\n\r\n", scripted_port(other),
                 there[i].path);
    scripted_requests(server); /* their locks publish what was written */
    scripted_requests(other);
    for (int i = 0; i < 2; i++) {
        r = ask(http, i == 0 ? "/away0" : "/away1", request);
        EXPECT_INT(r.redirects, 2);
        EXPECT_INT(r.status, 200);
        EXPECT(has(&r, "PUT /echo ") && has(&r, "\r\n\r\nb"));
        EXPECT(!has(&r, "s3cret"));
        for (size_t k = 0; k < sizeof(safe) / sizeof(safe[0]); k++)
            EXPECT(has(&r, safe[k]));
    }
    /* within the origin all of them are sent */
    r = ask(http, "/status/307", request);
    EXPECT(has(&r, "X-Api-Key: s3cret") && has(&r, "Cookie: s3cret"));
    EXPECT(has(&r, "Host: s3cret"));
    weir_http_destroy(http);
    scripted_close(other);
}

static void cookies_kept(void)
{
    static const char *const headers[] = { "Cookie: own=2" };
    struct weir_http_options o = plain;
    struct weir_http *http = make(&plain);
    struct weir_http_response r = get(http, "/setcookie");

    EXPECT_INT(r.redirects, 1);
    EXPECT(!has(&r, "Cookie"));
    weir_http_destroy(http);
    o.cookies = 1;
    http = make(&o);
    r = get(http, "/setcookie");
    EXPECT(has(&r, "Cookie: a=1\r\n"));
    r = get(http, "/echo"); /* another request */
    EXPECT(!has(&r, "Cookie"));
    r = ask(http, "/setcookie", (struct weir_http_request){
        .headers = headers, .header_count = 1 });
    EXPECT(has(&r, "a=1") && has(&r, "own=2"));
    EXPECT(strstr(strstr(r.body, "Cookie:") + 1, "Cookie:") == NULL);
    weir_http_destroy(http);
}

static const struct tap_case cases[] = {
    { "a folded first header is a protocol error, also on a reused connection",
      folded_first },
    { "headers and bodies that end early are reported as cut",
      ends_early },
    { "trailers do not change the response", trailers_are_none },
    { "interim responses are skipped, and are an error if no final response "
      "follows", interim },
    { "gzip of any number of members and deflate are decoded", decoded },
    { "a body in an unknown encoding is not decoded, and the response says so",
      left_alone },
    { "a damaged compressed body is a protocol error", damaged },
    { "a compressed body that ends early is reported as cut, wherever it ends",
      coded_cut },
    { "body_max bounds compressed and decompressed bodies", coded_bounded },
    { "a request is sent exactly once, whatever happens to its connection",
      sent_once },
    { "a response says whether the request can have been processed",
      processed },
    { "the caller is asked before each redirect and can reject the redirect",
      asked_before },
    { "headers that may hold secrets are not sent to another origin",
      secrets_stay },
    { "cookies are kept between the redirects of one request",
      cookies_kept },
};

/* ---- bodies ---- */

static size_t put(unsigned char *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return bytes;
}

static size_t put_little(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
    return 4;
}

static uint32_t crc_of(const unsigned char *bytes, size_t count)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void make_bodies(void)
{
    static const unsigned char head[10] = { 0x1f, 0x8b, 8 };
    static const char fields[] = "\4\0abcdname\0c\0!!";
    size_t at = 0;

    for (int i = 0; i < 200; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%d,", i);
    REQUIRE(at == TEXT_BYTES);

    at = put(member, head, 10);
    at += put(member + at, deflated, sizeof(deflated));
    at += put_little(member + at, TEXT_CRC);
    at += put_little(member + at, TEXT_BYTES);
    REQUIRE(at == sizeof(member));
    for (int i = 0; i < 3; i++)
        put(three + (size_t)i * at, member, at);
    put(padded, member, at);
    put(trailed, member, at);
    put(trailed + at, "rubbish", 7);
    put(wrong_sum, member, at);
    wrong_sum[at - 5] ^= 1;
    put(wrong_size, member, at);
    wrong_size[at - 1] ^= 1;

    put(named, member, 10);
    named[3] = 0x1e; /* all fields */
    put(named + 10, fields, 15);
    put(named + 25, member + 10, at - 10);

    zlib[0] = 0x78;
    zlib[1] = 0xda;
    put(zlib + 2, deflated, sizeof(deflated));
    for (int i = 0; i < 4; i++)
        zlib[sizeof(zlib) - 4 + (size_t)i] =
            (unsigned char)(TEXT_ADLER >> (24 - 8 * i));
    put(wrong_adler, zlib, sizeof(zlib));
    wrong_adler[sizeof(zlib) - 1] ^= 1;

    /* the member once more, in a stored block */
    at = put(twice, head, 10);
    twice[at++] = 1;
    twice[at++] = sizeof(member) & 0xff;
    twice[at++] = sizeof(member) >> 8;
    twice[at++] = ~sizeof(member) & 0xff;
    twice[at++] = (~sizeof(member) >> 8) & 0xff;
    at += put(twice + at, member, sizeof(member));
    at += put_little(twice + at, crc_of(member, sizeof(member)));
    at += put_little(twice + at, sizeof(member));
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (answers[i].part == twice)
            answers[i].part_bytes = at;
}

int main(void)
{
    struct scripted_server *gone = scripted_open(NULL, 0);
    int failed;

    closed_port = scripted_port(gone);
    scripted_close(gone);
    make_bodies();
    server = scripted_open(answers, sizeof(answers) / sizeof(answers[0]));
    REQUIRE(weir_http_global_init() == 0);
    failed = TAP_RUN(cases);
    weir_http_global_cleanup();
    scripted_close(server);
    return failed;
}
