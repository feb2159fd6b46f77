/* SPDX-License-Identifier: MIT
 * tbb.cpp - oneTBB: task_group, where the submitter helps, and enqueue,
 * where it does not, neither of them bounded; and parallel_for. */
extern "C" {
#include "peer.h"
}

#include <atomic>
#include <memory>
#include <semaphore.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

static std::unique_ptr<tbb::global_control> control;
static std::unique_ptr<tbb::task_arena> arena;
static std::unique_ptr<tbb::task_group> tasks;
static void (*job)(void *arg);

#define PRODUCERS 4 /* the most threads that submit */

static void start_with(int workers, int places, void (*fn)(void *arg))
{
    job = fn;
    /* A submitter counts as a thread too, whether it helps or not. */
    control.reset(new tbb::global_control(
        tbb::global_control::max_allowed_parallelism,
        static_cast<size_t>(workers) + 1));
    arena.reset(new tbb::task_arena(workers + places,
                                    static_cast<unsigned>(places)));
    arena->initialize();
    tasks.reset(new tbb::task_group);
}

static void start_group(int workers, size_t ring, void (*fn)(void *arg))
{
    (void)ring;
    start_with(workers, PRODUCERS, fn);
}

static void start_enqueue(int workers, size_t ring, void (*fn)(void *arg))
{
    (void)ring;
    start_with(workers, 0, fn);
}

static void submit_group(void *arg)
{
    tasks->run([arg] { job(arg); });
}

static void wait_group()
{
    arena->execute([] { tasks->wait(); });
}

static void produce(void (*body)(void *user), void *user)
{
    arena->execute([=] { body(user); });
}

static void submit_enqueue(void *arg)
{
    arena->enqueue(tasks->defer([arg] { job(arg); }));
}

/* The calling thread is one of the workers. */
static void start_for(int workers, size_t ring, void (*fn)(void *arg))
{
    (void)ring;
    start_with(workers - 1, 1, fn);
}

static void fan_for(void **args, size_t count)
{
    arena->execute([=] {
        tbb::parallel_for(size_t(0), count, [=](size_t i) { job(args[i]); });
    });
}

static void stop()
{
    tasks.reset();
    arena.reset();
    control.reset();
}

extern "C" {
static const struct peer group = { "task-group", start_group, submit_group,
    wait_group, stop, wait_group, nullptr, produce,
    nullptr };
static const struct peer enqueue = { "enqueue", start_enqueue, submit_enqueue,
    wait_group, stop, wait_group, nullptr, nullptr,
    nullptr };
static const struct peer loops = { "parallel-for", start_for, submit_group,
    wait_group, stop, wait_group, fan_for, nullptr,
    nullptr };
extern const struct peer *const peer_all[];
const struct peer *const peer_all[] = { &group, &enqueue, &loops, nullptr };
}
