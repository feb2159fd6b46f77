/* SPDX-License-Identifier: MIT
 * task.h - what a line of input asks for.
 *
 * A line is a URL, or a JSON object with "url" and, where they are wanted,
 * "method", "headers" (an object of strings) and "body" (a string):
 *
 *   {"url":"http://a/","method":"POST","headers":{"X":"y"},"body":"z"}
 */
#ifndef WEIR_DEMO_TASK_H
#define WEIR_DEMO_TASK_H

#include "common/id.h"
#include "common/settings.h"

struct task {
    char *url;             /* of ASCII; may have user and password */
    const char *method;    /* constant; NULL: GET */
    const char **headers;  /* NULL: as `common` has them */
    size_t header_count;
    size_t first_own;      /* of headers: those before are of `common` */
    char *body;            /* or NULL */
    size_t body_bytes;
};

/* Read a line. Headers of `common`, which stays, are sent too, but for those
 * the line has.
 * Returns 1; or 0, and in *why a sentence that shows no part of a URL but its
 * scheme; *why is NULL where memory ran out. */
int task_read(struct task *task, const char *line, size_t count,
              const struct setting_list *common, const char **why);
void task_free(struct task *task);

/* Tell why a header may not be sent. Returns NULL: it may. */
const char *task_header_fault(const char *header);

/* A job's id: the hash of how often the same came before, and of what it asks
 * for: URL without user and password, then, where it is more than to GET
 * that, method, headers and body. Values of Authorization, Cookie and
 * Proxy-Authorization are left out: they change, and must not be guessed at.
 * So the same list gives the same ids, in whatever order, and each once. */
struct id task_id(const struct task *task, const char *public_url,
                  unsigned before);

#endif
