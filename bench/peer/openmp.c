/* SPDX-License-Identifier: MIT
 * openmp.c - OpenMP's parallel loop with its dynamic schedule. It is no pool
 * of jobs: it takes part in loops only. */
#include "peer.h"

static void (*function)(void *arg);
static int threads;

static void start(int workers, size_t ring, void (*fn)(void *))
{
    (void)ring;
    function = fn;
    threads = workers;
}

static void submit(void *arg)
{
    function(arg);
}

static void nothing(void)
{
}

static void fan(void **args, size_t count)
{
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < count; i++)
        function(args[i]);
}

static const struct peer dynamic = { "dynamic", start, submit, nothing,
                                     nothing, nothing, fan, NULL, NULL };

const struct peer *const peer_all[] = { &dynamic, NULL };
