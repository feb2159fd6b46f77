/* SPDX-License-Identifier: MIT
 * siphash.h - SipHash-1-3, a hash keyed by a secret.
 *
 * By Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). One
 * round per word and three at the end is the variant its authors propose for
 * hash tables, whose hash values an attacker does not see. */
#ifndef WEIR_SIPHASH_H
#define WEIR_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct weir_sip_state {
    uint64_t a, b, c, d;
};

static inline uint64_t weir_sip_rotl(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void weir_sip_round(struct weir_sip_state *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = weir_sip_rotl(s->b, 13) ^ s->a;
    s->d = weir_sip_rotl(s->d, 16) ^ s->c;
    s->a = weir_sip_rotl(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = weir_sip_rotl(s->b, 17) ^ s->c;
    s->d = weir_sip_rotl(s->d, 21) ^ s->a;
    s->c = weir_sip_rotl(s->c, 32);
}

/* Read up to 8 bytes as a little-endian number, whatever the machine's byte
 * order. */
static inline uint64_t weir_sip_word(const unsigned char *at, size_t bytes)
{
    uint64_t word = 0;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (bytes == 8) {
        memcpy(&word, at, 8);
        return word;
    }
#endif
    for (size_t i = 0; i < bytes; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

static inline uint64_t weir_siphash(const uint64_t key[2], const void *data,
                                    size_t bytes)
{
    /* The paper's constants: "somepseudorandomlygeneratedbytes". */
    struct weir_sip_state s = {
        .a = key[0] ^ UINT64_C(0x736f6d6570736575),
        .b = key[1] ^ UINT64_C(0x646f72616e646f6d),
        .c = key[0] ^ UINT64_C(0x6c7967656e657261),
        .d = key[1] ^ UINT64_C(0x7465646279746573),
    };
    const unsigned char *at = data;
    uint64_t word;
    size_t left = bytes;

    for (; left >= 8; left -= 8, at += 8) {
        word = weir_sip_word(at, 8);
        s.d ^= word;
        weir_sip_round(&s);
        s.a ^= word;
    }
    word = (uint64_t)bytes << 56 | weir_sip_word(at, left);
    s.d ^= word;
    weir_sip_round(&s);
    s.a ^= word;
    s.c ^= 0xff;
    weir_sip_round(&s);
    weir_sip_round(&s);
    weir_sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

#endif
