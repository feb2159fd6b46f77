/* SPDX-License-Identifier: MIT
 * test_plugin.c - the library as a plug-in: loaded, used and unloaded again
 * and again; twice in a process; and in a program that has functions of the
 * same names.
 *
 * Its argument is the shared library. */
#include "copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Sanitizers map additional memory for each thread and library. */
#if defined(__SANITIZE_ADDRESS__) || defined(TESTS_TSAN)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if !defined(SANITIZED)
#define SANITIZED 0
#endif

#define ROUNDS 1000
#define WARM   100 /* rounds until the C library has allocated what it keeps */

static const char *library;

/* ---- resources of the process ---- */

/* Entries of a folder of /proc; -1 if there is none. */
static long entries(const char *folder)
{
    DIR *dir = opendir(folder);
    long count = 0;

    if (dir == NULL)
        return -1;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* Mappings of the process; if asked, only those of the library. */
static long mappings(const char *of)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[8192];
    long count = 0;

    if (maps == NULL)
        return -1;
    while (fgets(line, sizeof(line), maps) != NULL)
        count += of == NULL || strstr(line, of) != NULL;
    fclose(maps);
    return count;
}

/* ---- one after another ---- */

static int count_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* Load the library, have two workers and a writer do something, unload it. */
static void a_life(void)
{
    struct copy copy = copy_load(library);
    struct weir_pool *pool;
    struct weir_writer *writer;
    atomic_int ran = 0;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    REQUIRE(null >= 0);
    REQUIRE(copy.weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2 }) == 0);
    REQUIRE(copy.weir_writer_open(&writer, &(struct weir_writer_options){
        .fd = null }) == 0);
    for (int i = 0; i < 4; i++)
        EXPECT_INT(copy.weir_pool_submit(pool, &(struct weir_job){
            .fn = count_job, .arg = &ran }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(copy.weir_writer_write(writer, &(struct iovec){
        (void *)"x\n", 2 }, 1, WEIR_FOREVER), 0);
    EXPECT_INT(copy.weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 4);
    EXPECT_INT(copy.weir_writer_close(writer, WEIR_FOREVER), 0);
    copy.weir_writer_destroy(writer);
    copy.weir_pool_destroy(pool);
    close(null);
    REQUIRE(dlclose(copy.handle) == 0);
}

static void loaded_again_and_again(void)
{
    long descriptors, threads, mapped = 0;

    if (mappings(NULL) < 0) {
        SKIP("no /proc");
        return;
    }
    a_life(); /* with the first thread a sanitizer starts its own thread */
    descriptors = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (int i = 0; i < ROUNDS; i++) {
        a_life();
        if (i == WARM)
            mapped = mappings(NULL);
    }
    EXPECT_INT(entries("/proc/self/fd"), descriptors);
    /* The kernel may show a joined thread a moment longer. */
    AWAIT(entries("/proc/self/task") == threads);
    /* The C library may keep another stack or arena; a leak in each round would
     * be 899 mappings. */
    printf("# %ld mappings after %d rounds, %ld after %d\n", mapped, WARM,
           mappings(NULL), ROUNDS);
    EXPECT(SANITIZED || mappings(NULL) <= mapped + 32);
    /* Nothing it has registered keeps it loaded. */
    EXPECT_INT(mappings("libweir"), 0);
}

/* ---- two copies ---- */

struct two {
    const struct copy *mine, *other;
    struct weir_pool *pool; /* of the other copy */
    atomic_int ran;
};

static int count_element(struct weir_context *cx, void *user, void *element)
{
    struct two *two = user;

    (void)cx;
    (void)element;
    atomic_fetch_add(&two->ran, 1);
    return 0;
}

/* In a job of one copy: wait for jobs of the other one. */
static int use_the_other(struct weir_context *cx, void *arg)
{
    struct two *two = arg;
    char elements[10];

    (void)cx;
    return two->other->weir_for_each(two->pool, &(struct weir_each){
        .fn = count_element, .user = two, .array = elements,
        .count = sizeof(elements), .size = 1 });
}

/* In a job of a copy: wait for a nested group, which requires that its worker
 * helps. */
static int nest(struct weir_context *cx, void *arg)
{
    struct two *two = arg;
    char elements[10];

    return two->mine->weir_for_each(two->mine->weir_pool_of(cx),
        &(struct weir_each){ .fn = count_element, .user = two,
            .array = elements, .count = sizeof(elements), .size = 1 });
}

/* A copy of the library's file, which the loader treats as another library. */
static void copy_file(const char *from, const char *to)
{
    char buffer[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t n;

    REQUIRE(in != NULL && out != NULL);
    while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
        REQUIRE(fwrite(buffer, 1, n, out) == n);
    REQUIRE(!ferror(in) && fclose(out) == 0);
    fclose(in);
}

static void two_at_once(void)
{
    char path[] = "/tmp/weir-copy-XXXXXX";
    int fd = mkstemp(path);
    struct copy copies[2];
    struct weir_pool *pools[2];
    struct two two[2];

    REQUIRE(fd >= 0 && close(fd) == 0);
    copy_file(library, path);
    copies[0] = copy_load(library);
    copies[1] = copy_load(path);
    EXPECT(copies[0].weir_pool_create != copies[1].weir_pool_create);
    for (int i = 0; i < 2; i++)
        REQUIRE(copies[i].weir_pool_create(&pools[i],
            &(struct weir_pool_options){ .workers = 1 }) == 0);
    for (int i = 0; i < 2; i++)
        two[i] = (struct two){ .mine = &copies[i], .other = &copies[1 - i],
            .pool = pools[1 - i] };
    /* One after the other: this case is not about two jobs that wait for each
     * other's only worker. */
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 100; n++) {
            EXPECT_INT(copies[i].weir_pool_submit(pools[i],
                &(struct weir_job){ .fn = use_the_other, .arg = &two[i] },
                1, WEIR_FOREVER), 1);
            EXPECT_INT(copies[i].weir_pool_submit(pools[i],
                &(struct weir_job){ .fn = nest, .arg = &two[i] }, 1,
                WEIR_FOREVER), 1);
        }
        EXPECT_INT(copies[i].weir_pool_wait(pools[i], WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&two[i].ran), 2000);
    }
    /* One copy is unloaded while the other is busy. */
    EXPECT_INT(copies[1].weir_pool_submit(pools[1], &(struct weir_job){
        .fn = nest, .arg = &two[1] }, 1, WEIR_FOREVER), 1);
    copies[0].weir_pool_destroy(pools[0]);
    REQUIRE(dlclose(copies[0].handle) == 0);
    EXPECT_INT(copies[1].weir_pool_close(pools[1], WEIR_DRAIN,
                                         WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&two[1].ran), 2010);
    copies[1].weir_pool_destroy(pools[1]);
    REQUIRE(dlclose(copies[1].handle) == 0);
    EXPECT_INT(unlink(path), 0);
}

