/* SPDX-License-Identifier: MIT
 * thpool.c - a program written for C-Thread-Pool, running on a Weir pool.
 *
 * Nothing below knows of Weir: it comes in by the thpool.h of this folder,
 * which stands in for the one of C-Thread-Pool. The program counts primes in
 * ranges, one job each, which are added while the pool is paused. Then it
 * destroys the pool while jobs are queued. It exits with 1 if anything is not
 * as thpool.h says.
 *
 *   cc thpool.c $(pkg-config --cflags --libs weir) -pthread
 *
 * Prints:
 *   paused: 100 ranges added, 0 counted
 *   resumed and waited: 78498 primes below 1000000, 0 threads working
 *   destroyed: 1 running job ended, 0 of 50 queued jobs ran
 */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include "thpool.h"

#define RANGES 100
#define SIZE 10000
#define QUEUED 50

struct range {
    int from, primes, counted;
};

static void count_primes(void *arg)
{
    struct range *range = arg;

    for (int n = range->from; n < range->from + SIZE; n++) {
        int divisor = 2;

        while (divisor * divisor <= n && n % divisor != 0)
            divisor++;
        range->primes += n > 1 && divisor * divisor > n;
    }
    range->counted = 1;
}

/* A job that is running when the pool is paused. */
struct runner {
    sem_t started, go_on;
    atomic_int ended;
};

static void run(void *arg)
{
    struct runner *runner = arg;

    sem_post(&runner->started);
    while (sem_wait(&runner->go_on) != 0)
        ; /* a signal came */
    atomic_store(&runner->ended, 1);
}

static void count_call(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

/* Sum up what has been counted of the ranges: only while no job runs. */
static int counted(const struct range *ranges, int *primes)
{
    int count = 0;

    *primes = 0;
    for (int i = 0; i < RANGES; i++) {
        count += ranges[i].counted;
        *primes += ranges[i].primes;
    }
    return count;
}

int main(void)
{
    static struct range ranges[RANGES];
    struct runner runner = { .ended = 0 };
    atomic_int calls = 0;
    int primes, refused = 0;
    threadpool pool = thpool_init(4);

    if (pool == NULL || sem_init(&runner.started, 0, 0) != 0 ||
        sem_init(&runner.go_on, 0, 0) != 0)
        return 1;

    thpool_pause(pool);
    for (int i = 0; i < RANGES; i++) {
        ranges[i].from = i * SIZE;
        refused += thpool_add_work(pool, count_primes, &ranges[i]) != 0;
    }
    printf("paused: %d ranges added, %d counted\n", RANGES - refused,
           counted(ranges, &primes));
    thpool_resume(pool);
    thpool_wait(pool);
    refused += counted(ranges, &primes) != RANGES;
    printf("resumed and waited: %d primes below %d, %d threads working\n",
           primes, RANGES * SIZE, thpool_num_threads_working(pool));

    refused += thpool_add_work(pool, run, &runner) != 0;
    while (refused == 0 && sem_wait(&runner.started) != 0)
        ;
    thpool_pause(pool); /* what is added now stays in the queue */
    for (int i = 0; i < QUEUED; i++)
        refused += thpool_add_work(pool, count_call, &calls) != 0;
    sem_post(&runner.go_on); /* a paused pool lets a running job go on */
    thpool_destroy(pool);
    printf("destroyed: %d running job ended, %d of %d queued jobs ran\n",
           atomic_load(&runner.ended), atomic_load(&calls), QUEUED);
    return refused != 0 || primes != 78498 || atomic_load(&calls) != 0 ||
           !atomic_load(&runner.ended);
}
