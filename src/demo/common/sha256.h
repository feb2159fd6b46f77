/* SPDX-License-Identifier: MIT
 * sha256.h - the hash function SHA-256 (FIPS 180-4).
 *
 *   struct sha256 sha;
 *   unsigned char digest[SHA256_BYTES];
 *   sha256_start(&sha);
 *   sha256_add(&sha, "abc", 3);
 *   sha256_end(&sha, digest);
 */
#ifndef WEIR_DEMO_SHA256_H
#define WEIR_DEMO_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 {
    uint32_t state[8];
    uint64_t count;          /* bytes added so far */
    unsigned char block[64]; /* the last of them, not hashed yet */
};

void sha256_start(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t count);

/* Write the digest. The hash must be started again after that. */
void sha256_end(struct sha256 *sha, unsigned char digest[SHA256_BYTES]);

#endif
