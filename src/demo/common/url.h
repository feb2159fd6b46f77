/* SPDX-License-Identifier: MIT
 * url.h - is this a URL we may fetch?
 */
#ifndef WEIR_DEMO_URL_H
#define WEIR_DEMO_URL_H

#include <stddef.h>

/* Check `count` bytes that should be one http or https URL and copy them,
 * bytes from 0x80 on percent-encoded, except in the host. Whether host and
 * port are sound is for libcurl to judge.
 * Returns a string for free(); or NULL and in *why a sentence that has no
 * part of the URL but its scheme, for there may be a password in it; *why
 * is NULL where memory ran out. */
char *url_check(const char *bytes, size_t count, const char **reason);

/* Find host and port in a URL that has no user and password. Returns the
 * first byte, and the length in *count. */
const char *url_host(const char *url, size_t *count);

/* What is wrong with the URL of a proxy, whose scheme may be missing, or NULL.
 * What it says does not quote it. */
const char *url_proxy_fault(const char *proxy);

#endif
