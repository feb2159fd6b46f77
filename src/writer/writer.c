/* SPDX-License-Identifier: MIT
 * writer.c - the calls of the writer; the discipline is in
 * writer/writer_private.h. */
#include "sys/sys.h"

#include <weir/writer.h>

#include "base/options.h"
#include "writer/file.h"
#include "writer/writer_private.h"

#include <string.h>

#define IOVECS_MAX 1024 /* as many as writev() itself takes on Linux */
#define CAPACITY_MAX ((uint64_t)1 << 30)
#define CAPACITY_DEFAULT ((size_t)16384)
#define BUFFER_BYTES_MAX ((uint64_t)1 << 40)
#define BUFFER_BYTES_DEFAULT ((size_t)1 << 20)
#define STACK_BYTES ((size_t)0) /* the default: on_batch is application code */

/* ---- waiting ---- */

/* Claim the wake-up of the thread. Returns true if the thread sleeps and the
 * caller must post `work`, preferably after it has released the lock. */
static bool claim_wakeup_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static bool claim_wakeup_locked(struct weir_writer *w)
{
    bool was = w->needs_post;

    w->needs_post = false;
    return was;
}

/* Prepare to wait until a deadline: this makes a semaphore unless the deadline
 * is WEIR_NO_WAIT. Returns 0 or -errno. wait_locked() undoes it. */
static int prepare_waiter(struct weir_waiter *self, int64_t deadline)
{
    return deadline == WEIR_NO_WAIT ? 0 : weir_sys_sem_init(&self->woken);
}

/* Wait on a list until another thread completes the waiter, or until the
 * deadline. The lock is released meanwhile. With `post` the writer's thread is
 * woken first. Returns the waiter's result, -EAGAIN or -ETIMEDOUT. */
static int wait_locked(struct weir_writer *w, struct weir_waiters *list,
                       struct weir_waiter *self, bool post, int64_t deadline)
    WEIR_REQUIRES(w->lock);

static int wait_locked(struct weir_writer *w, struct weir_waiters *list,
                       struct weir_waiter *self, bool post, int64_t deadline)
{
    if (deadline == WEIR_NO_WAIT) {
        if (post)
            weir_sys_sem_post(&w->work);
        return -EAGAIN;
    }
    weir_waiters_append(list, self);
    weir_sys_unlock(&w->lock);
    if (post)
        weir_sys_sem_post(&w->work);
    weir_sys_sem_wait(&self->woken, deadline);
    weir_sys_lock(&w->lock);
    if (!self->done) {
        weir_waiters_remove(list, self);
        self->result = -ETIMEDOUT;
    }
    weir_sys_sem_destroy(&self->woken);
    return self->result;
}

/* ---- opening ---- */

static bool options_are_valid(const struct weir_writer_options *o)
{
    uint64_t buffer = o->buffer_bytes ? o->buffer_bytes : BUFFER_BYTES_DEFAULT;

    /* A torn tail can only be saved and cut if there is a path. If it stayed,
     * the next line appended would continue it. */
    if (o->path == NULL &&
        (o->fd < 0 || o->recover != WEIR_RECOVER_NONE))
        return false;
    return o->capacity <= CAPACITY_MAX &&
           buffer <= BUFFER_BYTES_MAX && o->record_max <= buffer &&
           (unsigned)o->sync <= WEIR_SYNC_BATCH &&
           (unsigned)o->recover <= WEIR_RECOVER_LINES &&
           weir_is_all_zero(o->reserved, sizeof(o->reserved));
}

/* Copy the options and allocate the memory. Returns 0 or -ENOMEM. In both cases
 * free_memory() frees what was allocated. */
static int make_memory(struct weir_writer *w,
                       const struct weir_writer_options *o)
{
    w->capacity = o->capacity ? o->capacity : CAPACITY_DEFAULT;
    w->ring_bytes = o->buffer_bytes ? o->buffer_bytes : BUFFER_BYTES_DEFAULT;
    w->record_max = o->record_max ? o->record_max : (w->ring_bytes + 3) / 4;
    w->batch_max = o->batch_max ? o->batch_max : SIZE_MAX;
    w->sync = o->sync;
    w->recover = o->recover;
    w->on_batch = o->on_batch;
    w->user = o->user;
    if (o->path != NULL) {
        size_t bytes = strlen(o->path) + 1;

        w->path = weir_sys_alloc(1, bytes);
        if (w->path == NULL)
            return -ENOMEM;
        memcpy(w->path, o->path, bytes);
    }
    w->ring = weir_sys_alloc_lazy(1, w->ring_bytes, &w->ring_memory);
    w->record_ends = weir_sys_alloc_lazy(w->capacity, sizeof(*w->record_ends),
                                         &w->ends_memory);
    return w->ring != NULL && w->record_ends != NULL ? 0 : -ENOMEM;
}

