/* SPDX-License-Identifier: MIT
 * test_processors.c - how many processors the control groups of a process
 * allow, read from trees of files like those of /proc and /sys. */
#define _GNU_SOURCE 1
#include "base/processors.h"
#include "tap.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/base.h>

static char tree[] = "/tmp/weir-processors.XXXXXX";

/* Write a file of the tree and create its folders. */
static void put(const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s%s", tree, name);
    for (char *slash = path + sizeof(tree); (slash = strchr(slash, '/'));
         slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    file = fopen(path, "w");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* An empty tree. */
static void clean(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s' && mkdir '%s'", tree,
             tree);
    REQUIRE(system(command) == 0);
}

static void make(const char *groups, const char *mounts)
{
    clean();
    put("/proc/self/cgroup", groups);
    put("/proc/self/mountinfo", mounts);
}

#define ROOT_MOUNT "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
#define V2_MOUNT                                                            \
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 "    \
    "cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                            \
    "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "           \
    "rw,cpu,cpuacct\n"

static int limit(void)
{
    return weir_cgroup_processors(tree);
}

static void a_quota_counts(void)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "200000 100000\n", 2 },
        { "150000 100000\n", 2 },
        { "100001 100000\n", 2 },
        { "1000 100000\n", 1 },
        { "100000 100000\n", 1 },
        { "400000 50000", 8 },
        { "max 100000\n", INT_MAX },
        { "9223372036854775807 1\n", INT_MAX },
    };

    make("0::/user.slice/a.scope\n", ROOT_MOUNT V2_MOUNT);
    EXPECT_INT(limit(), INT_MAX);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put("/sys/fs/cgroup/user.slice/a.scope/cpu.max", cases[i].text);
        EXPECT_INT(limit(), cases[i].want);
    }
}

static void the_least_of_nested_quotas_counts(void)
{
    make("0::/a/b/c\n", ROOT_MOUNT V2_MOUNT);
    put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "700000 100000\n");
    EXPECT_INT(limit(), 7);
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    EXPECT_INT(limit(), 3);
    put("/sys/fs/cgroup/cpu.max", "250000 100000\n");
    EXPECT_INT(limit(), 3);
    put("/sys/fs/cgroup/a/b/c/cpu.max", "50000 100000\n");
    EXPECT_INT(limit(), 1);
    /* The quota of a neighbouring group does not count. */
    make("0::/a/b\n", ROOT_MOUNT V2_MOUNT);
    put("/sys/fs/cgroup/a/bc/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "100000 100000\n");
    EXPECT_INT(limit(), INT_MAX);
}

static void version_1_counts(void)
{
    make("12:pids:/x\n4:cpu,cpuacct:/docker/123\n1:name=systemd:/\n0::/\n",
         ROOT_MOUNT V1_MOUNT
         "34 25 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/123/cpu.cfs_period_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/123/cpu.cfs_quota_us", "-1\n");
    EXPECT_INT(limit(), INT_MAX);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/123/cpu.cfs_quota_us", "120000\n");
    EXPECT_INT(limit(), 3);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "100000\n");
    EXPECT_INT(limit(), 3); /* no period there */
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    EXPECT_INT(limit(), 1);
    /* Controllers whose names only begin or end like this are other
     * controllers. */
    make("4:cpuacct,cpuset:/a\n5:notcpu:/a\n", ROOT_MOUNT V1_MOUNT);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    EXPECT_INT(limit(), INT_MAX);
}

