/* SPDX-License-Identifier: MIT
 * task.h - what a line of input asks for.
 *
 * A line is a URL, or a JSON object with "url" and any of these members:
 *
 *   method     any token, sent as it is; default: GET, or POST with a body
 *   headers    an object of strings
 *   body       a string
 *   body_file  the name of a regular file whose content is the body
 *   id         a string that is copied to the record as "ref"
 *   cost       a whole number from 1 to 10^9; checked, not used yet
 *
 *   {"url":"http://a/","method":"POST","headers":{"X":"y"},"body":"z"}
 */
#ifndef WEIR_DEMO_TASK_H
#define WEIR_DEMO_TASK_H

#include "common/settings.h"

#define TASK_LINE_MAX ((size_t)16 << 20) /* bytes of a line of input */
#define TASK_URL_MAX  65536              /* bytes of a URL in it */
#define TASK_REF_MAX  4096               /* bytes of an id */
#define TASK_FILE_MAX (INT64_C(1) << 30) /* bytes of a body_file */
#define TASK_WHY      128                /* bytes of a reason, with its NUL */

struct task {
    char *url;             /* of ASCII; may have user and password */
    char *method;          /* NULL: GET */
    char *ref;             /* NULL: none */
    const char **headers;  /* NULL: those of `common` */
    size_t header_count;
    size_t first_own;      /* of headers: those before it are of `common` */
    char *body;            /* NULL: none */
    size_t body_bytes;
    char *body_file;       /* where the body was read; NULL: nowhere */
};

/* Read a line, and the file it names. Headers of `common`, which must outlive
 * the task, are sent too, except those whose name the line has.
 * Returns:
 *   1  *task is the caller's to free
 *   0  refused, and `why` is a sentence that shows no part of the line except
 *      a URL's scheme; or memory ran out, and `why` is "" */
int task_read(struct task *task, const char *line, size_t count,
              const struct setting_list *common, char reason[TASK_WHY]);
void task_free(struct task *task);

/* Return how many bytes of memory a task holds. */
size_t task_bytes(const struct task *task);

/* Return why a header may not be sent, or NULL if it may: the library decides,
 * and this only finds the words. */
const char *task_header_fault(const char *header);

#endif
