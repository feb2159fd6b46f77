/* SPDX-License-Identifier: MIT
 * marks.c - when jobs waited and ran, for the timeline. */
#include "marks.h"

#include <errno.h>
#include <stdlib.h>

int marks_add(struct marks *m, const struct mark *mark)
{
    int err = 0;

    pthread_mutex_lock(&m->lock);
    if (m->count == m->room) {
        size_t room = m->room != 0 ? m->room + m->room / 2 : 1024;
        struct mark *all = realloc(m->all, room * sizeof(*all));

        if (all != NULL) {
            m->all = all;
            m->room = room;
        } else {
            err = -ENOMEM;
        }
    }
    if (err == 0)
        m->all[m->count++] = *mark;
    pthread_mutex_unlock(&m->lock);
    return err;
}

uint16_t mark_outcome(int ok, int is_error)
{
    return ok ? MARK_OK : is_error ? MARK_ERROR : MARK_STATUS;
}
