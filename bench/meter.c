/* SPDX-License-Identifier: MIT
 * meter.c - one sample: how long, how much CPU, how late, and whether each
 * job ran exactly once. */
#include "meter.h"

#include "stats.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

_Thread_local struct meter_slot *meter_mine;
uint64_t meter_mask = UINT64_MAX;

/* Slots outlive their threads and go on to the next one, with their counts:
 * only differences are looked at. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct meter_slot *slots, *free_slots; /* (l) */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

/* Of the current sample. Constant while it runs, except the times, each of
 * which is written once, by the submitter or by the job. */
static _Atomic int64_t *submitted, *ended;
static unsigned shift;

int64_t meter_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void give_back(void *arg)
{
    struct meter_slot *slot = arg;

    pthread_mutex_lock(&lock);
    slot->next_free = free_slots;
    free_slots = slot;
    pthread_mutex_unlock(&lock);
}

static void make_key(void)
{
    if (pthread_key_create(&key, give_back) != 0)
        abort();
}

struct meter_slot *meter_claim(void)
{
    struct meter_slot *slot;

    pthread_once(&once, make_key);
    pthread_mutex_lock(&lock);
    slot = free_slots;
    if (slot != NULL) {
        free_slots = slot->next_free;
    } else {
        slot = aligned_alloc(64, sizeof(*slot));
        if (slot == NULL) {
            fputs("weir-bench: no memory\n", stderr);
            abort();
        }
        memset(slot, 0, sizeof(*slot));
        slot->next = slots;
        slots = slot;
    }
    pthread_mutex_unlock(&lock);
    pthread_setspecific(key, slot);
    meter_mine = slot;
    return slot;
}

void meter_stamp(uint64_t number, int end)
{
    _Atomic int64_t *times = end ? ended : submitted;

    if (times != NULL)
        atomic_store_explicit(&times[number >> shift], meter_now(),
                              memory_order_relaxed);
}

static void totals(uint64_t *count, uint64_t *sum)
{
    *count = *sum = 0;
    pthread_mutex_lock(&lock);
    for (struct meter_slot *s = slots; s != NULL; s = s->next) {
        *count += atomic_load(&s->count);
        *sum += atomic_load(&s->sum);
    }
    pthread_mutex_unlock(&lock);
}

static void usage(int64_t *cpu_ns, uint64_t *switches)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    *cpu_ns = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000000) +
              (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * INT64_C(1000);
    *switches = (uint64_t)(u.ru_nvcsw + u.ru_nivcsw);
}

int meter_begin(struct meter *meter, uint64_t ops, int latencies)
{
    uint64_t step = 1;

    *meter = (struct meter){ .ops = ops };
    shift = 0;
    if (latencies) {
        while (ops / step >= LATENCIES)
            step *= 2, shift++;
        submitted = calloc(LATENCIES, sizeof(*submitted));
        ended = calloc(LATENCIES, sizeof(*ended));
        if (submitted == NULL || ended == NULL)
            return -ENOMEM;
        meter_mask = step - 1;
    }
    totals(&meter->count, &meter->sum);
    usage(&meter->cpu_ns, &meter->switches);
    meter->began_ns = meter_now();
    return 0;
}

void meter_stop(struct meter *meter)
{
    int64_t cpu_ns = meter->cpu_ns;
    uint64_t switches = meter->switches;

    meter->ended_ns = meter_now();
    usage(&meter->cpu_ns, &meter->switches);
    meter->cpu_ns -= cpu_ns;
    meter->switches -= switches;
}

void meter_latencies(struct sample *sample, int64_t *ns, size_t count)
{
    if (count == 0)
        return;
    stats_sort(ns, count);
    sample->p50 = (double)stats_quantile(ns, count, 0.5);
    sample->p99 = (double)stats_quantile(ns, count, 0.99);
    sample->max = (double)ns[count - 1];
}

static void take_latencies(struct meter *meter, struct sample *sample)
{
    static int64_t ns[LATENCIES];
    size_t count = 0;

    for (uint64_t i = 0; i < meter->ops; i += meter_mask + 1) {
        int64_t from = atomic_load(&submitted[i >> shift]);
        int64_t to = atomic_load(&ended[i >> shift]);

        if (from != 0 && to != 0)
            ns[count++] = to - from;
    }
    meter_latencies(sample, ns, count);
}

int meter_end(struct meter *meter, struct sample *sample)
{
    double ops = (double)meter->ops;
    uint64_t count, sum;

    *sample = (struct sample){
        .ns = (double)(meter->ended_ns - meter->began_ns) / ops,
        .cpu_ns = (double)meter->cpu_ns / ops,
        .switches = (double)meter->switches / ops };
    if (submitted != NULL && ended != NULL && meter_mask != UINT64_MAX)
        take_latencies(meter, sample);
    free((void *)submitted);
    free((void *)ended);
    submitted = ended = NULL;
    meter_mask = UINT64_MAX;

    totals(&count, &sum);
    count -= meter->count;
    sum -= meter->sum;
    for (uint64_t i = 0; i < meter->ops; i++)
        sum -= meter_mix(i + 1);
    return count == meter->ops && sum == 0 ? 0 : -EPROTO;
}
