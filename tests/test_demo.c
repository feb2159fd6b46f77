/* SPDX-License-Identifier: MIT
 * test_demo.c - parts of the program that need no network. */
#include "common/id.h"
#include "common/input.h"
#include "common/number.h"
#include "common/sha256.h"
#include "run/identity.h"
#include "run/retry.h"
#include "run/shard.h"
#include "serve/server_private.h"
#include "show/template_plan.h"
#include "common/text.h"
#include "common/url.h"

#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static int json_is(const char *bytes, size_t count, const char *want)
{
    struct text text = { 0 };
    int same;

    text_json(&text, bytes, count);
    same = !text.failed && strcmp(text.data, want) == 0;
    if (!same)
        printf("# got %s\n", text.data);
    text_free(&text);
    return same;
}

static void json_escapes(void)
{
    EXPECT(json_is("", 0, "\"\""));
    EXPECT(json_is("a\"\\/", 4, "\"a\\\"\\\\/\""));
    EXPECT(json_is("\0\n\x1b\x7f", 4, "\"\\u0000\\u000a\\u001b\\u007f\""));
    EXPECT(json_is("\xc2\x9b", 2, "\"\\u009b\""));
    EXPECT(json_is("\xc3\xa9\xf0\x9f\x98\x80", 6,
                   "\"\xc3\xa9\xf0\x9f\x98\x80\""));
}

#define FFFD "\xef\xbf\xbd"

static void json_replaces(void)
{
    EXPECT(json_is("\x80", 1, "\"" FFFD "\""));
    /* overlong; a surrogate; above U+10FFFF; cut off */
    EXPECT(json_is("\xc0\xaf", 2, "\"" FFFD FFFD "\""));
    EXPECT(json_is("\xed\xa0\x80", 3, "\"" FFFD FFFD FFFD "\""));
    EXPECT(json_is("\xf4\x90\x80\x80", 4, "\"" FFFD FFFD FFFD FFFD "\""));
    EXPECT(json_is("\xe2\x82", 2, "\"" FFFD "\""));
    EXPECT(json_is("\xf0\x9f\x98x", 4, "\"" FFFD "x\""));
    EXPECT(json_is("\xff\xfe", 2, "\"" FFFD FFFD "\""));
}

static void plain_is_harmless(void)
{
    struct text text = { 0 };

    text_plain(&text, "a\x1b[31m\xc2\x9b\xff\xc3\xa9", 11);
    EXPECT(strcmp(text.data, "a\\x1b[31m\\xc2\\x9b\\xff\xc3\xa9") == 0 ||
           (printf("# got %s\n", text.data), 0));
    text_free(&text);
}

static void wholes(void)
{
    int64_t v = 7;

    EXPECT(number_whole("0", &v) == 0 && v == 0);
    EXPECT(number_whole("9223372036854775807", &v) == 0 && v == INT64_MAX);
    EXPECT_INT(number_whole("9223372036854775808", &v), -ERANGE);
    EXPECT_INT(number_whole("", &v), -EINVAL);
    EXPECT_INT(number_whole("-1", &v), -EINVAL);
    EXPECT_INT(number_whole("+1", &v), -EINVAL);
    EXPECT_INT(number_whole(" 1", &v), -EINVAL);
    EXPECT_INT(number_whole("1 ", &v), -EINVAL);
    EXPECT_INT(number_whole("0x1", &v), -EINVAL);
    EXPECT_INT(v, INT64_MAX); /* untouched */
}

/* Try every value that each variable of a batch system could have: what is
 * accepted is correct, and nothing overflows. */
