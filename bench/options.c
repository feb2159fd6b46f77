/* SPDX-License-Identifier: MIT
 * options.c - the command line of weir-bench. */
#include "options.h"

#include "common/number.h"
#include "common/text.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/base.h>

#define WORKERS_MOST 1024

static const char help[] =
    "weir-bench [options] [BENCHMARK...] - measure Weir on this machine\n"
    "\n"
    "Without a name it runs all of them:\n";

static const char more_help[] =
    "\n"
    "  -w, --workers LIST     numbers of workers, like 1,2,4,8\n"
    "  -r, --repetitions N    samples of each case (7)\n"
    "  -t, --time MS          what a sample takes, about (200)\n"
    "  -q, --quick            3 samples of 10 ms: all in under 30 s\n"
    "      --only TEXT        only workloads with this in their name\n"
    "      --dir DIR          where files are written ($TMPDIR, or /tmp)\n"
    "      --csv FILE         a line for each row\n"
    "      --json FILE        with every sample\n"
    "      --markdown FILE    tables\n"
    "      --svg FILE         a plot\n"
    "  -h, --help  --version\n"
    "\n"
    "Exit code: 0 all of it was measured, and every job ran exactly once;\n"
    "1 not; 2 bad input; 3 the results could not be written.\n";

static int bad(const char *name, const char *value, const char *must)
{
    say("weir-bench: %s %s: must be %s", name, *value != '\0' ? value : "''",
        must);
    return BENCH_BAD_INPUT;
}

static int read_whole(const char *name, const char *value, int least,
                      int most, int *to)
{
    char must[80];
    int64_t n;

    if (number_whole(value, &n) == 0 && n >= least && n <= most) {
        *to = (int)n;
        return BENCH_OK;
    }
    snprintf(must, sizeof(must), "a whole number from %d to %d", least, most);
    return bad(name, value, must);
}

static int read_counts(struct options *options, const char *value)
{
    static const char must[] =
        "up to 32 numbers from 1 to 1024, each larger than the one before,"
        " like 1,2,4";
    const char *at = value;

    options->count_count = 0;
    for (;;) {
        size_t length = strcspn(at, ",");
        char word[16];
        int64_t n;
        int last = options->count_count == 0
                       ? 0 : options->counts[options->count_count - 1];

        if (length >= sizeof(word) || options->count_count == COUNTS_MAX)
            return bad("--workers", value, must);
        memcpy(word, at, length);
        word[length] = '\0';
        if (number_whole(word, &n) != 0 || n <= last || n > WORKERS_MOST)
            return bad("--workers", value, must);
        options->counts[options->count_count++] = (int)n;
        if (at[length] == '\0')
            return BENCH_OK;
        at += length + 1;
    }
}

static int read_time(struct options *options, const char *value)
{
    double ms;

    if (number_decimal(value, &ms) != 0 || ms < 0.01 || ms > 60000)
        return bad("--time", value, "a number of ms from 0.01 to 60000");
    options->sample_ns = ms * 1e6;
    return BENCH_OK;
}

static int read_text(const char *name, const char *value, const char **to)
{
    if (*value == '\0')
        return bad(name, value, "not empty");
    *to = value;
    return BENCH_OK;
}

static int print_help(void)
{
    fputs(help, stdout);
    for (size_t i = 0; i < benchmark_count; i++)
        printf("  %-8s %s\n", benchmarks[i].name, benchmarks[i].about);
    fputs(more_help, stdout);
    return -1;
}

enum { ONLY = 256, DIR_, CSV, JSON, MARKDOWN, SVG, VERSION };
static const struct option longs[] = {
    { "workers", required_argument, NULL, 'w' },
    { "repetitions", required_argument, NULL, 'r' },
    { "time", required_argument, NULL, 't' },
    { "quick", no_argument, NULL, 'q' },
    { "only", required_argument, NULL, ONLY },
    { "dir", required_argument, NULL, DIR_ },
    { "csv", required_argument, NULL, CSV },
    { "json", required_argument, NULL, JSON },
    { "markdown", required_argument, NULL, MARKDOWN },
    { "svg", required_argument, NULL, SVG },
    { "version", no_argument, NULL, VERSION },
    { "help", no_argument, NULL, 'h' },
    { 0 },
};

static int read_option(struct options *o, int got, const char *word)
{
    char letter[3] = { '-', (char)optopt, '\0' };

    switch (got) {
    case 'w': return read_counts(o, optarg);
    case 'r': return read_whole("--repetitions", optarg, 1, REPS_MAX,
                                &o->reps);
    case 't': return read_time(o, optarg);
    case 'q': o->quick = 1; return BENCH_OK;
    case ONLY: return read_text("--only", optarg, &o->only);
    case DIR_: return read_text("--dir", optarg, &o->dir);
    case CSV: return read_text("--csv", optarg, &o->csv);
    case JSON: return read_text("--json", optarg, &o->json);
    case MARKDOWN: return read_text("--markdown", optarg, &o->markdown);
    case SVG: return read_text("--svg", optarg, &o->svg);
    case 'h': return print_help();
    case VERSION: printf("weir-bench %s\n", weir_version()); return -1;
    }
    if (optopt > 0 && optopt < 256)
        word = letter;
    if (got == ':')
        say("weir-bench: %s: needs a value", word);
    else
        say("weir-bench: %s: no such option, or not with a value; see"
            " 'weir-bench --help'", word);
    return BENCH_BAD_INPUT;
}

/* Benchmarks by their names; none means all. */
static int read_names(int *wanted, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        size_t b = 0;

        while (b < benchmark_count && strcmp(argv[i], benchmarks[b].name) != 0)
            b++;
        if (b == benchmark_count) {
            say("weir-bench: %s: no such benchmark; see 'weir-bench --help'",
                argv[i]);
            return BENCH_BAD_INPUT;
        }
        wanted[b] = 1;
    }
    for (size_t b = 0; b < benchmark_count && argc == 0; b++)
        wanted[b] = 1;
    return BENCH_OK;
}

int options_read(struct options *o, int *wanted, int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    int got;

    *o = (struct options){ .dir = tmp != NULL && *tmp != '\0' ? tmp : "/tmp" };
    opterr = 0;
    while ((got = getopt_long(argc, argv, ":w:r:t:qh", longs, NULL)) != -1) {
        int code = read_option(o, got, argv[optind - 1]);

        if (code != BENCH_OK)
            return code;
    }
    if (o->reps == 0)
        o->reps = o->quick ? 3 : 7;
    if (o->sample_ns <= 0)
        o->sample_ns = o->quick ? 1e7 : 2e8;
    return read_names(wanted, argc - optind, argv + optind);
}
