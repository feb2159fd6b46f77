/* SPDX-License-Identifier: MIT
 * peer.h - what a pool must provide to be compared.
 *
 * Each pool is a separate program, main.c and one adapter: some pools can have
 * only one number of workers in a process, and several are fast in one process
 * and slow in the next. So every sample runs in a new process. */
#ifndef WEIR_BENCH_PEER_H
#define WEIR_BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

struct peer {
    const char *name;

    /* Start workers that call fn(arg) for every arg submitted; arg is never
     * NULL. `ring` bounds what waits, where it can be bounded. */
    void (*start)(int workers, size_t ring, void (*fn)(void *arg));
    void (*submit)(void *arg); /* from any producer */
    void (*drain)(void);       /* wait for all; nothing is submitted later */
    void (*stop)(void);

    /* NULL where there is no such thing. */
    void (*wait)(void);        /* for all so far, by the only producer */
    void (*fan)(void **args, size_t count); /* submit and wait */
    void (*produce)(void (*body)(void *user), void *user); /* around what a
                                                    producer's thread does */
    void (*update)(uint64_t key); /* add one to a number in a table, from any
                                     thread; makes the key where need be */
};

/* Of the adapter, NULL behind the last; peer_die() ends with 1. */
extern const struct peer *const peer_all[];
void peer_die(const char *reason);

#endif
