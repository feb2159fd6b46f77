/* SPDX-License-Identifier: MIT
 * stress_group.c - random programs of nested groups on one pool: cancels,
 * deadlines, policies, windows, helpers, and a concurrent close. */
#include "stress.h"

#include <weir/group.h>

#include <stdbool.h>
#include <string.h>

#define HOSTS_MAX 3
#define UNITS 6000   /* jobs of a round */
#define PER_GROUP 24  /* jobs the owner submits to one */
#define DEPTH_MAX 5   /* of groups inside one another */

/* A job's argument. */
struct unit {
    struct weir_group *group; /* NULL: a job of the pool itself */
    struct dice dice;
    int depth;  /* of its group */
    int status; /* what it must return */
    atomic_int accepted, ran, dropped;
};

static struct program {
    struct weir_pool *pool;
    struct weir_pool_options options;
    int closes, exits;
    atomic_int next_unit;
    atomic_int cancelled; /* the pool was */
    atomic_int held;      /* its gate was */
    atomic_int groups, inside;
    atomic_int stop;
    struct unit units[UNITS];
} p;

static _Thread_local int stacked; /* jobs on this thread's stack */

static void stress_dump(void)
{
    struct weir_pool_stats s = { 0 };
    struct weir_gate_stats g = { 0 };

    printf("# workers %d capacity %zu limit %d rate %g help_depth %d; "
           "units %d groups %d inside %d cancelled %d held %d\n",
           p.options.workers, p.options.capacity, p.options.limit,
           p.options.rate_per_s, p.options.help_depth,
           atomic_load(&p.next_unit), atomic_load(&p.groups),
           atomic_load(&p.inside), atomic_load(&p.cancelled),
           atomic_load(&p.held));
    if (p.pool == NULL || weir_pool_stats(p.pool, &s) != 0)
        return;
    printf("# submitted %llu succeeded %llu failed %llu dropped %llu "
           "queued %zu running %zu\n", (unsigned long long)s.submitted,
           (unsigned long long)s.succeeded, (unsigned long long)s.failed,
           (unsigned long long)s.dropped, s.queued, s.running);
    fflush(stdout);
    if (weir_pool_gate(p.pool) != NULL &&
        weir_gate_stats(weir_pool_gate(p.pool), &g) == 0)
        printf("# gate: limit %d inside %d waiting %d held until %lld\n",
               g.limit, g.inside, g.waiting, (long long)g.held_until);
}

/* ---- jobs ---- */

static int job(struct weir_context *cx, void *arg);
static void play(struct dice *dice, int depth);

static void dropped(void *arg, int reason)
{
    struct unit *t = arg;

    EXPECT(reason < 0);
    EXPECT_INT(atomic_load(&t->ran), 0);
    EXPECT_INT(atomic_fetch_add(&t->dropped, 1), 0);
    beat();
}

/* Create jobs for a group or for the pool. Returns how many, or 0 if the round
 * has no jobs left. */
static int make_jobs(struct dice *dice, struct weir_job *jobs, int count,
                     struct weir_group *group, int depth)
{
    int first = atomic_fetch_add(&p.next_unit, count);

    if (first + count > UNITS)
        return 0;
    for (int i = 0; i < count; i++) {
        struct unit *t = &p.units[first + i];

        t->group = group;
        t->dice.state = roll(dice);
        t->depth = depth;
        t->status = one_in(dice, 6) ? within(dice, 1, 100) : 0;
        jobs[i] = (struct weir_job){ .fn = job, .arg = t, .drop = dropped,
                                     .tag = (uint64_t)(first + i) };
    }
    return count;
}

static void accept_jobs(const struct weir_job *jobs, ssize_t count)
{
    for (ssize_t i = 0; i < count; i++) {
        struct unit *t = jobs[i].arg;

        EXPECT_INT(atomic_fetch_add(&t->accepted, 1), 0);
    }
}

