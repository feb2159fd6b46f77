/* SPDX-License-Identifier: MIT
 * test_embedding.c - the library in an application that uses signals,
 * descriptors, fork() and exec() for other purposes.
 *
 * With the arguments "descriptors N" it is the program that is executed, and
 * fails unless it was given N of them. */
#include "../jobs.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <weir/queue.h>
#include <weir/table.h>
#include <weir/writer.h>

static const char *self; /* this program's file */
static int given;        /* descriptors it was started with */

/* ---- one of everything ---- */

struct objects {
    struct weir_pool *pool;   /* grows, has a gate, sleeps */
    struct weir_group *group;
    struct weir_gate *gate;
    struct weir_queue *queue;
    struct weir_table *table;
    struct weir_writer *writer;
    char path[32];
    atomic_int ran;
};

static int some_work(struct weir_context *cx, void *arg)
{
    struct objects *g = arg;
    uint64_t tag = weir_tag(cx);
    char line[32];
    int n = snprintf(line, sizeof(line), "%d\n", (int)tag);

    weir_sleep(cx, WEIR_MS);
    EXPECT_INT(weir_table_put(g->table, (struct weir_bytes){ &tag,
        sizeof(tag) }, (struct weir_bytes){ NULL, 0 }), 0);
    EXPECT_INT(weir_writer_write(g->writer, &(struct iovec){ line,
        (size_t)n }, 1, WEIR_FOREVER), 0);
    atomic_fetch_add(&g->ran, 1);
    return 0;
}

static void objects_make(struct objects *g)
{
    int fd;

    memset(g, 0, sizeof(*g));
    snprintf(g->path, sizeof(g->path), "/tmp/weir-embed-XXXXXX");
    fd = mkstemp(g->path);
    REQUIRE(fd >= 0 && close(fd) == 0);
    g->pool = make_pool(&(struct weir_pool_options){ .workers = 2,
        .workers_max = 4, .limit = 3 });
    g->group = make_group(g->pool, NULL);
    g->gate = make_gate(&(struct weir_gate_options){ .limit = 2 });
    REQUIRE(weir_queue_create(&g->queue, NULL) == 0);
    REQUIRE(weir_table_create(&g->table, NULL) == 0);
    REQUIRE(weir_writer_open(&g->writer, &(struct weir_writer_options){
        .path = g->path, .recover = WEIR_RECOVER_LINES }) == 0);
}

static void objects_work(struct objects *g, int jobs)
{
    for (int i = 0; i < jobs; i++)
        submit_in(g->group, &(struct weir_job){ .fn = some_work, .arg = g,
            .tag = (uint64_t)i, .gate = i % 2 ? g->gate : NULL });
}

static void objects_free(struct objects *g)
{
    weir_group_destroy(g->group);
    weir_pool_destroy(g->pool);
    weir_gate_destroy(g->gate);
    weir_queue_destroy(g->queue);
    weir_table_destroy(g->table);
    weir_writer_destroy(g->writer);
}

/* ---- signals ---- */

static atomic_int caught;

static void catch(int number)
{
    (void)number;
    atomic_fetch_add(&caught, 1);
}

struct dispositions {
    struct sigaction action[NSIG];
    int known[NSIG];
    sigset_t mask;
};

static void look(struct dispositions *d)
{
    memset(d, 0, sizeof(*d));
    for (int i = 1; i < NSIG; i++)
        d->known[i] = sigaction(i, NULL, &d->action[i]) == 0;
    REQUIRE(pthread_sigmask(SIG_SETMASK, NULL, &d->mask) == 0);
}

static void expect_same(const struct dispositions *a,
                        const struct dispositions *b)
{
    for (int i = 1; i < NSIG; i++) {
        EXPECT_INT(a->known[i], b->known[i]);
        EXPECT_INT(sigismember(&a->mask, i), sigismember(&b->mask, i));
        if (!a->known[i])
            continue;
        if (!EXPECT(a->action[i].sa_handler == b->action[i].sa_handler))
            printf("# signal %d\n", i);
        EXPECT_INT(a->action[i].sa_flags, b->action[i].sa_flags);
        for (int j = 1; j < NSIG; j++)
            EXPECT_INT(sigismember(&a->action[i].sa_mask, j),
                       sigismember(&b->action[i].sa_mask, j));
    }
}

