/* SPDX-License-Identifier: MIT
 * record.h - what is kept of a job: one line of JSON, written and read.
 *
 *   {"v":2,"run":"…","id":"…","seq":17,"line":21,"url":"…","method":"GET",
 *    "ok":true,"status":200,"error":null,"detail":null,"attempts":1,
 *    "worker":3,"start":"…Z","wait_ms":…,"dns_ms":…,"connect_ms":…,
 *    "tls_ms":…,"ttfb_ms":…,"total_ms":…,"bytes":…,"bytes_sent":…,
 *    "http_version":"1.1","content_type":"…","redirects":0,"final_url":null}
 *
 * dns_ms, connect_ms and tls_ms are how long each of these took, 0 if a
 * connection was used again; ttfb_ms and total_ms count from the request's
 * start, wait_ms from submitting the job to that start; all are those of the
 * last attempt.
 *
 * A member that does not apply is null, except these, which are left out:
 * "ref" (after "line") if the input had no id; "insecure" (true) unless
 * certificates were not verified; and "body", or "body_base64" if it is not
 * UTF-8, without --body full.
 *
 * Version 1 had no line, ref, detail, bytes_sent, http_version,
 * content_type, redirects, final_url and insecure, and a method only if it
 * was not GET. Both are read.
 */
#ifndef WEIR_DEMO_RECORD_H
#define WEIR_DEMO_RECORD_H

#include "common/id.h"
#include "common/text.h"

#define RECORD_LINE_MAX ((size_t)128 << 20) /* bytes of a line */
/* Years that have four digits, in milliseconds since 1970. */
#define RECORD_START_MIN (INT64_C(-62167219200) * 1000)
#define RECORD_START_MAX (INT64_C(253402300800) * 1000 - 1)
#define RECORD_ERROR 24 /* bytes of the name of an error, with its NUL */

/* What record_read() does not read is marked (w). */
struct record {
    int version;  /* 1 or 2; record_write() writes 2 */
    uint64_t run; /* the run's random number */
    struct id id;
    uint64_t seq;
    uint64_t line;      /* (w) of the input; 0: none */
    const char *ref;    /* (w) the caller's own id; NULL: none */
    const char *url;    /* without user and password */
    const char *method; /* (w) NULL: GET */
    int ok;
    int status;               /* 0: no answer */
    char error[RECORD_ERROR]; /* "": none */
    const char *detail;       /* (w) the error in words; NULL or "": none */
    int attempts, worker;
    int64_t start_ms; /* since 1970; written in the years 0 to 9999 */
    int64_t wait_ns, dns_ns, connect_ns, tls_ns, ttfb_ns, total_ns;
    uint64_t bytes;
    int64_t bytes_sent;       /* (w) */
    int http_version;         /* (w) 10, 11, 20, 30; 0: no answer */
    const char *content_type; /* (w) NULL or "": none */
    int redirects;            /* (w) */
    const char *final_url;    /* (w) after redirects; NULL: none followed */
    int insecure;             /* (w) certificates were not verified */
    const char *body; /* NULL: not kept */
    size_t body_bytes;
};

/* Add a line, with its end. */
void record_write(struct text *line, const struct record *record);

/* Read a line. The URL goes into `url`, which is emptied first. "v", "id",
 * "url" and "ok" must be there; unknown members are ignored.
 * Returns 0; -EINVAL it is no record; -ENOMEM. */
int record_read(const char *line, size_t count, struct record *record,
                struct text *url);

/* Tell what came of a job in one word: "200", "timeout". */
const char *record_reason(const struct record *record, char buffer[32]);

#endif
