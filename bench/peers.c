/* SPDX-License-Identifier: MIT
 * peers.c - the same work in other pools, each sample in a process of its
 * own, so that none disturbs another and luck of one process is not taken for
 * the rule. */
#include "bench.h"
#include "work.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct contender {
    const char *series;
    const char *program, *pool;
    const char *workloads; /* the letters of those it takes part in */
};

static const struct contender contenders[] = {
    { "weir", "weir", "weir", "dpqbwtfsk" },
    { "weir, 16 at a time", "weir", "batch", "d" },
    { "weir", "weir", "each", "lmn" },
    { "weir, group", "weir", "group", "dtf" },
    { "weir, helping", "weir", "help", "t" },
    { "weir, half may run", "weir", "gate", "d" },
    { "textbook", "textbook", "mutex", "dpqbwtfs" },
    { "semaphores", "textbook", "semaphore", "dpqbwtfs" },
    { "semaphores, half", "textbook", "semaphore-gate", "d" },
    { "Go channel", "go", "go", "dpqbwtfs" },
    { "oneTBB group", "tbb", "task-group", "dpqbtf" },
    { "oneTBB enqueue", "tbb", "enqueue", "dpqbwtfs" },
    { "plain loop", "textbook", "serial", "lmn" },
    { "OpenMP dynamic", "openmp", "dynamic", "lmn" },
    { "oneTBB for", "tbb", "parallel-for", "lmn" },
    { "libuv", "uv", "libuv", "dpqbwtfs" },
    { "GLib", "glib", "glib", "dpqbwtfsk" },
};
#define CONTENDERS (sizeof(contenders) / sizeof(contenders[0]))

struct discipline {
    char letter;
    const char *name, *workload;
    int producers;
    int counts[8];
    uint64_t ops, ops_max;
    double job_ns;    /* the bound, see `computes` */
    int computes;     /* no more at the same time than there are cores */
    int spread;
};

static const struct discipline disciplines[] = {
    { 'd', "empty jobs", "dispatch", 1, { 1, 2, 4, 8 }, 10000, 4000000,
      0, 0, 0 },
    { 'p', "2 producers", "dispatch", 2, { 1, 2, 4, 8 }, 10000, 4000000,
      0, 0, 0 },
    { 'q', "4 producers", "dispatch", 4, { 1, 2, 4, 8 }, 10000, 4000000,
      0, 0, 0 },
    { 'b', "jobs of 1 us", "burn", 1, { 1, 2, 4, 8 }, 1000, 0, 1e3, 1, 0 },
    { 'w', "idle to running", "wake", 1, { 1, 2, 4, 8 }, 0, 0, 0, 0, 1 },
    { 't', "round trip", "trip", 1, { 1, 2, 4, 8 }, 1000, 0, 0, 0, 0 },
    { 'f', "1,000 jobs and wait", "fan", 1, { 1, 2, 4, 8 }, 10, 0, 0, 0, 0 },
    { 'l', "loop, 1,000 of 0 us", "loop-0", 1, { 1, 2, 4, 8 }, 10, 0, 0, 0,
      0 },
    { 'm', "loop, 1,000 of 0.7 us", "loop-700", 1, { 1, 2, 4, 8 }, 10, 0,
      7e5, 1, 0 },
    { 'n', "loop, 1,000 of 7 us", "loop-7000", 1, { 1, 2, 4, 8 }, 10, 0, 7e6,
      1, 0 },
    { 's', "sleeps of 10 ms", "sleep", 1, { 64, 512 }, 0, 0, 1e7, 0, 1 },
    { 'k', "table of 100,000 keys", "table", 1, { 1, 2, 4, 8 }, 100000, 0,
      0, 0, 0 },
};
#define DISCIPLINES (sizeof(disciplines) / sizeof(disciplines[0]))

/* What a case needs: who, in what. */
struct match {
    const struct contender *who;
    const struct discipline *what;
};
static struct match matches[CONTENDERS][DISCIPLINES];
static uint64_t turns; /* of the loop in a microsecond */

