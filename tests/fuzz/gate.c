/* SPDX-License-Identifier: MIT
 * gate.c - fuzz target: any calls of a gate, in any order, on a simulated
 * clock.
 *
 * There is one thread, so no call waits for another. The target checks what
 * gate.h makes certain: which calls must acquire and which must not, by limit
 * and hold; that any k periods have at most k + burst acquisitions; that a tick
 * is available a period after the last acquisition; which keys have entries. */
#include "clock.h"

#include <weir/gate.h>

#define KEYS 24    /* in use; one if the gate has none */
#define HISTORY 64 /* acquisitions that are remembered */

struct key {
    int inside;
    int64_t held_until;        /* WEIR_NO_WAIT: not held */
    int64_t entries[HISTORY];  /* since rate or burst were set, at the end */
    int count;
    int64_t last;              /* acquisition since there is a rate; -1: none */
};

struct model {
    struct weir_gate *gate;
    int limit, burst;
    int64_t period;     /* 0: no rate */
    size_t keys_max;
    int64_t held_until; /* all keys */
    struct key keys[KEYS];
    uint64_t entered, refused, waited;
    int inside, inside_peak;
};

/* ---- what is certain ---- */

static bool is_held(const struct model *m, const struct key *k)
{
    return m->held_until > clock_ns || k->held_until > clock_ns;
}

/* Whether a key certainly occupies an entry, or may. */
static bool takes_room(const struct model *m, const struct key *k,
                       bool certain)
{
    if (k->inside > 0 || k->held_until > clock_ns)
        return true;
    if (m->period == 0 || k->last < 0)
        return false;
    /* The rate remembers a used tick until a whole burst is available again.
     * The tick lies at the acquisition or up to `burst` periods before it, so
     * it is certainly remembered only without a burst. */
    if (certain)
        return m->burst == 1 && clock_ns == k->last && k->count == 1;
    return clock_ns - k->last < m->period * m->burst;
}

static size_t count_keys(const struct model *m, const struct key *but,
                         bool certain)
{
    size_t count = 0;

    for (size_t i = 0; i < KEYS; i++)
        count += &m->keys[i] != but && takes_room(m, &m->keys[i], certain);
    return count;
}

/* Whether there is certainly an entry for this key. */
static bool has_room(const struct model *m, const struct key *k)
{
    return m->keys_max == 0 || takes_room(m, k, true) ||
           count_keys(m, k, false) < m->keys_max;
}

static bool must_not_enter(const struct model *m, const struct key *k)
{
    if (is_held(m, k) || (m->limit != WEIR_NONE && k->inside >= m->limit))
        return true;
    return m->keys_max != 0 && !takes_room(m, k, false) &&
           count_keys(m, k, true) >= m->keys_max;
}

/* A tick is available: a period has passed since the last acquisition, or a
 * whole burst was available and has not been used up since. */
static bool has_slot(const struct model *m, const struct key *k)
{
    int used = 0;

    if (m->period == 0 || k->last < 0 || clock_ns - k->last >= m->period)
        return true;
    /* After a pause that is long enough for a whole burst. */
    for (int i = k->count - 1; i >= 0; i--) {
        used++;
        if (i > 0 && k->entries[i] - k->entries[i - 1] >=
                         m->period * (m->burst + 1))
            return used < m->burst;
    }
    return false;
}

/* ---- the calls ---- */

/* At most n + burst in any n periods that end now. */
static void check_rate(const struct model *m, const struct key *k)
{
    for (int i = k->count - 1; m->period != 0 && i >= 0; i--) {
        int64_t periods = (clock_ns - k->entries[i]) / m->period;

        if (clock_ns - k->entries[i] == periods * m->period)
            CHECK(k->count - i <= periods + m->burst);
        else
            CHECK(k->count - i <= periods + 1 + m->burst);
    }
}

/* Acquire without waiting, with a past deadline, or with a later one. */
static void enter(struct model *m, struct feed *feed, size_t which)
{
    static const int64_t spans[] = { 1, 1000, 125000, 2 * WEIR_S };
    struct key *k = &m->keys[which];
    unsigned how = feed_below(feed, 8);
    int64_t began = clock_ns;
    int64_t until = how < 3 ? WEIR_NO_WAIT
                            : how < 4 ? 1 : began + spans[how - 4];
    bool could = has_room(m, k);
    int err = weir_gate_acquire(m->gate, which, until);

    CHECK(clock_ns == began || (how >= 4 && clock_ns <= until));
    if (err != 0) {
        /* No call waits for an entry for a key. */
        CHECK(err == (how < 3 ? -EAGAIN : -ETIMEDOUT) ||
              (err == -EAGAIN && !could));
        CHECK(err != -ETIMEDOUT || clock_ns >= until);
        CHECK(is_held(m, k) ||
              (m->limit != WEIR_NONE && k->inside >= m->limit) || !could ||
              !has_slot(m, k));
        m->refused++;
        return;
    }
    m->waited += clock_ns != began;
    CHECK(!must_not_enter(m, k));
    if (k->count == HISTORY) {
        memmove(k->entries, k->entries + 1,
                (HISTORY - 1) * sizeof(k->entries[0]));
        k->count--;
    }
    k->entries[k->count++] = clock_ns;
    k->last = clock_ns;
    check_rate(m, k);
    k->inside++;
    m->entered++;
    m->inside++;
    if (m->inside > m->inside_peak)
        m->inside_peak = m->inside;
}

