/* SPDX-License-Identifier: MIT
 * stats_show.c - prints the statistics of a run as lines and as JSON. */
#include "stats.h"

#include "common/number.h"

#include <stdio.h>
#include <string.h>
#include <weir/base.h>

#define HOSTS_SHOWN    10
#define FAILURES_SHOWN 20

static const struct {
    const char *name;
    double q;
} quantiles[] = { { "p50", 0.5 },   { "p90", 0.9 },   { "p95", 0.95 },
                  { "p99", 0.99 },  { "p999", 0.999 } };

#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

/* A walk over the table that prints some of its keys. */
struct showing {
    struct text *text;
    const char *prefix; /* of the keys to print */
    int shown, most;    /* keys printed so far, and at most */
    int more;           /* keys beyond `most` */
    const char *comma;  /* before the next member of JSON: "" or "," */
};

static int starts_with(struct weir_bytes key, const char *prefix)
{
    size_t length = strlen(prefix);

    return key.bytes >= length && memcmp(key.data, prefix, length) == 0;
}

/* Return whether to print an entry; if so its tally is in *tally. */
static int is_shown(struct showing *s, struct weir_bytes key,
                    struct weir_bytes value, struct tally *tally)
{
    if (value.bytes != sizeof(*tally) || !starts_with(key, s->prefix))
        return 0;
    if (s->shown == s->most) {
        s->more++;
        return 0;
    }
    s->shown++;
    memcpy(tally, value.data, sizeof(*tally));
    return 1;
}

static void add_count(struct text *text, struct weir_bytes key, uint64_t jobs)
{
    struct text name = { 0 };
    char shown[32];

    text_plain(&name, key.data, key.bytes);
    text_printf(text, "  %-22s %7s\n", name.failed ? "?" : name.data,
                number_show(jobs, shown));
    text_free(&name);
}

static int show_count(void *user, struct weir_bytes key,
                      struct weir_bytes value)
{
    struct showing *s = user;
    struct tally tally;

    if (is_shown(s, key, value, &tally))
        add_count(s->text, key, tally.jobs);
    return 0;
}

/* Call `fn` with a struct showing for each entry of the table. */
static struct showing show_keys(struct text *text, struct weir_table *stats,
                                const char *prefix, int most,
                                int (*fn)(void *, struct weir_bytes,
                                          struct weir_bytes))
{
    struct showing s = { .text = text, .prefix = prefix, .most = most,
                         .comma = "" };

    if (weir_table_for_each(stats, fn, &s) != 0)
        text_puts(text, "  no memory for the table\n");
    return s;
}

void stats_show_counts(struct text *text, struct weir_table *stats)
{
    struct showing hosts;

    show_keys(text, stats, "error ", 1000, show_count);
    hosts = show_keys(text, stats, "host ", HOSTS_SHOWN, show_count);
    if (hosts.more != 0)
        text_printf(text, "  and %d more hosts\n", hosts.more);
    show_keys(text, stats, "other hosts", 1, show_count);
    show_keys(text, stats, "status ", 1000, show_count);
}

static void add_time(struct text *text, int64_t ns)
{
    if (ns >= WEIR_S)
        text_printf(text, " %.2f s", (double)ns / WEIR_S);
    else
        text_printf(text, " %.3g ms", (double)ns / WEIR_MS);
}

void stats_show_times(struct text *text, struct weir_table *stats)
{
    struct histogram times;

    stats_times(stats, &times);
    if (times.total == 0)
        return;
    text_printf(text, "  %-22s", "time per job");
    for (size_t i = 0; i < QUANTILES; i++)
        if (histogram_knows(&times, quantiles[i].q)) {
            text_printf(text, " %s",
                        i + 1 == QUANTILES ? "p99.9" : quantiles[i].name);
            add_time(text, histogram_quantile(&times, quantiles[i].q));
            text_puts(text, ",");
        }
    text_puts(text, " max");
    add_time(text, times.longest_ns);
    text_puts(text, "\n");
}

static int show_failure(void *user, struct weir_bytes key,
                        struct weir_bytes value)
{
    struct showing *s = user;
    const char *host = (const char *)key.data + strlen("fail ");
    const char *tab = memchr(key.data, '\t', key.bytes);
    struct text name = { 0 };
    struct tally tally;
    char jobs[32];

    if (tab == NULL || !is_shown(s, key, value, &tally))
        return 0;
    text_plain(&name, host, (size_t)(tab - host));
    text_printf(s->text, "  %-30s %-12.*s %7s\n",
                name.failed ? "?" : name.data,
                (int)((const char *)key.data + key.bytes - tab - 1), tab + 1,
                number_show(tally.jobs, jobs));
    text_free(&name);
    return 0;
}

