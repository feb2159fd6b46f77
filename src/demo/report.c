/* SPDX-License-Identifier: MIT
 * report.c - `weir report`: summarises results files.
 *
 * All files together are treated as one run, which may have been divided among
 * machines and resumed: if a job has several records, the last one counts.
 */
#include "commands.h"
#include "common/number.h"
#include "common/settings.h"
#include "common/text.h"
#include "results/entries.h"
#include "results/stats.h"
#include "results/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

static const char help[] =
    "weir report [options] FILE... - summarise results files\n"
    "\n"
    "Several files, such as those of shards, are read as one run; - is\n"
    "standard input. If a job has several records, the last one counts.\n"
    "\n"
    "      --json           print a JSON object\n"
    "      --slowest N      list the N slowest jobs (10)\n"
    "      --timeline FILE  draw a timeline of the workers as SVG\n"
    "      --table          print all counters\n";

struct report {
    int64_t slowest;
    int json, table;
    const char *timeline; /* or NULL */
    struct file_out picture; /* the open file that `timeline` names */
    int first;               /* index in argv of the first results file */
    struct entries entries;
    struct weir_table *stats;
    /* Totals over all entries. */
    int64_t began_ns, ended_ns;
    size_t concurrency_peak;
};

static int read_options(struct report *r, int argc, char **argv)
{
    const struct setting settings[] = {
        SETTING("json", 0, FLAG, &r->json, 0, 0),
        SETTING("slowest", 0, WHOLE, &r->slowest, 0, 1e6),
        SETTING("table", 0, FLAG, &r->table, 0, 0),
        SETTING("timeline", 0, TEXT, &r->timeline, 0, 0),
    };
    int code = settings_read(&(struct settings_of){
        .name = "report", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]),
        .operands = &r->first }, argc, argv);

    if (code == EXIT_OK && r->first == argc) {
        say("weir report: which files? See 'weir report --help'");
        return EXIT_BAD_INPUT;
    }
    return code;
}

