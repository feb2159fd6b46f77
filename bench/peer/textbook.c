/* SPDX-License-Identifier: MIT
 * textbook.c - the pool everybody writes: a ring under a mutex, and either
 * two condition variables, or two semaphores that count items and slots. */
#include "peer.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
static pthread_cond_t quiet = PTHREAD_COND_INITIALIZER;
static sem_t items, slots, permits;
static int by_semaphore, gated;

static void **ring;                   /* (l) */
static size_t capacity, head, count;  /* (l) */
static size_t pending;                /* (l) submitted and not ended */
static int closing;                   /* (l) */
static pthread_t *threads;
static int thread_count;
static void (*job)(void *arg);

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        ;
}

static void *next_job(void)
{
    void *arg;

    if (by_semaphore)
        wait_for(&items);
    pthread_mutex_lock(&lock);
    while (!by_semaphore && count == 0 && !closing)
        pthread_cond_wait(&not_empty, &lock);
    arg = count != 0 ? ring[head] : NULL;
    if (arg != NULL) {
        head = (head + 1) % capacity;
        count--;
    }
    if (!by_semaphore)
        pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&lock);
    if (by_semaphore)
        sem_post(&slots);
    return arg;
}

static void *worker_main(void *unused)
{
    void *arg;

    (void)unused;
    while ((arg = next_job()) != NULL) {
        if (gated)
            wait_for(&permits);
        job(arg);
        if (gated)
            sem_post(&permits);
        pthread_mutex_lock(&lock);
        if (--pending == 0)
            pthread_cond_broadcast(&quiet);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void start(int workers, size_t ring_size, void (*fn)(void *arg))
{
    unsigned limit = workers > 1 ? (unsigned)workers / 2 : 1;

    job = fn;
    capacity = ring_size;
    head = count = pending = 0;
    closing = 0;
    ring = calloc(capacity, sizeof(*ring));
    threads = calloc((size_t)workers, sizeof(*threads));
    if (ring == NULL || threads == NULL || sem_init(&items, 0, 0) != 0 ||
        sem_init(&slots, 0, (unsigned)capacity) != 0 ||
        sem_init(&permits, 0, limit) != 0)
        peer_die("no memory");
    for (thread_count = 0; thread_count < workers; thread_count++)
        if (pthread_create(&threads[thread_count], NULL, worker_main,
                           NULL) != 0)
            peer_die("no thread");
}

static void start_mutex(int workers, size_t ring_size, void (*fn)(void *))
{
    by_semaphore = gated = 0;
    start(workers, ring_size, fn);
}

static void start_semaphore(int workers, size_t ring_size, void (*fn)(void *))
{
    by_semaphore = 1;
    gated = 0;
    start(workers, ring_size, fn);
}

static void start_gated(int workers, size_t ring_size, void (*fn)(void *))
{
    by_semaphore = gated = 1;
    start(workers, ring_size, fn);
}

static void submit(void *arg)
{
    if (by_semaphore)
        wait_for(&slots);
    pthread_mutex_lock(&lock);
    while (!by_semaphore && count == capacity)
        pthread_cond_wait(&not_full, &lock);
    ring[(head + count) % capacity] = arg;
    count++;
    pending++;
    if (!by_semaphore)
        pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
    if (by_semaphore)
        sem_post(&items);
}

static void wait_quiet(void)
{
    pthread_mutex_lock(&lock);
    while (pending != 0)
        pthread_cond_wait(&quiet, &lock);
    pthread_mutex_unlock(&lock);
}

static void stop(void)
{
    pthread_mutex_lock(&lock);
    closing = 1;
    pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&lock);
    for (int i = 0; by_semaphore && i < thread_count; i++)
        sem_post(&items); /* with nothing in the ring: the end */
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    sem_destroy(&items);
    sem_destroy(&slots);
    sem_destroy(&permits);
    free(ring);
    free(threads);
}

/* ---- no pool: a plain loop ---- */

static void (*plain)(void *arg);

static void start_serial(int workers, size_t ring_size, void (*fn)(void *))
{
    (void)workers;
    (void)ring_size;
    plain = fn;
}

static void submit_serial(void *arg)
{
    plain(arg);
}

static void nothing(void)
{
}

static void fan_serial(void **args, size_t n)
{
    for (size_t i = 0; i < n; i++)
        plain(args[i]);
}

static const struct peer mutex_peer = { "mutex", start_mutex, submit,
    wait_quiet, stop, wait_quiet, NULL, NULL, NULL };
static const struct peer semaphore_peer = { "semaphore", start_semaphore,
    submit, wait_quiet, stop, wait_quiet, NULL, NULL, NULL };
static const struct peer gated_peer = { "semaphore-gate", start_gated, submit,
    wait_quiet, stop, wait_quiet, NULL, NULL, NULL };

static const struct peer serial_peer = { "serial", start_serial,
    submit_serial, nothing, nothing, nothing, fan_serial, NULL, NULL };

const struct peer *const peer_all[] = { &mutex_peer, &semaphore_peer,
                                        &gated_peer, &serial_peer, NULL };
