/* SPDX-License-Identifier: MIT
 * id.c - the hash function FNV-1a with 128 bits. */
#include "id.h"

struct id id_start(void)
{
    return (struct id){ UINT64_C(0x6c62272e07bb0142),
                        UINT64_C(0x62b821756295c58d) };
}

/* Multiply by the prime, 2^88 + 0x13b, modulo 2^128. */
static struct id times_prime(struct id x)
{
    const uint64_t small = 0x13b;
    uint64_t low = (x.low & UINT32_MAX) * small;
    uint64_t middle = (x.low >> 32) * small + (low >> 32);
    struct id product;

    product.low = middle << 32 | (low & UINT32_MAX);
    product.high = x.high * small + (middle >> 32) + (x.low << 24);
    return product;
}

struct id id_add(struct id id, const void *bytes, size_t count)
{
    const unsigned char *s = bytes;

    for (size_t i = 0; i < count; i++) {
        id.low ^= s[i];
        id = times_prime(id);
    }
    return id;
}

void id_show(struct id id, char buffer[33])
{
    for (int i = 0; i < 16; i++) {
        buffer[i] = "0123456789abcdef"[id.high >> (60 - 4 * i) & 15];
        buffer[16 + i] = "0123456789abcdef"[id.low >> (60 - 4 * i) & 15];
    }
    buffer[32] = '\0';
}

int id_read(const char *bytes, size_t count, struct id *id)
{
    uint64_t words[2] = { 0, 0 };

    if (count != 32)
        return 0;
    for (size_t i = 0; i < count; i++) {
        char c = bytes[i];
        unsigned digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            return 0;
        words[i / 16] = words[i / 16] << 4 | digit;
    }
    id->high = words[0];
    id->low = words[1];
    return 1;
}

unsigned id_part(struct id id, unsigned of)
{
    /* The last byte of FNV changes few bits, so mix once more (as murmur3). */
    uint64_t x = id.high ^ id.low;

    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return (unsigned)(x % of);
}