void stats_show_failures(struct text *text, struct weir_table *stats)
{
    struct tally all = stats_get(stats, "all");
    struct showing s;

    if (all.ok == all.jobs)
        return;
    text_puts(text, "failures by host and reason\n");
    s = show_keys(text, stats, "fail ", FAILURES_SHOWN, show_failure);
    if (s.more != 0)
        text_printf(text, "  and %d more kinds\n", s.more);
    show_keys(text, stats, "other failures", 1, show_count);
}

static int show_row(void *user, struct weir_bytes key, struct weir_bytes value)
{
    struct showing *s = user;
    struct text name = { 0 };
    struct tally tally;

    if (!is_shown(s, key, value, &tally))
        return 0;
    for (size_t i = 0; i < key.bytes; i++) {
        const char *c = (const char *)key.data + i;

        text_plain(&name, *c == '\t' ? " " : c, 1);
    }
    text_printf(s->text, "  %-36s %9llu %9llu %9llu %13llu %10.3f\n",
                name.failed ? "?" : name.data, (unsigned long long)tally.jobs,
                (unsigned long long)tally.ok,
                (unsigned long long)(tally.jobs - tally.ok),
                (unsigned long long)tally.bytes,
                (double)tally.busy_ns / (double)tally.jobs / WEIR_S);
    text_free(&name);
    return 0;
}

void stats_show_table(struct text *text, struct weir_table *stats)
{
    text_printf(text, "  %-36s %9s %9s %9s %13s %10s\n", "key", "jobs", "ok",
                "failed", "bytes", "mean s");
    show_keys(text, stats, "", 1000000, show_row);
}

/* ---- JSON ---- */

static int json_tally(void *user, struct weir_bytes key,
                      struct weir_bytes value)
{
    struct showing *s = user;
    size_t skip = strlen(s->prefix);
    struct tally tally;

    if (!is_shown(s, key, value, &tally))
        return 0;
    text_puts(s->text, s->comma);
    text_json(s->text, (const char *)key.data + skip, key.bytes - skip);
    text_printf(s->text, ":{\"jobs\":%llu,\"ok\":%llu,\"bytes\":%llu,"
                "\"busy_s\":%.6f}", (unsigned long long)tally.jobs,
                (unsigned long long)tally.ok, (unsigned long long)tally.bytes,
                (double)tally.busy_ns / WEIR_S);
    s->comma = ",";
    return 0;
}

static int json_failure(void *user, struct weir_bytes key,
                        struct weir_bytes value)
{
    struct showing *s = user;
    const char *host = (const char *)key.data + strlen("fail ");
    const char *end = (const char *)key.data + key.bytes;
    const char *tab = memchr(key.data, '\t', key.bytes);
    struct tally tally;

    if (tab == NULL || !is_shown(s, key, value, &tally))
        return 0;
    text_printf(s->text, "%s{\"host\":", s->comma);
    text_json(s->text, host, (size_t)(tab - host));
    text_puts(s->text, ",\"reason\":");
    text_json(s->text, tab + 1, (size_t)(end - tab - 1));
    text_printf(s->text, ",\"jobs\":%llu}", (unsigned long long)tally.jobs);
    s->comma = ",";
    return 0;
}

static void json_times(struct text *text, struct weir_table *stats)
{
    struct histogram times;

    stats_times(stats, &times);
    text_puts(text, "\"times_ms\":{");
    for (size_t i = 0; i < QUANTILES; i++)
        if (histogram_knows(&times, quantiles[i].q))
            text_printf(text, "\"%s\":%.3f,", quantiles[i].name,
                        (double)histogram_quantile(&times, quantiles[i].q) /
                            WEIR_MS);
    text_printf(text, "\"longest\":%.3f}",
                (double)times.longest_ns / WEIR_MS);
}

void stats_json(struct text *text, struct weir_table *stats)
{
    static const struct {
        const char *name, *prefix;
    } maps[] = { { "statuses", "status " },
                 { "errors", "error " },
                 { "hosts", "host " } };
    struct tally all = stats_get(stats, "all");

    text_printf(text, "\"jobs\":%llu,\"ok\":%llu,\"failed\":%llu,"
                "\"bytes\":%llu,\"busy_s\":%.6f,",
                (unsigned long long)all.jobs, (unsigned long long)all.ok,
                (unsigned long long)(all.jobs - all.ok),
                (unsigned long long)all.bytes, (double)all.busy_ns / WEIR_S);
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        text_printf(text, "\"%s\":{", maps[i].name);
        show_keys(text, stats, maps[i].prefix, 1000000, json_tally);
        text_puts(text, "},");
    }
    text_puts(text, "\"failures\":[");
    show_keys(text, stats, "fail ", 1000000, json_failure);
    text_puts(text, "],");
    json_times(text, stats);
}
