/* SPDX-License-Identifier: MIT
 * task.h - parses a line of input.
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

#define TASK_LINE_MAX   ((size_t)16 << 20) /* bytes of a line of input */
#define TASK_URL_MAX    65536              /* bytes of a URL in it */
#define TASK_REF_MAX    4096               /* bytes of an id */
#define TASK_FILE_MAX   (INT64_C(1) << 30) /* bytes of a body_file */
#define TASK_REASON_MAX 128              /* bytes of a reason, with its NUL */

struct task {
    char *url;             /* of ASCII; may have user and password */
    char *method;          /* NULL: GET */
    char *ref;             /* NULL: none */
    const char **headers;  /* NULL: those of `common` */
    size_t header_count;
    size_t first_own;      /* index of the first header that is not `common` */
    char *body;            /* NULL: none */
    size_t body_bytes;
    char *body_file;       /* the file the body was read from; NULL: none */
};

/* Parse a line, and read the file that it names. Headers of `common`, which
 * must outlive the task, are sent too, except those whose name the line has.
 * Returns:
 *   1  the caller must free *task
 *   0  the line is refused, and `reason` is a sentence that shows no part of it
 *      except a URL's scheme; or memory ran out, and `reason` is "" */
int task_read(struct task *task, const char *line, size_t count,
              const struct setting_list *common, char reason[TASK_REASON_MAX]);
void task_free(struct task *task);

/* Return how many bytes of memory a task holds. */
size_t task_bytes(const struct task *task);

/* Return why a header may not be sent, or NULL if it may. The library decides;
 * this finds the words. */
const char *task_header_fault(const char *header);

#endif
