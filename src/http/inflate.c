/* SPDX-License-Identifier: MIT
 * inflate.c - decompress DEFLATE (RFC 1951) in one call.
 *
 * libcurl's own decoder stops after the first member of a gzip file and does
 * not report a body that ends too early, so it is not used; and Weir uses
 * nothing except POSIX and libcurl. The whole input is in memory, so there is
 * no state between calls.
 *
 * No byte before the first output byte of the stream is copied: a distance that
 * reaches before it is an error. The output never exceeds `limit`. Each step of
 * a loop consumes input or produces output. */
#include "http/http_private.h"

#include <string.h>

#define CODE_BITS 15   /* longest code */
#define LENGTHS 286    /* literals, the end of a block, and length codes */
#define DISTANCES 30
#define FAST_BITS 9    /* codes up to this length are decoded in one step */
#define COPY_MAX 258

/* A canonical code. */
struct code {
    uint16_t fast[1 << FAST_BITS]; /* by the next FAST_BITS bits: 16 * symbol +
                                    * length, or 0 if the code is longer */
    uint16_t count[CODE_BITS + 1]; /* number of codes of each length */
    uint16_t symbol[LENGTHS + 2];  /* in the order of their codes */
};

struct inflater {
    const unsigned char *at, *end;
    uint64_t bits; /* the next bit is the lowest */
    int bit_count;
    struct weir_http_buffer *to;
    size_t start, limit; /* of the output */
    struct code lengths, distances;
};

/* ---- bits ---- */

/* Provide at least 32 bits, or all that are left. */
static void refill(struct inflater *s)
{
    while (s->bit_count <= 56 && s->at < s->end) {
        s->bits |= (uint64_t)*s->at++ << s->bit_count;
        s->bit_count += 8;
    }
}

static void drop_bits(struct inflater *s, int count)
{
    s->bits >>= count;
    s->bit_count -= count;
}

/* Take up to 16 bits. Returns their value, or -1 if the input ends before. */
static int take_bits(struct inflater *s, int count)
{
    int value;

    if (s->bit_count < count) {
        refill(s);
        if (s->bit_count < count)
            return -1;
    }
    value = (int)(s->bits & ((1u << count) - 1));
    drop_bits(s, count);
    return value;
}

/* ---- codes ---- */

static unsigned reversed(unsigned code, int length)
{
    unsigned to = 0;

    for (; length > 0; length--, code >>= 1)
        to = to << 1 | (code & 1);
    return to;
}

/* Build a code from the lengths of the codes of its symbols; 0 means that a
 * symbol has no code. Returns 0, or -1 if the code is over-subscribed, or
 * incomplete with more than one symbol. */
static int build_code(struct code *code, const unsigned char *lengths,
                      int symbols)
{
    uint16_t offset[CODE_BITS + 2];
    unsigned next = 0;
    int left = 1, used;

    memset(code, 0, sizeof(*code));
    for (int i = 0; i < symbols; i++)
        code->count[lengths[i]]++;
    used = symbols - code->count[0];
    code->count[0] = 0;
    offset[1] = 0;
    for (int i = 1; i <= CODE_BITS; i++) {
        left = left * 2 - code->count[i];
        if (left < 0)
            return -1;
        offset[i + 1] = (uint16_t)(offset[i] + code->count[i]);
    }
    if (left > 0 && (used > 1 || (used == 1 && code->count[1] == 0)))
        return -1;
    for (int i = 0; i < symbols; i++)
        if (lengths[i] != 0)
            code->symbol[offset[lengths[i]]++] = (uint16_t)i;
    for (int length = 1, i = 0; length <= FAST_BITS; length++, next <<= 1)
        for (int n = code->count[length]; n > 0; n--, i++, next++)
            for (unsigned k = reversed(next, length); k < 1u << FAST_BITS;
                 k += 1u << length)
                code->fast[k] = (uint16_t)(code->symbol[i] << 4 | length);
    return 0;
}

