/* SPDX-License-Identifier: MIT
 * server_request.c - reads the head of an HTTP/1.1 request (RFC 9112). */
#include "server_private.h"

#include "common/number.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX (INT64_C(1) << 20)

static int is_token(const char *s, size_t count)
{
    static const char good[] = "!#$%&'*+-.^_`|~0123456789"
                               "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return count > 0 && strspn(s, good) >= count;
}

const char *request_field(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (strcasecmp(request->fields[i].name, name) == 0)
            return request->fields[i].value;
    return NULL;
}

/* "METHOD TARGET HTTP/1.x". */
static int read_first_line(char *line, struct request *request, int *minor)
{
    char *space = strchr(line, ' ');
    char *version = space != NULL ? strchr(space + 1, ' ') : NULL;
    const char *target;

    if (version == NULL)
        return 400;
    *space = '\0';
    *version++ = '\0';
    target = space + 1;
    if (!is_token(line, strlen(line)))
        return 400;
    if (strncmp(version, "HTTP/", 5) != 0)
        return 400;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return 505;
    *minor = version[7] - '0';
    /* A proxy is asked with a whole URL, and a server must understand it. */
    if (strncasecmp(target, "http://", 7) == 0) {
        target += 7;
        target += strcspn(target, "/");
        if (*target == '\0')
            target = "/";
    }
    if (target[0] != '/')
        return 400;
    for (const char *s = target; *s != '\0'; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7F)
            return 400;
    request->method = line;
    request->target = target;
    return 0;
}

static int read_field(char *line, struct request *request)
{
    char *colon = strchr(line, ':');
    char *value, *end;

    if (request->field_count == FIELDS_MAX)
        return 431;
    /* A blank at the front would be a folded line, one before the colon is
     * a way to smuggle requests. */
    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return 400;
    *colon = '\0';
    value = colon + 1 + strspn(colon + 1, " \t");
    end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    for (const char *s = value; *s != '\0'; s++)
        if ((unsigned char)*s < ' ' && *s != '\t')
            return 400;
    request->fields[request->field_count].name = line;
    request->fields[request->field_count].value = value;
    request->field_count++;
    return 0;
}

/* Return whether `word` is one of the words in a comma-separated list. */
static int lists(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (list != NULL && *list != '\0') {
        size_t count;

        list += strspn(list, ", \t");
        count = strcspn(list, ", \t");
        if (count == length && strncasecmp(list, word, length) == 0)
            return 1;
        list += count;
    }
    return 0;
}

/* What the headers say about the body and the connection. */
static int read_meaning(struct request *request, int minor)
{
    const char *length = request_field(request, "Content-Length");
    const char *connection = request_field(request, "Connection");
    int64_t bytes = 0;
    int hosts = 0;

    for (size_t i = 0; i < request->field_count; i++) {
        hosts += strcasecmp(request->fields[i].name, "Host") == 0;
        if (strcasecmp(request->fields[i].name, "Content-Length") == 0 &&
            strcmp(request->fields[i].value, length) != 0)
            return 400;
    }
    if (hosts > 1 || (hosts == 0 && minor == 1))
        return 400;
    if (request_field(request, "Transfer-Encoding") != NULL)
        return length != NULL ? 400 : 411;
    if (length != NULL) {
        int err = number_whole(length, &bytes);

        if (err == -EINVAL)
            return 400;
        if (err != 0 || bytes > BODY_MAX)
            return 413;
    }
    request->body_bytes = (uint64_t)bytes;
    request->keep = minor == 1 ? !lists(connection, "close")
                               : lists(connection, "keep-alive");
    request->expects =
        minor == 1 && lists(request_field(request, "Expect"), "100-continue");
    return 0;
}

int request_read(char *head, struct request *request)
{
    char *line = head;
    int minor = 1, first = 1;

    *request = (struct request){ 0 };
    for (;;) {
        char *end = strstr(line, "\r\n");
        int status;

        if (end == NULL) /* a NUL in it hides the rest */
            return 400;
        *end = '\0';
        if (end == line && !first)
            break;
        status = first ? read_first_line(line, request, &minor)
                       : read_field(line, request);
        if (status != 0)
            return status;
        first = 0;
        line = end + 2;
    }
    return read_meaning(request, minor);
}
