/* SPDX-License-Identifier: MIT
 * inputs.c - fuzz target: one-line inputs of users and servers.
 *
 * URLs, lines of a list, numbers, shares, dates, heads of requests. Accepted
 * values are within the documented bounds, and a rejection gives the reason
 * without showing the bytes. */
#include "fuzz.h"

#include "common/number.h"
#include "common/url.h"
#include "run/halt.h"
#include "run/identity.h"
#include "run/retry.h"
#include "run/shard.h"
#include "run/task.h"
#include "serve/server_private.h"

#include <errno.h>
#include <math.h>
#include <strings.h>

static bool is_http(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 ||
           strncasecmp(url, "https://", 8) == 0;
}

/* A URL that may be fetched: no blanks, with a host, and ASCII after it. */
static void check_url(const char *url)
{
    size_t count;
    const char *host = url_host(url, &count);

    CHECK(is_http(url));
    for (const char *c = url; *c != '\0'; c++)
        CHECK((unsigned char)*c > ' ' && *c != 0x7F &&
              ((unsigned char)*c < 0x7F || c < host + count));
    CHECK(count > 0 && host > url && host + count <= url + strlen(url));
}

static void urls(const uint8_t *data, size_t size)
{
    const char *reason = NULL;
    char *url = url_check((const char *)data, size, &reason);

    CHECK((url == NULL) == (reason != NULL));
    if (url != NULL) {
        check_url(url);
        CHECK(memchr(data, 0, size) == NULL);
    }
    free(url);
}

static void tasks(const uint8_t *data, size_t size)
{
    const struct setting_list common = { { "A: b", "Cookie: c" }, 2 };
    static struct identity_memo memo;
    char reason[TASK_REASON_MAX];
    struct task task;
    struct identity identity = { .task = &task, .common = &common };

    if (!task_read(&task, (const char *)data, size, &common, reason)) {
        CHECK(reason[0] != '\0' &&
              fuzz_is_text(reason, strlen(reason), true, ""));
        return;
    }
    check_url(task.url);
    for (size_t i = 0; task.headers != NULL && i < task.header_count; i++) {
        CHECK(task_header_fault(task.headers[i]) == NULL);
        CHECK(strpbrk(task.headers[i], "\r\n") == NULL);
    }
    CHECK(strlen(task.url) <= 3 * TASK_URL_MAX);
    CHECK(task.ref == NULL || strlen(task.ref) <= TASK_REF_MAX);
    CHECK(task_bytes(&task) >= task.body_bytes);
    identity.url = identity.public_url = task.url;
    identity_plain(&identity, 0);
    identity_whole(&identity, 1, &memo);
    task_free(&task);
}

static void numbers(const char *text)
{
    struct number_statuses set;
    struct shard shard = { 0 };
    struct halt halt;
    int64_t whole = -1;
    double decimal = -1, rate = -1;
    int err = number_whole(text, &whole);

    CHECK(err == 0 ? whole >= 0 : whole == -1);
    if (err == 0 && whole < 1000000000)
        CHECK(number_decimal(text, &decimal) == 0 &&
              fabs(decimal - (double)whole) < 0.5);
    if (number_decimal(text, &decimal) == 0)
        CHECK(isfinite(decimal) && decimal >= 0 &&
              number_rate(text, &rate) == (strlen(text) < 64 ? 0 : -EINVAL));
    if (number_rate(text, &rate) == 0)
        CHECK(isfinite(rate) && rate >= 0);
    if (number_statuses(text, &set) == 0)
        for (int i = 0; i < 640; i++)
            CHECK(!number_has_status(&set, i) || (i >= 100 && i <= 599));
    if (strcmp(text, "auto") != 0 && shard_read(text, &shard) == NULL)
        CHECK(shard.k >= 1 && shard.k <= shard.of && shard.of <= SHARDS_MAX);
    if (halt_read(text, &halt))
        CHECK(halt.when != HALT_NOW || halt.fail > 0 || halt.percent > 0);
}

static void dates(const char *text)
{
    static const int64_t most[] = { 0, 1, 30 * WEIR_S, INT64_MAX };

    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        int64_t alone = retry_after(text, NULL, most[i]);
        int64_t dated = retry_after(text, "Sun, 06 Nov 1994 08:49:37 GMT",
                                    most[i]);
        int64_t other = retry_after("Sun, 06 Nov 1994 08:49:37 GMT", text,
                                    most[i]);

        struct retry_headers headers = {
            .date = text, .retry_after = text, .reset = text,
            .x_reset = text, .remaining = text, .x_remaining = text };
        int64_t reset = retry_reset(text, NULL, most[i]);
        int64_t held = retry_hold(429, &headers, most[i]);

        CHECK(alone >= 0 && alone <= most[i]);
        CHECK(dated >= 0 && dated <= most[i]);
        CHECK(other >= 0 && other <= most[i]);
        CHECK(reset >= 0 && reset <= most[i]);
        CHECK(held >= 0 && held <= most[i]);
    }
}

static void requests(const char *text)
{
    static struct request request;
    char *head = strdup(text);
    int status;

    CHECK(head != NULL);
    /* As the server calls it, with an empty line. */
    if (strstr(head, "\r\n\r\n") == NULL) {
        free(head);
        return;
    }
    status = request_read(head, &request);
    CHECK(status == 0 || (status >= 400 && status <= 599));
    if (status == 0) {
        CHECK(request.field_count <= FIELDS_MAX);
        CHECK(request.target[0] == '/' || request.target[0] == '*' ||
              strncmp(request.target, "http", 4) == 0);
        CHECK(memcmp(strstr(text, "\r\n") - 3, "1.1", 3) != 0 ||
              request_field(&request, "host") != NULL);
        for (size_t i = 0; i < request.field_count; i++)
            CHECK(strpbrk(request.fields[i].value, "\r\n") == NULL);
    }
    free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    urls(data, size);
    tasks(data, size);
    numbers(text);
    dates(text);
    requests(text);
    free(text);
    return 0;
}
