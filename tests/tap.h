/* SPDX-License-Identifier: MIT
 * tap.h - cases whose names are sentences, reported in the Test Anything
 * Protocol.
 *
 *   static void close_wakes(void) { EXPECT(queue_put(q) == -EPIPE); }
 *   static const struct tap_case cases[] = {
 *       { "close wakes a blocked put with EPIPE", close_wakes },
 *   };
 *   int main(void) { return TAP_RUN(cases); }
 *
 * EXPECT and REQUIRE may be used from any thread. REQUIRE ends the program:
 * it is for what the rest of a case depends on.
 */
#ifndef WEIR_TESTS_TAP_H
#define WEIR_TESTS_TAP_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tap_case {
    const char *name;
    void (*fn)(void);
};

static atomic_int tap_failures; /* of the current case */
static const char *tap_skipped; /* why the current case was skipped */

static inline int tap_expect(int good, const char *file, int line,
                             const char *text)
{
    if (!good) {
        atomic_fetch_add(&tap_failures, 1);
        printf("# %s:%d: expected %s\n", file, line, text);
    }
    return good;
}

/* Expect two integers to be equal; print both if they are not. */
static inline int tap_expect_int(long long got, long long want,
                                 const char *file, int line,
                                 const char *text)
{
    if (got != want) {
        atomic_fetch_add(&tap_failures, 1);
        printf("# %s:%d: %s is %lld, expected %lld\n", file, line, text, got,
               want);
    }
    return got == want;
}

static inline void tap_require(int good, const char *file, int line,
                               const char *text)
{
    if (good)
        return;
    printf("Bail out! %s:%d: required %s\n", file, line, text);
    fflush(stdout);
    _Exit(2);
}

#define EXPECT(condition)                                                   \
    tap_expect((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define EXPECT_INT(got, want)                                               \
    tap_expect_int((long long)(got), (long long)(want), __FILE__, __LINE__, \
                   #got)
#define REQUIRE(condition)                                                  \
    tap_require((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define SKIP(reason) (tap_skipped = (reason))

static inline int tap_run(const struct tap_case *cases, size_t count)
{
    size_t failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count == 0) {
        printf("Bail out! no cases\n");
        return 2;
    }
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++) {
        int bad;

        atomic_store(&tap_failures, 0);
        tap_skipped = NULL;
        cases[i].fn();
        bad = atomic_load(&tap_failures) != 0;
        failed += (size_t)bad;
        printf("%sok %zu - %s%s%s\n", bad ? "not " : "", i + 1,
               cases[i].name, tap_skipped ? " # SKIP " : "",
               tap_skipped ? tap_skipped : "");
    }
    return failed != 0;
}

#define TAP_RUN(cases) tap_run(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