static void shards_of_the_environment(void)
{
    static const char *const values[] = {
        NULL, "", "0", "1", "2", "3", "x", "-1", "9223372036854775806",
        "9223372036854775807", "9223372036854775808", "1000001" };
    static const char *const names[] = {
        "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
        "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP" };
    enum { VALUES = sizeof(values) / sizeof(values[0]), NAMES = 5 };
    int accepted = 0;

    unsetenv("JOB_COMPLETION_INDEX");
    for (int i = 0; i < VALUES * VALUES * VALUES * VALUES * VALUES; i++) {
        struct shard shard = { 0 };
        int64_t v[NAMES] = { 0 };

        for (int n = 0, rest = i; n < NAMES; n++, rest /= VALUES) {
            const char *value = values[rest % VALUES];

            if (value == NULL)
                unsetenv(names[n]);
            else
                setenv(names[n], value, 1);
            v[n] = value != NULL ? strtoll(value, NULL, 10) : n == 4;
        }
        if (shard_read("auto", &shard) != NULL)
            continue;
        accepted++;
        EXPECT(shard.of == (uint64_t)v[3] && shard.k >= 1 &&
               shard.k <= shard.of);
        /* With one task the step does not matter. */
        EXPECT(v[3] == 1 ||
               (double)v[1] + (double)v[4] * (shard.k - 1) == (double)v[0]);
        EXPECT(v[3] == 1 ||
               (double)v[1] + (double)v[4] * (shard.of - 1) == (double)v[2]);
    }
    EXPECT(accepted > 10);
    for (int n = 0; n < NAMES; n++)
        unsetenv(names[n]);
}

static void proxies(void)
{
    static const char *const fine[] = {
        "h", "h:1", "h:65535", "http://h", "HTTP://h:3128/", "socks5h://h:9",
        "https://u:p@h:8", "u:p@h", "[::1]:80", "http://[::1]/" };
    static const char *const bad[] = {
        "", "http://", ":80", "h:0", "h:65536", "h:99999999999999999999",
        "h:x", "h:80x", "h:-1", "ftp://h", "socks6://h", "://h", "h h",
        "h\n", "u:p/q@h", "[::1", "[]:80", "[::1]80", "http://u:p@" };

    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        EXPECT(url_proxy_fault(fine[i]) == NULL ||
               (printf("# refused: %s\n", fine[i]), 0));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(url_proxy_fault(bad[i]) != NULL ||
               (printf("# accepted: %s\n", bad[i]), 0));
}

static void ports(void)
{
    static const struct {
        const char *url;
        int fine;
    } urls[] = { { "http://h:1", 1 }, { "http://h:65535/", 1 },
                 { "http://h:/", 1 }, { "http://u:p@h:00080?x:y", 1 },
                 { "http://[::1]:80/", 1 }, { "http://h:0", 0 },
                 { "http://h:65536/", 0 }, { "http://h:8a/", 0 },
                 { "http://h:18446744073709551617/", 0 },
                 { "http://[::1]80/", 0 }, { "http://[::1/", 0 } };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        const char *reason;
        char *url = url_check(urls[i].url, strlen(urls[i].url), &reason);

        EXPECT((url != NULL) == urls[i].fine ||
               (printf("# %s\n", urls[i].url), 0));
        free(url);
    }
}

static void decimals(void)
{
    double v = 7;

    EXPECT(number_decimal("0.5", &v) == 0 && v > 0.49 && v < 0.51);
    EXPECT(number_decimal(".5", &v) == 0 && v > 0.49 && v < 0.51);
    EXPECT(number_decimal("2.", &v) == 0 && v > 1.99 && v < 2.01);
    EXPECT_INT(number_decimal(".", &v), -EINVAL);
    EXPECT_INT(number_decimal("", &v), -EINVAL);
    EXPECT_INT(number_decimal("1e3", &v), -EINVAL);
    EXPECT_INT(number_decimal("nan", &v), -EINVAL);
    EXPECT_INT(number_decimal("1.2.3", &v), -EINVAL);
    EXPECT_INT(number_decimal("-1", &v), -EINVAL);
    EXPECT(number_rate("120/m", &v) == 0 && v > 1.99 && v < 2.01);
    EXPECT(number_rate("3600/h", &v) == 0 && v > 0.99 && v < 1.01);
    EXPECT_INT(number_rate("/s", &v), -EINVAL);
    EXPECT_INT(number_rate("1/x", &v), -EINVAL);
}

static void statuses(void)
{
    struct number_statuses set;

    EXPECT_INT(number_statuses("200-204,404", &set), 0);
    EXPECT(number_has_status(&set, 200) && number_has_status(&set, 204));
    EXPECT(number_has_status(&set, 404) && !number_has_status(&set, 205));
    EXPECT(!number_has_status(&set, 0) && !number_has_status(&set, 9999));
    EXPECT_INT(number_statuses("", &set), -EINVAL);
    EXPECT_INT(number_statuses("200,", &set), -EINVAL);
    EXPECT_INT(number_statuses("300-200", &set), -EINVAL);
    EXPECT_INT(number_statuses("099", &set), -EINVAL);
    EXPECT_INT(number_statuses("600", &set), -EINVAL);
}

