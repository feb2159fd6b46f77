/* SPDX-License-Identifier: MIT
 * options.c - reads and checks the command line of `weir run`. */
#include "options.h"

#include "common/exits.h"
#include "common/input.h"
#include "common/text.h"
#include "common/url.h"
#include "task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <weir/base.h>

static const char help[] =
    "weir run [options] [URL... | -i FILE] - fetch a list of URLs\n"
    "\n"
    "Without URLs it requests /delay/1 from its built-in server.\n"
    "\n"
    "Input\n"
    "  -i, --input FILE         one URL or JSON object per line; - is\n"
    "                           standard input\n"
    "  -n, --count N            number of requests without URLs (20)\n"
    "      --base URL           without URLs: request URL/delay/1\n"
    "      --shard K/N|auto     run only the K-th of N parts (all)\n"
    "      --dry-run            read and check the input, send nothing\n"
    "Limits\n"
    "  -j, --concurrency N      concurrency limit (8)\n"
    "  -w, --workers N          threads (as -j)\n"
    "  -r, --rate N[/s|/m|/h]   rate limit: starts per second, minute or\n"
    "                           hour (none)\n"
    "      --burst N            late starts that may catch up without a\n"
    "                           pause (1)\n"
    "      --per-host N         concurrency limit per host (a fair share)\n"
    "      --per-host-rate N[/s|/m|/h]\n"
    "                           rate limit per host (none)\n"
    "      --window N           jobs read ahead, at most a quarter per host\n"
    "                           (100000)\n"
    "Requests\n"
    "  -t, --timeout S          seconds for each attempt of a job (30)\n"
    "      --connect-timeout S  seconds of these for connecting (5)\n"
    "      --job-timeout S      seconds for all attempts of a job (no limit)\n"
    "      --retries N          retries after a transient failure (2)\n"
    "      --retry-max-time S   no retry starts later than this (60)\n"
    "      --retry-unsafe       retry every method, also POST and PATCH\n"
    "      --redirects N        redirects followed per job, 0 to 10 (10)\n"
    "      --cookies            keep cookies from one redirect to the next\n"
    "      --raw                do not decode compressed bodies\n"
    "      --max-body BYTES     fail if a body is larger (1048576)\n"
    "      --accept LIST        statuses that count as ok (200-299)\n"
    "  -H, --header 'N: VALUE'  add a header; may be repeated\n"
    "  -A, --agent TEXT         User-Agent (weir/" WEIR_VERSION ")\n"
    "      --proxy URL          proxy (from the environment)\n"
    "      --cacert FILE        certificates to trust (the system's)\n"
    "      --cert FILE          client certificate\n"
    "      --key FILE           its private key (in the file of --cert)\n"
    "      --insecure           do not verify certificates\n"
    "      --halt never|soon,fail=N[%]|now,fail=N[%]\n"
    "                           stop after N failed jobs (never)\n"
    "Results\n"
    "  -o, --output FILE        append results to FILE; - is standard output\n"
    "                           (results.ndjson)\n"
    "      --resume             skip jobs that have a record in FILE\n"
    "      --retry-failed       skip only jobs whose last record is ok\n"
    "      --body none|full     store response bodies in the records (none)\n"
    "      --save FOLDER        store each response body in a file there\n"
    "Messages\n"
    "  -q, --quiet              print errors only\n"
    "  -v, --verbose            print a line for every job\n"
    "      --progress auto|bar|plain|none\n"
    "                           a bar on a terminal, else a line every 5 s\n"
    "      --color auto|always|never\n"
    "      --table              add all counters to the summary\n"
    "      --summary FILE       write the summary as a JSON object\n"
    "      --timeline FILE      draw a timeline of the workers as SVG\n"
    "      --trace FILE         write a trace for ui.perfetto.dev\n"
    "\n"
    "Every result is a line of JSON. The first Ctrl-C lets running jobs\n"
    "finish; the second exits immediately. SIGUSR1 and SIGUSR2 raise and\n"
    "lower the concurrency limit by one.\n";

