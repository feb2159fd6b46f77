/* SPDX-License-Identifier: MIT
 * progress.c - the progress of a run, its speed, and what limits it. */
#include "progress.h"

#include "common/screen.h"
#include "run.h"

#include <stdio.h>
#include <string.h>

struct state {
    struct weir_gate_stats gate;
    struct weir_pool_stats pool;
    struct hosts_view hosts;
    struct tally all;
    uint64_t known;
    double speed; /* jobs per second over the last PROGRESS_LOOKS looks */
};

static struct state look(struct progress *p, struct run *run)
{
    struct state s = { .known = atomic_load(&run->known) };
    int64_t now = weir_now(), from = run->began;
    uint64_t before = 0;
    size_t at = p->count % PROGRESS_LOOKS;

    weir_gate_stats(weir_pool_gate(run->pool), &s.gate);
    weir_pool_stats(run->pool, &s.pool);
    hosts_look(run->hosts, s.pool.parked > 0 && s.gate.inside < s.gate.limit,
               &s.hosts);
    s.all = stats_get(run->counts, "all");
    if (p->count >= PROGRESS_LOOKS) {
        from = p->looks[at].at;
        before = p->looks[at].jobs;
    }
    if (now > from)
        s.speed = (double)(s.all.jobs - before) * WEIR_S /
                  (double)(now - from);
    p->looks[at].at = now;
    p->looks[at].jobs = s.all.jobs;
    p->count++;
    return s;
}

static void count_limits(struct progress *p, struct run *run,
                         const struct state *s)
{
    if (s->gate.inside >= s->gate.limit) {
        p->full++;
    } else if (s->pool.queued > 0) {
        p->paced += run->options->rate > 0;
    } else if (s->pool.parked > 0) {
        p->hosts++;
        /* The last look decides which host progress_limit() names. */
        p->one_host = s->hosts.most * 2 >= s->hosts.jobs;
        memcpy(p->host, s->hosts.name, sizeof(p->host));
    } else if (s->pool.delayed > 0) {
        p->backing_off++;
    } else if (s->known == 0) {
        p->starved++;
    }
}

static void add_counts(struct text *line, const struct run *run,
                       const struct state *s)
{
    uint64_t retries = atomic_load(&run->retries);

    text_printf(line, "  ok %llu  fail %llu", (unsigned long long)s->all.ok,
                (unsigned long long)(s->all.jobs - s->all.ok));
    if (retries != 0)
        text_printf(line, "  retry %llu", (unsigned long long)retries);
    text_printf(line, "  in flight %d/%d", s->gate.inside, s->gate.limit);
}

/* "412/1000 41%  ok 405  fail 7  retry 3  in flight 24/32  98.7 of 100/s
 * p50 1.02s  a.org paused 4s  ETA 6s" */
static void describe(struct text *line, struct run *run,
                     const struct state *s)
{
    struct histogram times;

    if (s->known != 0)
        text_printf(line, "%llu/%llu %.0f%%", (unsigned long long)s->all.jobs,
                    (unsigned long long)s->known,
                    100.0 * (double)s->all.jobs / (double)s->known);
    else
        text_printf(line, "%llu done", (unsigned long long)s->all.jobs);
    add_counts(line, run, s);
    text_printf(line, "  %.1f", s->speed);
    if (run->options->rate > 0)
        text_printf(line, " of %g", run->options->rate);
    text_puts(line, "/s");
    stats_times(run->counts, &times);
    if (histogram_knows(&times, 0.5))
        text_printf(line, "  p50 %.2fs",
                    (double)histogram_quantile(&times, 0.5) / WEIR_S);
    if (s->hosts.paused[0] != '\0')
        text_printf(line, "  %s paused %.0fs", s->hosts.paused,
                    (double)s->hosts.pause_ns / WEIR_S);
    if (atomic_load(&run->stopping))
        text_puts(line, "  stopping");
    else if (s->known > s->all.jobs && s->speed > 0)
        text_printf(line, "  ETA %.0fs",
                    (double)(s->known - s->all.jobs) / s->speed);
}

void progress_look(struct progress *p, struct run *run)
{
    struct state s = look(p, run);
    int plain = run->progress == PROGRESS_TEXT &&
                p->count % PROGRESS_PLAIN == 0;
    struct text line = { 0 };

    count_limits(p, run, &s);
    if (run->trace != NULL)
        trace_counts(run->trace, s.gate.inside, s.pool.queued);
    if (run->progress != PROGRESS_BAR && !plain)
        return;
    describe(&line, run, &s);
    if (!line.failed && plain)
        screen_line(line.data, line.used);
    else if (!line.failed)
        screen_bar(line.data);
    text_free(&line);
}

/* Return what jobs waited for most of the time if that was a host's limit or
 * the pause before a retry, else NULL. */
static const char *find_wait(struct progress *p)
{
    uint64_t others = p->full + p->paced + p->starved;

    if (p->hosts + p->backing_off <= others)
        return NULL;
    if (p->hosts < p->backing_off)
        return "pauses before retries";
    if (!p->one_host)
        return "the limits per host";
    snprintf(p->limit, sizeof(p->limit), "one host: %s", p->host);
    return p->limit;
}

const char *progress_limit(struct progress *p, const struct run *run,
                           uint64_t jobs, double spread_s, double paced_s)
{
    const struct run_options *o = run->options;
    int64_t most = o->workers < o->concurrency ? o->workers : o->concurrency;
    const char *wait = find_wait(p);

    if (wait != NULL)
        return wait;
    if (p->full + p->paced + p->starved < 5) { /* too few looks to say */
        if (paced_s > spread_s)
            return "the rate limit";
        return jobs <= (uint64_t)most ? "nothing: all jobs ran concurrently"
                                      : "the concurrency limit";
    }
    if (p->starved > p->full && p->starved > p->paced)
        return "the input: it arrived no faster";
    if (p->paced > p->full)
        return "the rate limit";
    return o->workers < o->concurrency ? "the number of workers"
                                       : "the concurrency limit";
}
