/* SPDX-License-Identifier: MIT
 * entry.h - what a cell of the pool's ring holds.
 *
 * A job has one entry in the ring, which gives it its place in the order. A
 * plain job is nothing but its entry. A deferred job and a job of an owner have
 * a record, which their entry refers to; such a job may leave the ring out of
 * turn: it is made ready, helped, cancelled or dropped for its
 * deadline. Its entry is stale from then on. A worker that takes a stale entry
 * skips it, and it uses up none of the pool's capacity, which counts jobs. */
#ifndef WEIR_POOL_ENTRY_H
#define WEIR_POOL_ENTRY_H

#include <weir/job.h>

/* A plain job: the first members of struct weir_job (submit.c asserts that they
 * agree). A job that uses one of the others is a deferred job. */
struct weir_plain_job {
    weir_fn *fn;
    void *arg;
    uint64_t tag;
    void (*drop)(void *arg, int reason);
    const char *name;
};

enum weir_entry_kind {
    WEIR_ENTRY_PLAIN,    /* `job` */
    WEIR_ENTRY_DEFERRED, /* `ref` is a placeholder, for a deferred job */
    WEIR_ENTRY_OWNED     /* `ref` is a reference, to a job of an owner */
};

/* Which job an entry refers to. A record serves one job after the other, and
 * has another generation for each: so an entry that refers to an earlier job is
 * recognized as stale. */
struct weir_job_ref {
    void *record;
    uint64_t generation;
};

struct weir_entry {
    enum weir_entry_kind kind;
    union {
        struct weir_plain_job job;
        struct weir_job_ref ref;
    };
};

#endif
