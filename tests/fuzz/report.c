/* SPDX-License-Identifier: MIT
 * report.c - fuzz target: `weir report` of any file, and what `weir run
 * --resume` reads of it.
 *
 * The output is UTF-8 without control characters, with --json a JSON object;
 * and drawing ends. The first byte chooses the options. */
#include "fuzz.h"

#include "commands.h"
#include "common/json.h"
#include "common/screen.h"
#include "run/done.h"

#include <getopt.h>
#include <unistd.h>

/* Receives the messages about the file: the linker wraps the function. */
void __wrap_screen_line(const char *line, size_t count);

void __wrap_screen_line(const char *line, size_t count)
{
    CHECK(fuzz_is_text(line, count, true, ""));
}

static int any_member(void *user, const struct json_value *name,
                      const struct json_value *value)
{
    (void)user;
    (void)name;
    (void)value;
    return 0;
}

/* Run the command with its output in a file. Returns the output, which the
 * caller frees. */
static char *run_report(int argc, char **argv, size_t *count)
{
    FILE *file = tmpfile();
    int kept = dup(STDOUT_FILENO), code;
    char *printed;
    long size;

    CHECK(file != NULL && kept >= 0 && fflush(stdout) == 0);
    CHECK(dup2(fileno(file), STDOUT_FILENO) >= 0);
    code = command_report(argc, argv);
    CHECK(fflush(stdout) == 0 && dup2(kept, STDOUT_FILENO) >= 0);
    close(kept);
    CHECK(code == 0 || code == 2);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    size = ftell(file);
    CHECK(size >= 0);
    rewind(file);
    *count = (size_t)size;
    printed = malloc(*count + 1);
    CHECK(printed != NULL && fread(printed, 1, *count, file) == *count);
    fclose(file);
    return printed;
}

/* The jobs that --resume would consider complete. */
static void resume(const char *path)
{
    struct ids *done = ids_create();
    struct done_found found;

    CHECK(done != NULL && done_read(path, done, &found) == 0);
    CHECK(ids_count(done) <= found.records);
    ids_destroy(done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], json[] = "--json", table[] = "--table",
         draw[] = "--timeline", null[] = "/dev/null";
    char name[] = "report";
    char *argv[8] = { name };
    int argc = 1;
    unsigned how = size > 0 ? data[0] : 0;
    size_t count;
    char *printed;

    if (size == 0)
        return 0;
    snprintf(path, sizeof(path), "%s", fuzz_file(data + 1, size - 1));
    optind = 0; /* for getopt(): a new argument vector */
    if (how & 1)
        argv[argc++] = json;
    else if (how & 2)
        argv[argc++] = table;
    if (how & 4) {
        argv[argc++] = draw;
        argv[argc++] = null;
    }
    argv[argc++] = path;
    printed = run_report(argc, argv, &count);
    CHECK(fuzz_is_text(printed, count, true, "\n"));
    if (how & 1)
        CHECK(json_members(printed, count, any_member, NULL) == 0);
    free(printed);
    resume(path);
    return 0;
}
