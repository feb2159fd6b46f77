/* SPDX-License-Identifier: MIT
 * summary.c - the summary that is printed at the end of a run. */
#include "common/input.h"
#include "next_command.h"
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How long the run took, and two lower bounds: from the concurrency limit, as
 * if all workers were busy until the end, and from the rate limit. */
struct pace {
    double took;     /* seconds, as are the next three */
    double spread;   /* bound from the concurrency limit */
    double paced;    /* bound from the rate limit; 0: none */
    double busy;     /* sum of the times of all attempts */
    uint64_t starts; /* attempts and redirects that were followed */
    int concurrency; /* the limit */
};

static struct pace find_pace(struct run *run, const struct tally *all)
{
    const struct run_options *o = run->options;
    struct pace p = { .took = (double)(run->ended - run->began) / WEIR_S };

    p.concurrency = (int)(o->workers < o->concurrency ? o->workers
                                                      : o->concurrency);
    p.busy = (double)(all->busy_ns + atomic_load(&run->retried_ns)) / WEIR_S;
    p.starts = all->jobs + atomic_load(&run->retries) +
               atomic_load(&run->redirects);
    p.spread = p.busy / p.concurrency;
    p.paced = o->rate > 0 ? (double)p.starts / o->rate : 0;
    return p;
}

/* Print each line of a text on standard error, and free the text. */
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

/* Return how many of this run's jobs have no record. If reading a file was
 * stopped, only jobs that had been read are counted; the number of URLs on the
 * command line, and of requests without URLs, is known in any case. */
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

/* Add the jobs that this run did not have to do, by reason. */
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
    text_puts(line, "\n");
}

static void add_counts(struct text *text, struct run *run,
                       const struct tally *all)
{
    char done[32], ok[32], failed[32], left[32];
    uint64_t missing = not_done(run, all->jobs);

    text_printf(text, "%s job%s done: %s ok, %s failed",
                number_show(all->jobs, done), all->jobs == 1 ? "" : "s",
                number_show(all->ok, ok),
                number_show(all->jobs - all->ok, failed));
    if (missing != 0)
        text_printf(text, "; %s not done", number_show(missing, left));
    add_left_out(text, run);
    if (run->in != NULL && atomic_load(&run->stopping))
        text_printf(text, "  the rest of %s was not read\n",
                    input_name(run->in));
    stats_show_counts(text, run->counts);
    if (atomic_load(&run->retries) != 0)
        text_printf(text, "  %-22s %7s\n", "retries",
                    number_show(atomic_load(&run->retries), done));
    shortage_add(text, &run->shortage);
}

static void add_times(struct text *text, struct run *run,
                      const struct tally *all)
{
    const struct run_options *o = run->options;
    struct pace p = find_pace(run, all);
    double mean, deviation;

    if (all->jobs == 0)
        return;
    stats_show_times(text, run->counts);
    text_printf(text, "  %-22s %7.2f s\n", "took", p.took);
    if (p.paced > p.spread)
        text_printf(text, "  %-22s %7.2f s = %llu starts / %g per second\n",
                    "lower bound", p.paced, (unsigned long long)p.starts,
                    o->rate);
    else
        text_printf(text, "  %-22s %7.2f s = %.2f s of jobs / %d"
                    " concurrently\n", "lower bound", p.spread, p.busy,
                    p.concurrency);
    text_printf(text, "  %-22s %s\n", "limited by",
                progress_limit(&run->looks, run, all->jobs, p.spread,
                               p.paced));
    if (o->rate > 0 && starts_spread(&run->starts, &mean, &deviation))
        text_printf(text, "  %-22s %7.3f ms, standard deviation %.3f ms\n",
                    "time between starts", mean / WEIR_MS,
                    deviation / WEIR_MS);
}

/* Return the option to add to this run's command to do what is left: "" if the
 * command has it already, NULL if nothing is left. */
static const char *option_to_resume(const struct run *run,
                                    const struct tally *all)
{
    const struct run_options *o = run->options;
    int unread = run->in != NULL && atomic_load(&run->stopping);

    if (options_to_stdout(o))
        return NULL;
    /* Failed jobs stopped the run, so retry them as well. */
    if (atomic_load(&run->halted))
        return o->retry_failed ? "" : "--retry-failed";
    if (unread || not_done(run, all->jobs) != 0)
        return o->resume ? "" : "--resume";
    if (all->ok < all->jobs)
        return o->retry_failed ? "" : "--retry-failed";
    return NULL;
}

