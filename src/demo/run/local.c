/* SPDX-License-Identifier: MIT
 * local.c - what to do when this machine runs out of something. */
#include "local.h"

#include "run.h"

#include <errno.h>
#include <string.h>

#define PAUSE_MOST (500 * WEIR_MS) /* before a job is tried again */
#define LOWER_NS   (50 * WEIR_MS)  /* between two steps: jobs that were started
                                      before the first may still fail */
#define QUIET_NS   WEIR_S          /* without another, before it is raised */
#define PATIENCE   (10 * WEIR_S)   /* at least, with nothing that goes well */

int local_is(const struct weir_http_response *answer, int err)
{
    return answer->error == WEIR_HTTP_LOCAL || err == -ENOMEM ||
           err == -EMFILE || err == -ENFILE || err == -EAGAIN;
}

int local_put_off(struct weir_context *cx, struct job *job, const char *reason,
                  int err)
{
    struct run *run = job->run;
    struct local *local = &run->local;
    double patience = run->options->retry_max_time * WEIR_S;
    int64_t now = weir_now(), none = 0, since;
    uint64_t random = (job->id.low ^ run->name) +
                      atomic_fetch_add(&local->times, 1);
    int event = EVENT_LOCAL;

    atomic_store(&local->last, now);
    if (!atomic_compare_exchange_strong(&local->since, &none, now)) {
        since = none;
        if (now - since > PATIENCE && (double)(now - since) > patience)
            run_failed(run, err != 0 ? err : -EAGAIN, "this machine");
    } else if (atomic_load(&local->times) == 1 && !run->options->quiet) {
        say("this machine has run out of something (%s): fewer jobs are run at"
            " a time, and these are retried", reason);
    }
    if (atomic_exchange(&local->told, 1) == 0 &&
        weir_queue_put(run->events, &event, WEIR_NO_WAIT) != 0)
        atomic_store(&local->told, 0);
    job->attempts--;
    random = random * UINT64_C(0x9e3779b97f4a7c15) >> 16;
    weir_retry_in(cx, PAUSE_MOST / 8 + (int64_t)(random % PAUSE_MOST));
    return WEIR_RERUN;
}

void local_went_well(struct run *run)
{
    if (atomic_load(&run->local.since) != 0)
        atomic_store(&run->local.since, 0);
}

static void change(struct run *run, int limit)
{
    if (hop_set_limit(run, limit, 0) == 0)
        hosts_share(run->hosts, limit);
}

void local_lower(struct run *run)
{
    struct local *local = &run->local;
    struct weir_gate_stats stats = { 0 };
    int64_t now = weir_now();
    int limit, was;

    atomic_store(&local->told, 0);
    if (now - local->lowered < LOWER_NS)
        return;
    local->lowered = now;
    weir_gate_stats(weir_pool_gate(run->pool), &stats);
    if (local->wanted == 0)
        local->wanted = hop_limit(run);
    /* One of those inside is the job that failed. */
    was = hop_limit(run);
    limit = was * 3 / 4;
    if (stats.inside - 1 < limit)
        limit = stats.inside - 1;
    if (was > 1)
        change(run, limit > 1 ? limit : 1);
}

void local_raise(struct run *run)
{
    struct local *local = &run->local;
    int limit, more;

    if (local->wanted == 0 || atomic_load(&run->stopping) ||
        weir_now() - atomic_load(&local->last) < QUIET_NS)
        return;
    limit = hop_limit(run);
    more = limit + 1 + limit / 16;
    if (more >= local->wanted) {
        more = local->wanted;
        local->wanted = 0;
    }
    change(run, more);
}

void local_set(struct run *run, int limit)
{
    if (run->local.wanted != 0)
        run->local.wanted = limit;
}

void local_add(struct text *text, struct local *local)
{
    char shown[32];
    uint64_t times = atomic_load(&local->times);

    if (times != 0)
        text_printf(text, "  %-22s %7s\n", "put off by this machine",
                    number_show(times, shown));
}
