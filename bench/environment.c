/* SPDX-License-Identifier: MIT
 * environment.c - where and when it was measured. */
#include "bench.h"

#include "commit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <weir/base.h>
#ifdef HAVE_HTTP
#include <curl/curl.h>
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif
#ifdef __OPTIMIZE__
#define OPTIMIZED ", optimized"
#else
#define OPTIMIZED ", NOT optimized"
#endif

int cores(void)
{
    return weir_processors();
}

int cores_online(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (int)n : 1;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

double others_cpu(void)
{
    FILE *file = fopen("/proc/stat", "r");
    double user, nice, system, idle, wait, irq, soft, steal, own = 0;
    struct rusage u;
    int got = 0;

    if (file == NULL)
        return -1;
    got = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice,
                 &system, &idle, &wait, &irq, &soft, &steal);
    fclose(file);
    if (got != 8)
        return -1;
    for (int i = 0; i < 2; i++)
        if (getrusage(i == 0 ? RUSAGE_SELF : RUSAGE_CHILDREN, &u) == 0)
            own += seconds(u.ru_utime) + seconds(u.ru_stime);
    return (user + nice + system + irq + soft + steal) /
               (double)sysconf(_SC_CLK_TCK) - own;
}

/* What /proc/cpuinfo calls the processor; "unknown" where there is none. */
static void name_cpu(char *value, size_t bytes)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(value, bytes, "unknown");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *name = strstr(line, ": ");

        if (strncmp(line, "model name", 10) != 0 || name == NULL)
            continue;
        name[strcspn(name, "\n")] = '\0';
        snprintf(value, bytes, "%s", name + 2);
        break;
    }
    if (file != NULL)
        fclose(file);
}

static void tell_time(char *value, size_t bytes)
{
    time_t now = time(NULL);
    struct tm tm;

    if (gmtime_r(&now, &tm) == NULL ||
        strftime(value, bytes, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(value, bytes, "unknown");
}

int environment(struct fact facts[FACTS_MAX], const struct suite *suite)
{
    const size_t bytes = sizeof(facts[0].value);
    const struct options *o = suite->options;
    struct utsname name;
    int n = 0;

#define FACT(title, ...) \
    (facts[n].name = (title), \
     (void)snprintf(facts[n++].value, bytes, __VA_ARGS__))
    facts[n].name = "cpu";
    name_cpu(facts[n++].value, bytes);
    FACT("cores", "%d", cores());
    if (uname(&name) == 0)
        FACT("kernel", "%.40s %.70s %.40s", name.sysname, name.release,
             name.machine);
    FACT("compiler", "%s%s", COMPILER, OPTIMIZED);
    FACT("weir", "%s, commit %s", weir_version(), COMMIT);
#ifdef HAVE_HTTP
    FACT("libcurl", "%s", curl_version_info(CURLVERSION_NOW)->version);
#else
    FACT("libcurl", "none");
#endif
    if (suite->load >= 0)
        FACT("load before", "%.2f", suite->load);
    if (suite->others >= 0)
        FACT("others", "used %.0f %% of the processors meanwhile",
             suite->others * 100);
    facts[n].name = "ended";
    tell_time(facts[n++].value, bytes);
    FACT("took", "%.0f s", suite->took_s);
    FACT("samples", "%d of %g ms each, after a warm-up", o->reps,
         o->sample_ns / 1e6);
    FACT("command", "%s", o->command);
#undef FACT
    return n;
}