/* ---- functions of the same names in the program ---- */

/* Like a program that contains another version of the library and exports its
 * names to what it loads. */
static atomic_int strangers_called;

static int stranger(void)
{
    atomic_fetch_add(&strangers_called, 1);
    return -ENOSYS;
}

int weir_group_create(struct weir_group **group, struct weir_pool *pool,
                      const struct weir_group_options *options)
{
    (void)pool;
    (void)options;
    *group = NULL;
    return stranger();
}

ssize_t weir_group_submit(struct weir_group *group,
                          const struct weir_job *jobs, size_t count,
                          int64_t deadline)
{
    (void)group;
    (void)jobs;
    (void)count;
    (void)deadline;
    return stranger();
}

int weir_group_wait(struct weir_group *group, int64_t deadline)
{
    (void)group;
    (void)deadline;
    return stranger();
}

ssize_t weir_pool_submit(struct weir_pool *pool, const struct weir_job *jobs,
                         size_t count, int64_t deadline)
{
    (void)pool;
    (void)jobs;
    (void)count;
    (void)deadline;
    return stranger();
}

static void beside_strangers(void)
{
    struct copy copy;
    struct weir_pool *pool;
    struct two two;

    /* The program's functions are found first; otherwise this case shows
     * nothing. */
    REQUIRE(dlsym(RTLD_DEFAULT, "weir_group_create") != NULL);
    copy = copy_load(library);
    REQUIRE(copy.weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1 }) == 0);
    two = (struct two){ .mine = &copy, .other = &copy, .pool = pool };
    EXPECT_INT(copy.weir_pool_submit(pool, &(struct weir_job){ .fn = nest,
        .arg = &two }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(copy.weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&two.ran), 10);
    copy.weir_pool_destroy(pool);
    REQUIRE(dlclose(copy.handle) == 0);
    EXPECT_INT(atomic_load(&strangers_called), 0);
}

static const struct tap_case cases[] = {
    { "the library leaves nothing behind if it is loaded 1,000 times",
      loaded_again_and_again },
    { "two copies of the library in a process are independent", two_at_once },
    { "the library calls its own functions and not the program's namesakes",
      beside_strangers },
};

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    library = argv[1];
    return TAP_RUN(cases);
}
