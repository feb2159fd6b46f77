/* SPDX-License-Identifier: MIT
 * shortage.c - handles a lack of descriptors, ports, memory or threads. */
#include "shortage.h"

#include "run.h"

#include <errno.h>
#include <string.h>

#define PAUSE_MOST (500 * WEIR_MS) /* scale of the pause before a retry */
#define LOWER_NS   (50 * WEIR_MS)  /* between two reductions: jobs started
                                      before the first may still fail */
#define CALM_NS    WEIR_S          /* without a shortage before raising */
#define PATIENCE   (10 * WEIR_S)   /* at least this long without a success
                                      before the run ends */

int shortage_is(const struct weir_http_response *answer, int err)
{
    return answer->error == WEIR_HTTP_LOCAL || err == -ENOMEM ||
           err == -EMFILE || err == -ENFILE || err == -EAGAIN;
}

int shortage_defer(struct weir_context *cx, struct job *job, const char *reason,
                  int err)
{
    struct run *run = job->run;
    struct shortage *shortage = &run->shortage;
    double patience = run->options->retry_max_time * WEIR_S;
    int64_t now = weir_now(), none = 0, since;
    uint64_t random = (job->id.low ^ run->name) +
                      atomic_fetch_add(&shortage->times, 1);
    int event = EVENT_SHORTAGE;

    atomic_store(&shortage->last, now);
    if (!atomic_compare_exchange_strong(&shortage->since, &none, now)) {
        since = none;
        if (now - since > PATIENCE && (double)(now - since) > patience)
            run_failed(run, err != 0 ? err : -EAGAIN, "this machine");
    } else if (atomic_load(&shortage->times) == 1 && !run->options->quiet) {
        say("this machine has run out of a resource (%s): the concurrency limit"
            " is lowered, and affected jobs are retried", reason);
    }
    if (atomic_exchange(&shortage->told, 1) == 0 &&
        weir_queue_put(run->events, &event, WEIR_NO_WAIT) != 0)
        atomic_store(&shortage->told, 0);
    job->attempts--;
    random = random * UINT64_C(0x9e3779b97f4a7c15) >> 16;
    weir_retry_in(cx, PAUSE_MOST / 8 + (int64_t)(random % PAUSE_MOST));
    return WEIR_RERUN;
}

void shortage_over(struct run *run)
{
    if (atomic_load(&run->shortage.since) != 0)
        atomic_store(&run->shortage.since, 0);
}

static void change(struct run *run, int limit)
{
    if (redirect_set_limit(run, limit, 0) == 0)
        hosts_share(run->hosts, limit);
}

void shortage_lower(struct run *run)
{
    struct shortage *shortage = &run->shortage;
    struct weir_gate_stats stats = { 0 };
    int64_t now = weir_now();
    int limit, was;

    atomic_store(&shortage->told, 0);
    if (now - shortage->lowered < LOWER_NS)
        return;
    shortage->lowered = now;
    weir_gate_stats(weir_pool_gate(run->pool), &stats);
    if (shortage->wanted == 0)
        shortage->wanted = redirect_limit(run);
    /* Of the jobs inside, one is the job that failed. */
    was = redirect_limit(run);
    limit = was * 3 / 4;
    if (stats.inside - 1 < limit)
        limit = stats.inside - 1;
    if (was > 1)
        change(run, limit > 1 ? limit : 1);
}

void shortage_raise(struct run *run)
{
    struct shortage *shortage = &run->shortage;
    int limit, more;

    if (shortage->wanted == 0 || atomic_load(&run->stopping) ||
        weir_now() - atomic_load(&shortage->last) < CALM_NS)
        return;
    limit = redirect_limit(run);
    more = limit + 1 + limit / 16;
    if (more >= shortage->wanted) {
        more = shortage->wanted;
        shortage->wanted = 0;
    }
    change(run, more);
}

void shortage_set(struct run *run, int limit)
{
    if (run->shortage.wanted != 0)
        run->shortage.wanted = limit;
}

void shortage_add(struct text *text, struct shortage *shortage)
{
    char shown[32];
    uint64_t times = atomic_load(&shortage->times);

    if (times != 0)
        text_printf(text, "  %-22s %7s\n", "local resource retries",
                    number_show(times, shown));
}
