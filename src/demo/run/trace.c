/* SPDX-License-Identifier: MIT
 * trace.c - --trace: a trace for chrome://tracing and ui.perfetto.dev. */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

struct trace {
    struct weir_writer *writer;
    int fd;
    int64_t began;
};

/* Write some events and free them. An error is sticky in the writer and is
 * reported by trace_close(). */
static void put(struct trace *trace, struct text *events)
{
    if (!events->failed)
        weir_writer_write(trace->writer,
                          &(struct iovec){ events->data, events->used }, 1,
                          WEIR_FOREVER);
    text_free(events);
}

/* The first bytes of a trace, which is an array of events. */
#define BEGIN "[\n{\"ph\":\"M\",\"pid\":1,"

int trace_is(const char *bytes, size_t count)
{
    return count >= strlen(BEGIN) &&
           memcmp(bytes, BEGIN, strlen(BEGIN)) == 0;
}

int trace_open(struct trace **trace, const struct file_out *out,
               int64_t began)
{
    struct trace *made = calloc(1, sizeof(*made));
    struct text first = { 0 };
    int err;

    *trace = NULL;
    if (made == NULL)
        return -ENOMEM;
    made->began = began;
    made->fd = file_out_create(out);
    err = made->fd < 0 ? made->fd : 0;
    if (err == 0)
        err = weir_writer_open(&made->writer, &(struct weir_writer_options){
            .fd = made->fd, .buffer_bytes = 4 << 20, .name = "weir-trace" });
    if (err != 0) {
        if (made->fd >= 0)
            close(made->fd);
        free(made);
        return err;
    }
    text_puts(&first, BEGIN "\"tid\":0,\"name\":\"process_name\","
                      "\"args\":{\"name\":\"weir run\"}}");
    put(made, &first);
    *trace = made;
    return 0;
}

/* Begin a slice of a worker's track; `from` and `to` are in nanoseconds. The
 * caller adds arguments and the closing brace. */
static void add_slice(struct text *events, const struct record *r,
                      const char *name, int64_t from, int64_t to)
{
    text_puts(events, ",\n{\"ph\":\"X\",\"name\":");
    text_json(events, name, strlen(name));
    text_printf(events, ",\"cat\":\"job\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,"
                "\"dur\":%.3f", r->worker + 1, (double)from / WEIR_US,
                (double)(to - from) / WEIR_US);
}

void trace_job(struct trace *trace, const struct record *r,
               const struct weir_http_response *answer, int64_t start)
{
    const struct {
        const char *name;
        int64_t until;
    } parts[] = { { "look up", answer->resolved_ns },
                  { "connect", answer->connected_ns },
                  { "TLS", answer->secured_ns },
                  { "server", answer->first_byte_ns },
                  { "body", r->status != 0 ? r->total_ns : 0 } };
    struct text events = { 0 };
    int64_t from = start - trace->began, at = 0;
    char id[33], word[32];

    id_show(r->id, id);
    add_slice(&events, r, r->url, from, from + r->total_ns);
    text_printf(&events, ",\"args\":{\"seq\":%llu,\"id\":\"%s\",\"attempt\":%d,"
                "\"result\":\"%s\",\"ok\":%s,\"wait_ms\":%.3f,\"bytes\":%llu}",
                (unsigned long long)r->seq, id, r->attempts,
                record_reason(r, word),
                r->ok ? "true" : "false", (double)r->wait_ns / WEIR_MS,
                (unsigned long long)r->bytes);
    text_printf(&events, ",\"cname\":\"%s\"}", r->ok ? "good" : "terrible");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        /* The times are sums over redirects, so one can be lower than the one
         * before it. */
        if (parts[i].until <= at || parts[i].until > r->total_ns)
            continue;
        add_slice(&events, r, parts[i].name, from + at,
                  from + parts[i].until);
        text_puts(&events, "}");
        at = parts[i].until;
    }
    put(trace, &events);
}

void trace_counts(struct trace *trace, int in_flight, size_t waiting)
{
    struct text events = { 0 };

    text_printf(&events, ",\n{\"ph\":\"C\",\"pid\":1,\"tid\":0,\"name\":"
                "\"jobs\",\"ts\":%.3f,\"args\":{\"in flight\":%d,\"waiting\":"
                "%zu}}", (double)(weir_now() - trace->began) / WEIR_US,
                in_flight, waiting);
    put(trace, &events);
}

int trace_close(struct trace *trace)
{
    struct text last = { 0 };
    int err;

    if (trace == NULL)
        return 0;
    text_puts(&last, "\n]\n");
    put(trace, &last);
    err = weir_writer_close(trace->writer, WEIR_FOREVER);
    weir_writer_destroy(trace->writer);
    if (close(trace->fd) != 0 && err == 0)
        err = -errno;
    free(trace);
    return err;
}