static void free_memory(struct weir_writer *w)
{
    weir_sys_fork_guard_destroy(&w->fork_guard);
    weir_sys_free_lazy(&w->ends_memory);
    weir_sys_free_lazy(&w->ring_memory);
    weir_sys_free(w->path);
    weir_sys_free(w);
}

static int open_file(struct weir_writer *w,
                     const struct weir_writer_options *o)
{
    const struct weir_file_options file_options = { .path = w->path,
                                                    .sync = w->sync,
                                                    .recover = w->recover };

    return w->path == NULL
               ? weir_file_adopt(&w->file, o->fd)
               : weir_file_open(&w->file, &file_options, &w->torn_bytes);
}

int weir_writer_open(struct weir_writer **out,
                     const struct weir_writer_options *options)
{
    struct weir_writer *w;
    int err;

    *out = NULL;
    /* Without options there is neither a path nor a descriptor. */
    if (options == NULL || !options_are_valid(options))
        return -EINVAL;
    w = weir_sys_alloc(1, sizeof(*w));
    if (w == NULL)
        return -ENOMEM;
    w->file.fd = -1;
    err = make_memory(w, options);
    if (err != 0)
        goto no_fork_guard;
    err = weir_sys_fork_guard_init(&w->fork_guard);
    if (err != 0)
        goto no_fork_guard;
    err = weir_sys_mutex_init(&w->lock);
    if (err != 0)
        goto no_fork_guard;
    err = weir_sys_sem_init(&w->work);
    if (err != 0)
        goto no_sem;
    /* The thread is started first, because opening may cut the file, and
     * nothing may fail after that. The thread has nothing to do and does not
     * touch the file before the first call after this one. The mutex of that
     * call makes the file visible to it. */
    err = weir_sys_thread_start(&w->thread, weir_writer_thread_main, w,
                                STACK_BYTES,
                                options->name ? options->name : "weir-writer");
    if (err != 0)
        goto no_thread;
    err = open_file(w, options);
    if (err != 0)
        goto no_file;
    *out = w;
    return 0;
no_file:
    weir_writer_destroy(w);
    return err;
no_thread:
    weir_sys_sem_destroy(&w->work);
no_sem:
    weir_sys_mutex_destroy(&w->lock);
no_fork_guard:
    free_memory(w);
    return err;
}

/* ---- the calls ---- */

/* Return 0, or the error of a call that comes after a failure or a close. */
static int accept_error_locked(const struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static int accept_error_locked(const struct weir_writer *w)
{
    return w->error != 0 ? w->error : w->state != WEIR_WRITER_OPEN ? -EPIPE : 0;
}

/* Release the lock, and then wake the writer's thread if `post`. */
static void unlock_and_post(struct weir_writer *w, bool post)
    WEIR_RELEASES(w->lock);

static void unlock_and_post(struct weir_writer *w, bool post)
{
    weir_sys_unlock(&w->lock);
    if (post)
        weir_sys_sem_post(&w->work);
}

/* Return whether the pieces form one line, whose last byte is its newline. */
static bool is_one_line(const struct iovec *pieces, size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        const char *newline;

        if (pieces[i].iov_len == 0)
            continue;
        newline = memchr(pieces[i].iov_base, '\n', pieces[i].iov_len);
        if (newline != NULL)
            return bytes == (size_t)(newline -
                                     (char *)pieces[i].iov_base) + 1;
        bytes -= pieces[i].iov_len;
    }
    return false;
}

/* Check a record and set *bytes to its size. Returns 0, -EINVAL or
 * -EMSGSIZE. */
static int check_record(const struct weir_writer *w,
                        const struct iovec *pieces, size_t count,
                        size_t *bytes)
{
    size_t all = 0;

    if (count > IOVECS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > w->record_max - all)
            return -EMSGSIZE;
        all += pieces[i].iov_len;
    }
    *bytes = all;
    if (w->recover == WEIR_RECOVER_LINES && !is_one_line(pieces, count, all))
        return -EINVAL;
    return 0;
}