static void stranger(struct dice *dice)
{
    struct weir_job one;
    ssize_t n;

    if (make_jobs(dice, &one, 1, NULL, DEPTH_MAX) == 0)
        return;
    n = weir_pool_submit(p.pool, &one, 1, some_deadline(dice));
    EXPECT(n == 1 || n == -EAGAIN || n == -ETIMEDOUT || n == -EPIPE);
    accept_jobs(&one, n);
}

static int job(struct weir_context *cx, void *arg)
{
    struct unit *t = arg;
    int status = t->status;

    stacked++;
    EXPECT_INT(atomic_load(&t->dropped), 0);
    EXPECT_INT(atomic_fetch_add(&t->ran, 1), 0);
    EXPECT(weir_tag(cx) == (uint64_t)(t - p.units));
    EXPECT(weir_worker_index(cx) < p.options.workers);
    some_delay(&t->dice);
    if (t->depth < DEPTH_MAX && one_in(&t->dice, 4 + 2 * t->depth))
        play(&t->dice, t->depth + 1);
    if (one_in(&t->dice, 16))
        stranger(&t->dice);
    if (one_in(&t->dice, 12)) {
        int err = weir_sleep(cx, within(&t->dice, 0, 200) * WEIR_US);

        EXPECT(err == 0 || (err == -ECANCELED && weir_stop_requested(cx)));
    }
    if (t->group != NULL && one_in(&t->dice, 16)) {
        struct weir_result r;
        int err;

        /* The thread does nothing in which it could wait for itself. */
        err = weir_group_wait(t->group, WEIR_FOREVER);
        EXPECT_INT(err, -EDEADLK);
        err = weir_group_get(t->group, UINT64_MAX - 1, &r, WEIR_FOREVER);
        EXPECT_INT(err, -ENOENT);
    }
    if (t->group != NULL && one_in(&t->dice, 24)) {
        int err = weir_group_cancel(t->group,
                                    (uint64_t)within(&t->dice, 0, PER_GROUP),
                                    -ECANCELED);

        EXPECT(err == 0 || err == -ESTALE || err == -ENOENT);
    }
    EXPECT_INT(atomic_load(&t->dropped), 0);
    EXPECT(weir_tag(cx) == (uint64_t)(t - p.units));
    beat();
    stacked--;
    /* A group of another job on this stack would never be destroyed. */
    if (p.exits && stacked == 0 && weir_worker_index(cx) >= 0 &&
        one_in(&t->dice, 64))
        pthread_exit(NULL);
    return status;
}

/* ---- the owner of a group ---- */

struct owner {
    struct dice *dice;
    struct weir_group *group;
    struct weir_group_options options;
    int depth;
    uint64_t accepted;
    uint64_t tags[PER_GROUP];
    bool read[PER_GROUP];
    atomic_int ready;
};

static void on_ready(void *user)
{
    struct owner *o = user;

    atomic_fetch_add(&o->ready, 1);
}

static void check_result(struct owner *o, const struct weir_result *r)
{
    struct unit *t;

    EXPECT(!o->options.discard);
    EXPECT(r->index < o->accepted);
    if (r->index >= o->accepted)
        return;
    EXPECT(!o->read[r->index]);
    o->read[r->index] = true;
    EXPECT(r->tag == o->tags[r->index]);
    t = &p.units[o->tags[r->index]];
    EXPECT_INT(atomic_load(&t->ran), r->attempts);
    EXPECT_INT(atomic_load(&t->dropped), r->attempts == 0);
    if (r->attempts == 1) {
        EXPECT(r->arg == t);
        EXPECT(r->status == t->status ||
               (p.exits && r->status == -ECANCELED));
        EXPECT((r->queued_at > 0) == (o->options.times == 1));
        EXPECT(r->queued_at <= r->began_at && r->began_at <= r->ended_at);
    } else {
        EXPECT(r->arg == NULL);
        EXPECT(r->status < 0);
        EXPECT_INT(r->worker, -1);
        EXPECT(r->began_at == 0);
    }
    beat();
}

