/* SPDX-License-Identifier: MIT
 * show.c - `weir show`: runs a scenario, or lists the scenarios. */
#include "commands.h"
#include "common/settings.h"
#include "common/text.h"

#include <string.h>

static const char list[] =
    "Scenarios; 'weir show NAME --help' lists the options of one:\n"
    "\n"
    "  template    jobs with a concurrency limit, a shared table and a file\n"
    "  kata        a bounded queue between producers and consumers\n"
    "  letters     producers and consumers that run until Ctrl-C\n"
    "  submitters  many submitters, one pool, results matched to inputs\n"
    "  nested      jobs that submit jobs and wait, and a pool that grows\n";

int command_show(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } scenarios[] = { { "template", show_template },
                      { "kata", show_kata },
                      { "letters", show_letters },
                      { "submitters", show_submitters },
                      { "nested", show_nested } };
    const char *name = argc > 1 ? argv[1] : "--help";

    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        if (strcmp(name, scenarios[i].name) == 0)
            return scenarios[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return settings_help(list);
    say("weir show: %s: no such scenario; see 'weir show'", name);
    return EXIT_BAD_INPUT;
}
