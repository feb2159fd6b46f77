/* SPDX-License-Identifier: MIT
 * task.c - what a line of input asks for. */
#include "task.h"

#include "common/json.h"
#include "common/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reading {
    struct task *task;
    const char *why; /* NULL with an error: no memory */
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
    /* A token, by RFC 9110. */
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t length = strspn(header, token);

    if (length == 0 || header[length] != ':')
        return "a header must be 'Name: value'";
    for (const char *c = header; *c != '\0'; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7F)
            return "a control character inside a header";
    if (is_named(header, "Content-Length") ||
        is_named(header, "Transfer-Encoding"))
        return "Content-Length and Transfer-Encoding follow from the body";
    return NULL;
}

/* Remember why not. Returns what ends the walk. */
static int refuse(struct reading *reading, const char *why)
{
    reading->why = why;
    return -EINVAL;
}

/* Decode a string without a NUL inside. Returns 0 or an error. */
static int decode(struct reading *reading, const struct json_value *value,
                  struct text *text)
{
    text_add(text, "", 0);
    if (json_text(value, text) != 0)
        return refuse(reading, value->kind == JSON_STRING
                                   ? "half a surrogate pair in a string"
                                   : "a value that must be a string is none");
    if (text->failed)
        return -ENOMEM;
    if (memchr(text->data, '\0', text->used) != NULL)
        return refuse(reading, "a NUL inside");
    return 0;
}

static int read_url(struct reading *reading, const struct json_value *value)
{
    struct text text = { 0 };
    int err = decode(reading, value, &text);

    if (err == 0) {
        free(reading->task->url);
        reading->task->url = url_check(text.data, text.used, &reading->why);
        err = reading->task->url != NULL ? 0
              : reading->why != NULL     ? -EINVAL
                                         : -ENOMEM;
    }
    text_free(&text);
    return err;
}

static int read_method(struct reading *reading, const struct json_value *value)
{
    static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "PATCH",
                                         "DELETE", "OPTIONS" };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (json_is(value, known[i])) {
            reading->task->method = i == 0 ? NULL : known[i];
            reading->has_method = 1;
            return 0;
        }
    return refuse(reading, "the method must be GET, HEAD, POST, PUT, PATCH,"
                           " DELETE or OPTIONS");
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
    free(reading->task->body);
    reading->task->body = text.data;
    reading->task->body_bytes = text.used;
    return 0;
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
    if (err == 0)
        err = decode(reading, value, &text);
    if (err == 0) {
        reading->why = task_header_fault(text.data);
        err = reading->why != NULL ? -EINVAL : 0;
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
    if (!json_is(name, "headers"))
        return refuse(reading, "a member other than url, method, headers and"
                               " body");
    if (value->kind != JSON_OBJECT)
        return refuse(reading, "the headers must be an object");
    if (reading->task->headers != NULL)
        return refuse(reading, "headers twice");
    return json_members(value->bytes, value->count, on_header, reading);
}

/* Put those of `common` that the task has not in front. Returns 0 or -ENOMEM.
 */
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
        int again = 0;

        for (size_t k = 0; k < own && !again; k++)
            again = name_length(text) == name_length(task->headers[k]) &&
                    strncasecmp(text, task->headers[k],
                                name_length(text)) == 0;
        if (!again)
            all[task->header_count++] = text;
    }
    task->first_own = task->header_count;
    memcpy(all + task->first_own, task->headers, own * sizeof(*all));
    task->header_count += own;
    free(task->headers);
    task->headers = all;
    return 0;
}

static int read_object(struct reading *reading, const char *line,
                       size_t count, const struct setting_list *common)
{
    struct task *task = reading->task;
    int err = json_members(line, count, on_member, reading);

    if (err == -EINVAL && reading->why == NULL)
        reading->why = "no sound JSON object";
    if (err != 0)
        return err;
    if (task->url == NULL)
        return refuse(reading, "a JSON object without a url");
    if (task->body != NULL && !reading->has_method)
        task->method = "POST";
    if (task->body != NULL && task->method != NULL &&
        strcmp(task->method, "HEAD") == 0)
        return refuse(reading, "HEAD has no body");
    return merge(task, common);
}

int task_read(struct task *task, const char *line, size_t count,
              const struct setting_list *common, const char **why)
{
    struct reading reading = { .task = task };
    int err = 0;

    *task = (struct task){ 0 };
    if (memchr(line, '\0', count) != NULL) {
        *why = "a NUL inside";
        return 0;
    }
    if (count > 0 && line[0] == '{') {
        err = read_object(&reading, line, count, common);
    } else {
        task->url = url_check(line, count, &reading.why);
        err = task->url == NULL ? -EINVAL : 0;
    }
    if (err == 0)
        return 1;
    *why = err == -ENOMEM ? NULL : reading.why;
    task_free(task);
    return 0;
}

void task_free(struct task *task)
{
    for (size_t i = task->first_own; i < task->header_count; i++)
        free((char *)(uintptr_t)task->headers[i]);
    free(task->headers);
    free(task->body);
    free(task->url);
    *task = (struct task){ 0 };
}

struct id task_id(const struct task *task, const char *public_url,
                  unsigned before)
{
    static const char *const secret[] = { "Authorization", "Cookie",
                                          "Proxy-Authorization" };
    char shown[16];
    /* The number goes first, so that what follows spreads it over all bits. */
    int count = snprintf(shown, sizeof(shown), "%u", before);
    struct id id = id_add(id_start(), shown, (size_t)count + 1);

    id = id_add(id, public_url, strlen(public_url));
    if (task->method == NULL && task->body == NULL && task->headers == NULL)
        return id;
    if (task->method != NULL)
        id = id_add(id_add(id, "\0m", 2), task->method, strlen(task->method));
    for (size_t i = task->first_own; i < task->header_count; i++) {
        const char *header = task->headers[i];
        size_t length = strlen(header);

        for (size_t k = 0; k < sizeof(secret) / sizeof(secret[0]); k++)
            if (is_named(header, secret[k]))
                length = name_length(header);
        id = id_add(id_add(id, "\0h", 2), header, length);
    }
    if (task->body != NULL)
        id = id_add(id_add(id, "\0b", 2), task->body, task->body_bytes);
    return id;
}
