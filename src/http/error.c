/* SPDX-License-Identifier: MIT
 * error.c - classification of libcurl's results, and messages for them.
 *
 * No message has a control character or a part of userinfo, whatever libcurl
 * wrote. */
#include "http/http_private.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* CURLE_TOO_LARGE of newer versions of libcurl: a header line is too long. */
#define CODE_TOO_LARGE 100

/* Classify a hop that a callback has aborted. libcurl reports CURLE_WRITE_ERROR
 * for all of them. */
static enum weir_http_error classify_abort(enum weir_http_abort abort_reason,
                                           const char **text)
{
    switch (abort_reason) {
    case WEIR_HTTP_ABORT_BODY_SIZE:
        *text = "the body is larger than was asked for";
        return WEIR_HTTP_TOO_LARGE;
    case WEIR_HTTP_ABORT_HEADER_SIZE:
        *text = "the headers of the answer are too large";
        return WEIR_HTTP_PROTOCOL;
    case WEIR_HTTP_ABORT_UPGRADE:
        *text = "the server switched protocols (101)";
        return WEIR_HTTP_PROTOCOL;
    case WEIR_HTTP_ABORT_FOLDED_HEADER:
        *text = "the headers of the answer are malformed";
        return WEIR_HTTP_PROTOCOL;
    case WEIR_HTTP_ABORT_TRANSFER_CODING:
        *text = "the answer has a transfer coding that was not asked for";
        return WEIR_HTTP_PROTOCOL;
    case WEIR_HTTP_ABORT_RESEND:
        *text = "the connection ended before an answer";
        return WEIR_HTTP_CUT;
    case WEIR_HTTP_ABORT_NONE:
    case WEIR_HTTP_ABORT_MEMORY:
        break;
    }
    *text = "stopped";
    return WEIR_HTTP_OTHER;
}

/* ---- shortages of this machine ---- */

int weir_http_is_shortage(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static int probe(const struct sockaddr_storage *address, socklen_t bytes)
{
    int family = bytes > 0 ? address->ss_family : AF_INET;
    int fd = socket(family, SOCK_DGRAM, 0);
    int err = fd < 0 ? errno : 0;

    if (fd >= 0 && bytes > 0 &&
        connect(fd, (const struct sockaddr *)address, bytes) != 0)
        err = errno;
    if (fd >= 0)
        close(fd);
    return err;
}

int weir_http_no_sockets(void)
{
    return weir_http_is_shortage(probe(NULL, 0));
}

/* Return 1 if a connection failed because this machine lacks a resource.
 * EADDRNOTAVAIL means that it has no free TCP port, or no address of the needed
 * family; only the latter makes UDP fail too. */
static int connect_is_local(const struct weir_http *http)
{
    long err = 0;

    if (http->socket_errno != 0)
        return 1;
    curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &err);
    if (err == EADDRNOTAVAIL)
        return http->address_bytes == 0 ||
               probe(&http->address, http->address_bytes) == 0;
    return weir_http_is_shortage((int)err);
}

/* Return 1 if a failure comes from a shortage of this machine: resolving a name
 * needs descriptors and a thread, reading certificates a descriptor. */
static int failure_is_local(const struct weir_http *http, CURLcode code)
{
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
        return connect_is_local(http);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return strstr(http->curl_text, "thread") != NULL ||
               weir_http_no_sockets();
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
        return weir_http_no_sockets();
    default:
        return 0;
    }
}

/* ---- libcurl's results ---- */

/* libcurl reports CURLE_RECV_ERROR for a connection that breaks, a proxy that
 * refuses to connect, and a malformed chunk. Its errno value may be that of an
 * older request, so only its message identifies a malformed chunk. If the
 * message changes, a malformed chunk is reported as a cut connection. */
static enum weir_http_error classify_receive(const struct weir_http *http)
{
    long proxy = 0;

