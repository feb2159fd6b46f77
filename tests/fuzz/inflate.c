/* SPDX-License-Identifier: MIT
 * inflate.c - any bytes as a DEFLATE stream: it ends, within its bounds, and
 * a stream that was decoded once is decoded from its own bytes alone. */
#include "fuzz.h"

#include "http/http_private.h"

#define MOST 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_http_buffer first = { 0 }, second = { 0 };
    size_t taken = 0, again = 0;
    enum weir_http_decode_result got;
    uint8_t *copy;

    got = weir_http_inflate(data, size, &taken, &first, MOST);
    CHECK(first.used <= MOST && taken <= size);
    CHECK((got == WEIR_HTTP_DECODE_TOO_LARGE) <= (first.used == MOST));
    if (got == WEIR_HTTP_DECODE_OK) {
        /* Exactly the bytes that were consumed, so that a read too far is
         * noticed. */
        copy = malloc(taken);
        CHECK(copy != NULL);
        memcpy(copy, data, taken);
        CHECK(weir_http_inflate(copy, taken, &again, &second, MOST) == got);
        CHECK(again == taken && second.used == first.used);
        CHECK(first.used == 0 ||
              memcmp(first.at, second.at, first.used) == 0);
        second.used = 0;
        if (taken > 0)
            CHECK(weir_http_inflate(copy, taken - 1, &again, &second, MOST) ==
                  WEIR_HTTP_DECODE_TRUNCATED);
        free(copy);
    }
    free(first.at);
    free(second.at);
    return 0;
}