/* The values of the specification's reference code. */
static void ids(void)
{
    char shown[33];

    id_show(id_start(), shown);
    EXPECT(strcmp(shown, "6c62272e07bb014262b821756295c58d") == 0);
    id_show(id_add(id_start(), "a", 1), shown);
    EXPECT(strcmp(shown, "d228cb696f1a8caf78912b704e4a8964") == 0);
    id_show(id_add(id_start(), "foobar", 6), shown);
    EXPECT(strcmp(shown, "343e1662793c64bf6f0d3597ba446f18") == 0);
}

static int checks(const char *line, const char *want)
{
    const char *reason;
    char *url = url_check(line, strlen(line), &reason);
    int same = url != NULL && want != NULL ? strcmp(url, want) == 0
                                           : url == want;

    if (!same)
        printf("# %s: got %s (%s)\n", line, url ? url : "NULL",
               reason ? reason : "");
    free(url);
    return same;
}

static void urls(void)
{
    EXPECT(checks("http://a", "http://a"));
    EXPECT(checks("HTTPS://a:1/?b#c", "HTTPS://a:1/?b#c"));
    EXPECT(checks("http://u:p@[::1]:80/", "http://u:p@[::1]:80/"));
    EXPECT(checks("http://a/\xc3\xa9", "http://a/%C3%A9"));
    EXPECT(checks("http://b\xc3\xbc.x/\xc3\xbc", "http://b\xc3\xbc.x/%C3%BC"));
    EXPECT(checks("http://b\xc3\xbc?\xc3\xbc", "http://b\xc3\xbc?%C3%BC"));
    EXPECT(checks("http://b\xc3\xbc", "http://b\xc3\xbc"));
    EXPECT(checks("http://", NULL));
    EXPECT(checks("http:///x", NULL));
    EXPECT(checks("http://u:p@/x", NULL));
    EXPECT(checks("http://:80/", NULL));
    EXPECT(checks("http:/a", NULL));
    EXPECT(checks("file:///etc/passwd", NULL));
    EXPECT(checks("http://a b", NULL));
    EXPECT(checks("http://a\tb", NULL));
    EXPECT(checks("http://a\x7f", NULL));
    EXPECT(checks("", NULL));
}

#define LINE_MAX_ 65536

