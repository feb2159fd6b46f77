/* SPDX-License-Identifier: MIT
 * writer_thread.c - the buffer of a writer, and the thread that empties it.
 *
 * The thread takes one step at a time, the first of these that applies: sync
 * what a flush waits for, reopen the file if all records before the reopen are
 * done, write a batch, sync and end if the writer is closing, sleep. Each
 * do_..._locked() releases the lock while it calls the file or the
 * application, and holds it again when it returns.
 */
#include "sys/sys.h"

#include <weir/writer.h>

#include "writer/file.h"
#include "writer/writer_private.h"

#include <string.h>

/* How often the thread yields and checks an empty buffer again before it
 * sleeps: waking it costs a producer as much time as about 20 records. With
 * four producers on two processors there is no measurable difference between
 * 0 and 1, and 16 is no better. */
#define IDLE_YIELDS 1

/* ---- lists of waiters ---- */

void weir_waiters_append(struct weir_waiters *list, struct weir_waiter *self)
{
    self->next = NULL;
    self->prev = list->last;
    if (list->last != NULL)
        list->last->next = self;
    else
        list->first = self;
    list->last = self;
}

void weir_waiters_remove(struct weir_waiters *list, struct weir_waiter *self)
{
    if (self->prev != NULL)
        self->prev->next = self->next;
    else
        list->first = self->next;
    if (self->next != NULL)
        self->next->prev = self->prev;
    else
        list->last = self->prev;
}

void weir_waiters_complete(struct weir_waiters *list, struct weir_waiter *self,
                           int result)
{
    weir_waiters_remove(list, self);
    self->result = result;
    self->done = true;
    weir_sys_sem_post(&self->woken);
}

void weir_waiters_complete_all(struct weir_waiters *list, int result)
{
    while (list->first != NULL)
        weir_waiters_complete(list, list->first, result);
}

/* ---- the buffer ---- */

static void copy_in_locked(struct weir_writer *w, const void *from,
                           size_t bytes) WEIR_REQUIRES(w->lock);

static void copy_in_locked(struct weir_writer *w, const void *from,
                           size_t bytes)
{
    size_t first = w->ring_bytes - w->ring_offset;

    if (bytes < first) {
        memcpy(w->ring + w->ring_offset, from, bytes);
        w->ring_offset += bytes;
        return;
    }
    memcpy(w->ring + w->ring_offset, from, first);
    w->ring_offset = bytes - first;
    if (w->ring_offset != 0)
        memcpy(w->ring, (const char *)from + first, w->ring_offset);
}

void weir_writer_accept_locked(struct weir_writer *w,
                               const struct iovec *pieces, size_t count,
                               size_t bytes)
{
    size_t waiting;

    for (size_t i = 0; i < count; i++)
        if (pieces[i].iov_len != 0)
            copy_in_locked(w, pieces[i].iov_base, pieces[i].iov_len);
    w->bytes_in += bytes;
    w->record_ends[w->end_index] = w->bytes_in;
    w->end_index = w->end_index + 1 == w->capacity ? 0 : w->end_index + 1;
    w->accepted++;
    waiting = (size_t)(w->accepted - w->done);
    if (waiting > w->waiting_peak)
        w->waiting_peak = waiting;
}

void weir_writer_admit_waiters_locked(struct weir_writer *w)
{
    struct weir_waiter *first;

    while ((first = w->room_waiters.first) != NULL &&
           weir_writer_fits_locked(w, first->bytes)) {
        weir_writer_accept_locked(w, first->pieces, first->count,
                                  first->bytes);
        weir_waiters_complete(&w->room_waiters, first, 0);
    }
}

/* ---- the thread ---- */

enum step { SLEEP, WRITE, SYNC, REOPEN, END };

/* Return whether what is in the file must be synced now: after each batch with
 * WEIR_SYNC_BATCH, or if a flush, waiting or timed out, covers only records
 * that are in the file. */