/* Deadlines for which a job may also wait. */
static int64_t wait_deadline(struct dice *dice)
{
    return one_in(dice, 2) ? WEIR_FOREVER : some_deadline(dice);
}

static bool is_late(int err, int64_t deadline)
{
    return deadline != WEIR_FOREVER &&
           err == (deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT);
}

static void read_next(struct owner *o, int64_t deadline)
{
    struct weir_result r;
    int err = weir_group_next(o->group, &r, deadline);

    if (err == 0)
        check_result(o, &r);
    else
        EXPECT(err == -ENOENT || err == -EDEADLK || is_late(err, deadline));
}

static void read_one(struct owner *o, uint64_t index, int64_t deadline)
{
    struct weir_result r;
    int err = weir_group_get(o->group, index, &r, deadline);

    if (err == 0) {
        EXPECT(r.index == index);
        check_result(o, &r);
    } else if (err == -ESTALE) {
        EXPECT(o->options.discard || o->read[index]);
    } else if (err == -ENOENT) {
        EXPECT(index >= o->accepted);
    } else {
        EXPECT(err == -EDEADLK || is_late(err, deadline));
    }
}

static void submit_some(struct owner *o)
{
    struct weir_job jobs[6];
    int room = PER_GROUP - (int)o->accepted;
    int count = within(o->dice, 1, 6);
    ssize_t n;

    if (room == 0)
        return;
    count = make_jobs(o->dice, jobs, count < room ? count : room, o->group,
                      o->depth);
    /* Before the submit: results may come immediately. */
    for (int i = 0; i < count; i++)
        o->tags[o->accepted + (uint64_t)i] = jobs[i].tag;
    n = weir_group_submit(o->group, jobs, (size_t)count,
                          one_in(o->dice, 2) ? WEIR_FOREVER
                                             : some_deadline(o->dice));
    EXPECT(n == 0 ? count == 0 : n <= count);
    EXPECT(n >= 0 || n == -ENOBUFS || n == -EAGAIN || n == -ETIMEDOUT ||
           n == -ECANCELED || n == -EDEADLK ||
           (n == -EPIPE && p.closes));
    EXPECT(n != -ENOBUFS || !o->options.discard);
    accept_jobs(jobs, n);
    if (n > 0)
        o->accepted += (uint64_t)n;
    beat();
}

static void act(struct owner *o)
{
    switch (within(o->dice, 0, 9)) {
    default:
        submit_some(o);
        break;
    case 5:
    case 6:
        read_next(o, wait_deadline(o->dice));
        break;
    case 7:
        read_one(o, (uint64_t)within(o->dice, 0, PER_GROUP - 1),
                 wait_deadline(o->dice));
        break;
    case 8: {
        int64_t deadline = wait_deadline(o->dice);
        int err = weir_group_wait(o->group, deadline);

            EXPECT(err == 0 || err == -EDEADLK || is_late(err, deadline));
        break;
    }
    case 9:
        if (one_in(o->dice, 4)) {
            uint64_t index = one_in(o->dice, 4)
                ? WEIR_EVERY
                : (uint64_t)within(o->dice, 0, PER_GROUP - 1);
            int err = weir_group_cancel(o->group, index,
                                        one_in(o->dice, 2) ? -ECANCELED
                                                           : -EINTR);

            EXPECT(err == 0 || err == -ESTALE || err == -ENOENT);
        }
        break;
    }
}