static int64_t ended_ns(const struct entry *entry)
{
    return entry->start_ns + entry->total_ns;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Find how many jobs ran concurrently at most, by walking the starts and the
 * ends in order of time. Returns 0 or -ENOMEM. */
static int find_concurrency_peak(struct report *r)
{
    const struct entries *e = &r->entries;
    int64_t *starts = malloc((e->count + 1) * sizeof(*starts));
    int64_t *ends = malloc((e->count + 1) * sizeof(*ends));
    size_t begun = 0, over = 0;

    if (starts == NULL || ends == NULL) {
        free(starts);
        free(ends);
        return -ENOMEM;
    }
    for (size_t i = 0; i < e->count; i++) {
        starts[i] = e->all[i].start_ns;
        ends[i] = ended_ns(&e->all[i]);
    }
    qsort(starts, e->count, sizeof(*starts), compare_times);
    qsort(ends, e->count, sizeof(*ends), compare_times);
    while (begun < e->count) {
        if (ends[over] <= starts[begun] && over < begun)
            over++;
        else
            begun++;
        if (begun > over && begun - over > r->concurrency_peak)
            r->concurrency_peak = begun - over;
    }
    free(starts);
    free(ends);
    return 0;
}

/* Compute all statistics from the entries. Returns 0 or an error. */
static int count(struct report *r)
{
    const struct entries *e = &r->entries;
    int err = stats_create(&r->stats);

    if (err == 0)
        err = entries_separate(&r->entries);
    r->began_ns = INT64_MAX;
    for (size_t i = 0; i < e->count && err == 0; i++) {
        const struct entry *entry = &e->all[i];
        const char *host = names_get(e->hosts, entry->host);
        int64_t ended = ended_ns(entry);

        err = stats_count(r->stats, &(struct outcome){
            .host = host, .host_bytes = strlen(host),
            .reason = names_get(e->reasons, entry->reason),
            .is_error = entry->is_error, .ok = entry->ok,
            .bytes = entry->bytes, .total_ns = entry->total_ns });
        if (entry->start_ns < r->began_ns)
            r->began_ns = entry->start_ns;
        if (ended > r->ended_ns)
            r->ended_ns = ended;
    }
    if (e->count == 0)
        r->began_ns = 0;
    return err != 0 ? err : find_concurrency_peak(r);
}

static double took(const struct report *r)
{
    return (double)(r->ended_ns - r->began_ns) / WEIR_S;
}

/* ---- the slowest ---- */

static int compare_slow(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a;
    const struct entry *y = *(const struct entry *const *)b;

    return (x->total_ns < y->total_ns) - (x->total_ns > y->total_ns);
}

/* Call fn for each of the `--slowest` jobs, the slowest first. Returns 0 or
 * -ENOMEM. */
static int each_slow(struct report *r, struct text *text,
                     void (*fn)(struct report *, struct text *,
                                const struct entry *, const char *url))
{
    struct entries *e = &r->entries;
    const struct entry **slow = malloc((e->count + 1) * sizeof(*slow));
    struct text url = { 0 };

    if (slow == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < e->count; i++)
        slow[i] = &e->all[i];
    qsort(slow, e->count, sizeof(*slow), compare_slow);
    for (size_t i = 0; i < e->count && i < (size_t)r->slowest; i++) {
        url.used = 0;
        entries_url(e, slow[i], &url);
        if (!url.failed)
            fn(r, text, slow[i], url.data);
    }
    text_free(&url);
    free(slow);
    return 0;
}

static void show_slow(struct report *r, struct text *text,
                      const struct entry *entry, const char *url)
{
    text_printf(text, "  %9.3f s  %-10s  ", (double)entry->total_ns / WEIR_S,
                names_get(r->entries.reasons, entry->reason));
    text_plain(text, url, strlen(url));
    text_puts(text, "\n");
}

static void json_slow(struct report *r, struct text *text,
                      const struct entry *entry, const char *url)
{
    char id[33];

    id_show(entry->id, id);
    text_printf(text, "%s{\"total_ms\":%.3f,\"ok\":%s,\"reason\":\"%s\","
                "\"id\":\"%s\",\"url\":",
                text->data[text->used - 1] == '[' ? "" : ",",
                (double)entry->total_ns / WEIR_MS,
                entry->ok ? "true" : "false",
                names_get(r->entries.reasons, entry->reason), id);
    text_json(text, url, strlen(url));
    text_puts(text, "}");
}

/* ---- what is printed ---- */

static int add_table(struct report *r, struct text *text)
{
    const struct entries *e = &r->entries;
    struct tally all = stats_get(r->stats, "all");
    char shown[4][32];
    int err = 0;

    text_printf(text, "%s job%s: %s ok, %s failed",
                number_show(all.jobs, shown[0]), all.jobs == 1 ? "" : "s",
                number_show(all.ok, shown[1]),
                number_show(all.jobs - all.ok, shown[2]));
    if (e->superseded != 0)
        text_printf(text, "; %s older record%s of the same jobs ignored",
                    number_show(e->superseded, shown[3]),
                    e->superseded == 1 ? "" : "s");
    text_puts(text, "\n");
    stats_show_counts(text, r->stats);
    text_printf(text, "  %-22s %7s\n", "bytes received",
                number_show(all.bytes, shown[0]));
    if (e->count > 0) {
        text_printf(text, "  %-22s %7.2f s\n", "first start to last end",
                    took(r));
        text_printf(text, "  %-22s %7s\n", "peak concurrency",
                    number_show(r->concurrency_peak, shown[0]));
    }
    stats_show_times(text, r->stats);
    stats_show_failures(text, r->stats);
    if (r->slowest > 0 && e->count > 0) {
        text_puts(text, "slowest\n");
        err = each_slow(r, text, show_slow);
    }
    if (r->table)
        stats_show_table(text, r->stats);
    return err;
}

static int add_json(struct report *r, struct text *text)
{
    const struct entries *e = &r->entries;
    int err;

    text_puts(text, "{\"v\":1,");
    stats_json(text, r->stats);
    text_printf(text, ",\"superseded\":%llu,\"not_records\":%llu,"
                "\"took_s\":%.3f,\"most_at_once\":%zu,\"slowest\":[",
                (unsigned long long)e->superseded,
                (unsigned long long)e->others, took(r), r->concurrency_peak);
    err = text->failed ? -ENOMEM : each_slow(r, text, json_slow);
    text_puts(text, "]}\n");
    return err;
}

/* Returns an exit code. */
static int print(struct report *r)
{
    struct text text = { 0 };
    int err = r->json ? add_json(r, &text) : add_table(r, &text);
    int code = EXIT_OK;

    if (err != 0 || text.failed) {
        say("weir report: no memory");
        code = EXIT_BROKEN;
    } else if (fwrite(text.data, 1, text.used, stdout) != text.used ||
               fflush(stdout) != 0) {
        say("weir report: standard output: cannot write");
        code = EXIT_BROKEN;
    }
    text_free(&text);
    return code;
}

/* Returns an exit code. */
static int draw(const struct report *r)
{
    const struct entries *e = &r->entries;
    struct mark *marks = malloc((e->count + 1) * sizeof(*marks));
    int err = marks != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; i < e->count && err == 0; i++) {
        const struct entry *entry = &e->all[i];

        marks[i] = (struct mark){
            .submitted = entry->start_ns - entry->wait_ns,
            .start = entry->start_ns, .end = ended_ns(entry),
            .lane = entry->lane, .seq = (uint32_t)entry->seq,
            .outcome = mark_outcome(entry->ok, entry->is_error) };
    }
    if (err == 0)
        err = timeline_write(&r->picture, marks, e->count,
                             names_count(e->lanes));
    free(marks);
    if (err != 0)
        say("weir report: %s: %s", r->timeline, strerror(-err));
    return err == 0 ? EXIT_OK : EXIT_BROKEN;
}

