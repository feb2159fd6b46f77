/* SPDX-License-Identifier: MIT
 * test_fork.c - a job forks, and its function returns in the child: the child
 * runs no other job, and the parent does not notice. */
#include "jobs.h"

#include <stdbool.h>
#include <sys/mman.h>

/* How the function ends in the child. */
enum { EXITS = 1000 }; /* no status: it ends its thread */

/* Shared with the children. */
static struct shared {
    atomic_int ran_here, ran_there, told_there;
} *shared;

static pid_t parent;

struct forks {
    int status; /* in the child; 0 in the parent */
    struct weir_pool *pool;
    struct weir_group *group;
    atomic_int child;
    int (*there)(struct weir_context *cx, struct forks *f); /* or NULL */
};

static bool is_there(void)
{
    return getpid() != parent;
}

static int fork_and_return(struct weir_context *cx, void *arg)
{
    struct forks *f = arg;
    pid_t child = fork();

    REQUIRE(child >= 0);
    if (child > 0) {
        atomic_store(&f->child, (int)child);
        return 0;
    }
    alarm(60); /* a child that hangs is killed */
    if (f->there != NULL)
        return f->there(cx, f);
    if (f->status == EXITS)
        pthread_exit(NULL);
    return f->status;
}

static int count_where(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    atomic_fetch_add(is_there() ? &shared->ran_there : &shared->ran_here, 1);
    return 0;
}

static void count_there(void)
{
    if (is_there())
        atomic_fetch_add(&shared->told_there, 1);
}

static void note_drop_there(void *arg, int reason)
{
    (void)arg;
    (void)reason;
    count_there();
}

static void stop_there(void *user, int index, void *local)
{
    (void)user;
    (void)index;
    (void)local;
    count_there();
}

static void event_there(void *user, const struct weir_event *event)
{
    (void)user;
    (void)event;
    count_there();
}

static void begin(struct forks *f, int workers)
{
    *f = (struct forks){ .pool = make_pool(&(struct weir_pool_options){
        .workers = workers, .limit = 1, .worker_stop = stop_there,
        .on_event = event_there }) };
    f->group = make_group(f->pool, &(struct weir_group_options){
        .help = 1 });
    memset(shared, 0, sizeof(*shared));
    parent = getpid();
}

