/* SPDX-License-Identifier: MIT
 * record.c - writes the record of a job. */
#include "record.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <weir/base.h>

/* Add milliseconds with three decimals, digit by digit, which is much faster
 * than printing a double. */
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

/* Fill in `count` digits before `end`. */
static void put_digits(char *end, int count, int value)
{
    for (; count > 0; count--, value /= 10)
        *--end = (char)('0' + value % 10);
}

/* Add the start. Whatever this computer's clock says, the result can be read
 * by record_read(). */
static void add_start(struct text *line, int64_t ms)
{
    char shown[] = ",\"start\":\"0000-00-00T00:00:00.000Z\"";
    char *date = strchr(shown, '0');
    int64_t kept = ms < RECORD_START_MIN   ? RECORD_START_MIN
                   : ms > RECORD_START_MAX ? RECORD_START_MAX
                                           : ms;
    int64_t rest = (kept % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((kept - rest) / 1000);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL) {
        line->failed = 1;
        return;
    }
    put_digits(date + 4, 4, utc.tm_year + 1900);
    put_digits(date + 7, 2, utc.tm_mon + 1);
    put_digits(date + 10, 2, utc.tm_mday);
    put_digits(date + 13, 2, utc.tm_hour);
    put_digits(date + 16, 2, utc.tm_min);
    put_digits(date + 19, 2, utc.tm_sec);
    put_digits(date + 23, 3, (int)rest);
    text_add(line, shown, sizeof(shown) - 1);
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

#define STRING_MAX 65536 /* bytes stored of a string from the server */

/* Add a string, or null if there is none. */
static void add_string(struct text *line, const char *name, const char *value)
{
    text_puts(line, name);
    if (value != NULL && value[0] != '\0')
        text_json(line, value, strnlen(value, STRING_MAX));
    else
        text_puts(line, "null");
}

static void add_number(struct text *line, const char *name, uint64_t value)
{
    char digits[24], *at = digits + sizeof(digits);

    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    text_puts(line, name);
    text_add(line, at, (size_t)(digits + sizeof(digits) - at));
}

static void add_number_or_null(struct text *line, const char *name,
                               uint64_t value)
{
    if (value != 0) {
        add_number(line, name, value);
    } else {
        text_puts(line, name);
        text_puts(line, "null");
    }
}

static const char *version_name(int version)
{
    return version == 10   ? "1.0"
           : version == 11 ? "1.1"
           : version == 20 ? "2"
           : version == 30 ? "3"
                           : NULL;
}

/* Add the members that identify the job. */
static void add_job(struct text *line, const struct record *r)
{
    char shown[33];

    id_show((struct id){ 0, r->run }, shown);
    text_puts(line, "{\"v\":2,\"run\":\"");
    text_add(line, shown + 16, 16);
    id_show(r->id, shown);
    text_puts(line, "\",\"id\":\"");
    text_add(line, shown, 32);
    text_puts(line, "\"");
    add_number(line, ",\"seq\":", r->seq);
    add_number_or_null(line, ",\"line\":", r->line);
    if (r->ref != NULL) {
        text_puts(line, ",\"ref\":");
        text_json(line, r->ref, strlen(r->ref));
    }
    text_puts(line, ",\"url\":");
    text_json(line, r->url, strlen(r->url));
    add_string(line, ",\"method\":", r->method != NULL ? r->method : "GET");
}

void record_write(struct text *line, const struct record *r)
{
    add_job(line, r);
    text_puts(line, r->ok ? ",\"ok\":true" : ",\"ok\":false");
    add_number_or_null(line, ",\"status\":", (uint64_t)r->status);
    add_string(line, ",\"error\":", r->error);
    add_string(line, ",\"detail\":", r->detail);
    add_number(line, ",\"attempts\":", (uint64_t)r->attempts);
    add_number(line, ",\"worker\":", (uint64_t)r->worker);
    add_start(line, r->start_ms);
    add_ms(line, ",\"wait_ms\":", r->wait_ns);
    add_ms(line, ",\"dns_ms\":", r->dns_ns);
    add_ms(line, ",\"connect_ms\":", r->connect_ns);
    add_ms(line, ",\"tls_ms\":", r->tls_ns);
    add_ms(line, ",\"ttfb_ms\":", r->ttfb_ns);
    add_ms(line, ",\"total_ms\":", r->total_ns);
    add_number(line, ",\"bytes\":", r->bytes);
    add_number(line, ",\"bytes_sent\":", (uint64_t)r->bytes_sent);
    add_string(line, ",\"http_version\":", version_name(r->http_version));
    add_string(line, ",\"content_type\":", r->content_type);
    add_number(line, ",\"redirects\":", (uint64_t)r->redirects);
    add_string(line, ",\"final_url\":", r->final_url);
    if (r->insecure)
        text_puts(line, ",\"insecure\":true");
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
