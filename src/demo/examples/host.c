/* SPDX-License-Identifier: MIT
 * host.c - a pool that runs its jobs on the application's threads.
 *
 * The pool starts no threads. A thread of the application calls
 * weir_pool_run(), runs jobs, and returns when all jobs have ended. So the
 * application alone decides how many threads there are, and their priority,
 * stack and name.
 *
 *   cc host.c $(pkg-config --cflags --libs weir) -pthread
 *
 * Prints:
 *   1000 jobs run on application threads: the sum is 500500
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <weir/weir.h>

#define JOBS 1000
#define THREADS 3

static int add(struct weir_context *cx, void *arg)
{
    atomic_fetch_add((atomic_long *)arg, (long)weir_tag(cx));
    return 0;
}

static void *run_jobs(void *arg)
{
    weir_pool_run(arg, WEIR_FOREVER);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct weir_pool *pool;
    atomic_long sum = 0;
    int started = 0;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = WEIR_NONE, .callers_max = THREADS + 1, .capacity = JOBS });

    for (uint64_t i = 1; i <= JOBS && err == 0; i++)
        if (weir_pool_submit(pool, &(struct weir_job){ .fn = add,
                .arg = &sum, .tag = i }, 1, WEIR_NO_WAIT) != 1)
            err = -EAGAIN;
    while (started < THREADS && err == 0 &&
           pthread_create(&threads[started], NULL, run_jobs, pool) == 0)
        started++;
    if (err == 0) /* the main thread runs jobs too, until all have ended */
        err = weir_pool_run(pool, WEIR_FOREVER);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    if (err == 0)
        printf("%d jobs run on application threads: the sum is %ld\n",
               JOBS, atomic_load(&sum));
    weir_pool_destroy(pool);
    return err != 0;
}