/* The exit status of the child, or 128 + the signal it died of. */
static int status_of(struct forks *f)
{
    int status = 0;

    AWAIT(atomic_load(&f->child) != 0);
    while (waitpid(atomic_load(&f->child), &status, 0) < 0)
        REQUIRE(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The parent has run each of the other jobs exactly once. */
static void end(struct forks *f, int others)
{
    EXPECT_INT(weir_group_wait(f->group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_wait(f->pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&shared->ran_here), others);
    EXPECT_INT(atomic_load(&shared->ran_there), 0);
    EXPECT_INT(atomic_load(&shared->told_there), 0);
    EXPECT_INT(pool_stats(f->pool).failed, 0);
    weir_group_destroy(f->group);
    weir_pool_destroy(f->pool);
}

/* ---- on a worker ---- */

enum { PLAIN, DEFERRED, GROUPED, GROUPED_DEFERRED, KINDS };

static void submit_kind(struct forks *f, int kind)
{
    struct weir_job job = { .fn = fork_and_return, .arg = f,
                            .drop = note_drop_there };
    struct weir_job other = { .fn = count_where, .drop = note_drop_there };

    job.priority = kind == DEFERRED || kind == GROUPED_DEFERRED;
    job.retries = job.priority ? 3 : 0;
    if (kind >= GROUPED)
        submit_in(f->group, &job);
    else
        submit_to(f->pool, &job);
    for (int i = 0; i < 3; i++) {
        submit_to(f->pool, &other);
        submit_in(f->group, &other);
    }
}

static void on_a_worker(void)
{
    static const int statuses[] = { 0, 5, WEIR_RERUN, EXITS };

    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 4; i++) {
            struct forks f;

            begin(&f, 1);
            f.status = statuses[i];
            submit_kind(&f, kind);
            EXPECT_INT(status_of(&f), statuses[i] != 0);
            end(&f, 6);
        }
}

/* The child does not write what the parent has left in a buffer. */
static void flushes_nothing(void)
{
    FILE *file = tmpfile();
    struct forks f;

    REQUIRE(file != NULL);
    REQUIRE(fputs("once", file) >= 0);
    begin(&f, 1);
    submit_kind(&f, PLAIN);
    EXPECT_INT(status_of(&f), 0);
    REQUIRE(fflush(file) == 0);
    EXPECT_INT(ftell(file), 4);
    REQUIRE(fseek(file, 0, SEEK_END) == 0);
    EXPECT_INT(ftell(file), 4);
    fclose(file);
    end(&f, 6);
}

/* ---- what the job may call in the child ---- */

static int call_there(struct weir_context *cx, struct forks *f)
{
    struct weir_job job = { .fn = count_where };
    struct weir_result r;
    int bad = 0;

    /* returns: weir_sleep -ECHILD */
    bad |= weir_sleep(cx, WEIR_S) != -ECHILD;
    /* returns: weir_yield -ECHILD */
    bad |= weir_yield(cx) != -ECHILD;
    weir_on_stop(cx, NULL, NULL);
    weir_blocking_begin(cx);
    weir_blocking_end(cx);
    bad |= weir_attempt(cx, NULL) != 1;
    bad |= weir_pool_submit(f->pool, &job, 1, WEIR_NO_WAIT) != -ECHILD;
    bad |= weir_group_submit(f->group, &job, 1, WEIR_NO_WAIT) != -ECHILD;
    bad |= weir_group_wait(f->group, WEIR_FOREVER) != -ECHILD;
    bad |= weir_group_next(f->group, &r, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_group_status -ECHILD */
    bad |= weir_group_status(f->group) != -ECHILD;
    bad |= weir_pool_run(f->pool, WEIR_FOREVER) != -ECHILD;
    return bad;
}

static int destroy_there(struct weir_context *cx, struct forks *f)
{
    int bad = call_there(cx, f);

    weir_group_destroy(f->group);
    weir_pool_destroy(f->pool);
    return bad;
}

static int use_pool_there(struct weir_context *cx, struct forks *f)
{
#if THREADS_AFTER_FORK
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group = make_group(pool, NULL);
    atomic_int ran = 0;
    int bad;

    (void)cx;
    (void)f;
    submit_in(group, &(struct weir_job){ .fn = count_run, .arg = &ran });
    bad = weir_group_wait(group, WEIR_FOREVER) != 0;
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    return bad || atomic_load(&ran) != 1;
#else
    (void)cx;
    (void)f;
    return 0;
#endif
}

static void calls_in_the_child(void)
{
    int (*const there[])(struct weir_context *, struct forks *) = {
        call_there, destroy_there, use_pool_there
    };

    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 3; i++) {
            struct forks f;

            begin(&f, 1);
            f.there = there[i];
            submit_kind(&f, kind);
            EXPECT_INT(status_of(&f), 0);
            end(&f, 6);
        }
}

/* ---- on a thread of the application ---- */

static void on_a_caller_thread(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int closes = 0; closes <= 1; closes++) {
            struct forks f;
            int err;

            begin(&f, WEIR_NONE);
            submit_kind(&f, kind);
            err = closes ? weir_pool_close(f.pool, WEIR_DRAIN, WEIR_FOREVER)
                         : weir_pool_run(f.pool, WEIR_FOREVER);
            if (is_there()) {
                weir_group_destroy(f.group);
                weir_pool_destroy(f.pool);
                _exit(err == -ECHILD ? 7 : 8);
            }
            EXPECT_INT(err, 0);
            EXPECT_INT(status_of(&f), 7);
            end(&f, 6);
        }
}

static int wait_somehow(struct forks *f, int how)
{
    struct weir_result r;

    if (how == 0)
        return weir_group_wait(f->group, WEIR_FOREVER);
    if (how == 1)
        return weir_group_next(f->group, &r, WEIR_FOREVER);
    return weir_group_get(f->group, 0, &r, WEIR_FOREVER);
}

static void on_a_helping_thread(void)
{
    for (int how = 0; how <= 2; how++)
        for (int kind = GROUPED; kind < KINDS; kind++) {
            struct forks f;
            int err;

            begin(&f, WEIR_NONE);
            submit_kind(&f, kind);
            /* A deferred job comes after those that are in the ring. */
            err = wait_somehow(&f, how == 1 && kind != GROUPED ? 0 : how);
            if (is_there()) {
                weir_group_destroy(f.group);
                weir_pool_destroy(f.pool);
                _exit(err == -ECHILD ? 7 : 8);
            }
            EXPECT_INT(err, 0);
            EXPECT_INT(status_of(&f), 7);
            EXPECT_INT(weir_pool_run(f.pool, WEIR_FOREVER), 0);
            end(&f, 6);
        }
}

/* ---- inside another job ---- */

/* A job waits for one that forks: in the child the wait returns an error, and
 * the waiting job returns as well. */
static int wait_inside(struct weir_context *cx, void *arg)
{
    struct forks *f = arg;
    int how = f->status, err;
    uint64_t tag = weir_tag(cx);

    submit_in(f->group, &(struct weir_job){ .fn = fork_and_return,
        .arg = f, .priority = how > 2, .tag = 5 });
    err = wait_somehow(f, how % 3);
    if (!is_there())
        return err;
    return err == -ECHILD && weir_tag(cx) == tag ? 0 : 9;
}

/* A job submits more jobs than there is room for and runs some of them
 * inline. */
static int submit_inside(struct weir_context *cx, void *arg)
{
    struct forks *f = arg;
    struct weir_job job = { .fn = fork_and_return, .arg = f };
    ssize_t n = 0;

    (void)cx;
    for (int i = 0; i < 2 && n >= 0; i++) {
        n = weir_group_submit(f->group, &job, 1, WEIR_NO_WAIT);
        job.fn = count_where;
    }
    return is_there() ? n != -ECHILD : n != 1;
}

static void inside_another_job(void)
{
    for (int how = 0; how < 6; how++) {
        struct forks f;

        begin(&f, 1);
        f.status = how;
        submit_to(f.pool, &(struct weir_job){ .fn = wait_inside,
            .arg = &f });
        submit_to(f.pool, &(struct weir_job){ .fn = count_where });
        f.there = NULL;
        /* In the child the inner job returns `how`, and the outer one ends with
         * 0. */
        EXPECT_INT(status_of(&f), 0);
        end(&f, 1);
    }
}

static void inside_a_submit(void)
{
    struct forks f;

    begin(&f, 1);
    weir_group_destroy(f.group);
    weir_pool_destroy(f.pool);
    f.pool = make_pool(&(struct weir_pool_options){ .workers = 1,
        .capacity = 1 });
    f.group = make_group(f.pool, NULL);
    submit_to(f.pool, &(struct weir_job){ .fn = submit_inside, .arg = &f });
    EXPECT_INT(status_of(&f), 0);
    end(&f, 1);
}

/* ---- in a loop ---- */

static int fork_at_one(struct weir_context *cx, void *user, void *element)
{
    struct forks *f = user;

    EXPECT_INT(weir_attempt(cx, NULL), 1);
    if (is_there())
        return count_where(cx, NULL);
    if (*(int *)element != 0)
        return count_where(cx, NULL);
    return fork_and_return(cx, f);
}

static int loop_over(struct forks *f)
{
    int elements[40];

    for (int i = 0; i < 40; i++)
        elements[i] = i - 3;
    return weir_for_each(f->pool, &(struct weir_each){
        .fn = fork_at_one, .user = f, .array = elements, .count = 40,
        .size = sizeof(int) });
}

static int loop_inside(struct weir_context *cx, void *arg)
{
    int err = loop_over(arg);

    (void)cx;
    return is_there() ? err != -ECHILD && err != 0 : err;
}

/* The element that forks may run on another thread: then the child ends
 * there. */
static void in_a_loop(void)
{
    for (int inside = 0; inside <= 1; inside++) {
        struct forks f;
        int status;

        begin(&f, 1);
        if (inside) {
            submit_to(f.pool, &(struct weir_job){ .fn = loop_inside,
                .arg = &f });
        } else {
            int err = loop_over(&f);

            if (is_there())
                _exit(err == -ECHILD ? 7 : 8);
            EXPECT_INT(err, 0);
        }
        status = status_of(&f);
        EXPECT(status == 0 || (status == 7 && !inside));
        end(&f, 39);
    }
}

static const struct tap_case cases[] = {
    { "a child that a worker's job has forked ends when the job returns",
      on_a_worker },
    { "a child that a worker's job has forked flushes nothing",
      flushes_nothing },
    { "a job in a child it has forked may use the library, and return",
      calls_in_the_child },
    { "a caller thread's job that forks makes the call ECHILD in the child",
      on_a_caller_thread },
    { "a helped job that forks makes the wait ECHILD in the child",
      on_a_helping_thread },
    { "a job in a job that forks makes the wait ECHILD in the child",
      inside_another_job },
    { "a job in a submit that forks makes the submit ECHILD in the child",
      inside_a_submit },
    { "an element that forks makes the loop ECHILD in the child",
      in_a_loop },
};

int main(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    return TAP_RUN(cases);
}
