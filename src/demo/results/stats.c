/* SPDX-License-Identifier: MIT
 * stats.c - counts the outcomes of jobs in a shared table. */
#include "stats.h"

#include "common/url.h"

#include <stdio.h>
#include <string.h>

#define HOST_SHOWN 255 /* bytes of a host that count */

int stats_create(struct weir_table **stats)
{
    return weir_table_create(stats, NULL);
}

static int add_tally(void *user, void *value, size_t bytes)
{
    const struct tally *more = user;
    struct tally *sum = value;

    (void)bytes;
    sum->jobs += more->jobs;
    sum->ok += more->ok;
    sum->bytes += more->bytes;
    sum->busy_ns += more->busy_ns;
    return 0;
}

static int add_time(void *user, void *value, size_t bytes)
{
    const int64_t *ns = user;

    (void)bytes;
    histogram_add(value, *ns);
    return 0;
}

static int add(struct weir_table *stats, const char *key,
               const struct tally *one, size_t bytes)
{
    struct tally copy = *one;

    return weir_table_update(stats, weir_text(key),
        &(struct weir_table_edit){ .fn = add_tally, .user = &copy,
                                   .bytes = bytes });
}

/* Add to a key, or to `instead` if the key is new and there are too many. */
static int add_bounded(struct weir_table *stats, const char *key,
                       const char *instead, const struct tally *one)
{
    int err = add(stats, key, one, 0);

    if (err != -ENOENT)
        return err;
    if (weir_table_count(stats) >= 2 * STATS_HOSTS_MAX)
        key = instead;
    return add(stats, key, one, sizeof(*one));
}

int stats_count(struct weir_table *stats, const struct outcome *o)
{
    const struct tally one = {
        .jobs = 1, .ok = o->ok ? 1 : 0, .bytes = o->bytes,
        .busy_ns = o->total_ns > 0 ? (uint64_t)o->total_ns : 0 };
    int shown = o->host_bytes < HOST_SHOWN ? (int)o->host_bytes : HOST_SHOWN;
    int64_t ns = o->total_ns;
    char key[HOST_SHOWN + RECORD_ERROR + 8];
    int err = add(stats, "all", &one, sizeof(one));

    snprintf(key, sizeof(key), "%s %s", o->is_error ? "error" : "status",
             o->reason);
    if (err == 0)
        err = add(stats, key, &one, sizeof(one));
    snprintf(key, sizeof(key), "host %.*s", shown, o->host);
    if (err == 0)
        err = add_bounded(stats, key, "other hosts", &one);
    snprintf(key, sizeof(key), "fail %.*s\t%s", shown, o->host, o->reason);
    if (err == 0 && !o->ok)
        err = add_bounded(stats, key, "other failures", &one);
    if (err == 0)
        err = weir_table_update(stats, weir_text("times"),
            &(struct weir_table_edit){ .fn = add_time, .user = &ns,
                                       .bytes = sizeof(struct histogram) });
    return err;
}

int stats_count_record(struct weir_table *stats, const struct record *r)
{
    char word[32];
    struct outcome o = { .reason = record_reason(r, word),
                         .is_error = r->error[0] != '\0', .ok = r->ok,
                         .bytes = r->bytes, .total_ns = r->total_ns };

    o.host = url_host(r->url, &o.host_bytes);
    return stats_count(stats, &o);
}

struct tally stats_get(struct weir_table *stats, const char *key)
{
    struct tally sum = { 0 };

    if (weir_table_get(stats, weir_text(key), &sum, sizeof(sum)) < 0)
        sum = (struct tally){ 0 };
    return sum;
}

void stats_times(struct weir_table *stats, struct histogram *times)
{
    if (weir_table_get(stats, weir_text("times"), times, sizeof(*times)) < 0)
        *times = (struct histogram){ 0 };
}
