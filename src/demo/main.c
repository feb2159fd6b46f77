/* SPDX-License-Identifier: MIT
 * main.c - the program's entry: sets the process up and calls the command. */
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
    "weir - run a list of HTTP requests within a concurrency and a rate limit\n"
    "\n"
    "  weir run    [options] [URL... | -i FILE]  run the jobs; without URLs,\n"
    "                                            call the built-in server\n"
    "  weir report FILE...                       summarise results files\n"
    "  weir show   [NAME [options]]              run a scenario, or list them\n"
    "  weir serve  [--port N]                    run the test server\n"
    "  weir COMMAND --help                       the options of a command\n"
    "  weir --help | --version\n"
    "\n"
    "Exit codes: 0 all jobs ok, 1 some failed, 2 usage error or bad input,\n"
    "3 internal or output error, 4 stopped by --halt. After Ctrl-C the\n"
    "program dies of the signal (130 to a shell).\n";

const char *program_path = "weir";

/* If a standard descriptor is closed, the next file that is opened gets its
 * number, and messages would be written into that file. Occupy the number
 * with a descriptor whose reads or writes fail. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* libcurl converts international host names from the locale's character set.
 * The C locale has none, so use C.UTF-8: URLs in files are UTF-8. Only
 * LC_CTYPE is set, because numbers are read and written as in the C locale. */
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
    /* A closed pipe or a file size limit makes write() fail instead of
     * killing the process. */
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
