/* SPDX-License-Identifier: MIT
 * public_url.c - fuzz target: a URL without user and password.
 *
 * The shown form of a URL is printable ASCII, and does not contain what libcurl
 * takes for the user or the password. */
#include "fuzz.h"

#include <curl/curl.h>
#include <weir/http.h>

#define TOLD 8 /* letters; shorter parts may occur elsewhere by chance */

static char *show(const char *url)
{
    size_t length = weir_http_public_url(url, NULL, 0);
    char *shown = malloc(length + 1);
    char shorter[16];

    CHECK(shown != NULL);
    CHECK(weir_http_public_url(url, shown, length + 1) == length);
    CHECK(strlen(shown) == length);
    CHECK(weir_http_public_url(url, shorter, sizeof(shorter)) == length);
    CHECK(strncmp(shorter, shown, sizeof(shorter) - 1) == 0);
    return shown;
}

/* A part that libcurl finds in the URL, if it is long enough to search for. */
static void check_hidden(CURLU *parts, CURLUPart part, const char *url,
                         const char *shown)
{
    char *secret = NULL;
    const char *first;

    if (curl_url_get(parts, part, &secret, 0) != CURLUE_OK)
        return;
    first = strstr(url, secret);
    if (strlen(secret) >= TOLD && first != NULL &&
        strstr(first + 1, secret) == NULL)
        CHECK(strstr(shown, secret) == NULL);
    curl_free(secret);
}

static void check_parts(const char *url, const char *shown)
{
    CURLU *parts = curl_url();
    char *left = NULL;

    CHECK(parts != NULL);
    if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
        check_hidden(parts, CURLUPART_USER, url, shown);
        check_hidden(parts, CURLUPART_PASSWORD, url, shown);
        if (curl_url_set(parts, CURLUPART_URL, shown, 0) == CURLUE_OK) {
            CHECK(curl_url_get(parts, CURLUPART_USER, &left, 0) ==
                  CURLUE_NO_USER);
            CHECK(curl_url_get(parts, CURLUPART_PASSWORD, &left, 0) ==
                  CURLUE_NO_PASSWORD);
        }
    }
    curl_url_cleanup(parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = malloc(size + 1), *shown;

    CHECK(url != NULL);
    if (size > 0)
        memcpy(url, data, size);
    url[size] = '\0';
    shown = show(url);
    for (const char *c = shown; *c != '\0'; c++)
        CHECK((unsigned char)*c > ' ' && (unsigned char)*c < 0x7F);
    check_parts(url, shown);
    free(shown);
    free(url);
    return 0;
}
