/* SPDX-License-Identifier: MIT
 * http_error.c - what a result of libcurl means, and how it may be said.
 *
 * Owns: nothing. Invariant: no text has a control character or a part of
 * some userinfo, whatever libcurl wrote. */
#include "http_private.h"

#include <stdio.h>
#include <string.h>

/* As newer libcurls call a header line over their bound. */
#define CODE_TOO_LARGE 100

/* Why our callback ended it; libcurl says CURLE_WRITE_ERROR to all. */
static const char *stop_text(enum weir_http_stop stop)
{
    return stop == WEIR_HTTP_STOP_BODY
               ? "the body is larger than was asked for"
               : "the headers of the answer are too large";
}

/* libcurl says CURLE_RECV_ERROR to a connection that breaks, to a proxy that
 * refuses to connect, and to a chunk that is malformed. Its errno value may
 * be an older request's, so only its words tell the last. Should they
 * change, a bad chunk is called a cut. */
static enum weir_http_error class_receive(const struct weir_http *http)
{
    long proxy = 0;

    curl_easy_getinfo(http->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
    if (proxy >= 300)
        return WEIR_HTTP_CONNECT;
    return strstr(http->curl_text, "chunk") != NULL ? WEIR_HTTP_PROTOCOL
                                                    : WEIR_HTTP_CUT;
}

static enum weir_http_error class_of(const struct weir_http *http,
                                     CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return WEIR_HTTP_OK;
    case CURLE_UNSUPPORTED_PROTOCOL:
        /* What is no HTTP comes in place of an answer; a scheme that is not
         * allowed is found when the answer that redirects to it has come. */
        return http->asked ? WEIR_HTTP_PROTOCOL : WEIR_HTTP_URL;
    case CURLE_URL_MALFORMAT:
        return WEIR_HTTP_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return WEIR_HTTP_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_NO_CONNECTION_AVAILABLE:
    case CURLE_PROXY:
        return WEIR_HTTP_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return WEIR_HTTP_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return WEIR_HTTP_TIMEOUT;
    case CURLE_TOO_MANY_REDIRECTS:
        return WEIR_HTTP_REDIRECTS;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
        return WEIR_HTTP_CUT;
    case CURLE_RECV_ERROR:
        return class_receive(http);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP3:
    case CODE_TOO_LARGE:
        return WEIR_HTTP_PROTOCOL;
    default:
        return WEIR_HTTP_OTHER;
    }
}

/* libcurl's own words tell most, but they quote: proxies with passwords,
 * certificates, what a server sent. Whoever is named with an '@' is not
 * quoted. */
static const char *words(const struct weir_http *http, CURLcode code)
{
    const char *text = http->curl_text;

    return *text == '\0' || strchr(text, '@') != NULL
               ? curl_easy_strerror(code)
               : text;
}

static void say(struct weir_http *http, const char *text)
{
    size_t length;

    snprintf(http->text, sizeof(http->text), "%s", text);
    length = strlen(http->text);
    while (length > 0 && (http->text[length - 1] == '\n' ||
                          http->text[length - 1] == '\r'))
        http->text[--length] = '\0';
    for (char *at = http->text; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
}

int weir_http_class(struct weir_http *http, CURLcode code,
                    enum weir_http_error *error)
{
    curl_off_t answered = 0;

    *error = WEIR_HTTP_OTHER;
    if (http->stop == WEIR_HTTP_STOP_MEMORY)
        return -ENOMEM;
    if (http->stop != WEIR_HTTP_GO) {
        *error = http->stop == WEIR_HTTP_STOP_BODY ? WEIR_HTTP_TOO_LARGE
                                                   : WEIR_HTTP_PROTOCOL;
        say(http, stop_text(http->stop));
        return 0;
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        /* Up to 8.5 libcurl says so, too, where a line of the answer is over
         * its bound, and no server may make this call fail. */
        curl_easy_getinfo(http->easy, CURLINFO_STARTTRANSFER_TIME_T,
                          &answered);
        if (answered == 0)
            return -ENOMEM;
        *error = WEIR_HTTP_PROTOCOL;
        say(http, "a line of the answer is too long, or memory ran out");
        return 0;
    }
    *error = class_of(http, code);
    say(http, code == CURLE_OK ? "" : words(http, code));
    return 0;
}

const char *weir_http_error_name(enum weir_http_error error)
{
    switch (error) {
    case WEIR_HTTP_OK:
        return "ok";
    case WEIR_HTTP_URL:
        return "url";
    case WEIR_HTTP_RESOLVE:
        return "resolve";
    case WEIR_HTTP_CONNECT:
        return "connect";
    case WEIR_HTTP_TLS:
        return "tls";
    case WEIR_HTTP_TIMEOUT:
        return "timeout";
    case WEIR_HTTP_TOO_LARGE:
        return "too_large";
    case WEIR_HTTP_REDIRECTS:
        return "redirects";
    case WEIR_HTTP_CUT:
        return "cut";
    case WEIR_HTTP_PROTOCOL:
        return "protocol";
    case WEIR_HTTP_CANCELLED:
        return "cancelled";
    case WEIR_HTTP_LOCAL:
        return "local";
    case WEIR_HTTP_OTHER:
        break;
    }
    return "other";
}