/* Everything has ended: the counts must add up. */
static void check_group(struct owner *o)
{
    struct weir_group_stats s;
    struct weir_result r;
    uint64_t unread = 0;

    EXPECT_INT(weir_group_stats(o->group, &s), 0);
    EXPECT(s.submitted == o->accepted);
    EXPECT(s.succeeded + s.failed + s.dropped == s.submitted);
    EXPECT_INT(s.unfinished, 0);
    if (o->options.policy == WEIR_FIRST_OK && s.succeeded > 0)
        EXPECT_INT(weir_group_status(o->group), 0);
    else
        EXPECT((weir_group_status(o->group) == 0) ==
               (s.failed + s.dropped == 0));
    if (one_in(o->dice, 2)) {
        while (weir_group_next(o->group, &r, WEIR_FOREVER) == 0)
            check_result(o, &r);
    } else {
        for (uint64_t i = 0; i < o->accepted; i++)
            read_one(o, i, WEIR_FOREVER);
    }
    EXPECT_INT(weir_group_next(o->group, &r, WEIR_FOREVER), -ENOENT);
    for (uint64_t i = 0; i < o->accepted; i++)
        unread += !o->read[i];
    EXPECT(unread == (o->options.discard ? o->accepted : 0));
    EXPECT_INT(weir_group_stats(o->group, &s), 0);
    EXPECT_INT(s.unread, 0);
}

/* Create a group, make random calls on it, destroy it. */
static void play(struct dice *dice, int depth)
{
    struct owner o = { .dice = dice, .depth = depth };

    if (atomic_load(&p.next_unit) >= UNITS)
        return;
    o.options = (struct weir_group_options){
        .window = (size_t)within(dice, 1, 12),
        .policy = (enum weir_policy)(one_in(dice, 2) ? WEIR_ALL
                                                     : within(dice, 1, 2)),
        .discard = one_in(dice, 4), .help = one_in(dice, 2),
        .deadline = one_in(dice, 6)
            ? weir_after(within(dice, 0, 2000) * WEIR_US) : 0,
        .times = one_in(dice, 2),
        .on_ready = one_in(dice, 2) ? on_ready : NULL, .user = &o,
    };
    REQUIRE(weir_group_create(&o.group, p.pool, &o.options) == 0);
    atomic_fetch_add(&p.groups, 1);
    atomic_fetch_add(&p.inside, 1);
    for (int i = within(dice, 1, 20); i > 0; i--)
        act(&o);
    if (one_in(dice, 2) && weir_group_wait(o.group, WEIR_FOREVER) == 0)
        check_group(&o);
    weir_group_destroy(o.group);
    EXPECT(o.options.discard || o.options.on_ready == NULL ||
           o.accepted == 0 || atomic_load(&o.ready) > 0);
    /* From here on on_ready is not called any more. */
    atomic_store(&o.ready, -1);
    atomic_fetch_sub(&p.inside, 1);
    for (uint64_t i = 0; i < o.accepted; i++) {
        struct unit *t = &p.units[o.tags[i]];

        EXPECT_INT(atomic_load(&t->ran) + atomic_load(&t->dropped), 1);
    }
    EXPECT_INT(atomic_load(&o.ready), -1);
    beat();
}

static int each_one(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)user, 1);
    ++*(char *)element;
    return 0;
}

/* ---- threads around the pool ---- */

struct host {
    struct dice dice;
    int turns;
};

static void *run_host(void *arg)
{
    struct host *h = arg;

    for (int i = 0; i < h->turns; i++) {
        char array[40] = { 0 };
        atomic_int called = 0;
        int err;

        play(&h->dice, 1);
        if (!one_in(&h->dice, 8))
            continue;
        err = weir_for_each(p.pool, &(struct weir_each){
            .fn = each_one, .user = &called, .array = array,
            .count = sizeof(array), .size = 1 });
        EXPECT(err == 0 ? atomic_load(&called) == (int)sizeof(array)
                        : p.closes || atomic_load(&p.held));
        for (size_t k = 0; k < sizeof(array); k++)
            EXPECT(array[k] == 1 || (err != 0 && array[k] == 0));
    }
    return NULL;
}

static void *close_pool(void *arg)
{
    struct host *h = arg;
    int err;

    usleep((useconds_t)h->turns);
    do {
        enum weir_close mode = one_in(&h->dice, 2) ? WEIR_CANCEL
                                                   : WEIR_DRAIN;

        if (mode == WEIR_CANCEL)
            atomic_store(&p.cancelled, 1);
        err = weir_pool_close(p.pool, mode,
                              one_in(&h->dice, 3) ? WEIR_FOREVER
                                                  : some_deadline(&h->dice));
        EXPECT(err == 0 || err == -EAGAIN || err == -ETIMEDOUT);
    } while (err != 0);
    return NULL;
}

