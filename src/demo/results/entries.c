/* SPDX-License-Identifier: MIT
 * entries.c - the records of results files in memory, one for each job. */
#include "entries.h"

#include "common/exits.h"
#include "common/input.h"
#include "common/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <weir/base.h>

#define HOST_MAX 255 /* bytes of a host that count, as in stats.c */

int entries_init(struct entries *e)
{
    *e = (struct entries){ 0 };
    e->ids = ids_create();
    e->files = names_create();
    e->hosts = names_create();
    e->lanes = names_create();
    e->reasons = names_create();
    return e->ids != NULL && e->files != NULL && e->hosts != NULL &&
                   e->lanes != NULL && e->reasons != NULL
               ? 0
               : -ENOMEM;
}

void entries_free(struct entries *e)
{
    free(e->all);
    ids_destroy(e->ids);
    names_destroy(e->files);
    names_destroy(e->hosts);
    names_destroy(e->lanes);
    names_destroy(e->reasons);
    *e = (struct entries){ 0 };
}

/* Return the entry of an id, which is added if necessary; NULL if there is no
 * memory. */
static struct entry *place(struct entries *e, struct id id)
{
    uint32_t *number = ids_add(e->ids, id);
    struct entry *all;
    size_t room;

    if (number == NULL)
        return NULL;
    if (*number != 0) {
        e->superseded++;
        return &e->all[*number - 1];
    }
    if (e->count == e->room) {
        room = e->room != 0 ? e->room + e->room / 2 : 1024;
        all = realloc(e->all, room * sizeof(*all));
        if (all == NULL || room > UINT32_MAX)
            return NULL;
        e->all = all;
        e->room = room;
    }
    *number = (uint32_t)++e->count;
    return &e->all[e->count - 1];
}

/* Replace strings that repeat by numbers. Returns 0 or -ENOMEM. */
static int name(struct entries *e, const struct record *r, struct entry *entry)
{
    struct {
        uint64_t run, worker;
    } lane = { r->run, (uint64_t)r->worker };
    char word[32];
    const char *reason = record_reason(r, word);
    size_t length;
    const char *host = url_host(r->url, &length);
    int64_t h = names_number(e->hosts, host,
                             length < HOST_MAX ? length : HOST_MAX);
    int64_t l = names_number(e->lanes, &lane, sizeof(lane));
    int64_t n = names_number(e->reasons, reason, strlen(reason));

    if (h < 0 || l < 0 || n < 0)
        return -ENOMEM;
    entry->host = (uint32_t)h;
    entry->lane = (uint32_t)l;
    entry->reason = (uint32_t)n;
    return 0;
}

/* Starts are limited to 110 years before or after the first one. So the
 * difference of any two, plus the longest times that a record can have
 * (10^12 ms) before and after, fits into 64 bits of nanoseconds. */
#define APART_MS INT64_C(3500000000000)

/* Return a record's start relative to the first one. Requires at least one
 * entry. */
static int64_t start_ns(struct entries *e, const struct record *r)
{
    int64_t ms;

    if (e->count == 1)
        e->base_ms = r->start_ms;
    ms = r->start_ms - e->base_ms;
    return (ms < -APART_MS ? -APART_MS : ms > APART_MS ? APART_MS : ms) *
           WEIR_MS;
}

static int add(struct entries *e, const struct record *r, uint32_t file,
               uint64_t offset)
{
    struct entry *entry = place(e, r->id);

    if (entry == NULL)
        return -ENOMEM;
    *entry = (struct entry){ .id = r->id,
                             .start_ns = start_ns(e, r),
                             .wait_ns = r->wait_ns, .total_ns = r->total_ns,
                             .bytes = r->bytes, .offset = offset,
                             .seq = r->seq,
                             .file = file, .ok = r->ok,
                             .is_error = r->error[0] != '\0' };
    return name(e, r, entry);
}

static int read_lines(struct entries *e, struct input *in, uint32_t file)
{
    struct text url = { 0 };
    struct input_line line;
    struct record r;
    int got, err = 0;

    while (err == 0 && (got = input_next(in, &line)) != INPUT_END) {
        if (got < 0) {
            err = got; /* of reading, even if it is -EINVAL */
            break;
        }
        if (got == INPUT_LINE)
            err = record_read(line.bytes, line.count, &r, &url);
        else
            err = -EINVAL;
        if (err == 0)
            err = add(e, &r, file, line.offset);
        if (err != -EINVAL)
            continue;
        if (got == INPUT_LINE && !line.ended)
            e->torn++;
        else
            e->others++;
        err = 0;
    }
    text_free(&url);
    return err;
}

int entries_read(struct entries *e, const char *path)
{
    int64_t file = names_number(e->files, path, strlen(path));
    struct input *in;
    int err = file < 0 ? -ENOMEM : input_open(&in, path, -1, RECORD_LINE_MAX);

    if (err != 0)
        return err;
    err = read_lines(e, in, (uint32_t)file);
    input_close(in);
    return err;
}

int entries_read_all(struct entries *e, const char *command,
                     char *const *paths, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t others = e->others, torn = e->torn;
        int err = entries_read(e, paths[i]);

        if (err != 0) {
            say("%s: %s: %s", command, paths[i], strerror(-err));
            return err == -ENOMEM ? EXIT_BROKEN : EXIT_BAD_INPUT;
        }
        if (e->others != others)
            say("%s: %llu line%s", paths[i],
                (unsigned long long)(e->others - others),
                e->others - others == 1 ? " is not a record"
                                        : "s are not records");
        if (e->torn != torn)
            say("%s: the last line is torn", paths[i]);
    }
    return EXIT_OK;
}

static int compare_lanes(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a;
    const struct entry *y = *(struct entry *const *)b;

    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

int entries_separate(struct entries *e)
{
    struct entry **order = malloc((e->count + 1) * sizeof(struct entry *));
    int64_t ended;

    if (order == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < e->count; i++)
        order[i] = &e->all[i];
    qsort(order, e->count, sizeof(*order), compare_lanes);
    for (size_t i = 1; i < e->count; i++) {
        ended = order[i - 1]->start_ns + order[i - 1]->total_ns;
        if (order[i]->lane == order[i - 1]->lane &&
            order[i]->start_ns < ended && ended - order[i]->start_ns < WEIR_MS)
            order[i]->start_ns = ended;
    }
    free(order);
    return 0;
}

void entries_url(const struct entries *e, const struct entry *entry,
                 struct text *url)
{
    const char *path = names_get(e->files, entry->file);
    struct stat st;
    /* Opening a FIFO again would wait for a writer. */
    FILE *file = stat(path, &st) == 0 && S_ISREG(st.st_mode)
                     ? fopen(path, "re")
                     : NULL;
    struct text found = { 0 };
    struct record r;
    char id[33], *line = NULL;
    size_t room = 0;
    ssize_t length = -1;

    if (file != NULL && fseeko(file, (off_t)entry->offset, SEEK_SET) == 0)
        length = getline(&line, &room, file);
    if (length > 0 &&
        record_read(line, (size_t)length, &r, &found) == 0 &&
        r.id.high == entry->id.high && r.id.low == entry->id.low) {
        text_puts(url, r.url);
    } else {
        id_show(entry->id, id);
        text_printf(url, "id %s", id);
    }
    if (file != NULL)
        fclose(file);
    free(line);
    text_free(&found);
}
