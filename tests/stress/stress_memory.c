/* SPDX-License-Identifier: MIT
 * stress_memory.c - an endless input runs in constant memory.
 *
 * The resident size is read when a tenth of the jobs have ended, and during the
 * rest. WEIR_TEST_JOBS is the number of jobs. Under a sanitizer the size is
 * mostly its shadow memory, and is only printed. */
#include <weir/weir.h>

#include "process.h"
#include "run.h"

static uint64_t jobs_wanted(void)
{
    const char *text = getenv("WEIR_TEST_JOBS");

#if defined(TESTS_TSAN)
    return text != NULL ? strtoull(text, NULL, 10) : 100000;
#else
    return text != NULL ? strtoull(text, NULL, 10) : 1000000;
#endif
}

/* What may grow: read 64 times after the first tenth. */
struct growth {
    uint64_t from, step;
    long first, most; /* KiB */
};

static void look(struct growth *growth, uint64_t ended)
{
    long now;

    if (ended < growth->from || ended % growth->step != 0)
        return;
    now = resident_kb();
    if (growth->first == 0)
        growth->first = now;
    if (now > growth->most)
        growth->most = now;
}

static void judge(const struct growth *growth, uint64_t jobs)
{
    printf("# %llu jobs: resident %ld KiB after the first tenth, "
           "%ld KiB at most\n",
           (unsigned long long)jobs, growth->first, growth->most);
    /* Parts of stacks and heaps are first touched late; a leak of one byte a
     * job would be more. */
    if (SIZE_IS_OURS)
        EXPECT(growth->most - growth->first < 512);
}

static int twice(struct weir_context *cx, void *arg)
{
    (void)arg;
    return (int)(weir_tag(cx) % 1000 * 2);
}

/* Read one result if there is one. */
static uint64_t read_one(struct weir_group *group, int64_t deadline)
{
    struct weir_result r;

    if (weir_group_next(group, &r, deadline) != 0)
        return 0;
    EXPECT_INT(r.status, (int)(r.index % 1000 * 2));
    return 1;
}

static void lazy_input(void)
{
    uint64_t jobs = jobs_wanted(), read = 0, most = 0;
    struct growth growth = { .from = jobs / 10, .step = jobs / 64 + 1 };
    struct weir_group_stats stats;
    struct weir_group *group;
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 4 }) == 0);
    REQUIRE(weir_group_create(&group, pool, &(struct weir_group_options){
        .window = 64 }) == 0);
    for (uint64_t i = 0; i < jobs;) {
        struct weir_job job = { .fn = twice, .tag = i };
        ssize_t n = weir_group_submit(group, &job, 1, WEIR_FOREVER);

        if (n == 1) {
            i++;
        } else {
            if (!EXPECT_INT(n, -ENOBUFS))
                break;
            read += read_one(group, WEIR_FOREVER);
            look(&growth, read);
        }
        if (i - read > most)
            most = i - read;
    }
    while (read < jobs && read_one(group, WEIR_FOREVER) == 1)
        read++;
    EXPECT(read == jobs);
    EXPECT(most <= 64);
    EXPECT_INT(weir_group_stats(group, &stats), 0);
    EXPECT(stats.succeeded + stats.failed == jobs);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    judge(&growth, jobs);
}

/* Jobs that are parked, delayed, run twice and dropped also come and go. */
static int sometimes_again(struct weir_context *cx, void *arg)
{
    atomic_int *runs = arg;

    (void)cx;
    return atomic_fetch_add(runs, 1) % 7 == 0 ? WEIR_RERUN : 0;
}

static void deferred_jobs(void)
{
    uint64_t jobs = jobs_wanted() / 4, refused = 0;
    struct growth growth = { .from = jobs / 10, .step = jobs / 64 + 1 };
    struct weir_gate *gate;
    struct weir_pool *pool;
    atomic_int runs = 0;

    REQUIRE(weir_gate_create(&gate, &(struct weir_gate_options){
        .limit = 2, .keys_max = 256 }) == 0);
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 4, .capacity = 256 }) == 0);
    for (uint64_t i = 0; i < jobs;) {
        struct weir_job job = { .fn = sometimes_again, .arg = &runs,
            .gate = gate, .key = i * i % 1009 };
        ssize_t n;

        if (i % 5 == 0)
            job.start = weir_after(10 * WEIR_US);
        n = weir_pool_submit(pool, &job, 1, WEIR_FOREVER);
        if (n == 1)
            look(&growth, ++i);
        else if (!EXPECT_INT(n, -EAGAIN))
            break;
        else
            refused++;
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT((uint64_t)runs >= jobs);
    printf("# refused and tried again: %llu\n", (unsigned long long)refused);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
    judge(&growth, jobs);
}

static const struct tap_case cases[] = {
    { "a million jobs from a lazy input run through a window of 64 in memory "
      "that does not grow", lazy_input },
    { "deferred jobs that rerun and pass gates of many keys leave no memory "
      "behind", deferred_jobs },
};

int main(void)
{
    return TAP_RUN(cases);
}