static bool sync_due_locked(const struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static bool sync_due_locked(const struct weir_writer *w)
{
    const struct weir_waiter *first = w->flushers.first;

    if (w->sync == WEIR_SYNC_NEVER || w->flushed == w->done)
        return false;
    if (w->sync == WEIR_SYNC_BATCH || (first && first->target <= w->done))
        return true;
    return w->sync_wanted > w->flushed && w->sync_wanted <= w->done;
}

static enum step next_step_locked(const struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static enum step next_step_locked(const struct weir_writer *w)
{
    bool closing = w->state == WEIR_WRITER_CLOSING;

    if (w->error != 0)
        return closing ? END : SLEEP;
    if (sync_due_locked(w))
        return SYNC;
    if (w->reopening && w->reopen_at == w->done)
        return REOPEN;
    if (w->done != w->accepted)
        return WRITE;
    if (closing && w->sync != WEIR_SYNC_NEVER && w->flushed != w->done)
        return SYNC;
    return closing ? END : SLEEP;
}

/* Set the sticky error: the records in the buffer are lost, and all waiters
 * get the error. */
static void fail_locked(struct weir_writer *w, int error)
    WEIR_REQUIRES(w->lock);

static void fail_locked(struct weir_writer *w, int error)
{
    w->error = error;
    w->done = w->accepted;
    w->bytes_out = w->bytes_in;
    w->reopening = false;
    weir_waiters_complete_all(&w->room_waiters, error);
    weir_waiters_complete_all(&w->flushers, error);
    weir_waiters_complete_all(&w->reopeners, error);
}

/* The first `records` records are as safe as the sync policy demands: complete
 * the flushes that wait for them. */
static void mark_flushed_locked(struct weir_writer *w, uint64_t records)
    WEIR_REQUIRES(w->lock);

static void mark_flushed_locked(struct weir_writer *w, uint64_t records)
{
    w->flushed = records;
    while (w->flushers.first != NULL && w->flushers.first->target <= records)
        weir_waiters_complete(&w->flushers, w->flushers.first, 0);
}

/* The records that are written together. */
struct batch {
    size_t records;
    size_t end_index;  /* in record_ends, of the first record */
    uint64_t from, to; /* positions, counted in bytes accepted */
};

static struct batch take_batch_locked(struct weir_writer *w)
    WEIR_REQUIRES(w->lock);

static struct batch take_batch_locked(struct weir_writer *w)
{
    uint64_t end = w->reopening ? w->reopen_at : w->accepted;
    size_t records = (size_t)(end - w->done);
    size_t waiting = (size_t)(w->accepted - w->done);
    struct batch batch;

    if (records > w->batch_max)
        records = w->batch_max;
    batch.records = records;
    /* w->end_index is that of the next record: count back from there. */
    batch.end_index = w->end_index >= waiting
                          ? w->end_index - waiting
                          : w->end_index + w->capacity - waiting;
    batch.from = w->bytes_out;
    batch.to = w->record_ends[(batch.end_index + records - 1) % w->capacity];
    return batch;
}

/* Return how many records of a batch end at or before *position, and set
 * *position to the end of the last of them. */
static size_t count_whole_records(const struct weir_writer *w,
                                  const struct batch *batch, uint64_t *position)
{
    uint64_t reached = *position;
    size_t records = 0;

    *position = batch->from;
    while (records < batch->records) {
        uint64_t end =
            w->record_ends[(batch->end_index + records) % w->capacity];

        if (end > reached)
            break;
        *position = end;
        records++;
    }
    return records;
}

/* Write a batch. After an error, truncate the file to the last whole record. */
static void do_write_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_write_locked(struct weir_writer *w)
{
    struct batch batch = take_batch_locked(w);
    size_t bytes = (size_t)(batch.to - batch.from);
    size_t start = (size_t)(batch.from % w->ring_bytes);
    size_t first = w->ring_bytes - start < bytes ? w->ring_bytes - start
                                                 : bytes;
    struct iovec pieces[2] = { { w->ring + start, first },
                               { w->ring, bytes - first } };
    struct weir_file_progress progress;
    size_t records = batch.records;
    uint64_t position = batch.to;
    int err;

    weir_sys_unlock(&w->lock);
    if (w->on_batch != NULL)
        w->on_batch(w->user, batch.records, bytes);
    err = weir_file_write(&w->file, pieces, 2, &progress);
    if (err != 0) {
        uint64_t reached = batch.from + progress.bytes;

        position = reached;
        records = count_whole_records(w, &batch, &position);
        weir_file_truncate_by(&w->file, reached - position);
    }
    weir_sys_lock(&w->lock);

    w->batches++;
    w->writes += progress.calls;
    w->written += records;
    w->written_bytes += position - batch.from;
    if (err != 0) {
        fail_locked(w, err);
        return;
    }
    w->done += records;
    w->bytes_out = batch.to;
    if (w->sync == WEIR_SYNC_NEVER)
        mark_flushed_locked(w, w->done);
    weir_writer_admit_waiters_locked(w);
}

/* Sync what is written. After an error there is no second attempt: the system
 * may have dropped the pages, and would then report success. */
static void do_sync_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_sync_locked(struct weir_writer *w)
{
    uint64_t records = w->done;
    int err;

    weir_sys_unlock(&w->lock);
    err = weir_file_sync(&w->file);
    weir_sys_lock(&w->lock);
    if (err < 0) {
        fail_locked(w, err);
        return;
    }
    if (err == 0) {
        w->syncs++;
        w->durable = records;
    }
    mark_flushed_locked(w, records);
}

/* Switch to the file that the path names now. The old file is synced first, and
 * closed once the new one is open and locked. If that fails, the old file stays
 * in use. */
static void do_reopen_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void do_reopen_locked(struct weir_writer *w)
{
    const struct weir_file_options file_options = { .path = w->path,
                                                    .sync = w->sync,
                                                    .recover = w->recover,
                                                    .current = &w->file };
    uint64_t torn_bytes = 0;
    bool unflushed = w->sync != WEIR_SYNC_NEVER && w->flushed != w->done;
    struct weir_file file;
    int err;

    if (unflushed) {
        do_sync_locked(w);
        if (w->error != 0)
            return;
    }
    weir_sys_unlock(&w->lock);
    err = weir_file_open(&file, &file_options, &torn_bytes);
    weir_sys_lock(&w->lock);
    w->torn_bytes += torn_bytes;
    if (err == 0 && !weir_file_same(&file, &w->file)) {
        struct weir_file old = w->file;

        w->file = file;
        weir_sys_unlock(&w->lock);
        err = weir_file_close(&old);
        weir_sys_lock(&w->lock);
        if (err != 0) {
            fail_locked(w, err);
            return;
        }
    }
    w->reopening = false;
    weir_waiters_complete_all(&w->reopeners, err);
}

/* Yield, and then sleep until there is something to do. */
static void wait_for_work_locked(struct weir_writer *w) WEIR_REQUIRES(w->lock);

static void wait_for_work_locked(struct weir_writer *w)
{
    for (int i = 0; i < IDLE_YIELDS; i++) {
        weir_sys_unlock(&w->lock);
        weir_sys_yield();
        weir_sys_lock(&w->lock);
        if (next_step_locked(w) != SLEEP)
            return;
    }
    w->needs_post = true;
    weir_sys_unlock(&w->lock);
    weir_sys_sem_wait(&w->work, WEIR_FOREVER);
    weir_sys_lock(&w->lock);
}

void weir_writer_thread_main(void *arg)
{
    struct weir_writer *w = arg;
    enum step step;
    int err;

    weir_sys_lock(&w->lock);
    while ((step = next_step_locked(w)) != END) {
        if (step == WRITE)
            do_write_locked(w);
        else if (step == SYNC)
            do_sync_locked(w);
        else if (step == REOPEN)
            do_reopen_locked(w);
        else
            wait_for_work_locked(w);
    }
    weir_sys_unlock(&w->lock);
    err = weir_file_close(&w->file);
    weir_sys_lock(&w->lock);
    if (w->error == 0 && err != 0)
        w->error = err;
    w->state = WEIR_WRITER_ENDED;
    weir_waiters_complete_all(&w->closers, 0);
    weir_sys_unlock(&w->lock);
}
