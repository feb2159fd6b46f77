/* SPDX-License-Identifier: MIT
 * input.c - reads a file or standard input by lines, in bounded memory. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct input {
    const char *name;
    int fd;
    int stop_fd;
    int ended;      /* read() has returned 0 */
    uint64_t lines; /* begun so far */
    uint64_t taken; /* bytes before what is in buffer */
    size_t begin;   /* of what is unread in buffer */
    size_t end;
    size_t line_max;
    size_t room;    /* of buffer, up to one line with CR and LF */
    char *buffer;
};

#define FIRST_ROOM 65536

int input_open(struct input **input, const char *path, int stop_fd,
               size_t line_max)
{
    struct input *in = calloc(1, sizeof(*in));
    struct stat st;
    int err;

    *input = NULL;
    if (in == NULL)
        return -ENOMEM;
    in->name = path;
    in->fd = -1;
    in->stop_fd = stop_fd;
    in->line_max = line_max;
    in->room = line_max + 2 < FIRST_ROOM ? line_max + 2 : FIRST_ROOM;
    in->buffer = malloc(in->room);
    if (in->buffer == NULL) {
        input_close(in);
        return -ENOMEM;
    }
    if (strcmp(path, "-") == 0) {
        in->name = "standard input";
        in->fd = STDIN_FILENO;
    } else {
        do
            in->fd = open(path, O_RDONLY | O_CLOEXEC);
        while (in->fd < 0 && errno == EINTR);
    }
    if (in->fd < 0 || fstat(in->fd, &st) != 0)
        err = -errno;
    else
        err = S_ISDIR(st.st_mode) ? -EISDIR : 0;
    if (err != 0) {
        input_close(in);
        return err;
    }
    *input = in;
    return 0;
}

void input_close(struct input *input)
{
    if (input == NULL)
        return;
    if (input->fd > STDERR_FILENO)
        close(input->fd);
    free(input->buffer);
    free(input);
}

const char *input_name(const struct input *input)
{
    return input->name;
}

/* Enlarge the buffer. Returns 0; 1 if it has the maximum size; -ENOMEM. */
static int lengthen(struct input *in)
{
    size_t most = in->line_max + 2;
    size_t room = in->room < most / 2 ? in->room * 2 : most;
    char *buffer;

    if (in->room == most)
        return 1;
    buffer = realloc(in->buffer, room);
    if (buffer == NULL)
        return -ENOMEM;
    in->buffer = buffer;
    in->room = room;
    return 0;
}

/* Move the unread bytes to the front and read more. Requires room in the
 * buffer. Returns 0, INPUT_STOPPED, or an error. */
static int fill(struct input *in)
{
    struct pollfd fds[2] = { { .fd = in->fd, .events = POLLIN },
                             { .fd = in->stop_fd, .events = POLLIN } };
    ssize_t n;

    memmove(in->buffer, in->buffer + in->begin, in->end - in->begin);
    in->taken += in->begin;
    in->end -= in->begin;
    in->begin = 0;
    do {
        /* A read that would wait could not be interrupted by stop_fd. */
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fds[1].revents != 0)
            return INPUT_STOPPED;
        n = read(in->fd, in->buffer + in->end, in->room - in->end);
        if (n >= 0) {
            in->end += (size_t)n;
            in->ended = n == 0;
            return 0;
        }
    } while (errno == EINTR || errno == EAGAIN);
    return -errno;
}

/* Skip a line to its end. Returns INPUT_TOO_LONG, or what fill() returns. */
static int skip_line(struct input *in)
{
    uint64_t skipped = 0;

    for (;;) {
        const char *from = in->buffer + in->begin;
        const char *newline = memchr(from, '\n', in->end - in->begin);
        int got;

        if (newline != NULL) {
            in->begin = (size_t)(newline - in->buffer) + 1;
            return INPUT_TOO_LONG;
        }
        skipped += in->end - in->begin;
        in->begin = in->end;
        if (in->ended)
            return INPUT_TOO_LONG;
        if (skipped >= INPUT_ENDLESS)
            return -EMSGSIZE;
        got = fill(in);
        if (got != 0)
            return got;
    }
}

static void trim(struct input_line *line)
{
    if (line->number == 1 && line->count >= 3 &&
        memcmp(line->bytes, "\xEF\xBB\xBF", 3) == 0) {
        line->bytes += 3;
        line->count -= 3;
    }
    while (line->count > 0 && (line->bytes[line->count - 1] == ' ' ||
                               line->bytes[line->count - 1] == '\t'))
        line->count--;
    while (line->count > 0 &&
           (line->bytes[0] == ' ' || line->bytes[0] == '\t')) {
        line->bytes++;
        line->count--;
    }
}

int input_next(struct input *input, struct input_line *line)
{
    const char *newline;
    size_t count;

    line->number = input->lines + 1;
    for (;;) {
        int got;

        count = input->end - input->begin;
        newline = memchr(input->buffer + input->begin, '\n', count);
        if (newline != NULL || input->ended)
            break;
        got = count == input->room ? lengthen(input) : 0;
        if (got > 0) {
            input->lines++;
            return skip_line(input);
        }
        if (got == 0)
            got = fill(input);
        if (got != 0)
            return got;
    }
    if (newline == NULL && count == 0)
        return INPUT_END;
    input->lines++;
    line->bytes = input->buffer + input->begin;
    line->offset = input->taken + input->begin;
    line->ended = newline != NULL;
    line->count = newline != NULL ? (size_t)(newline - line->bytes) : count;
    input->begin += line->count + (newline != NULL);
    if (line->count > 0 && line->bytes[line->count - 1] == '\r')
        line->count--;
    if (line->count > input->line_max)
        return INPUT_TOO_LONG;
    trim(line);
    return INPUT_LINE;
}