static void program_path(const struct contender *who, char *path,
                         size_t bytes)
{
    snprintf(path, bytes, "%s/weir-bench-%s", PEER_DIR, who->program);
}

/* Start it with its standard output in a pipe. Returns 0 or an error. */
static int start(char **argv, pid_t *pid, FILE **out)
{
    posix_spawn_file_actions_t actions;
    int ends[2], err;

    if (pipe(ends) != 0)
        return -errno;
    err = posix_spawn_file_actions_init(&actions);
    if (err == 0) {
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_addclose(&actions, ends[0]);
        posix_spawn_file_actions_addclose(&actions, ends[1]);
        err = posix_spawn(pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    *out = err == 0 ? fdopen(ends[0], "r") : NULL;
    if (*out == NULL)
        close(ends[0]);
    return -err;
}

static int peer_run(const struct bench_case *c, struct sample *sample)
{
    const struct match *match = c->user;
    char path[4096], workers[16], ops[32], producers[16], loop[32];
    char *argv[] = { path, (char *)match->who->pool,
                     (char *)match->what->workload, workers, ops, producers,
                     loop, NULL };
    FILE *out = NULL;
    int status = 0, err, got = 0;
    pid_t pid;

    program_path(match->who, path, sizeof(path));
    snprintf(workers, sizeof(workers), "%d", c->workers);
    snprintf(ops, sizeof(ops), "%llu", (unsigned long long)c->ops);
    snprintf(producers, sizeof(producers), "%d", c->producers);
    snprintf(loop, sizeof(loop), "%llu", (unsigned long long)turns);
    err = start(argv, &pid, &out);
    if (err != 0)
        return err;
    *sample = (struct sample){ 0 };
    if (out != NULL) {
        got = fscanf(out, "%lf %lf %lf %lf %lf %lf", &sample->ns,
                     &sample->cpu_ns, &sample->switches, &sample->p50,
                     &sample->p99, &sample->max);
        fclose(out);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return -EPROTO; /* it has said why */
    return got == 6 && sample->ns > 0 ? 0 : -EIO;
}

/* How many operations the two that are not fitted to the time do. */
static uint64_t fixed_ops(const struct options *options,
                          const struct discipline *what, int workers)
{
    double n = options->sample_ns / 450000;

    if (what->letter == 's') { /* rounds of sleeps, in all workers */
        n = options->sample_ns / 1e7;
        return (uint64_t)workers * (n > 3 ? (uint64_t)n : 3);
    }
    return n > 10 ? (uint64_t)n : 10;
}

static void add(struct suite *suite, size_t w, size_t d, int workers)
{
    const struct discipline *what = &disciplines[d];
    const struct contender *who = &contenders[w];
    int at_once = what->computes && workers > cores() ? cores() : workers;

    matches[w][d] = (struct match){ who, what };
    suite_add(suite, &(struct bench_case){
        .bench = "peers", .workload = what->name, .series = who->series,
        .workers = workers, .bound_ns = what->job_ns / at_once,
        .run = peer_run, .user = &matches[w][d],
        .ops = what->ops != 0 ? what->ops
                              : fixed_ops(suite->options, what, workers),
        .ops_max = what->ops_max, .producers = what->producers,
        .spread = what->spread });
}

int bench_peers(struct suite *suite)
{
    int counts[COUNTS_MAX], count;
    char path[4096];

    work_calibrate();
    turns = work_turns(1000);
    for (size_t d = 0; d < DISCIPLINES; d++)
        for (size_t w = 0; w < CONTENDERS; w++) {
            if (strchr(contenders[w].workloads, disciplines[d].letter) == NULL)
                continue;
            program_path(&contenders[w], path, sizeof(path));
            if (access(path, X_OK) != 0)
                continue; /* its library was not there when this was built */
            count = suite_counts(suite, disciplines[d].counts, counts);
            if (suite->options->quick && suite->options->count_count == 0)
                counts[0] = disciplines[d].letter == 's' ? 64 : 2, count = 1;
            for (int i = 0; i < count; i++)
                add(suite, w, d, counts[i]);
        }
    return 0;
}