static int usage(const char *message)
{
    say("weir run: %s; see 'weir run --help'", message);
    return EXIT_BAD_INPUT;
}

/* Options that are read as text and parsed later. */
struct words {
    const char *shard, *halt;
    int want_version;
};

static int read_settings(struct run_options *o, struct words *words,
                         int *operands, int argc, char **argv)
{
    const struct setting settings[] = {
        SETTING("input", 'i', TEXT, &o->input, 0, 0),
        SETTING("count", 'n', WHOLE, &o->count, 1, 1e9),
        SETTING("base", 0, TEXT, &o->base, 0, 0),
        SETTING("shard", 0, TEXT, &words->shard, 0, 0),
        SETTING("dry-run", 0, FLAG, &o->dry_run, 0, 0),
        SETTING("concurrency", 'j', WHOLE, &o->concurrency, 1, 16384),
        SETTING("workers", 'w', WHOLE, &o->workers, 1, 16384),
        SETTING("rate", 'r', RATE, &o->rate, 1e-6, 1e9),
        SETTING("burst", 0, WHOLE, &o->burst, 1, 1048576),
        SETTING("per-host", 0, WHOLE, &o->per_host, 1, 16384),
        SETTING("per-host-rate", 0, RATE, &o->per_host_rate, 1e-6, 1e9),
        SETTING("window", 0, WHOLE, &o->window, 1, 1e8),
        SETTING("timeout", 't', DECIMAL, &o->timeout, 0.001, 86400),
        SETTING("connect-timeout", 0, DECIMAL, &o->connect_timeout, 0.001,
                86400),
        SETTING("job-timeout", 0, DECIMAL, &o->job_timeout, 0.001, 1e6),
        SETTING("retries", 0, WHOLE, &o->retries, 0, 1000),
        SETTING("retry-max-time", 0, DECIMAL, &o->retry_max_time, 0, 86400),
        SETTING("retry-unsafe", 0, FLAG, &o->retry_unsafe, 0, 0),
        SETTING("redirects", 0, WHOLE, &o->redirects, 0, 10),
        SETTING("cookies", 0, FLAG, &o->cookies, 0, 0),
        SETTING("raw", 0, FLAG, &o->raw, 0, 0),
        SETTING("max-body", 0, WHOLE, &o->body_max, 1, 1 << 30),
        SETTING("accept", 0, STATUSES, &o->accept, 0, 0),
        SETTING("header", 'H', LIST, &o->headers, 0, 0),
        SETTING("agent", 'A', TEXT, &o->agent, 0, 0),
        SETTING("proxy", 0, TEXT, &o->proxy, 0, 0),
        SETTING("cacert", 0, TEXT, &o->ca_file, 0, 0),
        SETTING("cert", 0, TEXT, &o->cert_file, 0, 0),
        SETTING("key", 0, TEXT, &o->key_file, 0, 0),
        SETTING("insecure", 0, FLAG, &o->insecure, 0, 0),
        SETTING("halt", 0, TEXT, &words->halt, 0, 0),
        SETTING("output", 'o', TEXT, &o->output, 0, 0),
        SETTING("resume", 0, FLAG, &o->resume, 0, 0),
        SETTING("retry-failed", 0, FLAG, &o->retry_failed, 0, 0),
        SETTING_WORD("body", &o->keep_body, "none|full"),
        SETTING("save", 0, TEXT, &o->save, 0, 0),
        SETTING("quiet", 'q', FLAG, &o->quiet, 0, 0),
        SETTING("verbose", 'v', FLAG, &o->verbose, 0, 0),
        SETTING_WORD("progress", &o->progress, "auto|bar|plain|none"),
        SETTING_WORD("color", &o->color, "auto|always|never"),
        SETTING("table", 0, FLAG, &o->table, 0, 0),
        SETTING("summary", 0, TEXT, &o->summary, 0, 0),
        SETTING("timeline", 0, TEXT, &o->timeline, 0, 0),
        SETTING("trace", 0, TEXT, &o->trace, 0, 0),
        SETTING("version", 0, FLAG, &words->want_version, 0, 0),
    };

    return settings_read(&(struct settings_of){
        .name = "run", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]),
        .operands = operands }, argc, argv);
}