static void leave(struct model *m, size_t which)
{
    if (m->keys[which].inside == 0)
        return;
    weir_gate_release(m->gate, which);
    m->keys[which].inside--;
    m->inside--;
}

/* 0 leaves the value unchanged. */
static int any_limit(struct feed *feed)
{
    static const int limits[] = { 0, 1, 2, 3, 5, WEIR_NONE };

    return limits[feed_below(feed, 6)];
}

/* Rates whose period is a whole number of nanoseconds. */
static double any_rate(struct feed *feed, int64_t *period)
{
    static const double rates[] = { 0, WEIR_NONE, 1e6, 8e3, 1e3, 1 };
    static const int64_t periods[] = { -1,     0,           1000,
                                       125000, 1000 * 1000, WEIR_S };
    unsigned which = feed_below(feed, 6);

    *period = periods[which];
    return rates[which];
}

static void set(struct model *m, struct feed *feed)
{
    struct weir_gate_options options = { .limit = any_limit(feed),
                                         .burst = (int)feed_below(feed, 5) };
    int64_t period;

    options.rate_per_s = any_rate(feed, &period);
    if (feed_below(feed, 16) == 0) {
        options.limit = -2;
        CHECK(weir_gate_set(m->gate, &options) == -EINVAL);
        return;
    }
    CHECK(weir_gate_set(m->gate, &options) == 0);
    m->limit = options.limit != 0 ? options.limit : m->limit;
    if (options.burst == 0 && period < 0)
        return;
    m->burst = options.burst != 0 ? options.burst : m->burst;
    for (size_t i = 0; i < KEYS; i++) {
        m->keys[i].count = 0;
        /* With a first rate it is as if nothing had ever been acquired. */
        if (m->period == 0 && period > 0)
            m->keys[i].last = -1;
    }
    m->period = period >= 0 ? period : m->period;
}

static void hold(struct model *m, struct feed *feed, size_t which)
{
    static const int64_t spans[] = { 0, 1, 1000, WEIR_MS, WEIR_S, 100 };
    unsigned how = feed_below(feed, 8);
    int64_t until = how == 6   ? WEIR_NO_WAIT
                    : how == 7 ? WEIR_FOREVER
                               : clock_ns + spans[how];
    bool every = feed_below(feed, 4) == 0;
    int err = weir_gate_hold(m->gate, every ? WEIR_EVERY : which, until);

    if (every || m->keys_max == 0) {
        CHECK(err == 0);
        m->held_until = until;
    } else if (err == 0) {
        CHECK(takes_room(m, &m->keys[which], false) ||
              count_keys(m, &m->keys[which], true) < m->keys_max);
        m->keys[which].held_until = until;
    } else {
        CHECK(err == -EAGAIN && !has_room(m, &m->keys[which]));
    }
}

static void pass_time(struct feed *feed)
{
    static const int64_t spans[] = { 1,      500,     1000,       125000,
                                     124999, WEIR_MS, 3 * WEIR_S, 1000000001 };

    clock_ns += spans[feed_below(feed, 8)];
}

static void check_stats(struct model *m)
{
    struct weir_gate_stats s;

    CHECK(weir_gate_stats(m->gate, &s) == 0);
    CHECK(s.acquired == m->entered && s.rejected == m->refused);
    CHECK(s.waited == m->waited && s.waiting == 0 && s.parked == 0);
    CHECK(s.inside == m->inside && s.inside_peak == m->inside_peak);
    CHECK(s.limit == m->limit && s.held_until == m->held_until);
    CHECK(s.late_peak_ns <= s.late_ns);
    if (m->keys_max != 0)
        CHECK(s.keys >= count_keys(m, NULL, true) &&
              s.keys <= count_keys(m, NULL, false) && s.keys <= m->keys_max);
}

static void step(struct model *m, struct feed *feed)
{
    unsigned what = feed_below(feed, 16);
    /* More keys than the gate has entries. */
    size_t which = m->keys_max != 0
                       ? feed_below(feed, (unsigned)m->keys_max + 4)
                       : 0;

    if (what < 6)
        enter(m, feed, which);
    else if (what < 9)
        leave(m, which);
    else if (what < 13)
        pass_time(feed);
    else if (what < 14)
        set(m, feed);
    else if (what < 15)
        hold(m, feed, which);
    else
        check_stats(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed feed = feed_of(data, size);
    struct model m = { .held_until = WEIR_NO_WAIT };
    struct weir_gate_options options = { .limit = any_limit(&feed),
                                         .burst = (int)feed_below(&feed, 5) };

    options.rate_per_s = any_rate(&feed, &m.period);
    options.keys_max = feed_below(&feed, 5);
    if (options.keys_max == 4)
        options.keys_max = KEYS - 4;
    m.keys_max = options.keys_max;
    m.period = m.period > 0 ? m.period : 0;
    m.limit = options.limit != 0 ? options.limit : 1;
    m.burst = options.burst != 0 ? options.burst : 1;
    for (size_t i = 0; i < KEYS; i++) {
        m.keys[i].held_until = WEIR_NO_WAIT;
        m.keys[i].last = -1;
    }
    clock_ns = 100 * WEIR_S;
    CHECK(weir_gate_create(&m.gate, &options) == 0);
    while (!feed_is_empty(&feed))
        step(&m, &feed);
    check_stats(&m);
    weir_gate_destroy(m.gate);
    return 0;
}