int weir_writer_write(struct weir_writer *w, const struct iovec *pieces,
                      size_t count, int64_t deadline)
{
    size_t bytes = 0;
    bool post = false;
    int err = check_record(w, pieces, count, &bytes);

    if (!weir_sys_in_creator(&w->fork_guard))
        return -ECHILD;
    if (err != 0)
        return err;
    weir_sys_lock(&w->lock);
    err = accept_error_locked(w);
    if (err == 0 && w->room_waiters.first == NULL &&
        weir_writer_fits_locked(w, bytes)) {
        weir_writer_accept_locked(w, pieces, count, bytes);
        post = claim_wakeup_locked(w);
    } else if (err == 0) {
        struct weir_waiter self = { .pieces = pieces, .count = count,
                                    .bytes = bytes };

        err = prepare_waiter(&self, deadline);
        if (err == 0)
            err = wait_locked(w, &w->room_waiters, &self, false, deadline);
        /* If this thread was first and timed out, its record may have kept
         * out a smaller one. */
        weir_writer_admit_waiters_locked(w);
        if (w->done != w->accepted)
            post = claim_wakeup_locked(w);
    }
    unlock_and_post(w, post);
    return err;
}

int weir_writer_flush(struct weir_writer *w, int64_t deadline)
{
    int err;

    if (!weir_sys_in_creator(&w->fork_guard))
        return -ECHILD;
    weir_sys_lock(&w->lock);
    err = accept_error_locked(w);
    if (err == 0 && w->flushed < w->accepted) {
        struct weir_waiter self = { .target = w->accepted };

        err = prepare_waiter(&self, deadline);
        if (err == 0) {
            w->sync_wanted = w->accepted;
            err = wait_locked(w, &w->flushers, &self, claim_wakeup_locked(w),
                              deadline);
        }
    }
    weir_sys_unlock(&w->lock);
    return err;
}

int weir_writer_reopen(struct weir_writer *w, int64_t deadline)
{
    int err;

    if (!weir_sys_in_creator(&w->fork_guard))
        return -ECHILD;
    if (w->path == NULL)
        return -EINVAL;
    weir_sys_lock(&w->lock);
    err = accept_error_locked(w);
    if (err == 0 && w->reopening)
        err = -EBUSY;
    if (err == 0) {
        struct weir_waiter self = { 0 };

        err = prepare_waiter(&self, deadline);
        if (err == 0) {
            w->reopening = true;
            w->reopen_at = w->accepted;
            err = wait_locked(w, &w->reopeners, &self, claim_wakeup_locked(w),
                              deadline);
        }
    }
    weir_sys_unlock(&w->lock);
    return err;
}

static void begin_close_locked(struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static void begin_close_locked(struct weir_writer *w)
{
    if (w->state == WEIR_WRITER_OPEN) {
        w->state = WEIR_WRITER_CLOSING;
        weir_waiters_complete_all(&w->room_waiters, -EPIPE);
    }
}

int weir_writer_close(struct weir_writer *w, int64_t deadline)
{
    int err = 0;

    if (!weir_sys_in_creator(&w->fork_guard))
        return -ECHILD;
    weir_sys_lock(&w->lock);
    begin_close_locked(w);
    if (w->state != WEIR_WRITER_ENDED) {
        struct weir_waiter self = { 0 };

        err = prepare_waiter(&self, deadline);
        if (err == 0)
            err = wait_locked(w, &w->closers, &self, claim_wakeup_locked(w),
                              deadline);
    }
    if (err == 0 && !w->joined) {
        /* Under the lock, so that only one caller joins. The thread does not
         * need the lock any more. */
        weir_sys_thread_join(&w->thread);
        w->joined = true;
    }
    if (err == 0)
        err = w->error;
    weir_sys_unlock(&w->lock);
    return err;
}

void weir_writer_destroy(struct weir_writer *w)
{
    if (w == NULL)
        return;
    if (weir_sys_in_creator(&w->fork_guard)) {
        /* Unlike weir_writer_close() this needs no semaphore, which could
         * fail: no other call is in progress, so joining the thread is
         * enough. */
        weir_sys_lock(&w->lock);
        begin_close_locked(w);
        unlock_and_post(w, claim_wakeup_locked(w));
        if (!w->joined)
            weir_sys_thread_join(&w->thread);
        weir_sys_sem_destroy(&w->work);
        weir_sys_mutex_destroy(&w->lock);
    }
    free_memory(w);
}

int weir_writer_stats(struct weir_writer *w, struct weir_writer_stats *stats)
{
    if (!weir_sys_in_creator(&w->fork_guard))
        return -ECHILD;
    weir_sys_lock(&w->lock);
    *stats = (struct weir_writer_stats){
        .accepted = w->accepted,
        .written = w->written,
        .durable = w->durable,
        .lost = w->done - w->written,
        .bytes = w->written_bytes,
        .batches = w->batches,
        .writes = w->writes,
        .syncs = w->syncs,
        .torn_bytes = w->torn_bytes,
        .waiting = (size_t)(w->accepted - w->done),
        .waiting_peak = w->waiting_peak,
        .error = w->error,
    };
    weir_sys_unlock(&w->lock);
    return 0;
}
