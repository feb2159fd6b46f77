/* SPDX-License-Identifier: MIT
 * main.c - finds the command. */
#include "commands.h"
#include "common/descriptors.h"
#include "common/settings.h"
#include "common/text.h"

#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

static const char help[] =
    "weir - do a list of network jobs, so many at once, so many a second\n"
    "\n"
    "  weir run    [options] [URL... | -i FILE]  do the jobs; none given: try\n"
    "                                            it on a server of its own\n"
    "  weir report FILE...                       what results files say\n"
    "  weir show   [NAME [options]]              a scenario, or their list\n"
    "  weir serve  [--port N]                    a server to try things on\n"
    "  weir COMMAND --help                       options of a command\n"
    "  weir --help | --version\n"
    "\n"
    "Exit codes: 0 all ok, 1 some failed, 2 usage or bad input, 3 internal\n"
    "or output error, 4 stopped by --halt; after Ctrl-C it dies of the signal\n"
    "(130 to a shell).\n";

const char *program_path = "weir";

/* Where a standard descriptor is closed, the next file that is opened would
 * take its place and be written to by accident. Put something there that
 * refuses. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* libcurl converts international host names from the character set of the
 * locale. The C locale has none, and URLs in files are UTF-8. Only LC_CTYPE:
 * numbers are written and read as in the C locale. */
static void set_locale(void)
{
    if (setlocale(LC_CTYPE, "") == NULL ||
        strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } commands[] = { { "run", command_run },
                     { "report", command_report },
                     { "show", command_show },
                     { "serve", command_serve } };
    const char *name = argc > 1 ? argv[1] : "";

    if (argc > 0)
        program_path = argv[0];
    fill_standard_descriptors();
    /* A reader that left, and a file that may not grow, are errors of
     * write(). */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    descriptors_raise();
    set_locale();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0)
        return settings_help(help);
    if (strcmp(name, "--version") == 0)
        return settings_help("weir " WEIR_VERSION "\n");
    if (argc < 2)
        say("weir: which command? See 'weir --help'");
    else
        say("weir: %s: no such command; see 'weir --help'", name);
    return EXIT_BAD_INPUT;
}
