/* SPDX-License-Identifier: MIT
 * summary.c - what is said at the end of a run. */
#include "common/input.h"
#include "run.h"

#include <stdio.h>
#include <string.h>

/* Say each line of a text, which is freed. */
static void say_lines(struct text *text)
{
    char *line = text->data, *end;

    for (; !text->failed && line != NULL && *line != '\0'; line = end + 1) {
        end = line + strcspn(line, "\n");
        *end = '\0';
        say("%s", line);
    }
    text_free(text);
}

/* How many of this run's jobs have no record of it. Where reading was stopped
 * this counts only what had been read; but the number of arguments, and of
 * calls without URLs, is known. */
static uint64_t not_done(const struct run *run, uint64_t jobs)
{
    const struct run_options *o = run->options;
    uint64_t left = run->made - jobs, read = run->listed + run->refused;
    uint64_t all = o->url_count > 0 ? (uint64_t)o->url_count
                                    : (uint64_t)o->count;

    if (o->input == NULL && all > read)
        left += all - read;
    return left;
}

/* What was left out, and why. */
static void add_left_out(struct text *line, const struct run *run)
{
    char shown[32];

    if (run->skipped != 0)
        text_printf(line, "; %s %s before", number_show(run->skipped, shown),
                    run->options->retry_failed ? "ok" : "done");
    if (run->elsewhere != 0)
        text_printf(line, "; %s of other shards",
                    number_show(run->elsewhere, shown));
    if (run->refused != 0)
        text_printf(line, "; %s refused as bad input",
                    number_show(run->refused, shown));
}

static void say_counts(struct run *run, const struct tally *all)
{
    char done[32], ok[32], failed[32], left[32];
    uint64_t missing = not_done(run, all->jobs);
    struct text line = { 0 }, lines = { 0 };

    text_printf(&line, "%s job%s done: %s ok, %s failed",
                number_show(all->jobs, done), all->jobs == 1 ? "" : "s",
                number_show(all->ok, ok),
                number_show(all->jobs - all->ok, failed));
    if (missing != 0)
        text_printf(&line, "; %s not done", number_show(missing, left));
    add_left_out(&line, run);
    if (!line.failed)
        say("%s", line.data);
    text_free(&line);
    if (run->in != NULL && atomic_load(&run->stopping))
        say("  what follows in %s was not read", input_name(run->in));
    stats_show_counts(&lines, run->counts);
    say_lines(&lines);
}

/* How long it took, beside how long it had to take: the work spread evenly
 * over the jobs at once, or the rate. */
static void say_times(struct run *run, const struct tally *all)
{
    const struct run_options *o = run->options;
    double took = (double)(run->ended - run->began) / WEIR_S;
    int at_once = (int)(o->workers < o->concurrency ? o->workers
                                                    : o->concurrency);
    double spread = (double)all->busy_ns / WEIR_S / at_once;
    double paced = o->rate > 0 ? (double)all->jobs / o->rate : 0;

    if (all->jobs == 0)
        return;
    say("  %-22s %7.2f s", "took", took);
    if (paced > spread)
        say("  %-22s %7.2f s = %llu jobs / %g a second", "ideal", paced,
            (unsigned long long)all->jobs, o->rate);
    else
        say("  %-22s %7.2f s = %.2f s of jobs / %d at once", "ideal", spread,
            (double)all->busy_ns / WEIR_S, at_once);
}

void summary_say(struct run *run)
{
    const struct run_options *o = run->options;
    struct tally all = stats_get(run->counts, "all");
    struct weir_gate_stats gate = { 0 };
    struct weir_writer_stats written = { 0 };
    char bytes[32], lines[32];

    weir_gate_stats(weir_pool_gate(run->pool), &gate);
    weir_writer_stats(run->results, &written);
    say_counts(run, &all);
    say("  %-22s %7s", "bytes received", number_show(all.bytes, bytes));
    say_times(run, &all);
    say("  %-22s %7d of %d allowed", "most jobs at once", gate.inside_max,
        (int)o->concurrency);
    say("  %-22s %7s to %s", "results written",
        number_show(written.written, lines),
        run_output_name(o));
}

void summary_dry(struct run *run)
{
    const struct run_options *o = run->options;
    struct text line = { 0 };
    char jobs[32];

    text_printf(&line, "%s job%s to do", number_show(run->made, jobs),
                run->made == 1 ? "" : "s");
    add_left_out(&line, run);
    if (!line.failed)
        say("%s", line.data);
    text_free(&line);
    if (o->rate > 0 && run->made > 0)
        say("  %-22s %7.2f s = %llu jobs / %g a second", "not less than",
            (double)run->made / o->rate, (unsigned long long)run->made,
            o->rate);
}
