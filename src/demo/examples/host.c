/* SPDX-License-Identifier: MIT
 * host.c - a program with threads of its own, which the pool borrows.
 *
 * The pool starts no threads. Whoever has nothing better to do lends itself
 * to it and comes back when all jobs have ended; so the program alone says
 * how many threads there are, and of what priority, stack and name.
 *
 *   cc host.c $(pkg-config --cflags --libs weir) -pthread
 *
 * Prints:
 *   1000 jobs done by threads of the program: the sum is 500500
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

static void *lend(void *arg)
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
           pthread_create(&threads[started], NULL, lend, pool) == 0)
        started++;
    if (err == 0) /* this one helps too, and waits so for all of them */
        err = weir_pool_run(pool, WEIR_FOREVER);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    if (err == 0)
        printf("%d jobs done by threads of the program: the sum is %ld\n",
               JOBS, atomic_load(&sum));
    weir_pool_destroy(pool);
    return err != 0;
}
