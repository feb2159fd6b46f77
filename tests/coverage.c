/* SPDX-License-Identifier: MIT
 * coverage.c - keep the counts of a process that ends without exit().
 *
 * Linked by coverage.sh into every test: forked children that end by
 * _exit(), or by an abort that the test expects, are counted as well.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* libgcov's, and the linker's names for --wrap; no header has them. */
void __gcov_dump(void);
void say_aborted(void);
_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

static void keep_counts(void)
{
    struct rlimit limit;

    /* A test may have lowered how large a file may be. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    __gcov_dump();
}

void __wrap_abort(void)
{
    say_aborted();
    keep_counts();
    __real_abort();
}

void __wrap__exit(int status)
{
    keep_counts();
    __real__exit(status);
}