static void signals_stay_the_hosts(void)
{
    struct sigaction mine = { .sa_handler = catch, .sa_flags = SA_RESTART };
    struct sigaction ignore = { .sa_handler = SIG_IGN }, usr1, usr2, hup;
    struct dispositions before, now;
    struct objects g;

    sigemptyset(&mine.sa_mask);
    sigaddset(&mine.sa_mask, SIGTERM);
    REQUIRE(sigaction(SIGUSR1, &mine, &usr1) == 0);
    REQUIRE(sigaction(SIGUSR2, &ignore, &usr2) == 0);
    mine.sa_flags = (int)SA_RESETHAND;
    REQUIRE(sigaction(SIGHUP, &mine, &hup) == 0);
    look(&before);
    objects_make(&g);
    look(&now);
    expect_same(&before, &now);
    objects_work(&g, 50);
    look(&now);
    expect_same(&before, &now);
    EXPECT_INT(weir_group_wait(g.group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_reopen(g.writer, WEIR_FOREVER), 0);
    look(&now);
    expect_same(&before, &now);
    objects_free(&g);
    look(&now);
    expect_same(&before, &now);
    unlink(g.path);
    REQUIRE(sigaction(SIGUSR1, &usr1, NULL) == 0);
    REQUIRE(sigaction(SIGUSR2, &usr2, NULL) == 0);
    REQUIRE(sigaction(SIGHUP, &hup, NULL) == 0);
}

static void no_signal_is_raised(void)
{
    /* Write to a pipe without a reader, and to a file that may not grow. */
    struct sigaction mine = { .sa_handler = catch }, pipe_was, size_was;
    struct rlimit was, limit;
    struct weir_writer *writer;
    char path[] = "/tmp/weir-embed-XXXXXX";
    int ends[2], fd = mkstemp(path);

    REQUIRE(fd >= 0 && close(fd) == 0);
    atomic_store(&caught, 0);
    sigemptyset(&mine.sa_mask);
    REQUIRE(sigaction(SIGPIPE, &mine, &pipe_was) == 0);
    REQUIRE(sigaction(SIGXFSZ, &mine, &size_was) == 0);
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
        .fd = ends[1] }) == 0);
    EXPECT_INT(weir_writer_write(writer, &(struct iovec){ (void *)"x\n", 2 },
                                 1, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EPIPE);
    weir_writer_destroy(writer);
    close(ends[1]);

    REQUIRE(getrlimit(RLIMIT_FSIZE, &was) == 0);
    limit = was;
    limit.rlim_cur = 1;
    REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path }) == 0);
    fflush(stdout); /* which may be a file */
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT_INT(weir_writer_write(writer, &(struct iovec){ (void *)"x\n", 2 },
                                 1, WEIR_FOREVER), 0);
    EXPECT_INT(weir_writer_close(writer, WEIR_FOREVER), -EFBIG);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &was) == 0);
    weir_writer_destroy(writer);
    EXPECT_INT(atomic_load(&caught), 0);
    REQUIRE(sigaction(SIGPIPE, &pipe_was, NULL) == 0);
    REQUIRE(sigaction(SIGXFSZ, &size_was, NULL) == 0);
    unlink(path);
}

static void signals_reach_the_host(void)
{
    /* The signals are sent to the process and reach the one thread that is not
     * the library's. */
    struct sigaction mine = { .sa_handler = catch }, was;
    struct objects g;

    sigemptyset(&mine.sa_mask);
    REQUIRE(sigaction(SIGUSR1, &mine, &was) == 0);
    atomic_store(&caught, 0);
    objects_make(&g);
    objects_work(&g, 100);
    for (int i = 1; i <= 100; i++) {
        REQUIRE(kill(getpid(), SIGUSR1) == 0);
        AWAIT(atomic_load(&caught) == i); /* caught by this thread or by none */
    }
    EXPECT_INT(weir_group_wait(g.group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&g.ran), 100);
    objects_free(&g);
    unlink(g.path);
    REQUIRE(sigaction(SIGUSR1, &was, NULL) == 0);
}

/* ---- fork ---- */

/* In a child, while the parent is busy: calls that would wait or start
 * something return -ECHILD, and everything can be freed. Returns the number of
 * calls that did otherwise. */
