/* SPDX-License-Identifier: MIT
 * test_stack.c - the stack of a worker's jobs and the signal mask that their
 * child processes inherit. The program has 250 KiB
 * of thread-local variables, which glibc takes out of each thread's stack. */
#define _GNU_SOURCE 1
#include "jobs.h"

#include <weir/weir.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

static _Thread_local volatile char in_every_thread[250 * 1024];

/* Sanitizers add space around each variable. */
#if defined(__SANITIZE_ADDRESS__)
#define FRAME_FACTOR 2
#else
#define FRAME_FACTOR 1
#endif

/* ---- stack ---- */

/* Use `kib` KiB of stack, a KiB at a time. */
static int use_stack(int kib)
{
    volatile char here[1024 / FRAME_FACTOR - 128];

    for (size_t i = 0; i < sizeof(here); i += 256)
        here[i] = (char)kib;
    return kib > 0 ? use_stack(kib - 1) + here[0] : 0;
}

static int use_kib(struct weir_context *cx, void *arg)
{
    (void)cx;
    in_every_thread[1] = 1;
    in_every_thread[sizeof(in_every_thread) - 1] = 1;
    (void)use_stack(*(int *)arg);
    return 0;
}

static void run_with(size_t stack_bytes, int kib)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .stack_bytes = stack_bytes });

    for (int i = 0; i < 4; i++)
        submit_fn(pool, use_kib, &kib);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).succeeded, 4);
    weir_pool_destroy(pool);
}

static void a_small_stack_is_whole(void)
{
    run_with((size_t)64 << 10, 50);
    run_with((size_t)256 << 10, 230);
}

static void the_default_stack_is_the_systems(void)
{
    run_with(0, 200);
    run_with(0, 4096);
}

static void small_default(void)
{
#if defined(__linux__)
    pthread_attr_t small, before;

    REQUIRE(pthread_getattr_default_np(&before) == 0);
    REQUIRE(pthread_attr_init(&small) == 0);
    REQUIRE(pthread_attr_setstacksize(&small, 128 << 10) == 0);
    if (pthread_setattr_default_np(&small) != 0)
        SKIP("no thread can have such a small stack besides its variables");
    else
        run_with(0, 4096);
    pthread_setattr_default_np(&before);
    pthread_attr_destroy(&small);
    pthread_attr_destroy(&before);
#else
    SKIP("the default cannot be changed here");
#endif
}

static void a_batch_has_a_stack(void *user, size_t records, size_t bytes)
{
    (void)records;
    (void)bytes;
    (void)use_kib(NULL, user);
}

static void a_writers_stack(void)
{
    struct weir_writer *writer;
    int kib = 1024, null = open("/dev/null", O_WRONLY);
    char line[] = "line\n";

    REQUIRE(null >= 0);
    REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
        .fd = null, .on_batch = a_batch_has_a_stack, .user = &kib }) == 0);
    EXPECT_INT(weir_writer_write(writer, &(struct iovec){ line, 5 }, 1,
                                 WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), 0);
    weir_writer_destroy(writer);
    close(null);
}

/* ---- signals of child processes ---- */

extern char **environ;

/* A shell that kills itself with SIGTERM, or exits with 3 if SIGTERM is
 * blocked. */
static char *const kill_self[] = { (char[]){ "sh" }, (char[]){ "-c" },
    (char[]){ "kill -TERM $$; exit 3" }, NULL };

static int result_of(pid_t pid)
{
    int status;

    REQUIRE(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int spawn_as_it_is(struct weir_context *cx, void *arg)
{
    pid_t pid;

    (void)cx;
    (void)arg;
    REQUIRE(posix_spawn(&pid, "/bin/sh", NULL, NULL, kill_self, environ) ==
            0);
    return result_of(pid);
}

/* The lines that pool.h shows. */
static int spawn_unblocked(struct weir_context *cx, void *arg)
{
    pid_t pid;
    posix_spawnattr_t attr;
    sigset_t none;

    (void)cx;
    (void)arg;
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    REQUIRE(posix_spawn(&pid, "/bin/sh", NULL, &attr, kill_self, environ) ==
            0);
    posix_spawnattr_destroy(&attr);
    return result_of(pid);
}

static int fork_unblocked(struct weir_context *cx, void *arg)
{
    sigset_t none;
    pid_t pid = fork();

    (void)cx;
    (void)arg;
    if (pid == 0) {
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, NULL);
        execv("/bin/sh", kill_self);
        _exit(127);
    }
    return result_of(pid);
}

/* Run a job in a group and return its status. */
static int status_of(weir_fn *fn)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_result result;

    submit_in(group, &(struct weir_job){ .fn = fn });
    REQUIRE(weir_group_next(group, &result, WEIR_FOREVER) == 0);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    return result.status;
}

static void a_child_inherits_the_mask(void)
{
    EXPECT_INT(status_of(spawn_as_it_is), 3);
}

static void a_spawned_child_is_unblocked(void)
{
    EXPECT_INT(status_of(spawn_unblocked), -SIGTERM);
}

static void a_forked_child_is_unblocked(void)
{
    EXPECT_INT(status_of(fork_unblocked), -SIGTERM);
}

static const struct tap_case cases[] = {
    { "a job can use the requested stack next to large thread-local variables",
      a_small_stack_is_whole },
    { "by default a job can use 4 MiB of stack",
      the_default_stack_is_the_systems },
    { "a job can use 4 MiB even if the system's default is 128 KiB",
      small_default },
    { "the writer's callback can use 1 MiB of stack", a_writers_stack },
    { "a program that a job starts inherits the blocked signals",
      a_child_inherits_the_mask },
    { "posix_spawnattr_setsigmask() gives a job's child an empty mask",
      a_spawned_child_is_unblocked },
    { "pthread_sigmask() after fork() gives a job's child an empty mask",
      a_forked_child_is_unblocked },
};

int main(void)
{
    return TAP_RUN(cases);
}