static void a_container_sees_its_own_quota(void)
{
    /* The mount shows the container's own folder as its root. */
    make("0::/system.slice/docker-1.scope\n",
         ROOT_MOUNT "30 22 0:26 /system.slice/docker-1.scope /sys/fs/cgroup "
                    "ro - cgroup2 cgroup rw\n");
    put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    EXPECT_INT(limit(), 3);
    /* Inside a cgroup namespace. */
    make("0::/\n", ROOT_MOUNT V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    EXPECT_INT(limit(), 2);
    /* The group lies outside of what is mounted. */
    make("0::/../../other\n", ROOT_MOUNT V2_MOUNT);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    EXPECT_INT(limit(), 2);
    make("0::/ab\n", ROOT_MOUNT "30 22 0:26 /a /sys/fs/cgroup ro - cgroup2 "
                                "cgroup rw\n");
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/b/cpu.max", "100000 100000\n");
    EXPECT_INT(limit(), 2);
}

static void names_are_unescaped(void)
{
    make("0::/a b\n", ROOT_MOUNT "30 22 0:26 / /sys/fs/c\\040group rw - "
                                 "cgroup2 cgroup2 rw\n");
    put("/sys/fs/c group/a b/cpu.max", "200000 100000\n");
    EXPECT_INT(limit(), 2);
}

static void what_cannot_be_read_is_no_limit(void)
{
    static const char *const garbage[] = {
        "", "\n", "max", "-1 100000\n", "0 100000\n", "100000\n",
        "100000 0\n", "100000 -5\n", "100000  5\n", "1e5 100000\n",
        "99999999999999999999 1\n", " 100000 100000\n", "x\n100000 100000\n",
    };

    clean();
    EXPECT_INT(limit(), INT_MAX);
    EXPECT_INT(weir_cgroup_processors("/nonexistent"), INT_MAX);
    put("/proc/self/cgroup", "0::/a\n");
    EXPECT_INT(limit(), INT_MAX);
    make("0::/a\n", ROOT_MOUNT V2_MOUNT);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        put("/sys/fs/cgroup/a/cpu.max", garbage[i]);
        EXPECT_INT(limit(), INT_MAX);
    }
}

/* Overlong lines are skipped, and the others are read. */
static void long_lines_are_left_out(void)
{
    static char groups[30000], mounts[80000];
    size_t n = 0;

    n += (size_t)sprintf(groups, "5:cpu:/%04000d%05000d\n", 1, 2);
    sprintf(groups + n, "0::/a\n");
    n = 0;
    for (int i = 0; i < 200; i++)
        n += (size_t)sprintf(mounts + n, "%s", ROOT_MOUNT);
    for (size_t bytes = 4000; bytes < 4200; bytes++)
        if (bytes % 23 == 0)
            n += (size_t)sprintf(mounts + n, "%0*d\n", (int)bytes, 0);
    sprintf(mounts + n, "%s", V2_MOUNT);
    make(groups, mounts);
    put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    EXPECT_INT(limit(), 2);
}

/* Any bytes: nothing may be read or written out of bounds. */
static void garbage_does_no_harm(void)
{
    static const char *const pieces[] = { "0::/", "a", "/", "..", " ", "-",
        "cgroup2", "cgroup", "cpu", ",", ":", "\n", "\\040", "\\", "30",
        "/sys/fs/cgroup", "9", "4:cpu:/", " - cgroup2 x y\n", "\\377" };
    unsigned random = 1;

    clean();
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    for (int round = 0; round < 300; round++) {
        char text[2][6000];

        for (int file = 0; file < 2; file++) {
            size_t n = 0;

            text[file][0] = '\0';
            for (int i = 0; i < round && n < sizeof(text[0]) - 20; i++) {
                random = random * 1103515245 + 12345;
                n += (size_t)sprintf(text[file] + n, "%s",
                                     pieces[(random >> 16) % 20]);
            }
        }
        put("/proc/self/cgroup", text[0]);
        put("/proc/self/mountinfo", text[1]);
        EXPECT(limit() == INT_MAX || limit() == 2);
    }
}

static void at_least_one(void)
{
    int n = weir_processors();

    EXPECT(n >= 1);
    EXPECT(n <= sysconf(_SC_NPROCESSORS_ONLN));
}

static const struct tap_case cases[] = {
    { "a quota is converted to processors, rounded up", a_quota_counts },
    { "the smallest quota of nested control groups applies",
      the_least_of_nested_quotas_counts },
    { "the quotas of version 1 apply like those of version 2",
      version_1_counts },
    { "a container's quota is found in the files that its mounts show",
      a_container_sees_its_own_quota },
    { "a mount point with a space in its name is found",
      names_are_unescaped },
    { "a file that cannot be read or parsed sets no limit",
      what_cannot_be_read_is_no_limit },
    { "overlong lines are skipped and the other lines are read",
      long_lines_are_left_out },
    { "files of any content are read without harm", garbage_does_no_harm },
    { "weir_processors returns at least one processor and no more than are "
      "online", at_least_one },
};

int main(void)
{
    int failed;

    REQUIRE(mkdtemp(tree) != NULL);
    failed = TAP_RUN(cases);
    clean();
    rmdir(tree);
    return failed;
}