static int check_base(const char *base)
{
    const char *reason;
    char *url = url_check(base, strlen(base), &reason);

    if (url == NULL)
        say("weir run: --base: %s", reason != NULL ? reason : "no memory");
    free(url);
    return url != NULL ? EXIT_OK : EXIT_BAD_INPUT;
}

static int has_word(const struct input_line *line, const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; i + length <= line->count; i++)
        if (memcmp(line->bytes + i, word, length) == 0)
            return 1;
    return 0;
}

/* Check that a file of certificates or keys can be read and contains `wanted`,
 * because otherwise every job that needs it would fail. If not, print the
 * reason; `what` is the one for a missing `wanted`. Returns an exit code. */
static int check_pem(const char *option, const char *path, const char *wanted,
                     const char *what)
{
    struct input *in;
    struct input_line line;
    struct stat st;
    const char *reason = NULL;
    int got = 0, found = 0, locked = 0, err;

    if (path == NULL || (stat(path, &st) == 0 && S_ISFIFO(st.st_mode)))
        return EXIT_OK; /* a pipe can be read only once, by libcurl */
    err = input_open(&in, path, -1, 65536);
    if (err == 0) {
        while ((got = input_next(in, &line)) == INPUT_LINE ||
               got == INPUT_TOO_LONG) {
            if (got != INPUT_LINE)
                continue;
            found |= has_word(&line, wanted);
            locked |= has_word(&line, "ENCRYPTED");
        }
        input_close(in);
        err = got < 0 ? got : 0;
    }
    if (err != 0)
        reason = strerror(-err);
    else if (locked)
        reason = "it is encrypted, and weir does not ask for passphrases";
    else if (!found)
        reason = what;
    if (reason == NULL)
        return EXIT_OK;
    say("weir run: %s %s: %s", option, path, reason);
    return EXIT_BAD_INPUT;
}

static int check_certificates(const struct run_options *o)
{
    static const char certificate[] = "CERTIFICATE-----";
    static const char no_certificate[] = "there is no PEM certificate in it";
    static const char key[] = "PRIVATE KEY-----";
    static const char no_key[] = "there is no PEM private key in it";
    int code = check_pem("--cacert", o->ca_file, certificate, no_certificate);

    if (code == EXIT_OK && o->key_file != NULL && o->cert_file == NULL)
        return usage("--key needs --cert");
    if (code == EXIT_OK)
        code = check_pem("--cert", o->cert_file, certificate, no_certificate);
    if (code == EXIT_OK && o->key_file != NULL)
        code = check_pem("--key", o->key_file, key, no_key);
    else if (code == EXIT_OK)
        code = check_pem("--cert", o->cert_file, key, no_key);
    return code;
}

/* Check what is sent with each request. Returns an exit code. */
static int check_requests(const struct run_options *o)
{
    for (size_t i = 0; i < o->headers.count; i++) {
        const char *reason = task_header_fault(o->headers.texts[i]);

        if (reason != NULL) {
            say("weir run: -H: %s", reason); /* the text may be a secret */
            return EXIT_BAD_INPUT;
        }
    }
    if (o->proxy != NULL && url_proxy_fault(o->proxy) != NULL) {
        /* Do not print the URL: it may contain a password. */
        say("weir run: --proxy: %s", url_proxy_fault(o->proxy));
        return EXIT_BAD_INPUT;
    }
    if (o->agent != NULL)
        for (const char *c = o->agent; *c != '\0'; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7F)
                return usage("-A: a control character inside");
    return check_certificates(o);
}

