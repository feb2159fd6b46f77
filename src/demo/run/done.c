/* SPDX-License-Identifier: MIT
 * done.c - what a results file says is done already. */
#include "done.h"

#include "common/input.h"
#include "results/record.h"

#include <errno.h>
#include <sys/stat.h>

static int add(struct ids *done, const struct record *record)
{
    uint32_t *number = ids_add(done, record->id);

    if (number == NULL)
        return -ENOMEM;
    *number = record->ok ? DONE_OK : DONE_FAILED;
    return 0;
}

static int read_lines(struct input *in, struct ids *done,
                      struct done_found *found)
{
    struct text url = { 0 };
    struct input_line line;
    struct record record;
    int got, err = 0;

    while (err == 0 && (got = input_next(in, &line)) != INPUT_END) {
        if (got < 0) {
            err = got;
        } else if (got == INPUT_LINE && line.ended) {
            err = record_read(line.bytes, line.count, &record, &url);
            if (err == 0)
                err = add(done, &record);
            found->records += err == 0;
            found->others += err == -EINVAL;
            err = err == -EINVAL ? 0 : err;
        } else {
            found->others += got == INPUT_TOO_LONG;
        }
    }
    text_free(&url);
    return err;
}

int done_read(const char *path, struct ids *done, struct done_found *found)
{
    struct stat st;
    struct input *in;
    int err;

    *found = (struct done_found){ 0 };
    if (stat(path, &st) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    err = input_open(&in, path, -1, RECORD_LINE_MAX);
    if (err != 0)
        return err;
    err = read_lines(in, done, found);
    input_close(in);
    return err;
}
