/* SPDX-License-Identifier: MIT
 * identity.h - the ids of jobs: what makes two jobs the same.
 *
 * A job has two ids, which are equal for most jobs.
 *
 * The PLAIN id is a hash (FNV-1a) of how often the same came before, the URL
 * without user and password, the method, the line's own headers without the
 * values of secret ones, and the body. Records of version 1 have this id.
 * Shards are chosen by it, so that all machines agree even if they have
 * different passwords or tokens.
 *
 * The id that is RECORDED covers everything that is sent. If that is no more
 * than the plain id covers, the two are equal, so that a record of version 1 is
 * recognised. If there are a user and password, headers for all jobs, a
 * User-Agent that was asked for, or values of secret headers, the id is
 * SHA-256, cut to 128 bits, of all of it.
 *
 * What that means for secrets: nobody can compute them from an id. But who
 * has an id and knows the rest of the request can try guesses: hopeless for a
 * token, possible for a short password. Therefore passwords that people
 * choose (those of URLs and of Basic authentication) go through SHA-256 1,024
 * times first, which makes each guess 1,024 times as slow.
 *
 * Not covered: proxy, certificates, --raw, redirects, and headers that
 * libcurl makes up.
 */
#ifndef WEIR_DEMO_IDENTITY_H
#define WEIR_DEMO_IDENTITY_H

#include "common/id.h"
#include "common/sha256.h"
#include "task.h"

#define IDENTITY_MEMO 64

/* Hashes of passwords that were computed before, since one takes 0.5 ms. */
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
    const char *url;        /* to hash in the place of task->url */
    const char *public_url; /* the same without user and password */
    const struct setting_list *common; /* headers of all jobs */
    const char *agent;      /* as asked for; NULL: the default */
};

/* The plain id. `before`: how often the same came before. */
struct id identity_plain(const struct identity *identity, unsigned before);

/* Return whether the plain id covers everything that is sent. */
int identity_is_plain(const struct identity *identity);

/* The id to record of a job whose plain id does not cover everything. */
struct id identity_whole(const struct identity *identity, unsigned before,
                         struct identity_memo *memo);

#endif
