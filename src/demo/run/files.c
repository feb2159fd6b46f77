/* SPDX-License-Identifier: MIT
 * files.c - checks that a run overwrites no file that it reads. */
#include "common/exits.h"
#include "results/timeline.h"
#include "run.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TORN ".torn" /* weir_writer_open() saves a torn tail in FILE.torn */

enum access {
    READS,
    WRITES,
    MAKES_IN /* creates files in the folder */
};

struct named {
    const char *option, *path;
    enum access access;
};

#define NAMED_MAX 16

/* List the files that the options name. Returns their number. */
static size_t list(const struct run_options *o, struct text *torn,
                   struct named files[NAMED_MAX])
{
    const struct named all[] = {
        { "-i", o->input, READS },
        { "--cacert", o->ca_file, READS },
        { "--cert", o->cert_file, READS },
        { "--key", o->key_file, READS },
        { "-o", options_to_stdout(o) ? NULL : o->output, WRITES },
        { "the torn end of -o", torn->data, WRITES },
        { "--summary", o->summary, WRITES },
        { "--timeline", o->timeline, WRITES },
        { "--trace", o->trace, WRITES },
        { "--save", o->save, MAKES_IN },
    };
    size_t count = 0;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].path != NULL &&
            !(i == 0 && strcmp(all[i].path, "-") == 0))
            files[count++] = all[i];
    return count;
}

static int same(const struct named *a, const struct named *b)
{
    if (a->access == MAKES_IN || b->access == MAKES_IN)
        return 0; /* the files there have random names, or ids */
    return (a->access == WRITES || b->access == WRITES) &&
           file_same(a->path, b->path);
}

int files_check(const struct run_options *o)
{
    struct named files[NAMED_MAX];
    struct text torn = { 0 };
    int code = EXIT_OK;
    size_t count;

    if (!options_to_stdout(o))
        text_printf(&torn, "%s" TORN, o->output);
    if (torn.failed)
        return run_broken("memory", -ENOMEM);
    count = list(o, &torn, files);
    for (size_t i = 0; i < count && code == EXIT_OK; i++)
        for (size_t k = i + 1; k < count && code == EXIT_OK; k++)
            if (same(&files[i], &files[k])) {
                say("weir run: %s and %s are the same file: %s",
                    files[i].option, files[k].option, files[k].path);
                code = EXIT_BAD_INPUT;
            }
    text_free(&torn);
    return code;
}

const char *files_refuse(const struct run_options *o, const char *path)
{
    struct named files[NAMED_MAX];
    struct text torn = { 0 }, folder = { 0 };
    const char *slash = strrchr(path, '/'), *reason = NULL;
    size_t count;

    if (!options_to_stdout(o))
        text_printf(&torn, "%s" TORN, o->output);
    count = list(o, &torn, files);
    text_add(&folder, slash != NULL ? path : ".",
             slash == NULL || slash == path ? 1 : (size_t)(slash - path));
    for (size_t i = 0; i < count && !torn.failed && !folder.failed; i++) {
        if (files[i].access == WRITES && file_same(files[i].path, path))
            reason = "a file that this run writes";
        if (files[i].access == MAKES_IN &&
            file_same(files[i].path, folder.data))
            reason = "a file in the folder of --save";
    }
    if (torn.failed || folder.failed)
        reason = "no memory";
    text_free(&torn);
    text_free(&folder);
    return reason;
}

int files_open(struct run *run)
{
    const struct run_options *o = run->options;
    const struct {
        const char *option, *path;
        struct file_out *out;
        file_is *is_ours;
    } all[] = {
        { "--summary", o->summary, &run->summary_out, summary_is },
        { "--timeline", o->timeline, &run->timeline_out, timeline_is },
        { "--trace", o->trace, &run->trace_out, trace_is },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct stat st;
        int err = 0;

        if (all[i].path == NULL)
            continue;
        if (!o->dry_run || stat(all[i].path, &st) != 0 ||
            !S_ISFIFO(st.st_mode))
            err = file_out_open(all[i].out, all[i].path, all[i].is_ours);
        if (err != 0) {
            say("weir run: %s %s: %s", all[i].option, all[i].path,
                file_error(err));
            return err == -EEXIST ? EXIT_BAD_INPUT : EXIT_BROKEN;
        }
    }
    return EXIT_OK;
}
