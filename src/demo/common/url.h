/* SPDX-License-Identifier: MIT
 * url.h - checks URLs.
 */
#ifndef WEIR_DEMO_URL_H
#define WEIR_DEMO_URL_H

#include <stddef.h>

/* Check that `count` bytes are an http or https URL, and copy them, with bytes
 * from 0x80 on percent-encoded, except in the host. libcurl checks the host.
 * Returns a string to free(); or NULL and in the last argument a sentence,
 * which shows no part of the URL except its scheme because there may be a
 * password in it, or NULL if memory ran out. */
char *url_check(const char *bytes, size_t count, const char **reason);

/* Find host and port in a URL without user and password. Returns a pointer to
 * the first byte, and sets *count to the length. */
const char *url_host(const char *url, size_t *count);

/* Return what is wrong with the URL of a proxy, which may lack a scheme, or
 * NULL. The sentence does not quote the URL. */
const char *url_proxy_fault(const char *proxy);

#endif