/* Check that the options do not exclude each other. Returns an exit code. */
static int check_together(const struct run_options *o)
{
    if (o->input != NULL && o->url_count > 0)
        return usage("URLs and -i exclude each other");
    if (o->input != NULL || o->url_count > 0) {
        if (o->count != 0)
            return usage("-n is only for a run without URLs");
        if (o->base != NULL)
            return usage("--base is only for a run without URLs");
    }
    if (o->quiet && o->verbose)
        return usage("-q and -v exclude each other");
    if (o->resume && options_to_stdout(o))
        return usage("--resume and --retry-failed need a file for -o");
    if (o->keep_body && o->body_max > 16 << 20)
        return usage("--body full needs a --max-body of at most 16777216");
    return EXIT_OK;
}

static int check_words(struct run_options *o, const struct words *words)
{
    const char *reason = words->shard != NULL ? shard_read(words->shard,
                                                        &o->shard)
                                           : NULL;

    if (reason != NULL) {
        say("weir run: --shard %s: %s", words->shard, reason);
        return EXIT_BAD_INPUT;
    }
    if (words->halt != NULL && !halt_read(words->halt, &o->halt)) {
        say("weir run: --halt %s: must be never, soon,fail=N[%%] or"
            " now,fail=N[%%]", words->halt);
        return EXIT_BAD_INPUT;
    }
    return EXIT_OK;
}

/* Divide the rate limits among the shards, which together obey them. */
static void share_rate(struct run_options *o)
{
    double whole = o->rate;

    if (o->shard.of < 2)
        return;
    o->per_host_rate /= o->shard.of;
    if (whole <= 0)
        return;
    o->rate = whole / o->shard.of;
    if (!o->quiet)
        say("shard %u of %u: the rate limit is %g per second, its share of %g",
            o->shard.k, o->shard.of, o->rate, whole);
}

static int check(struct run_options *o, const struct words *words)
{
    int code;

    if (o->retry_failed)
        o->resume = 1;
    code = check_together(o);
    if (code == EXIT_OK && o->base != NULL)
        code = check_base(o->base);
    if (code == EXIT_OK)
        code = check_requests(o);
    if (code == EXIT_OK)
        code = check_words(o, words);
    if (code != EXIT_OK)
        return code;
    if (o->count == 0)
        o->count = 20;
    o->follow = o->workers == 0;
    if (o->follow)
        o->workers = o->concurrency;
    share_rate(o);
    return EXIT_OK;
}

int options_read(struct run_options *o, int argc, char **argv)
{
    struct words words = { 0 };
    int first, code;

    *o = (struct run_options){ .concurrency = 8, .timeout = 30,
                               .connect_timeout = 5, .window = 100000,
                               .retries = 2, .retry_max_time = 60,
                               .redirects = 10,
                               .output = "results.ndjson" };
    number_statuses("200-299", &o->accept);
    /* Keep a copy in the original order: getopt_long() moves the operands. */
    o->words = malloc((size_t)argc * sizeof(*argv));
    if (o->words == NULL) {
        say("weir run: no memory");
        return EXIT_BROKEN;
    }
    memcpy(o->words, argv, (size_t)argc * sizeof(*argv));
    o->word_count = argc;
    code = read_settings(o, &words, &first, argc, argv);
    if (code != EXIT_OK)
        return code;
    if (words.want_version)
        return settings_help("weir " WEIR_VERSION "\n") == 0 ? -1
                                                              : EXIT_BROKEN;
    o->urls = argv + first;
    o->url_count = argc - first;
    return check(o, &words);
}

void options_free(struct run_options *o)
{
    free(o->words);
    o->words = NULL;
}

int options_own_server(const struct run_options *o)
{
    return o->input == NULL && o->url_count == 0 && o->base == NULL;
}

int options_to_stdout(const struct run_options *o)
{
    return strcmp(o->output, "-") == 0;
}
