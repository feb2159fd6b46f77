/* SPDX-License-Identifier: MIT
 * http_handle.h - the handle that the tests of weir-http use. */
#ifndef WEIR_TESTS_HTTP_HANDLE_H
#define WEIR_TESTS_HTTP_HANDLE_H

#include "tap.h"

#include <weir/http.h>

static const struct weir_http_options plain = {
    /* long enough for a slow machine; no test waits that long */
    .timeout_ns = 120 * WEIR_S, .connect_timeout_ns = 60 * WEIR_S,
    .proxy = "" };

static inline struct weir_http *make(const struct weir_http_options *options)
{
    struct weir_http *http;

    REQUIRE(weir_http_create(&http, options) == 0);
    return http;
}

#endif
