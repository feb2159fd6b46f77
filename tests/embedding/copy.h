/* SPDX-License-Identifier: MIT
 * copy.h - a copy of the library that is loaded while the program runs, and
 * its functions. The program itself is not linked to the library. */
#ifndef WEIR_TESTS_COPY_H
#define WEIR_TESTS_COPY_H

#include "run.h"

#include <dlfcn.h>
#include <weir/weir.h>

#define COPY_FUNCTIONS(X)                                                   \
    X(weir_pool_create) X(weir_pool_destroy) X(weir_pool_submit)            \
    X(weir_pool_wait) X(weir_pool_close) X(weir_pool_of)                    \
    X(weir_group_create) X(weir_group_destroy) X(weir_group_submit)         \
    X(weir_group_wait) X(weir_for_each) X(weir_writer_open)               \
    X(weir_writer_write) X(weir_writer_close) X(weir_writer_destroy)        \
    X(weir_version)

struct copy {
    void *handle;
#define COPY_FIELD(name) __typeof__(name) *name;
    COPY_FUNCTIONS(COPY_FIELD)
#undef COPY_FIELD
};

/* Load a copy whose names no other object sees. */
static inline struct copy copy_load(const char *path)
{
    struct copy copy = { .handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) };
    void *symbol;

    if (copy.handle == NULL)
        printf("# %s\n", dlerror());
    REQUIRE(copy.handle != NULL);
#define COPY_FIND(name)                                                     \
    symbol = dlsym(copy.handle, #name);                                     \
    REQUIRE(symbol != NULL);                                                \
    memcpy(&copy.name, &symbol, sizeof(symbol));
    COPY_FUNCTIONS(COPY_FIND)
#undef COPY_FIND
    return copy;
}

#endif