/* Decode a symbol bit by bit. Returns as decode() does. */
static int decode_bitwise(struct inflater *s, const struct code *code)
{
    int first = 0, value = 0, index = 0;

    for (int length = 1; length <= CODE_BITS && length <= s->bit_count;
         length++) {
        int count = code->count[length];

        value |= (int)(s->bits >> (length - 1) & 1);
        if (value - first < count) {
            drop_bits(s, length);
            return code->symbol[index + value - first];
        }
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    /* Either the input ends within a code, or there is no such code. */
    return s->bit_count < CODE_BITS ? -1 : -2;
}

/* Decode a symbol. Returns:
 *   0 or more   the symbol
 *   -1          the input ends too early
 *   -2          there is no such code */
static int decode(struct inflater *s, const struct code *code)
{
    unsigned entry;

    if (s->bit_count < CODE_BITS)
        refill(s);
    entry = code->fast[s->bits & ((1u << FAST_BITS) - 1)];
    if (entry == 0)
        return decode_bitwise(s, code);
    if ((int)(entry & 15) > s->bit_count)
        return -1;
    drop_bits(s, (int)(entry & 15));
    return (int)(entry >> 4);
}

/* Return the result for -1 or -2 of decode(). */
static enum weir_http_decode_result failure_result(int value)
{
    return value == -1 ? WEIR_HTTP_DECODE_TRUNCATED : WEIR_HTTP_DECODE_CORRUPT;
}

/* ---- output ---- */

/* Make room for *count bytes. Reduces *count to what the limit allows. */
static enum weir_http_decode_result have_room(struct inflater *s, size_t *count)
{
    struct weir_http_buffer *to = s->to;

    if (*count > s->limit - to->used)
        *count = s->limit - to->used;
    if (to->room - to->used >= *count)
        return WEIR_HTTP_DECODE_OK;
    return weir_http_buffer_grow(to, *count, s->limit) == 0
               ? WEIR_HTTP_DECODE_OK
               : WEIR_HTTP_DECODE_NO_MEMORY;
}

static enum weir_http_decode_result copy_back(struct inflater *s, size_t length,
                                              size_t distance)
{
    struct weir_http_buffer *to = s->to;
    size_t count = length;
    enum weir_http_decode_result got;
    char *at;

    if (distance > to->used - s->start)
        return WEIR_HTTP_DECODE_CORRUPT;
    got = have_room(s, &count);
    if (got != WEIR_HTTP_DECODE_OK)
        return got;
    at = to->at + to->used;
    to->used += count;
    if (distance >= count) {
        if (count > 0)
            memcpy(at, at - distance, count);
    } else {
        for (size_t i = 0; i < count; i++) /* source and target overlap */
            at[i] = at[(ptrdiff_t)i - (ptrdiff_t)distance];
    }
    return count == length ? WEIR_HTTP_DECODE_OK : WEIR_HTTP_DECODE_TOO_LARGE;
}

/* ---- blocks ---- */

static enum weir_http_decode_result inflate_stored(struct inflater *s)
{
    enum weir_http_decode_result got;
    size_t length, count;
    int low, inverted;

    drop_bits(s, s->bit_count & 7);
    low = take_bits(s, 16);
    inverted = take_bits(s, 16);
    if (low < 0 || inverted < 0)
        return WEIR_HTTP_DECODE_TRUNCATED;
    if ((low ^ inverted) != 0xffff)
        return WEIR_HTTP_DECODE_CORRUPT;
    /* Return whole bytes that were read into `bits` to the input. */
    s->at -= s->bit_count / 8;
    s->bits = 0;
    s->bit_count = 0;
    length = (size_t)low;
    if (length > (size_t)(s->end - s->at))
        length = (size_t)(s->end - s->at);
    count = length;
    got = have_room(s, &count);
    if (got != WEIR_HTTP_DECODE_OK)
        return got;
    if (count > 0)
        memcpy(s->to->at + s->to->used, s->at, count);
    s->to->used += count;
    s->at += count;
    if (count < length)
        return WEIR_HTTP_DECODE_TOO_LARGE;
    return length < (size_t)low ? WEIR_HTTP_DECODE_TRUNCATED
                                : WEIR_HTTP_DECODE_OK;
}

static enum weir_http_decode_result inflate_compressed(struct inflater *s)
{
    static const uint16_t length_base[] = {
        3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
        31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, COPY_MAX };
    static const unsigned char length_bits[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
                                                 1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
                                                 4, 4, 4, 4, 5, 5, 5, 5, 0 };
    static const uint16_t distance_base[] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
        33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
        1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577 };
    enum weir_http_decode_result got = WEIR_HTTP_DECODE_OK;

    while (got == WEIR_HTTP_DECODE_OK) {
        int symbol = decode(s, &s->lengths), extra, bits;
        size_t length, count = 1;

        if (symbol < 0)
            return failure_result(symbol);
        if (symbol < 256) {
            got = have_room(s, &count);
            if (got != WEIR_HTTP_DECODE_OK)
                return got;
            if (count == 0)
                return WEIR_HTTP_DECODE_TOO_LARGE;
            s->to->at[s->to->used++] = (char)symbol;
            continue;
        }
        if (symbol == 256)
            return WEIR_HTTP_DECODE_OK;
        symbol -= 257;
        if (symbol >= (int)(sizeof(length_base) / sizeof(length_base[0])))
            return WEIR_HTTP_DECODE_CORRUPT;
        extra = take_bits(s, length_bits[symbol]);
        if (extra < 0)
            return WEIR_HTTP_DECODE_TRUNCATED;
        length = length_base[symbol] + (size_t)extra;
        symbol = decode(s, &s->distances);
        if (symbol < 0)
            return failure_result(symbol);
        if (symbol >= DISTANCES)
            return WEIR_HTTP_DECODE_CORRUPT;
        bits = symbol < 2 ? 0 : symbol / 2 - 1;
        extra = take_bits(s, bits);
        if (extra < 0)
            return WEIR_HTTP_DECODE_TRUNCATED;
        got = copy_back(s, length, distance_base[symbol] + (size_t)extra);
    }
    return got;
}

