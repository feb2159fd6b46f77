/* SPDX-License-Identifier: MIT
 * processors.c - the number of processors that this process may use.
 *
 * sys/ counts the processors that are online and that the thread's affinity
 * mask allows. A container is more often limited by a CPU quota: an amount of
 * processor time per period. Linux shows the quota in files in the control
 * group's folder:
 *
 *   /proc/self/cgroup      the group of this process in each hierarchy:
 *                          "0::/a/b" (version 2) or "4:cpu,cpuacct:/a/b"
 *   /proc/self/mountinfo   where the hierarchies are mounted, and which of
 *                          their folders is the root of the mount
 *   cpu.max                version 2: "QUOTA PERIOD", QUOTA may be "max"
 *   cpu.cfs_quota_us       version 1: the quota, or -1 for none
 *   cpu.cfs_period_us      version 1: the period
 *
 * A group is bound by the quotas of all its ancestors too, as far as the mount
 * shows them. A file that cannot be read or understood sets no limit.
 *
 * Nothing is shared: any thread may call this at any time.
 */
#include "base/processors.h"

#include "sys/sys.h"

#include <weir/base.h>

#include <limits.h>
#include <string.h>

#define PATH_BYTES 4096
#define LINE_BYTES 4096 /* longer lines name folders longer than PATH_BYTES */
#define FIELDS 64       /* mountinfo has 10 fields a line, and optional ones */

/* ---- text ---- */

struct line_reader {
    int fd;
    int64_t at;          /* offset in the file of the next read */
    size_t begin, end;   /* bounds in `text` of what was not returned yet */
    bool too_long;       /* the text is the rest of a line that did not fit */
    char text[LINE_BYTES + 1];
};

/* Append what comes next in the file to the text. Returns false at the end. */
static bool read_more(struct line_reader *in)
{
    ssize_t n;

    memmove(in->text, in->text + in->begin, in->end - in->begin);
    in->end -= in->begin;
    in->begin = 0;
    if (in->end == LINE_BYTES) {
        in->end = 0;
        in->too_long = true;
    }
    do
        n = weir_sys_pread(in->fd, in->text + in->end, LINE_BYTES - in->end,
                           in->at);
    while (n == -EINTR);
    if (n <= 0)
        return false;
    in->at += n;
    in->end += (size_t)n;
    return true;
}

/* Return the next line that fits, without its newline, or NULL at the end. */
static char *next_line(struct line_reader *in)
{
    for (;;) {
        char *line = in->text + in->begin;
        char *newline = memchr(line, '\n', in->end - in->begin);

        if (newline != NULL) {
            *newline = '\0';
            in->begin = (size_t)(newline + 1 - in->text);
            if (!in->too_long)
                return line;
            in->too_long = false;
            continue;
        }
        if (!read_more(in)) {
            if (in->begin == in->end || in->too_long)
                return NULL;
            in->text[in->end] = '\0';
            line = in->text + in->begin;
            in->begin = in->end;
            return line;
        }
    }
}

/* Read a number and move *text past it. Returns -1 if there is no number or it
 * does not fit. */
static int64_t parse_number(const char **text)
{
    const char *digit = *text;
    int64_t n = 0;

    while (*digit >= '0' && *digit <= '9') {
        if (n > (INT64_MAX - 9) / 10)
            return -1;
        n = 10 * n + (*digit++ - '0');
    }
    if (digit == *text)
        return -1;
    *text = digit;
    return n;
}

/* Return whether a comma-separated list contains the name. */
static bool list_has_name(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (;;) {
        if (strncmp(list, name, length) == 0 &&
            (list[length] == ',' || list[length] == '\0'))
            return true;
        list = strchr(list, ',');
        if (list == NULL)
            return false;
        list++;
    }
}

/* Replace each \ooo by its character, in place: mountinfo escapes white space
 * and backslashes in this way. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text != '\0'; text++, to++) {
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' &&
            text[2] >= '0' && text[2] <= '7' && text[3] >= '0' &&
            text[3] <= '7') {
            *to = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 +
                         (text[3] - '0'));
            text += 3;
        } else {
            *to = *text;
        }
    }
    *to = '\0';
}

/* ---- the files ---- */

struct search {
    const char *root;
    int limit;              /* lowest quota read so far, in processors */
    bool has_v1, has_v2;    /* whether this process is in such a group */
    char v1[PATH_BYTES], v2[PATH_BYTES]; /* the path of that group */
    char path[PATH_BYTES];  /* the file that is open or will be opened next */
    struct line_reader line_reader;
    char line[LINE_BYTES];
};

static bool open_line_reader(struct search *s)
{
    s->line_reader.fd =
        weir_sys_open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    s->line_reader.at = 0;
    s->line_reader.begin = s->line_reader.end = 0;
    s->line_reader.too_long = false;
    return s->line_reader.fd >= 0;
}

/* Set the path to `root`, `folder` and `name`. Returns false if the path is too
 * long. */
static bool set_path(struct search *s, const char *folder, size_t length,
                     const char *name)
{
    size_t before = strlen(s->root), after = strlen(name);

    if (before + length + after >= sizeof(s->path))
        return false;
    memcpy(s->path, s->root, before);
    memcpy(s->path + before, folder, length);
    memcpy(s->path + before + length, name, after + 1);
    return true;
}

/* Read the first line of a file into s->line, or "" if there is none. */
static const char *first_line(struct search *s, const char *folder,
                              size_t length, const char *name)
{
    const char *line = NULL;

    s->line[0] = '\0';
    if (!set_path(s, folder, length, name) || !open_line_reader(s))
        return s->line;
    line = next_line(&s->line_reader);
    weir_sys_close(s->line_reader.fd);
    if (line != NULL && strlen(line) < sizeof(s->line))
        memcpy(s->line, line, strlen(line) + 1);
    return s->line;
}

