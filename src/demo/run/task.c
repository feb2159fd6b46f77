/* SPDX-License-Identifier: MIT
 * task.c - parses a line of input. */
#include "task.h"

#include "common/json.h"
#include "common/url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/http.h>

#define TASK_METHOD_MAX  64 /* bytes */
#define TASK_HEADERS_MAX 1000

struct reading {
    struct task *task;
    char *reason; /* TASK_REASON_MAX bytes; "" with an error: no memory */
    int has_method;
};

static size_t name_length(const char *header)
{
    return strcspn(header, ":");
}

static int is_named(const char *header, const char *name)
{
    return name_length(header) == strlen(name) &&
           strncasecmp(header, name, strlen(name)) == 0;
}

const char *task_header_fault(const char *header)
{
    if (weir_http_header_check(header) == 0)
        return NULL;
    for (const char *c = header; *c != '\0'; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7F)
            return "a control character inside a header";
    if (is_named(header, "Content-Length") ||
        is_named(header, "Transfer-Encoding"))
        return "Content-Length and Transfer-Encoding follow from the body";
    return "a header must be 'Name: value'";
}

/* Record the reason of a refusal. Returns the error that ends parsing. */
static int refuse(struct reading *reading, const char *reason)
{
    snprintf(reading->reason, TASK_REASON_MAX, "%s", reason);
    return -EINVAL;
}

/* Decode a string, which must not contain a NUL. Returns 0 or an error. */
static int decode(struct reading *reading, const struct json_value *value,
                  struct text *text)
{
    text_add(text, "", 0);
    if (json_text(value, text) != 0)
        return refuse(reading, value->kind == JSON_STRING
                                   ? "half a surrogate pair in a string"
                                   : "a value that must be a string is not");
    if (text->failed)
        return -ENOMEM;
    if (memchr(text->data, '\0', text->used) != NULL)
        return refuse(reading, "a NUL inside");
    return 0;
}

static int set_url(struct reading *reading, const char *bytes, size_t count)
{
    const char *reason;

    if (count > TASK_URL_MAX)
        return refuse(reading, "a URL is longer than 65,536 bytes");
    free(reading->task->url);
    reading->task->url = url_check(bytes, count, &reason);
    if (reading->task->url != NULL)
        return 0;
    return reason != NULL ? refuse(reading, reason) : -ENOMEM;
}

static int read_url(struct reading *reading, const struct json_value *value)
{
    struct text text = { 0 };
    int err = decode(reading, value, &text);

    if (err == 0)
        err = set_url(reading, text.data, text.used);
    text_free(&text);
    return err;
}

static int read_method(struct reading *reading, const struct json_value *value)
{
    struct text text = { 0 };
    int err = decode(reading, value, &text);

    if (err == 0 && (weir_http_method_check(text.data) != 0 ||
                     text.used > TASK_METHOD_MAX))
        err = refuse(reading, "a method must be a token, such as GET or POST,"
                              " of at most 64 bytes");
    if (err != 0) {
        text_free(&text);
        return err;
    }
    free(reading->task->method);
    reading->task->method = text.data;
    reading->has_method = 1;
    return 0;
}

static int read_ref(struct reading *reading, const struct json_value *value)
{
    struct text text = { 0 };
    int err = decode(reading, value, &text);

    if (err == 0 && text.used > TASK_REF_MAX)
        err = refuse(reading, "an id is longer than 4,096 bytes");
    if (err != 0) {
        text_free(&text);
        return err;
    }
    free(reading->task->ref);
    reading->task->ref = text.data;
    return 0;
}

static int read_cost(struct reading *reading, const struct json_value *value)
{
    uint64_t cost;

    if (json_whole(value, &cost) != 0 || cost < 1 || cost > 1000000000)
        return refuse(reading, "a cost must be a whole number from 1 to"
                               " 1000000000");
    return 0;
}

/* Set the body, which may be given only once: as a string or as a file. */
static int set_body(struct reading *reading, struct text *text)
{
    if (reading->task->body != NULL) {
        text_free(text);
        return refuse(reading, "more than one body");
    }
    reading->task->body = text->data;
    reading->task->body_bytes = text->used;
    return 0;
}

static int read_body(struct reading *reading, const struct json_value *value)
{
    struct text text = { 0 };

    text_add(&text, "", 0);
    if (json_text(value, &text) != 0) {
        text_free(&text);
        return refuse(reading, "the body must be a string");
    }
    if (text.failed)
        return -ENOMEM;
    return set_body(reading, &text);
}

/* Read a regular file to its end. Anything else could block forever; therefore
 * it is refused, and opened with O_NONBLOCK. Returns 0 or an error. */
static int load(const char *path, struct text *text)
{
    char piece[16384];
    struct stat st;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int err = fd < 0 || fstat(fd, &st) != 0 ? -errno : 0;

    if (err == 0 && !S_ISREG(st.st_mode))
        err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    text_add(text, "", 0);
    while (err == 0 && (n = read(fd, piece, sizeof(piece))) != 0) {
        if (n < 0) {
            err = errno == EINTR ? 0 : -errno;
            continue;
        }
        text_add(text, piece, (size_t)n);
        if (text->failed)
            err = -ENOMEM;
        else if (text->used > (size_t)TASK_FILE_MAX)
            err = -EFBIG;
    }
    if (fd >= 0)
        close(fd);
    return err;
}

static int read_file(struct reading *reading, const struct json_value *value)
{
    struct text path = { 0 }, text = { 0 };
    int err = decode(reading, value, &path);

    if (err != 0) {
        text_free(&path);
        return err;
    }
    err = load(path.data, &text);
    free(reading->task->body_file);
    reading->task->body_file = path.data;
    if (err == 0)
        return set_body(reading, &text);
    text_free(&text);
    if (err == -ENOMEM)
        return err;
    snprintf(reading->reason, TASK_REASON_MAX, "body_file: %s",
             err == -EINVAL  ? "not a regular file"
             : err == -EFBIG ? "larger than 1 GiB"
                             : strerror(-err));
    return -EINVAL;
}

