/* SPDX-License-Identifier: MIT
 * serve.c - `weir serve`: runs the loopback server until a signal arrives. */
#include "commands.h"
#include "serve/server.h"
#include "common/settings.h"
#include "common/signals.h"
#include "common/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "weir serve [options] - run a test server on 127.0.0.1\n"
    "\n"
    "  --port N      port to listen on; 0 lets the system choose (0)\n"
    "  --workers N   connections served concurrently; others wait (256)\n"
    "\n"
    "It prints its address and serves these paths until Ctrl-C:\n"
    "  /delay/S      answers after S seconds, up to 3600\n"
    "  /status/N     answers with status N, 200 to 599;\n"
    "                ?retry-after=S adds the header Retry-After to a failure\n"
    "  /bytes/N      sends N bytes, up to 100 MiB\n"
    "  /unstable     answers 500 and 200 alternately\n"
    "  /redirect/N   redirects N times, up to 1000\n"
    "  /headers      returns the request's headers as JSON\n";

int command_serve(int argc, char **argv)
{
    int64_t port = 0, workers = 256;
    int code, err;
    const struct setting settings[] = {
        SETTING("port", 0, WHOLE, &port, 0, 65535),
        SETTING("workers", 0, WHOLE, &workers, 1, 10000),
    };
    struct server *server;

    code = settings_read(&(struct settings_of){
        .name = "serve", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]) }, argc, argv);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    signals_block();
    err = server_start(&server, &(struct server_options){
        .port = (int)port, .workers = (int)workers });
    if (err != 0) {
        say("weir serve: 127.0.0.1:%d: %s", (int)port, strerror(-err));
        return EXIT_BROKEN;
    }
    signals_unblock(); /* printing may block on a pipe without a reader */
    printf("listening on http://127.0.0.1:%d\n", server_port(server));
    err = fflush(stdout);
    signals_block();
    if (err != 0) {
        say("weir serve: standard output: cannot write");
        server_stop(server);
        return EXIT_BROKEN;
    }
    err = signals_wait();
    server_stop(server);
    signals_die(err);
}