static void *change_limit(void *arg)
{
    struct host *h = arg;
    struct weir_gate *gate = weir_pool_gate(p.pool);

    while (!atomic_load(&p.stop)) {
        EXPECT_INT(weir_gate_set(gate, &(struct weir_gate_options){
            .limit = within(&h->dice, 1, 4) }), 0);
        if (one_in(&h->dice, 4)) {
            atomic_store(&p.held, 1);
            EXPECT_INT(weir_gate_hold(gate, 0, weir_after(200 * WEIR_US)), 0);
        }
        usleep((useconds_t)within(&h->dice, 0, 300));
    }
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
    return NULL;
}

/* ---- a round ---- */

static void make_pool(struct dice *dice)
{
    struct weir_pool_options *o = &p.options;

    o->workers = within(dice, 1, 4);
    o->capacity = (size_t)(one_in(dice, 3) ? within(dice, 1, 3)
                                           : within(dice, 1, 60));
    if (one_in(dice, 2))
        o->limit = within(dice, 1, o->workers);
    if (one_in(dice, 4))
        o->rate_per_s = within(dice, 20000, 500000);
    o->help_depth = one_in(dice, 3) ? within(dice, 1, 3) : 0;
    REQUIRE(weir_pool_create(&p.pool, o) == 0);
}

static void check_end(void)
{
    struct weir_pool_stats s;
    struct weir_gate_stats g;
    int used = atomic_load(&p.next_unit);

    for (int i = 0; i < used && i < UNITS; i++)
        EXPECT_INT(atomic_load(&p.units[i].ran) +
                       atomic_load(&p.units[i].dropped),
                   atomic_load(&p.units[i].accepted));
    EXPECT_INT(atomic_load(&p.inside), 0);
    EXPECT_INT(weir_pool_stats(p.pool, &s), 0);
    EXPECT_INT(s.queued, 0);
    EXPECT_INT(s.running, 0);
    if (weir_pool_gate(p.pool) == NULL)
        return;
    EXPECT_INT(weir_gate_stats(weir_pool_gate(p.pool), &g), 0);
    EXPECT_INT(g.inside, 0);
    EXPECT_INT(g.waiting, 0);
}

static void group_round(struct dice *dice)
{
    struct host hosts[HOSTS_MAX], closer, changer;
    pthread_t running[HOSTS_MAX], closing = 0, changing = 0;
    int count = within(dice, 1, HOSTS_MAX);
    int changes;

    memset(&p, 0, sizeof(p));
    p.closes = one_in(dice, 3);
    p.exits = one_in(dice, 3);
    make_pool(dice);
    changes = weir_pool_gate(p.pool) != NULL && one_in(dice, 2);
    for (int i = 0; i < count; i++) {
        hosts[i] = (struct host){ { roll(dice) }, within(dice, 1, 20) };
        running[i] = start(run_host, &hosts[i]);
    }
    closer = (struct host){ { roll(dice) }, within(dice, 0, 5000) };
    changer = (struct host){ { roll(dice) }, 0 };
    if (p.closes)
        closing = start(close_pool, &closer);
    if (changes)
        changing = start(change_limit, &changer);
    for (int i = 0; i < count; i++)
        join(running[i]);
    if (p.closes)
        join(closing);
    else if (one_in(dice, 2))
        EXPECT_INT(weir_pool_wait(p.pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(p.pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    atomic_store(&p.stop, 1);
    if (changes)
        join(changing);
    check_end();
    weir_pool_destroy(p.pool);
    p.pool = NULL;
}

static void group_programs(void)
{
    stress_rounds(group_round);
}

static const struct tap_case cases[] = {
    { "random programs: each job of a group ends exactly once and has its "
      "result", group_programs },
};

int main(void)
{
    return STRESS_RUN(cases);
}