/* Read a file with these bytes; line lengths are appended to `got`. */
static void read_lines(const char *bytes, size_t count, char *got)
{
    char path[] = "/tmp/weir-test-XXXXXX";
    int fd = mkstemp(path), what;
    struct input *in;
    struct input_line line;

    REQUIRE(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
    close(fd);
    REQUIRE(input_open(&in, path, -1, LINE_MAX_) == 0);
    while ((what = input_next(in, &line)) != INPUT_END && what > 0)
        got += what == INPUT_LINE
                   ? sprintf(got, "%d:%d ", (int)line.number, (int)line.count)
                   : sprintf(got, "%d:long ", (int)line.number);
    EXPECT_INT(what, INPUT_END);
    input_close(in);
    unlink(path);
}

static void lines(void)
{
    char got[256] = "";

    read_lines("\xef\xbb\xbf""ab\r\n\n \tc \r\nd", 15, got);
    EXPECT(strcmp(got, "1:2 2:0 3:1 4:1 ") == 0 ||
           (printf("# got %s\n", got), 0));
    got[0] = '\0';
    read_lines("", 0, got);
    EXPECT(got[0] == '\0');
}

static void long_lines(void)
{
    static char bytes[4 * LINE_MAX_];
    char got[256] = "", *at = bytes;

    for (int extra = 0; extra < 2; extra++) {
        memset(at, 'x', (size_t)(LINE_MAX_ + extra));
        at += LINE_MAX_ + extra;
        at += sprintf(at, "\r\n");
    }
    memset(at, 'y', LINE_MAX_ + 9);
    at += LINE_MAX_ + 9;
    at += sprintf(at, "\nz");
    read_lines(bytes, (size_t)(at - bytes), got);
    EXPECT(strcmp(got, "1:65536 2:long 3:long 4:1 ") == 0 ||
           (printf("# got %s\n", got), 0));
}

static int refuses(const char *head)
{
    static char copy[1024];
    static struct request request;

    snprintf(copy, sizeof(copy), "%s", head);
    return request_read(copy, &request);
}

static void requests(void)
{
    char good[] = "GET /a?b HTTP/1.1\r\nHost: x\r\nX:  y \r\n\r\n";
    static struct request r;

    EXPECT_INT(request_read(good, &r), 0);
    EXPECT(strcmp(r.method, "GET") == 0 && strcmp(r.target, "/a?b") == 0);
    EXPECT(strcmp(request_field(&r, "x"), "y") == 0 && r.keep);
    EXPECT_INT(refuses("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    EXPECT_INT(refuses("GET / HTTP/1.1\r\n\r\n"), 400); /* no Host */
    EXPECT_INT(refuses("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"), 400);
    EXPECT_INT(refuses("GET /\r\n\r\n"), 400);
    EXPECT_INT(refuses("GET / HTTP/1.1\r\nHost : x\r\n\r\n"), 400);
    EXPECT_INT(refuses("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"), 400);
    EXPECT_INT(refuses("GET x HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    EXPECT_INT(refuses("G(T / HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    EXPECT_INT(refuses("GET / HTTP/1.2\r\nHost: x\r\n\r\n"), 505);
    EXPECT_INT(refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                       "Content-Length: 2\r\n\r\n"), 400);
    EXPECT_INT(refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1"
                       "\r\n\r\n"), 400);
    EXPECT_INT(refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
                       "99999999999999999999\r\n\r\n"), 413);
    EXPECT_INT(refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n"), 411);
}

static int near(double a, double b)
{
    return fabs(a - b) < 0.005;
}

/* The numbers of the specification. */
static void retry_afters(void)
{
    static const char now[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    const int64_t most = 60 * WEIR_S;

    EXPECT(retry_after("7", NULL, most) == 7 * WEIR_S);
    EXPECT(retry_after("1.5", NULL, most) == 1500 * WEIR_MS);
    EXPECT(retry_after("1", NULL, 1500 * WEIR_MS) == WEIR_S);
    EXPECT(retry_after("2", NULL, 1500 * WEIR_MS) == 1500 * WEIR_MS);
    EXPECT(retry_after("61", NULL, most) == most);
    EXPECT(retry_after("99999999999999999999", NULL, most) == most);
    EXPECT(retry_after("9223372036854775807", NULL, most) == most);
    EXPECT(retry_after("7", NULL, 0) == 0);
    /* The three forms of RFC 9110, 5.6.7. */
    EXPECT(retry_after("Sun, 06 Nov 1994 08:49:41 GMT", now, most) ==
           4 * WEIR_S);
    EXPECT(retry_after("Sunday, 06-Nov-94 08:49:41 GMT", now, most) ==
           4 * WEIR_S);
    EXPECT(retry_after("Sun Nov  6 08:49:41 1994", now, most) == 4 * WEIR_S);
    EXPECT(retry_after("Sun, 06 Nov 1994 09:49:41 GMT", now, most) == most);
    EXPECT(retry_after("Fri, 31 Dec 9999 23:59:59 GMT", NULL, most) == most);
}

/* The program's own back-off applies to all of these. */
static void no_retry_afters(void)
{
    static const char now[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    static const char *const none[] = {
        "0", "0.0", "-7", "", "7s", "soon", "1e3", "inf", "0x10", " 7",
        "Sun, 06 Nov 1994 08:49:30 GMT", "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:41 GMTx", "99999999999999999999 s"
    };

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        EXPECT(retry_after(none[i], now, 60 * WEIR_S) == 0 ||
               (printf("# %s\n", none[i]), 0));
    EXPECT(retry_after("Sun, 06 Nov 1994 08:49:41 GMT", NULL, WEIR_S) == 0);
}

static void retry_resets(void)
{
    static const char now[] = "Sun, 09 Sep 2001 01:46:40 GMT"; /* 10^9 */
    const int64_t most = 60 * WEIR_S;

    EXPECT(retry_reset("7", now, most) == 7 * WEIR_S);
    EXPECT(retry_reset("0.5", now, most) == 500 * WEIR_MS);
    EXPECT(retry_reset("1000000004", now, most) == 4 * WEIR_S);
    EXPECT(retry_reset("1000000004500", now, most) == 4500 * WEIR_MS);
    EXPECT(retry_reset("1000000000", now, most) == 0);
    EXPECT(retry_reset("999999999", now, most) == most); /* a duration */
    EXPECT(retry_reset("1000000061", now, most) == most);
    EXPECT(retry_reset("Sun, 09 Sep 2001 01:46:44 GMT", now, most) ==
           4 * WEIR_S);
    EXPECT(retry_reset("x", now, most) == 0);
}

static int64_t hold(int status, const char *after, const char *reset,
                    const char *remaining)
{
    struct retry_headers plain = { .retry_after = after, .reset = reset,
                                   .remaining = remaining };
    struct retry_headers x = { .retry_after = after, .x_reset = reset,
                               .x_remaining = remaining };
    int64_t ns = retry_hold(status, &plain, 60 * WEIR_S);

    EXPECT(retry_hold(status, &x, 60 * WEIR_S) == ns);
    EXPECT(retry_is_limit(status, &x) == retry_is_limit(status, &plain));
    return ns / WEIR_S;
}

static void retry_holds(void)
{
    struct retry_headers forbidden = { .x_reset = "9", .x_remaining = "3" };

    EXPECT_INT((long)hold(429, "3", NULL, NULL), 3);
    EXPECT_INT((long)hold(503, "3", NULL, NULL), 3);
    EXPECT_INT((long)hold(403, "3", NULL, NULL), 3);
    EXPECT_INT((long)hold(404, "3", NULL, NULL), 0);
    EXPECT_INT((long)hold(429, NULL, "3", NULL), 3);
    EXPECT_INT((long)hold(403, NULL, "3", NULL), 3);
    EXPECT_INT((long)hold(403, NULL, "3", "0"), 3);
    EXPECT_INT((long)hold(403, NULL, "3", "7"), 0);
    EXPECT_INT((long)hold(429, "2", "3", "0"), 2);
    EXPECT_INT((long)hold(429, "0", "3", NULL), 3);
    /* The last one that was allowed. */
    EXPECT_INT((long)hold(200, NULL, "3", "0"), 3);
    EXPECT_INT((long)hold(200, NULL, "3", "1"), 0);
    EXPECT_INT((long)hold(200, NULL, "3", NULL), 0);
    EXPECT_INT((long)hold(200, NULL, NULL, "0"), 0);
    EXPECT(!retry_is_limit(403, &forbidden));
    forbidden.x_remaining = "0";
    EXPECT(retry_is_limit(403, &forbidden) &&
           !retry_is_limit(404, &forbidden));
}

static void retry_pauses(void)
{
    int64_t longest = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t random = i * UINT64_C(0x9e3779b97f4a7c15);
        int64_t pause = retry_pause(1, random);

        EXPECT(pause >= RETRY_FIRST / 4 && pause <= RETRY_FIRST);
        EXPECT(retry_pause(2, random) >= RETRY_FIRST / 2);
        EXPECT(retry_pause(2, random) <= 2 * RETRY_FIRST);
        EXPECT(retry_pause(1000000, random) <= RETRY_MOST);
        longest = pause > longest ? pause : longest;
    }
    EXPECT(longest > RETRY_FIRST * 9 / 10);
}

static void retry_statuses(void)
{
    static const int passing[] = { 408, 425, 429, 500, 502, 503, 504, 520,
                                   521, 522, 523, 524, 529 };
    size_t found = 0;

    for (int status = 0; status < 1000; status++)
        found += (size_t)retry_status(status);
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        EXPECT(retry_status(passing[i]));
    EXPECT(found == sizeof(passing) / sizeof(passing[0]));
    EXPECT(retry_idempotent(NULL) && retry_idempotent("DELETE"));
    EXPECT(!retry_idempotent("POST") && !retry_idempotent("PATCH"));
    EXPECT(!retry_idempotent("get") && !retry_idempotent(""));
}

static int hashes(const char *text, size_t times, const char *want)
{
    unsigned char digest[SHA256_BYTES];
    char shown[2 * SHA256_BYTES + 1];
    struct sha256 sha;

    sha256_start(&sha);
    for (size_t i = 0; i < times; i++)
        sha256_add(&sha, text, strlen(text));
    sha256_end(&sha, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        sprintf(shown + 2 * i, "%02x", digest[i]);
    return strcmp(shown, want) == 0;
}

/* The values that NIST publishes as examples. */
static void sha256(void)
{
    EXPECT(hashes("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495"
                         "991b7852b855"));
    EXPECT(hashes("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
                            "b410ff61f20015ad"));
    EXPECT(hashes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd4"
                     "19db06c1"));
    EXPECT(hashes("aaaaaaaaaa", 100000, "cdc76e5c9914fb9281a1c7e284d73e67f1809"
                                        "a48a497200e046d39ccc7112cd0"));
}

/* What a job may send, and its ids. */
struct sent {
    const char *url, *method, *agent, *body;
    const char *common[2], *own[2];
};

static struct id id_of(const struct sent *sent, unsigned before, int *plain)
{
    static struct identity_memo memo;
    struct setting_list common = { .count = 0 };
    const char *all[4];
    struct task task = { .url = (char *)(uintptr_t)sent->url,
                         .method = (char *)(uintptr_t)sent->method,
                         .body = (char *)(uintptr_t)sent->body,
                         .body_bytes = sent->body != NULL
                                           ? strlen(sent->body)
                                           : 0 };
    struct identity identity = { .task = &task, .common = &common,
                                 .agent = sent->agent, .url = sent->url,
                                 .public_url = "http://h/" };

    for (int i = 0; i < 2; i++)
        if (sent->common[i] != NULL)
            common.texts[common.count++] = sent->common[i];
    if (sent->own[0] != NULL) {
        memcpy(all, common.texts, common.count * sizeof(all[0]));
        task.header_count = task.first_own = common.count;
        for (int i = 0; i < 2; i++)
            if (sent->own[i] != NULL)
                all[task.header_count++] = sent->own[i];
        task.headers = all;
    }
    *plain = identity_is_plain(&identity);
    return *plain ? identity_plain(&identity, before)
                  : identity_whole(&identity, before, &memo);
}

static void identities(void)
{
    static const struct sent all[] = {
        { .url = "http://h/" },
        { .url = "http://u@h/" },
        { .url = "http://u:p@h/" },
        { .url = "http://u:q@h/" },
        { .url = "http://h/", .method = "PUT" },
        { .url = "http://h/", .body = "b" },
        { .url = "http://h/", .method = "GET", .body = "b" },
        { .url = "http://h/", .agent = "a" },
        { .url = "http://h/", .common = { "X: 1" } },
        { .url = "http://h/", .common = { "X: 2" } },
        { .url = "http://h/", .common = { "X: 1", "Y: 1" } },
        { .url = "http://h/", .common = { "X:", "1Y: 1" } },
        { .url = "http://h/", .own = { "X: 1" } },
        { .url = "http://h/", .own = { "Authorization: A" } },
        { .url = "http://h/", .own = { "Authorization: B" } },
        { .url = "http://h/", .own = { "Authorization: Basic A" } },
        { .url = "http://h/", .own = { "Authorization: Basic B" } },
        { .url = "http://h/", .own = { "Cookie: a" } },
        { .url = "http://h/", .own = { "Cookie: b" } },
        { .url = "http://h/", .common = { "X: 1" }, .own = { "Y: 2" } },
        { .url = "http://h/", .common = { "X: 1" }, .body = "b" },
        { .url = "http://u:p@h/", .agent = "a", .body = "b" },
    };
    const size_t count = sizeof(all) / sizeof(all[0]);
    int plain;

    for (size_t i = 0; i < 2 * count; i++)
        for (size_t k = 0; k < i; k++) {
            struct id a = id_of(&all[i / 2], i % 2, &plain);
            struct id b = id_of(&all[k / 2], k % 2, &plain);

            EXPECT(a.high != b.high || a.low != b.low ||
                   (printf("# %zu %zu\n", i, k), 0));
        }
}

static void same_identities(void)
{
    static const struct sent pairs[][2] = {
        { { .url = "http://h/", .common = { "X: 1", "Y: 2" } },
          { .url = "http://h/", .common = { "y:2", "x:  1" } } },
        { { .url = "http://h/", .common = { "X: 1" },
            .own = { "Authorization: A" } },
          { .url = "http://h/", .common = { "Authorization: A", "X: 1" } } },
    };
    int plain;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct id a = id_of(&pairs[i][0], 0, &plain);
        struct id b = id_of(&pairs[i][1], 0, &plain);

        EXPECT(a.high == b.high && a.low == b.low && !plain);
    }
}

/* Ids of records of version 1. */
static void old_identities(void)
{
    static const struct {
        struct sent sent;
        const char *id;
    } old[] = {
        { { .url = "http://h/" }, "cc74d010f155a3a22dd03038bc00a5aa" },
        { { .url = "http://h/", .method = "POST", .body = "b" },
          "562cdd3559ba5222b264c7e254689fb9" },
        { { .url = "http://h/", .method = "PUT", .own = { "X: 1" } },
          "47a3bbb2a4858a4b7646562700a804a7" },
    };
    char shown[33];
    int plain;

    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        id_show(id_of(&old[i].sent, 0, &plain), shown);
        EXPECT(plain && (strcmp(shown, old[i].id) == 0 ||
                         (printf("# got %s\n", shown), 0)));
    }
}

static void plans(void)
{
    static struct plan plan = { .limit = 3, .write_delay = 0.5, .scale = 1 };
    struct estimates e;

    plan_fixed(&plan);
    e = plan_estimate(&plan);
    EXPECT(near(e.sequential, 25) && near(e.estimate, 12));
    EXPECT(near(e.bound_work, 6.80) && near(e.bound_rounds, 8.17));
    plan.scale = 0.1;
    e = plan_estimate(&plan);
    EXPECT(near(e.sequential, 2.5) && near(e.bound_work, 0.68));
}

static void random_plans(void)
{
    static struct plan plan = { .scale = 1 };

    for (uint64_t seed = 0; seed < 50; seed++) {
        plan.count = (int)seed * 8 + 9;
        plan_random(&plan, seed);
        for (int i = 0; i < plan.count; i++) {
            EXPECT(plan.ms[i] >= 1800 && plan.ms[i] <= 2200);
            EXPECT(i == 0 || plan.ms[i] > plan.ms[i - 1]);
        }
    }
}

static const struct tap_case cases[] = {
    { "JSON strings escape quotes and control characters", json_escapes },
    { "JSON strings replace invalid UTF-8 by maximal subparts", json_replaces },
    { "text for a terminal has no control characters", plain_is_harmless },
    { "whole numbers are parsed strictly", wholes },
    { "decimals and rates are parsed strictly", decimals },
    { "a shard from the environment is right or rejected, whatever the "
      "variables hold", shards_of_the_environment },
    { "the URL of a proxy is rejected if no request could be sent to it",
      proxies },
    { "URLs with an invalid port are rejected", ports },
    { "lists of statuses are parsed strictly", statuses },
    { "FNV-1a of 128 bits gives the published values", ids },
    { "URLs are http or https with a host, and become ASCII", urls },
    { "lines lose BOM, line end and blanks, and the last line needs no line "
      "end", lines },
    { "a line of 65,536 bytes is read, and a longer one is rejected",
      long_lines },
    { "requests that could be parsed in two ways are rejected", requests },
    { "Retry-After is a whole or fractional number of seconds or a date, and "
      "is clamped", retry_afters },
    { "a Retry-After that is 0, in the past or unreadable is ignored",
      no_retry_afters },
    { "RateLimit-Reset is a duration or a time", retry_resets },
    { "a response holds its host for as long as its headers request",
      retry_holds },
    { "pauses are random between a quarter of their bound and the bound",
      retry_pauses },
    { "the transient statuses and the idempotent methods are as specified",
      retry_statuses },
    { "SHA-256 gives the published values", sha256 },
    { "an id covers everything that is sent and the number of earlier "
      "occurrences", identities },
    { "an id does not depend on the order and spelling of header names",
      same_identities },
    { "a job that sends no more than version 1 recorded has the id of version "
      "1", old_identities },
    { "the estimates of the template scenario have the specified values",
      plans },
    { "random delays are distinct, in range and in order", random_plans },
};

int main(void)
{
    return TAP_RUN(cases);
}