static int in_a_child(void *arg)
{
    struct objects *g = arg;
    struct weir_result r;
    struct weir_pool_stats pool_now;
    struct weir_writer_stats writer_now;
    struct weir_job job = { .fn = some_work, .arg = g };
    void *item = NULL;
    int bad = 0, err = 0;

    bad += weir_pool_submit(g->pool, &job, 1, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_wait(g->pool, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_run(g->pool, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_close(g->pool, WEIR_DRAIN, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_stats(g->pool, &pool_now) != -ECHILD;
    bad += weir_group_submit(g->group, &job, 1, WEIR_FOREVER) != -ECHILD;
    bad += weir_group_next(g->group, &r, WEIR_FOREVER) != -ECHILD;
    bad += weir_group_wait(g->group, WEIR_FOREVER) != -ECHILD;
    bad += weir_group_cancel(g->group, WEIR_EVERY, -ECANCELED) != -ECHILD;
    for (int i = 0; i < 3 && err == 0; i++) /* two jobs may race */
        err = weir_gate_acquire(g->gate, 0, WEIR_FOREVER);
    bad += err != -ECHILD;
    bad += weir_queue_take(g->queue, &item, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_write(g->writer, &(struct iovec){ (void *)"x\n", 2 },
                             1, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_flush(g->writer, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_close(g->writer, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_stats(g->writer, &writer_now) != -ECHILD;
    objects_free(g);
    return bad;
}

/* Execute another program, as a shell's child does. Returns 0 if it inherits no
 * descriptor of the library. */
static int execute(void *arg)
{
    char count[16];

    (void)arg;
    snprintf(count, sizeof(count), "%d", given);
    execl(self, self, "descriptors", count, (char *)NULL);
    return 99;
}

/* Count the lines of the file, each of which must be a new number. */
static int whole_lines(const char *path, int jobs)
{
    FILE *in = fopen(path, "r");
    char *seen = calloc((size_t)jobs, 1), line[64];
    int count = 0, number, end;

    REQUIRE(in != NULL && seen != NULL);
    while (fgets(line, sizeof(line), in) != NULL) {
        if (!EXPECT(sscanf(line, "%d%n", &number, &end) == 1 &&
                    strcmp(line + end, "\n") == 0 && number >= 0 &&
                    number < jobs && !seen[number]))
            printf("# line %d is %s", count + 1, line);
        else
            seen[number] = 1;
        count++;
    }
    free(seen);
    fclose(in);
    return count;
}

static void forks_under_load(int (*child)(void *))
{
    struct objects g;

    objects_make(&g);
    objects_work(&g, 500);
    for (int i = 0; i < 20; i++)
        EXPECT_INT(in_child(child, &g), 0);
    EXPECT_INT(weir_group_wait(g.group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&g.ran), 500);
    EXPECT_INT(weir_table_count(g.table), 500);
    EXPECT_INT(weir_writer_close(g.writer, WEIR_FOREVER), 0);
    EXPECT_INT(whole_lines(g.path, 500), 500);
    objects_free(&g);
    unlink(g.path);
}

static void a_child_is_told(void)
{
    forks_under_load(in_a_child);
}

static void a_child_executes(void)
{
    forks_under_load(execute);
}

/* A job may fork, and so may functions it calls: system(), posix_spawn(). */
static int fork_in_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    return in_child(execute, arg);
}

static void a_job_forks(void)
{
    struct objects g;

    objects_make(&g);
    objects_work(&g, 100);
    for (int i = 0; i < 10; i++)
        submit_in(g.group, &(struct weir_job){ .fn = fork_in_job,
            .arg = &g });
    EXPECT_INT(weir_group_wait(g.group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_status(g.group), 0);
    EXPECT_INT(atomic_load(&g.ran), 100);
    EXPECT_INT(weir_writer_close(g.writer, WEIR_FOREVER), 0);
    EXPECT_INT(whole_lines(g.path, 100), 100);
    objects_free(&g);
    unlink(g.path);
}

static const struct tap_case cases[] = {
    { "the library never changes the disposition or mask of a signal",
      signals_stay_the_hosts },
    { "a writer that cannot write raises no signal",
      no_signal_is_raised },
    { "signals sent to the process reach an application thread",
      signals_reach_the_host },
    { "a child forked under load gets ECHILD, and the parent loses nothing",
      a_child_is_told },
    { "a program executed by a child forked under load inherits no "
      "descriptor", a_child_executes },
    { "a job may fork", a_job_forks },
};

/* How many descriptors this program has. */
static int descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "descriptors") == 0)
        return descriptors() != atoi(argv[2]);
    self = argv[0];
    given = descriptors();
    return TAP_RUN(cases);
}