static void add_next_command(struct text *text, struct run *run,
                             const struct tally *all)
{
    const struct run_options *o = run->options;
    const char *option = option_to_resume(run, all);
    int left_out;

    if (option == NULL)
        return;
    text_puts(text, strcmp(option, "--retry-failed") == 0
                        ? "to retry the failed jobs"
                        : "to continue this run");
    if (o->input != NULL && strcmp(o->input, "-") == 0)
        text_puts(text, ", with the same input");
    text_puts(text, ":\n  ");
    left_out = next_command_add(text, o, *option != '\0' ? option : NULL);
    text_puts(text, left_out ? "\n  (secrets were left out: add them again)\n"
                             : "\n");
}

void summary_say(struct run *run)
{
    const struct run_options *o = run->options;
    struct tally all = stats_get(run->counts, "all");
    struct weir_gate_stats gate = { 0 };
    struct weir_writer_stats written = { 0 };
    struct text text = { 0 };
    char shown[32];

    weir_gate_stats(weir_pool_gate(run->pool), &gate);
    weir_writer_stats(run->results, &written);
    add_counts(&text, run, &all);
    text_printf(&text, "  %-22s %7s\n", "bytes received",
                number_show(all.bytes, shown));
    add_times(&text, run, &all);
    text_printf(&text, "  %-22s %7d of %d allowed\n", "peak concurrency",
                redirect_jobs_peak(run, gate.inside_peak), gate.limit);
    text_printf(&text, "  %-22s %7s to %s\n", "results written",
                number_show(written.written, shown), run_output_name(o));
    if (o->table)
        stats_show_table(&text, run->counts);
    add_next_command(&text, run, &all);
    say_lines(&text);
}

void summary_dry(struct run *run)
{
    const struct run_options *o = run->options;
    struct text text = { 0 };
    char jobs[32];

    text_printf(&text, "%s job%s to do", number_show(run->made, jobs),
                run->made == 1 ? "" : "s");
    add_left_out(&text, run);
    if (o->rate > 0 && run->made > 0)
        text_printf(&text, "  %-22s %7.2f s = %llu jobs / %g per second\n",
                    "lower bound", (double)run->made / o->rate,
                    (unsigned long long)run->made, o->rate);
    say_lines(&text);
}

/* ---- as JSON ---- */

static void add_json(struct text *text, struct run *run)
{
    struct tally all = stats_get(run->counts, "all");
    struct pace p = find_pace(run, &all);
    const char *option = option_to_resume(run, &all);
    const char *limit = progress_limit(&run->looks, run, all.jobs, p.spread,
                                       p.paced);
    struct weir_gate_stats gate = { 0 };
    struct text command = { 0 };

    weir_gate_stats(weir_pool_gate(run->pool), &gate);
    text_printf(text, "{\"v\":1,\"run\":\"%016llx\",",
                (unsigned long long)run->name);
    stats_json(text, run->counts);
    text_printf(text, ",\"retries\":%llu,\"redirects\":%llu",
                (unsigned long long)atomic_load(&run->retries),
                (unsigned long long)atomic_load(&run->redirects));
    text_printf(text, ",\"not_done\":%llu,\"done_before\":%llu,"
                "\"other_shards\":%llu,\"refused\":%llu,\"stopped\":%s,"
                "\"halted\":%s,",
                (unsigned long long)not_done(run, all.jobs),
                (unsigned long long)run->skipped,
                (unsigned long long)run->elsewhere,
                (unsigned long long)run->refused,
                atomic_load(&run->stopping) ? "true" : "false",
                atomic_load(&run->halted) ? "true" : "false");
    text_printf(text, "\"took_s\":%.6f,\"ideal_s\":%.6f,"
                "\"most_at_once\":%d,\"limited_by\":", p.took,
                p.paced > p.spread ? p.paced : p.spread,
                redirect_jobs_peak(run, gate.inside_peak));
    text_json(text, limit, strlen(limit));
    text_puts(text, ",\"go_on\":");
    if (option != NULL) {
        next_command_add(&command, run->options,
                         *option != '\0' ? option : NULL);
        text_json(text, command.data, command.used);
    } else {
        text_puts(text, "null");
    }
    text->failed |= command.failed;
    text_free(&command);
    text_puts(text, "}\n");
}

/* A results record begins with the same bytes, but has no "took_s". */
int summary_is(const char *bytes, size_t count)
{
    return count > 5 && memcmp(bytes, "{\"v\":", 5) == 0 &&
           memmem(bytes, count, ",\"took_s\":", 10) != NULL;
}

int summary_write(struct run *run)
{
    struct text text = { 0 };
    int err;

    add_json(&text, run);
    err = text.failed ? -ENOMEM
                      : file_out_write(&run->summary_out, text.data,
                                       text.used);
    text_free(&text);
    return err;
}
