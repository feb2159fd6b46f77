/* SPDX-License-Identifier: MIT
 * record.c - what is kept of a job: writing its line. */
#include "record.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <weir/base.h>

/* Milliseconds with three digits behind the point, one by one: that is much
 * faster than to print a double. */
static void add_ms(struct text *line, const char *name, int64_t ns)
{
    int64_t us = ns > 0 ? (ns + WEIR_US / 2) / WEIR_US : 0;
    char digits[24], *at = digits + sizeof(digits);
    char *point = at - 4; /* at least "0.000" */

    while (us != 0 || at >= point) {
        *--at = (char)('0' + us % 10);
        us /= 10;
        if (at == point + 1)
            *--at = '.';
    }
    text_puts(line, name);
    text_add(line, at, (size_t)(digits + sizeof(digits) - at));
}

static void add_start(struct text *line, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char shown[32];

    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(shown, sizeof(shown), "%Y-%m-%dT%H:%M:%S", &utc) == 0) {
        line->failed = 1;
        return;
    }
    text_printf(line, ",\"start\":\"%s.%03dZ\"", shown, (int)(ms % 1000));
}

static int is_utf8(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        int length = text_utf8(bytes + i, count - i);

        if (length < 0)
            return 0;
        i += (size_t)length;
    }
    return 1;
}

static void add_body(struct text *line, const struct record *r)
{
    if (is_utf8(r->body, r->body_bytes)) {
        text_puts(line, ",\"body\":");
        text_json(line, r->body, r->body_bytes);
    } else {
        text_puts(line, ",\"body_base64\":\"");
        text_base64(line, r->body, r->body_bytes);
        text_puts(line, "\"");
    }
}

void record_write(struct text *line, const struct record *r)
{
    char id[33];

    id_show(r->id, id);
    text_printf(line, "{\"v\":1,\"run\":\"%016llx\",\"id\":\"%s\","
                "\"seq\":%llu,\"url\":", (unsigned long long)r->run, id,
                (unsigned long long)r->seq);
    text_json(line, r->url, strlen(r->url));
    if (r->method != NULL) {
        text_puts(line, ",\"method\":");
        text_json(line, r->method, strlen(r->method));
    }
    text_printf(line, ",\"ok\":%s,\"status\":", r->ok ? "true" : "false");
    if (r->status != 0)
        text_printf(line, "%d", r->status);
    else
        text_puts(line, "null");
    text_puts(line, ",\"error\":");
    if (r->error[0] != '\0')
        text_json(line, r->error, strlen(r->error));
    else
        text_puts(line, "null");
    text_printf(line, ",\"attempts\":%d,\"worker\":%d", r->attempts,
                r->worker);
    add_start(line, r->start_ms);
    add_ms(line, ",\"wait_ms\":", r->wait_ns);
    add_ms(line, ",\"dns_ms\":", r->dns_ns);
    add_ms(line, ",\"connect_ms\":", r->connect_ns);
    add_ms(line, ",\"tls_ms\":", r->tls_ns);
    add_ms(line, ",\"ttfb_ms\":", r->ttfb_ns);
    add_ms(line, ",\"total_ms\":", r->total_ns);
    text_printf(line, ",\"bytes\":%llu", (unsigned long long)r->bytes);
    if (r->body != NULL)
        add_body(line, r);
    text_puts(line, "}\n");
}

const char *record_reason(const struct record *record, char buffer[32])
{
    if (record->error[0] != '\0')
        return record->error;
    snprintf(buffer, 32, "%d", record->status);
    return buffer;
}
