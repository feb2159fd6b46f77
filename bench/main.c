/* SPDX-License-Identifier: MIT
 * main.c - weir-bench: runs benchmarks and reports what came of it. */
#include "bench.h"
#include "options.h"

#include "common/text.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

const struct benchmark benchmarks[] = {
    /* First: its children are to begin with memory that nobody has used. */
    { "memory", bench_memory, "what a queued job and a parked worker touch" },
    { "workers", bench_workers, "throughput and latency for 1 to 64 workers" },
    { "pool", bench_pool, "submitting an empty job: producers, batches, ring" },
    { "wake", bench_wake, "how soon an idle pool begins and answers" },
    { "fan", bench_fan, "1,000 jobs and wait for all" },
    { "queue", bench_queue, "items through the queue" },
    { "gate", bench_gate, "entering and leaving the gate" },
    { "writer", bench_writer, "appending lines to one file" },
    { "table", bench_table, "the shared table" },
    { "peers", bench_peers, "the same work in other pools, where there are"
      " any" },
};
const size_t benchmark_count = sizeof(benchmarks) / sizeof(benchmarks[0]);

enum { FILES = 4 };
struct output {
    const char *path;
    void (*report)(FILE *to, const struct suite *suite);
    FILE *file;
};

static void markdown(FILE *to, const struct suite *suite)
{
    report_table(to, suite, 1);
}

/* Before anything is measured: a name that is no good must not be found out
 * about an hour later. */
static int open_outputs(struct output *outputs)
{
    for (int i = 0; i < FILES; i++) {
        if (outputs[i].path == NULL)
            continue;
        outputs[i].file = fopen(outputs[i].path, "a");
        if (outputs[i].file == NULL) {
            say("weir-bench: %s: %s", outputs[i].path, strerror(errno));
            return BENCH_NOT_WRITTEN;
        }
    }
    return BENCH_OK;
}

/* Returns 0 where all that was printed to it has arrived. */
static int finish(FILE *file, const char *name)
{
    if (fflush(file) == 0 && !ferror(file))
        return 0;
    say("weir-bench: %s: %s", name, errno != 0 ? strerror(errno)
                                               : "cannot write");
    return -1;
}

static int write_outputs(struct output *outputs, const struct suite *suite)
{
    int code = BENCH_OK;

    for (int i = 0; i < FILES; i++) {
        if (outputs[i].file == NULL)
            continue;
        /* What was there until now is replaced. */
        outputs[i].file = freopen(outputs[i].path, "w", outputs[i].file);
        if (outputs[i].file == NULL) {
            say("weir-bench: %s: %s", outputs[i].path, strerror(errno));
            code = BENCH_NOT_WRITTEN;
            continue;
        }
        outputs[i].report(outputs[i].file, suite);
        if (finish(outputs[i].file, outputs[i].path) != 0)
            code = BENCH_NOT_WRITTEN;
    }
    return code;
}

static int print_reports(const struct suite *suite)
{
    report_table(stdout, suite, 0);
    report_plot(stdout, suite);
    report_laws(stdout, suite);
    report_peers(stdout, suite);
    return finish(stdout, "standard output") == 0 ? BENCH_OK
                                                  : BENCH_NOT_WRITTEN;
}

static int add_all(struct suite *suite, const int *wanted)
{
    for (size_t i = 0; i < benchmark_count; i++) {
        int err = wanted[i] ? benchmarks[i].add(suite) : 0;

        if (err != 0) {
            say("weir-bench: %s: %s", benchmarks[i].name, strerror(-err));
            return BENCH_FAILED;
        }
    }
    if (suite->count != 0)
        return BENCH_OK;
    if (suite->options->only != NULL)
        say("weir-bench: --only %s: no workload has this in its name",
            suite->options->only);
    else
        say("weir-bench: there is nothing to measure on this machine");
    return BENCH_BAD_INPUT;
}

/* The words of a command line, for the report. */
static char *join(int argc, char **argv)
{
    struct text text = { 0 };

    text_puts(&text, "weir-bench");
    for (int i = 1; i < argc; i++) {
        text_puts(&text, " ");
        text_puts(&text, argv[i]);
    }
    return text.data;
}

static void prepare(void)
{
    struct rlimit limit;

    setlocale(LC_CTYPE, "");
    show_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    signal(SIGPIPE, SIG_IGN);
    /* The http workload needs two descriptors for each worker. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    int wanted[sizeof(benchmarks) / sizeof(benchmarks[0])] = { 0 }, code;
    char *command = join(argc, argv);
    struct options options;
    struct suite suite = { .options = &options, .load = -1 };
    struct output outputs[FILES];

    prepare();
    code = options_read(&options, wanted, argc, argv);
    if (code < 0)
        code = finish(stdout, "standard output") == 0 ? BENCH_OK
                                                      : BENCH_NOT_WRITTEN;
    else if (code == BENCH_OK) {
        options.command = command != NULL ? command : "";
        outputs[0] = (struct output){ options.csv, report_csv, NULL };
        outputs[1] = (struct output){ options.json, report_json, NULL };
        outputs[2] = (struct output){ options.markdown, markdown, NULL };
        outputs[3] = (struct output){ options.svg, report_svg, NULL };
        code = open_outputs(outputs);
        if (getloadavg(&suite.load, 1) != 1)
            suite.load = -1;
        if (code == BENCH_OK)
            code = add_all(&suite, wanted);
        if (code == BENCH_OK && suite_run(&suite) != 0)
            code = BENCH_FAILED;
        if (code == BENCH_OK) {
            int printed = print_reports(&suite);

            code = write_outputs(outputs, &suite);
            code = code != BENCH_OK ? code : printed;
        }
    }
    suite_free(&suite);
    free(command);
    return code;
}
