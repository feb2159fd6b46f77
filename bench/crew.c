/* SPDX-License-Identifier: MIT
 * crew.c - threads that begin together. */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int go; /* (l) 1: begin; -1: end immediately */
    int count;
    const struct crew_work *work;
};

struct member {
    struct crew *crew;
    int index, err;
    pthread_t thread;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct crew *crew = m->crew;
    int go;

    pthread_mutex_lock(&crew->lock);
    while (crew->go == 0)
        pthread_cond_wait(&crew->changed, &crew->lock);
    go = crew->go;
    pthread_mutex_unlock(&crew->lock);
    if (go > 0)
        m->err = crew->work->fn(crew->work->user, m->index, crew->count);
    return NULL;
}

int crew_start(int count, const struct crew_work *work, struct meter *meter)
{
    struct crew crew = { .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER, .count = count, .work = work };
    struct member *members = calloc((size_t)count, sizeof(*members));
    int started = 0, err = members != NULL ? 0 : -ENOMEM;

    while (err == 0 && started < count) {
        members[started] = (struct member){ .crew = &crew, .index = started };
        err = -pthread_create(&members[started].thread, NULL, member_main,
                              &members[started]);
        started += err == 0;
    }
    if (err == 0)
        err = meter_begin(meter, work->ops, work->latencies);
    pthread_mutex_lock(&crew.lock);
    crew.go = err == 0 ? 1 : -1;
    pthread_cond_broadcast(&crew.changed);
    pthread_mutex_unlock(&crew.lock);
    for (int i = 0; i < started; i++) {
        pthread_join(members[i].thread, NULL);
        err = err != 0 ? err : members[i].err;
    }
    free(members);
    return err;
}

int crew_run(int count, const struct crew_work *work, struct sample *sample)
{
    struct meter meter;
    int err = crew_start(count, work, &meter);

    if (err != 0)
        return err;
    meter_stop(&meter);
    return meter_end(&meter, sample);
}
