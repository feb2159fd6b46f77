/* SPDX-License-Identifier: MIT
 * crew.c - threads that begin together. */
#include "crew.h"

#include <errno.h>
#include <pthread.h>

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int go; /* (l) 1: begin; -1: end at once */
    int count;
    int (*fn)(void *user, int index, int count);
    void *user;
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
    m->err = go > 0 ? crew->fn(crew->user, m->index, crew->count) : 0;
    return NULL;
}

int crew_time(int count, uint64_t ops, struct meter *meter,
              int (*fn)(void *user, int index, int count), void *user)
{
    struct crew crew = { .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER, .count = count, .fn = fn,
        .user = user };
    struct member members[CREW_MAX];
    int started = 0, err = count <= CREW_MAX ? 0 : -E2BIG;

    while (err == 0 && started < count) {
        members[started] = (struct member){ .crew = &crew, .index = started };
        err = -pthread_create(&members[started].thread, NULL, member_main,
                              &members[started]);
        started += err == 0;
    }
    if (err == 0)
        err = meter_begin(meter, ops, 0);
    pthread_mutex_lock(&crew.lock);
    crew.go = err == 0 ? 1 : -1;
    pthread_cond_broadcast(&crew.changed);
    pthread_mutex_unlock(&crew.lock);
    for (int i = 0; i < started; i++) {
        pthread_join(members[i].thread, NULL);
        err = err != 0 ? err : members[i].err;
    }
    if (err == 0)
        meter_stop(meter);
    return err;
}

int crew_run(int count, uint64_t ops, struct sample *sample,
             int (*fn)(void *user, int index, int count), void *user)
{
    struct meter meter;
    int err = crew_time(count, ops, &meter, fn, user);

    return err == 0 ? meter_end(&meter, sample) : err;
}
