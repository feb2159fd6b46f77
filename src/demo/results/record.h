/* SPDX-License-Identifier: MIT
 * record.h - what is kept of a job: one line of JSON, written and read.
 *
 *   {"v":1,"run":"…","id":"…","seq":17,"url":"…","ok":true,"status":200,
 *    "error":null,"attempts":1,"worker":3,"start":"…Z","wait_ms":…,
 *    "dns_ms":…,"connect_ms":…,"tls_ms":…,"ttfb_ms":…,"total_ms":…,
 *    "bytes":…}
 *
 * dns_ms, connect_ms and tls_ms are how long each of these took, 0 where a
 * connection was used again; ttfb_ms and total_ms count from the request's
 * start, wait_ms from submitting the job to that start; all are those of the
 * last attempt. "method" follows
 * "url" where it is not GET; "body", or "body_base64" where it is no UTF-8,
 * comes last where --body full asked for it.
 */
#ifndef WEIR_DEMO_RECORD_H
#define WEIR_DEMO_RECORD_H

#include "common/id.h"
#include "common/text.h"

#define RECORD_LINE_MAX ((size_t)128 << 20) /* bytes of a line */
#define RECORD_ERROR 24 /* bytes of the name of an error, with its NUL */

struct record {
    uint64_t run; /* the run's random number */
    struct id id;
    uint64_t seq;
    const char *url;    /* without user and password */
    const char *method; /* NULL: GET */
    int ok;
    int status;               /* 0: no answer */
    char error[RECORD_ERROR]; /* "": none */
    int attempts, worker;
    int64_t start_ms; /* since 1970 */
    int64_t wait_ns, dns_ns, connect_ns, tls_ns, ttfb_ns, total_ns;
    uint64_t bytes;
    const char *body; /* NULL: not kept */
    size_t body_bytes;
};

/* Add a line, with its end. */
void record_write(struct text *line, const struct record *record);

/* Read a line. The URL goes into `url`, which is emptied first; of the
 * method and body nothing is read. What record_write() always writes must be
 * there; members not known are passed over.
 * Returns 0; -EINVAL it is no record; -ENOMEM. */
int record_read(const char *line, size_t count, struct record *record,
                struct text *url);

/* Tell what came of a job in one word: "200", "timeout". */
const char *record_reason(const struct record *record, char buffer[32]);

#endif