static void apply_quota(struct search *s, int64_t quota, int64_t period)
{
    int64_t n;

    if (quota <= 0 || period <= 0)
        return;
    n = quota / period + (quota % period != 0);
    if (n < s->limit)
        s->limit = (int)n;
}

static void read_v2_quota(struct search *s, const char *folder, size_t length)
{
    const char *text = first_line(s, folder, length, "/cpu.max");
    int64_t quota = parse_number(&text);

    if (quota >= 0 && *text == ' ') {
        text++;
        apply_quota(s, quota, parse_number(&text));
    }
}

static void read_v1_quota(struct search *s, const char *folder, size_t length)
{
    const char *text = first_line(s, folder, length, "/cpu.cfs_quota_us");
    int64_t quota = parse_number(&text);

    if (quota < 0)
        return;
    text = first_line(s, folder, length, "/cpu.cfs_period_us");
    apply_quota(s, quota, parse_number(&text));
}

/* Read the quotas of a group and of its ancestors, up to the mount point.
 * `group_path` is the path of the group in its hierarchy, `mount_root` that of
 * the folder that is mounted. */
static void read_quotas_upwards(struct search *s, const char *mount,
                                const char *mount_root, const char *group_path,
                                bool v2)
{
    char folder[PATH_BYTES];
    size_t base = strlen(mount),
           skip = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
    size_t length;

    /* The group is outside of the mount or of this process's namespace: only
     * the root of the mount can be read. */
    if (strncmp(group_path, mount_root, skip) != 0 ||
        (group_path[skip] != '/' && group_path[skip] != '\0') ||
        strstr(group_path, "/..") != NULL)
        group_path = "";
    else
        group_path += skip;
    length = base + strlen(group_path);
    if (length >= sizeof(folder))
        return;
    memcpy(folder, mount, base);
    memcpy(folder + base, group_path, length - base);
    while (length > base && folder[length - 1] == '/')
        length--;
    for (;;) {
        if (v2)
            read_v2_quota(s, folder, length);
        else
            read_v1_quota(s, folder, length);
        if (length <= base)
            return;
        do
            length--;
        while (length > base && folder[length] != '/');
    }
}

/* Parse a line of /proc/self/cgroup. */
static void read_group(struct search *s, const char *line)
{
    const char *names = strchr(line, ':');
    const char *group = names != NULL ? strchr(names + 1, ':') : NULL;
    char list[LINE_BYTES];

    if (group == NULL || group[1] != '/' || strlen(group + 1) >= PATH_BYTES)
        return;
    memcpy(list, names + 1, (size_t)(group - names - 1));
    list[group - names - 1] = '\0';
    if (strncmp(line, "0::", 3) == 0) {
        s->has_v2 = true;
        memcpy(s->v2, group + 1, strlen(group + 1) + 1);
    } else if (list_has_name(list, "cpu")) {
        s->has_v1 = true;
        memcpy(s->v1, group + 1, strlen(group + 1) + 1);
    }
}

/* Parse a line of /proc/self/mountinfo: ID PARENT DEVICE ROOT MOUNT OPTIONS
 * [OPTIONAL...] - TYPE SOURCE OPTIONS. */
static void read_mount(struct search *s, char *line)
{
    char *fields[FIELDS];
    int count = 0, dash = 6;

    for (char *field = line; field != NULL && count < FIELDS;) {
        fields[count++] = field;
        field = strchr(field, ' ');
        if (field != NULL)
            *field++ = '\0';
    }
    while (dash < count && strcmp(fields[dash], "-") != 0)
        dash++;
    if (dash + 3 >= count)
        return;
    unescape(fields[3]);
    unescape(fields[4]);
    if (strcmp(fields[4], "/") == 0)
        fields[4][0] = '\0';
    if (s->has_v2 && strcmp(fields[dash + 1], "cgroup2") == 0)
        read_quotas_upwards(s, fields[4], fields[3], s->v2, true);
    else if (s->has_v1 && strcmp(fields[dash + 1], "cgroup") == 0 &&
             list_has_name(fields[dash + 3], "cpu"))
        read_quotas_upwards(s, fields[4], fields[3], s->v1, false);
}

static void read_groups(struct search *s)
{
    const char *line;

    if (!set_path(s, "", 0, "/proc/self/cgroup") || !open_line_reader(s))
        return;
    while ((line = next_line(&s->line_reader)) != NULL)
        read_group(s, line);
    weir_sys_close(s->line_reader.fd);
}

/* read_mount() opens other files with s->line_reader, so the reader of the
 * mounts is moved to `mounts` first. */
static void read_mounts(struct search *s, struct line_reader *mounts)
{
    char *line;

    if (!set_path(s, "", 0, "/proc/self/mountinfo") || !open_line_reader(s))
        return;
    *mounts = s->line_reader;
    while ((line = next_line(mounts)) != NULL)
        read_mount(s, line);
    weir_sys_close(mounts->fd);
}

int weir_cgroup_processors(const char *root)
{
    struct {
        struct search search;
        struct line_reader mounts;
    } *memory = weir_sys_alloc_small(sizeof(*memory));
    int limit = INT_MAX;

    if (memory == NULL)
        return limit;
    memory->search.root = root;
    memory->search.limit = limit;
    read_groups(&memory->search);
    if (memory->search.has_v1 || memory->search.has_v2)
        read_mounts(&memory->search, &memory->mounts);
    limit = memory->search.limit;
    weir_sys_free(memory);
    return limit;
}

int weir_processors(void)
{
    int online = weir_sys_processors();
    int quota = weir_cgroup_processors("");

    return quota < online ? quota : online;
}
