/* SPDX-License-Identifier: MIT
 * record.c - a record's line of JSON.
 *
 * dns_ms, connect_ms and tls_ms are how long each of these took, 0 where a
 * connection was used again; ttfb_ms and total_ms count from the request's
 * start, wait_ms from submitting the job to that start.
 */
#include "run.h"

#include <string.h>
#include <time.h>

static void add_ms(struct text *line, const char *name, int64_t ns)
{
    text_printf(line, ",\"%s\":%.3f", name,
                ns > 0 ? (double)ns / WEIR_MS : 0.0);
}

/* From one mark to a later one; a mark that was never reached is 0. */
static int64_t between(int64_t from, int64_t to)
{
    return to > from ? to - from : 0;
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

void record_add(struct text *line, const struct record *record)
{
    const struct job *job = record->job;
    const struct weir_http_response *r = &record->answer;

    text_printf(line, "{\"v\":1,\"run\":\"%s\",\"id\":\"%s\",\"seq\":%llu,",
                record->run, job->id, (unsigned long long)job->seq);
    text_puts(line, "\"url\":");
    text_json(line, job->public_url, strlen(job->public_url));
    text_printf(line, ",\"ok\":%s,\"status\":", record->ok ? "true" : "false");
    if (r->status != 0)
        text_printf(line, "%d", r->status);
    else
        text_puts(line, "null");
    text_puts(line, ",\"error\":");
    if (record->error != NULL)
        text_json(line, record->error, strlen(record->error));
    else
        text_puts(line, "null");
    text_printf(line, ",\"attempts\":1,\"worker\":%d", record->worker);
    add_start(line, record->start_ms);
    add_ms(line, "wait_ms", record->wait_ns);
    add_ms(line, "dns_ms", r->resolved_ns);
    add_ms(line, "connect_ms", between(r->resolved_ns, r->connected_ns));
    add_ms(line, "tls_ms", between(r->connected_ns, r->secured_ns));
    add_ms(line, "ttfb_ms", r->first_byte_ns);
    add_ms(line, "total_ms", r->total_ns);
    text_printf(line, ",\"bytes\":%zu}\n", r->body_bytes);
}