static void fixed_codes(struct inflater *s)
{
    unsigned char lengths[288];

    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    build_code(&s->lengths, lengths, 288);
    memset(lengths, 5, 32);
    build_code(&s->distances, lengths, 32);
}

/* Read the lengths of the two codes, which are encoded by a third code. */
static enum weir_http_decode_result read_codes(struct inflater *s)
{
    static const unsigned char order[] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                           11, 4,  12, 3, 13, 2, 14, 1, 15 };
    unsigned char lengths[LENGTHS + DISTANCES] = { 0 };
    int literals = take_bits(s, 5), distances = take_bits(s, 5),
        codes = take_bits(s, 4);
    int at = 0;

    if (literals < 0 || distances < 0 || codes < 0)
        return WEIR_HTTP_DECODE_TRUNCATED;
    literals += 257;
    distances += 1;
    if (literals > LENGTHS || distances > DISTANCES)
        return WEIR_HTTP_DECODE_CORRUPT;
    for (int i = 0; i < codes + 4; i++) {
        int length = take_bits(s, 3);

        if (length < 0)
            return WEIR_HTTP_DECODE_TRUNCATED;
        lengths[order[i]] = (unsigned char)length;
    }
    if (build_code(&s->lengths, lengths, 19) != 0)
        return WEIR_HTTP_DECODE_CORRUPT;
    memset(lengths, 0, sizeof(lengths));
    while (at < literals + distances) {
        int symbol = decode(s, &s->lengths), times, value = 0;

        if (symbol < 0)
            return failure_result(symbol);
        if (symbol < 16) {
            lengths[at++] = (unsigned char)symbol;
            continue;
        }
        if (symbol == 16 && at == 0)
            return WEIR_HTTP_DECODE_CORRUPT;
        if (symbol == 16)
            value = lengths[at - 1];
        times = take_bits(s, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
        if (times < 0)
            return WEIR_HTTP_DECODE_TRUNCATED;
        times += symbol == 18 ? 11 : 3;
        if (times > literals + distances - at)
            return WEIR_HTTP_DECODE_CORRUPT;
        memset(lengths + at, value, (size_t)times);
        at += times;
    }
    if (lengths[256] == 0 || /* the block could not end */
        build_code(&s->lengths, lengths, literals) != 0 ||
        build_code(&s->distances, lengths + literals, distances) != 0)
        return WEIR_HTTP_DECODE_CORRUPT;
    return WEIR_HTTP_DECODE_OK;
}

enum weir_http_decode_result weir_http_inflate(const unsigned char *from,
                                               size_t bytes, size_t *taken,
                                               struct weir_http_buffer *to,
                                               size_t limit)
{
    struct inflater s = { .at = from, .end = from + bytes, .to = to,
                        .start = to->used, .limit = limit };
    enum weir_http_decode_result got = WEIR_HTTP_DECODE_OK;
    int last = 0;

    while (!last && got == WEIR_HTTP_DECODE_OK) {
        int type;

        last = take_bits(&s, 1);
        type = take_bits(&s, 2);
        if (last < 0 || type < 0)
            return WEIR_HTTP_DECODE_TRUNCATED;
        if (type == 0) {
            got = inflate_stored(&s);
            continue;
        }
        if (type == 1)
            fixed_codes(&s);
        else
            got = type == 2 ? read_codes(&s) : WEIR_HTTP_DECODE_CORRUPT;
        if (got == WEIR_HTTP_DECODE_OK)
            got = inflate_compressed(&s);
    }
    *taken = (size_t)(s.at - from) - (size_t)(s.bit_count / 8);
    return got;
}
