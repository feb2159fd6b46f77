/* SPDX-License-Identifier: MIT
 * identity.h - the ids of jobs: what makes two jobs the same.
 *
 * A job has two ids, which are equal for most jobs.
 *
 * The PLAIN id is a hash (FNV-1a) of the number of equal jobs before this one,
 * the URL without user and password, the method, the line's own headers
 * without the values of secret ones, and the body. Records of version 1 have
 * this id. It also selects the shard, so that all machines agree even if they
 * have different passwords or tokens.
 *
 * The id that is RECORDED covers everything that is sent. If the plain id does
 * so, the two are equal, and a record of version 1 is recognised. If there are
 * a user and password, headers of -H, an agent of -A, or values of secret
 * headers, the id is the SHA-256 of everything, cut to 128 bits.
 *
 * Secrets cannot be computed from an id. But somebody who has an id and knows
 * the rest of the request can test guesses: hopeless for a token, possible for
 * a short password. Therefore passwords that people choose (those of URLs and
 * of Basic authentication) pass through SHA-256 1,024 times first, which makes
 * each guess 1,024 times as slow.
 *
 * Neither id covers the proxy, certificates, --raw, redirects, and headers
 * that libcurl adds.
 */
#ifndef WEIR_DEMO_IDENTITY_H
#define WEIR_DEMO_IDENTITY_H

#include "common/id.h"
#include "common/sha256.h"
#include "task.h"

#define IDENTITY_MEMO 64

/* A cache of hashed passwords: to compute one takes 0.5 ms. */
struct identity_memo {
    struct {
        unsigned char key[SHA256_BYTES]; /* the password hashed once */
        unsigned char hash[SHA256_BYTES];
        int used;
    } all[IDENTITY_MEMO];
};

/* What a job sends. */
struct identity {
    const struct task *task;
    const char *url;        /* to hash instead of task->url */
    const char *public_url; /* the same without user and password */
    const struct setting_list *common; /* headers of all jobs */
    const char *agent;      /* the value of -A; NULL: the default */
};

/* Return the plain id. `before` is the number of equal jobs before this one. */
struct id identity_plain(const struct identity *identity, unsigned before);

/* Return whether the plain id covers everything that is sent. */
int identity_is_plain(const struct identity *identity);

/* Return the id to record for a job whose plain id does not cover everything.
 */
struct id identity_whole(const struct identity *identity, unsigned before,
                         struct identity_memo *memo);

#endif