/* Open the timeline's file, and refuse one that is also an input: a shell
 * pattern easily matches a results file. This happens before any file is read.
 * Returns an exit code. */
static int open_picture(struct report *r, int argc, char **argv)
{
    int err;

    for (int i = r->first; i < argc; i++)
        if (file_same(argv[i], r->timeline)) {
            say("weir report: --timeline names an input file: %s",
                r->timeline);
            return EXIT_BAD_INPUT;
        }
    err = file_out_open(&r->picture, r->timeline, timeline_is);
    if (err == 0)
        return EXIT_OK;
    say("weir report: --timeline %s: %s", r->timeline, file_error(err));
    return err == -EEXIST ? EXIT_BAD_INPUT : EXIT_BROKEN;
}

int command_report(int argc, char **argv)
{
    struct report r = { .slowest = 10 };
    int code = read_options(&r, argc, argv);
    int err;

    if (code == EXIT_OK && r.timeline != NULL)
        code = open_picture(&r, argc, argv);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    err = entries_init(&r.entries);
    if (err == 0)
        code = entries_read_all(&r.entries, "weir report", argv + r.first,
                                argc - r.first);
    if (err == 0 && code == EXIT_OK)
        err = count(&r);
    if (err != 0) {
        say("weir report: %s", strerror(-err));
        code = EXIT_BROKEN;
    }
    if (code == EXIT_OK)
        code = print(&r);
    if (code == EXIT_OK && r.timeline != NULL)
        code = draw(&r);
    if (code == EXIT_OK && r.entries.others != 0)
        code = EXIT_BAD_INPUT;
    file_out_close(&r.picture);
    weir_table_destroy(r.stats);
    entries_free(&r.entries);
    return code;
}