static int on_header(void *user, const struct json_value *name,
                     const struct json_value *value)
{
    struct reading *reading = user;
    struct task *task = reading->task;
    struct text text = { 0 };
    const char **more;
    int err = decode(reading, name, &text);

    text_puts(&text, ": ");
    if (err == 0 && task->header_count == TASK_HEADERS_MAX)
        err = refuse(reading, "more than 1,000 headers");
    if (err == 0)
        err = decode(reading, value, &text);
    if (err == 0 && json_is(value, "")) /* "X:" sends X without a value */
        text.data[--text.used] = '\0';
    if (err == 0) {
        const char *reason = task_header_fault(text.data);

        err = reason != NULL ? refuse(reading, reason) : 0;
    }
    more = err == 0 ? realloc(task->headers, (task->header_count + 1) *
                                                 sizeof(*more))
                    : NULL;
    if (more == NULL) {
        text_free(&text);
        return err != 0 ? err : -ENOMEM;
    }
    task->headers = more;
    task->headers[task->header_count++] = text.data;
    return 0;
}

static int on_member(void *user, const struct json_value *name,
                     const struct json_value *value)
{
    struct reading *reading = user;

    if (json_is(name, "url"))
        return read_url(reading, value);
    if (json_is(name, "method"))
        return read_method(reading, value);
    if (json_is(name, "body"))
        return read_body(reading, value);
    if (json_is(name, "body_file"))
        return read_file(reading, value);
    if (json_is(name, "id"))
        return read_ref(reading, value);
    if (json_is(name, "cost"))
        return read_cost(reading, value);
    if (!json_is(name, "headers"))
        return refuse(reading, "a member other than url, method, headers,"
                               " body, body_file, id and cost");
    if (value->kind != JSON_OBJECT)
        return refuse(reading, "the headers must be an object");
    if (reading->task->headers != NULL)
        return refuse(reading, "headers twice");
    return json_members(value->bytes, value->count, on_header, reading);
}

/* Put the headers of `common` before the task's own, except those whose name
 * the task has. Returns 0 or -ENOMEM. */
static int merge(struct task *task, const struct setting_list *common)
{
    size_t own = task->header_count;
    const char **all;

    if (own == 0)
        return 0;
    all = malloc((own + common->count) * sizeof(*all));
    if (all == NULL)
        return -ENOMEM;
    task->header_count = 0;
    for (size_t i = 0; i < common->count; i++) {
        const char *text = common->texts[i];
        int overridden = 0;

        for (size_t k = 0; k < own && !overridden; k++)
            overridden = name_length(text) == name_length(task->headers[k]) &&
                         strncasecmp(text, task->headers[k],
                                     name_length(text)) == 0;
        if (!overridden)
            all[task->header_count++] = text;
    }
    task->first_own = task->header_count;
    memcpy(all + task->first_own, task->headers, own * sizeof(*all));
    task->header_count += own;
    free(task->headers);
    task->headers = all;
    return 0;
}

/* Bring the method into the form that ids are computed from: NULL for GET
 * without a body, and POST as the default with one. Returns 0 or an error. */
static int normalize_method(struct reading *reading)
{
    struct task *task = reading->task;

    if (task->body == NULL && task->method != NULL &&
        strcmp(task->method, "GET") == 0) {
        free(task->method);
        task->method = NULL;
    }
    if (task->body != NULL && !reading->has_method) {
        task->method = strdup("POST");
        if (task->method == NULL)
            return -ENOMEM;
    }
    if (task->body != NULL && strcmp(task->method, "HEAD") == 0)
        return refuse(reading, "HEAD has no body");
    return 0;
}

static int read_object(struct reading *reading, const char *line,
                       size_t count, const struct setting_list *common)
{
    int err = json_members(line, count, on_member, reading);

    if (err == -EINVAL && reading->reason[0] == '\0')
        return refuse(reading, "not a valid JSON object");
    if (err != 0)
        return err;
    if (reading->task->url == NULL)
        return refuse(reading, "a JSON object without a url");
    err = normalize_method(reading);
    return err == 0 ? merge(reading->task, common) : err;
}

int task_read(struct task *task, const char *line, size_t count,
              const struct setting_list *common, char reason[TASK_REASON_MAX])
{
    struct reading reading = { .task = task, .reason = reason };
    int err;

    *task = (struct task){ 0 };
    reason[0] = '\0';
    if (memchr(line, '\0', count) != NULL)
        err = refuse(&reading, "a NUL inside");
    else if (count > 0 && line[0] == '{')
        err = read_object(&reading, line, count, common);
    else
        err = set_url(&reading, line, count);
    if (err == 0)
        return 1;
    if (err == -ENOMEM)
        reason[0] = '\0';
    task_free(task);
    return 0;
}

void task_free(struct task *task)
{
    for (size_t i = task->first_own; i < task->header_count; i++)
        free((char *)(uintptr_t)task->headers[i]);
    free(task->headers);
    free(task->method);
    free(task->ref);
    free(task->body);
    free(task->body_file);
    free(task->url);
    *task = (struct task){ 0 };
}

size_t task_bytes(const struct task *task)
{
    size_t bytes = strlen(task->url) + task->body_bytes;

    if (task->ref != NULL)
        bytes += strlen(task->ref);
    for (size_t i = task->first_own; i < task->header_count; i++)
        bytes += strlen(task->headers[i]);
    return bytes;
}
