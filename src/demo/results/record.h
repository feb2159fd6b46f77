/* SPDX-License-Identifier: MIT
 * record.h - the record of a job, a line of JSON: writing and reading.
 *
 *   {"v":2,"run":"…","id":"…","seq":17,"line":21,"url":"…","method":"GET",
 *    "ok":true,"status":200,"error":null,"detail":null,"attempts":1,
 *    "worker":3,"start":"…Z","wait_ms":…,"dns_ms":…,"connect_ms":…,
 *    "tls_ms":…,"ttfb_ms":…,"total_ms":…,"bytes":…,"bytes_sent":…,
 *    "http_version":"1.1","content_type":"…","redirects":0,"final_url":null}
 *
 * All times are those of the last attempt. dns_ms, connect_ms and tls_ms are
 * the durations of these phases, 0 if a connection was reused. ttfb_ms and
 * total_ms count from the start of the request. wait_ms is the time from the
 * submission of the job to that start.
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
/* The years 0 to 9999, in milliseconds since 1970. */
#define RECORD_START_MIN (INT64_C(-62167219200) * 1000)
#define RECORD_START_MAX (INT64_C(253402300800) * 1000 - 1)
#define RECORD_ERROR 24 /* bytes of the name of an error, with its NUL */

/* record_read() does not read the members marked (w). */
struct record {
    int version;  /* 1 or 2; record_write() writes 2 */
    uint64_t run; /* the run's random number */
    struct id id;
    uint64_t seq;
    uint64_t line;      /* (w) of the input; 0: none */
    const char *ref;    /* (w) the id in the input; NULL: none */
    const char *url;    /* without user and password */
    const char *method; /* (w) NULL: GET */
    int ok;
    int status;               /* 0: no response */
    char error[RECORD_ERROR]; /* "": none */
    const char *detail;       /* (w) the error in words; NULL or "": none */
    int attempts, worker;
    int64_t start_ms; /* since 1970; written in the years 0 to 9999 */
    int64_t wait_ns, dns_ns, connect_ns, tls_ns, ttfb_ns, total_ns;
    uint64_t bytes;
    int64_t bytes_sent;       /* (w) */
    int http_version;         /* (w) 10, 11, 20, 30; 0: no response */
    const char *content_type; /* (w) NULL or "": none */
    int redirects;            /* (w) */
    const char *final_url;    /* (w) after redirects; NULL: none followed */
    int insecure;             /* (w) certificates were not verified */
    const char *body; /* (w) NULL: not stored */
    size_t body_bytes;
};

/* Add a record, a line with its newline. */
void record_write(struct text *line, const struct record *record);

/* Parse a line. The URL is stored in `url`, which is emptied first. "v", "id",
 * "url" and "ok" are required; unknown members are ignored.
 * Returns:
 *   0
 *   -EINVAL  the line is not a record
 *   -ENOMEM */
int record_read(const char *line, size_t count, struct record *record,
                struct text *url);

/* Return the result of a job in one word, like "200" or "timeout". `buffer` may
 * be used for it. */
const char *record_reason(const struct record *record, char buffer[32]);

#endif
