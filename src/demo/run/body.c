/* SPDX-License-Identifier: MIT
 * body.c - what --save keeps: a file for each job. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);

        if (n < 0 && errno != EINTR)
            return -errno;
        bytes += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int body_save(const char *folder, const struct job *job,
              const struct weir_http_response *answer)
{
    struct text part = { 0 }, whole = { 0 };
    char id[33];
    int fd, err;

    id_show(job->id, id);
    text_printf(&whole, "%s/%s", folder, id);
    text_printf(&part, "%s/%s.part", folder, id);
    if (part.failed || whole.failed) {
        err = -ENOMEM;
        goto done;
    }
    fd = open(part.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        err = -errno;
        goto done;
    }
    err = write_all(fd, answer->body, answer->body_bytes);
    if (close(fd) != 0 && err == 0)
        err = -errno;
    /* Who finds the file finds all of it. */
    if (err == 0 && rename(part.data, whole.data) != 0)
        err = -errno;
    if (err != 0)
        unlink(part.data);
done:
    text_free(&part);
    text_free(&whole);
    return err;
}
