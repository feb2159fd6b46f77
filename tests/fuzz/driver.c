/* SPDX-License-Identifier: MIT
 * driver.c - a fuzz target as an ordinary test, of any compiler.
 *
 *   fuzz_NAME CORPUS INPUTS [SEED]
 *
 * Every file of a folder is tried, then INPUTS random mutations of them, which
 * are the same for the same seed.
 */
#include "fuzz.h"

#include "tap.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#define FILES_MAX 4096
#define INPUT_MAX ((size_t)4096) /* as libFuzzer's default */

struct input {
    uint8_t *bytes;
    size_t count;
    char name[64];
};

static struct input files[FILES_MAX];
static size_t file_count;
static const char *folder;
static uint64_t seed = 1, state, inputs;
static const struct input *current;

/* ---- reporting a failure ---- */

/* The target has aborted: print the input, so that it can be added to the
 * corpus. */
static void show_current(int signal_number)
{
    char text[4];

    (void)signal_number;
    if (current == NULL)
        return;
    if (write(2, current->name, strlen(current->name)) < 0)
        return;
    for (size_t i = 0; i < current->count; i++) {
        snprintf(text, sizeof(text), " %02x", current->bytes[i]);
        if (write(2, text, 3) != 3)
            return;
    }
    if (write(2, "\n", 1) != 1)
        return;
}

static void try_input(const struct input *input)
{
    /* A copy of the exact size, so that a sanitizer notices a read one byte too
     * far. */
    uint8_t *copy = malloc(input->count + (input->count == 0));

    REQUIRE(copy != NULL);
    if (input->count > 0)
        memcpy(copy, input->bytes, input->count);
    current = input;
    EXPECT_INT(LLVMFuzzerTestOneInput(copy, input->count), 0);
    current = NULL;
    free(copy);
}

/* ---- the corpus ---- */

static void read_file(const char *name)
{
    struct input *input = &files[file_count];
    char path[1024];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "rb");
    input->bytes = malloc(INPUT_MAX);
    REQUIRE(file != NULL && input->bytes != NULL);
    input->count = fread(input->bytes, 1, INPUT_MAX, file);
    snprintf(input->name, sizeof(input->name), "%.63s", name);
    fclose(file);
    file_count++;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct input *)a)->name,
                  ((const struct input *)b)->name);
}

static void read_corpus(void)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;

    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL && file_count < FILES_MAX)
        if (entry->d_name[0] != '.')
            read_file(entry->d_name);
    closedir(directory);
    qsort(files, file_count, sizeof(files[0]), compare);
}

static void replay(void)
{
    EXPECT(file_count > 0);
    for (size_t i = 0; i < file_count; i++)
        try_input(&files[i]);
    printf("# %zu files\n", file_count);
}

/* ---- random inputs ---- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static size_t below(size_t bound)
{
    uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((x ^ x >> 31) % bound);
}

static uint8_t any_byte(void)
{
    static const uint8_t telling[] = "\n\r\t \"\\{}[]:,\0\x1b\x7f\x80\xc2"
                                     "\xe2\xf0\xff/@%#?09-+.eu'";

    return below(2) == 0 ? (uint8_t)below(256)
                         : telling[below(sizeof(telling))];
}

/* Insert `count` bytes at `at`; `from` is not part of the input. */
static void insert(struct input *input, size_t at, const uint8_t *from,
                   size_t count)
{
    if (count > INPUT_MAX - input->count)
        count = INPUT_MAX - input->count;
    memmove(input->bytes + at + count, input->bytes + at, input->count - at);
    memcpy(input->bytes + at, from, count);
    input->count += count;
}

static void cut(struct input *input, size_t at, size_t count)
{
    if (count > input->count - at)
        count = input->count - at;
    memmove(input->bytes + at, input->bytes + at + count,
            input->count - at - count);
    input->count -= count;
}

static void change(struct input *input)
{
    size_t at = below(input->count + 1);
    uint8_t some[16];
    const struct input *other;
    size_t from;

    switch (below(5)) {
    case 0:
        if (at < input->count)
            input->bytes[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        if (at < input->count)
            input->bytes[at] = any_byte();
        break;
    case 2:
        cut(input, at, 1 + below(16));
        break;
    case 3:
        for (size_t i = 0; i < sizeof(some); i++)
            some[i] = any_byte();
        insert(input, at, some, 1 + below(sizeof(some)));
        break;
    default:
        other = &files[below(file_count)];
        from = below(other->count + 1);
        insert(input, at, other->bytes + from,
               below(other->count - from + 1));
        break;
    }
}

static void chance(void)
{
    static uint8_t bytes[INPUT_MAX];
    struct input input = { .bytes = bytes };

    if (file_count == 0)
        return;
    state = seed;
    for (uint64_t i = 0; i < inputs; i++) {
        const struct input *file = &files[below(file_count)];

        snprintf(input.name, sizeof(input.name), "input %llu of seed %llu:",
                 (unsigned long long)i, (unsigned long long)seed);
        input.count = 0;
        if (below(8) != 0)
            insert(&input, 0, file->bytes, file->count);
        else
            for (size_t count = below(256); input.count < count;)
                bytes[input.count++] = any_byte();
        for (size_t changes = below(8); changes > 0; changes--)
            change(&input);
        try_input(&input);
    }
    printf("# %llu inputs of seed %llu\n", (unsigned long long)inputs,
           (unsigned long long)seed);
}

static const struct tap_case cases[] = {
    { "no input of the corpus violates a checked property", replay },
    { "no random mutation of the corpus violates a checked property", chance },
};

int main(int argc, char **argv)
{
    int result;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s CORPUS INPUTS [SEED]\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    inputs = strtoull(argv[2], NULL, 10);
    if (argc > 3)
        seed = strtoull(argv[3], NULL, 10);
    signal(SIGABRT, show_current);
    read_corpus();
    result = TAP_RUN(cases);
    for (size_t i = 0; i < file_count; i++)
        free(files[i].bytes);
    return result;
}
