/* SPDX-License-Identifier: MIT
 * signals.c - a thread that receives SIGINT and SIGTERM. */
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

struct signals {
    pthread_t thread;
    void (*told)(void *, int);
    void *user;
    atomic_int ending;
    atomic_int came;
};

#define OTHERS_MAX 4

/* Set before a second thread is started, as the signal mask is. */
static int others[OTHERS_MAX];
static int other_count;

static void the_set(sigset_t *set)
{
    struct sigaction now;

    sigemptyset(set);
    sigaddset(set, SIGTERM);
    if (sigaction(SIGINT, NULL, &now) != 0 || now.sa_handler != SIG_IGN)
        sigaddset(set, SIGINT);
    for (int i = 0; i < other_count; i++)
        sigaddset(set, others[i]);
}

static int is_other(int number)
{
    for (int i = 0; i < other_count; i++)
        if (others[i] == number)
            return 1;
    return 0;
}

void signals_block_also(int number)
{
    if (other_count < OTHERS_MAX)
        others[other_count++] = number;
    signals_block();
}

void signals_block(void)
{
    sigset_t set;

    the_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void signals_unblock(void)
{
    sigset_t set;

    the_set(&set);
    for (int i = 0; i < other_count; i++)
        sigdelset(&set, others[i]);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int signals_wait(void)
{
    sigset_t set;
    int number;

    the_set(&set);
    while (sigwait(&set, &number) != 0)
        ; /* EINTR on some systems */
    return number;
}

static void *signals_main(void *arg)
{
    struct signals *signals = arg;

    for (;;) {
        int number = signals_wait();

        if (atomic_load(&signals->ending))
            return NULL;
        if (is_other(number)) {
            signals->told(signals->user, number);
            continue;
        }
        if (atomic_load(&signals->came) != 0)
            signals_die(number);
        atomic_store(&signals->came, number);
        signals->told(signals->user, number);
    }
}

int signals_start(struct signals **signals, void (*told)(void *, int),
                  void *user)
{
    struct signals *made = calloc(1, sizeof(*made));
    int err;

    *signals = NULL;
    if (made == NULL)
        return -ENOMEM;
    made->told = told;
    made->user = user;
    err = pthread_create(&made->thread, NULL, signals_main, made);
    if (err != 0) {
        free(made);
        return -err;
    }
    *signals = made;
    return 0;
}

int signals_stop(struct signals *signals)
{
    int came;

    if (signals == NULL)
        return 0;
    /* Send it to that thread only. It does not matter whether the thread
     * receives this signal or a real one. */
    atomic_store(&signals->ending, 1);
    pthread_kill(signals->thread, SIGTERM);
    pthread_join(signals->thread, NULL);
    came = atomic_load(&signals->came);
    free(signals);
    return came;
}

_Noreturn void signals_die(int number)
{
    sigset_t set;

    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    _Exit(128 + number); /* not reached */
}