    curl_easy_getinfo(http->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
    if (proxy >= 300)
        return WEIR_HTTP_CONNECT;
    /* With TLS 1.3 a server rejects a client's certificate only after the
     * handshake. */
    if (strstr(http->curl_text, "SSL") != NULL &&
        strstr(http->curl_text, " alert ") != NULL)
        return WEIR_HTTP_TLS;
    return strstr(http->curl_text, "chunk") != NULL ? WEIR_HTTP_PROTOCOL
                                                    : WEIR_HTTP_CUT;
}

/* libcurl reports CURLE_SSL_CONNECT_ERROR for every failed handshake. Only the
 * messages of libcurl, OpenSSL and GnuTLS identify a connection that ended
 * during the handshake, which may be transient. If the messages change, it is
 * reported as an error of TLS. */
static enum weir_http_error classify_handshake(const struct weir_http *http)
{
    static const char *const ends[] = {
        "Connection reset", "SSL_ERROR_SYSCALL", "unexpected eof",
        "non-properly terminated", "Error in the pull function",
        "Error in the push function", "Broken pipe"
    };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strstr(http->curl_text, ends[i]) != NULL)
            return WEIR_HTTP_CUT;
    return WEIR_HTTP_TLS;
}

static enum weir_http_error classify_code(const struct weir_http *http,
                                          CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return WEIR_HTTP_OK;
    case CURLE_UNSUPPORTED_PROTOCOL:
        /* Any response without a status line is HTTP/0.9 to libcurl, and is not
         * supported. */
        return http->sent ? WEIR_HTTP_PROTOCOL : WEIR_HTTP_URL;
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
        return classify_handshake(http);
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
        return classify_receive(http);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_BAD_FUNCTION_ARGUMENT: /* a first header that is folded */
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP3:
    case CODE_TOO_LARGE:
        return WEIR_HTTP_PROTOCOL;
    default:
        return WEIR_HTTP_OTHER;
    }
}

/* Return libcurl's message, or a general one if that may contain a password: it
 * quotes proxies with passwords, certificates, and what a server sent, so a
 * message with an '@' is not used. */
static const char *describe(const struct weir_http *http, CURLcode code)
{
    const char *text = http->curl_text;

    if (code == CURLE_BAD_FUNCTION_ARGUMENT)
        return "the headers of the answer are malformed";
    return *text == '\0' || strchr(text, '@') != NULL
               ? curl_easy_strerror(code)
               : text;
}

void weir_http_set_message(struct weir_http *http, const char *text)
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

int weir_http_classify(struct weir_http *http, CURLcode code,
                       enum weir_http_error *error)
{
    const char *text = "";

    *error = WEIR_HTTP_OTHER;
    if (http->abort_reason == WEIR_HTTP_ABORT_MEMORY)
        return -ENOMEM;
    if (http->abort_reason == WEIR_HTTP_ABORT_RESEND && http->headers_done) {
        code = CURLE_OK; /* it would have sent again after a response */
    } else if (http->abort_reason != WEIR_HTTP_ABORT_NONE) {
        *error = classify_abort(http->abort_reason, &text);
        weir_http_set_message(http, text);
        return 0;
    }
    if (code != CURLE_OK && failure_is_local(http, code)) {
        *error = WEIR_HTTP_LOCAL;
        weir_http_set_message(http, "this machine has no descriptors, ports or "
                                    "threads left");
        return 0;
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        /* Up to version 8.5 libcurl also reports this if a line of the response
         * is too long, and no server may make this call fail. */
        if (!http->sent)
            return -ENOMEM;
        *error = WEIR_HTTP_PROTOCOL;
        weir_http_set_message(http,
                              "a line of the answer is too long, or memory ran "
                              "out");
        return 0;
    }
    if (code == CURLE_OK && !http->headers_done) {
        *error = WEIR_HTTP_CUT;
        weir_http_set_message(
            http, http->in_headers ? "the connection ended within the headers"
                                   : "the connection ended before an answer");
        return 0;
    }
    *error = classify_code(http, code);
    weir_http_set_message(http, code == CURLE_OK ? "" : describe(http, code));
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
