/* SPDX-License-Identifier: MIT
 * recovery.c - fuzz target: opening a file of any bytes with recovery.
 *
 * Whole lines stay, what follows the last newline is saved in FILE.torn and its
 * size reported, and later records are appended. The first byte sets how many
 * times the rest is repeated, so that files are longer than one read. */
#include "fuzz.h"

#include <unistd.h>
#include <weir/writer.h>

static char *read_all(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    char *bytes;
    long size;

    *count = 0;
    if (file == NULL)
        return NULL;
    CHECK(fseek(file, 0, SEEK_END) == 0);
    size = ftell(file);
    CHECK(size >= 0);
    rewind(file);
    *count = (size_t)size;
    bytes = malloc(*count + 1);
    CHECK(bytes != NULL && fread(bytes, 1, *count, file) == *count);
    fclose(file);
    return bytes;
}

static void try_file(const uint8_t *bytes, size_t count)
{
    struct iovec piece = { "next\n", 5 };
    char path[64], torn_path[80], *file, *torn;
    size_t whole = count, file_count, torn_count;
    struct weir_writer_stats stats;
    struct weir_writer *writer;

    while (whole > 0 && bytes[whole - 1] != '\n')
        whole--;
    snprintf(path, sizeof(path), "%s", fuzz_file(bytes, count));
    snprintf(torn_path, sizeof(torn_path), "%s.torn", path);
    CHECK(weir_writer_open(&writer, &(struct weir_writer_options){
        .path = path, .recover = WEIR_RECOVER_LINES }) == 0);
    CHECK(weir_writer_stats(writer, &stats) == 0);
    CHECK(stats.torn_bytes == count - whole);
    CHECK(weir_writer_write(writer, &piece, 1, WEIR_FOREVER) == 0);
    CHECK(weir_writer_close(writer, WEIR_FOREVER) == 0);
    weir_writer_destroy(writer);

    file = read_all(path, &file_count);
    CHECK(file != NULL && file_count == whole + 5);
    CHECK(whole == 0 || memcmp(file, bytes, whole) == 0);
    CHECK(memcmp(file + whole, "next\n", 5) == 0);
    torn = read_all(torn_path, &torn_count);
    CHECK((torn != NULL) == (count != whole));
    CHECK(torn_count == count - whole);
    CHECK(torn == NULL || memcmp(torn, bytes + whole, torn_count) == 0);
    free(file);
    free(torn);
    unlink(torn_path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t times = size > 0 && data[0] > 240 ? 150000 / size + 1 : 1;
    uint8_t *bytes;

    if (size == 0)
        return 0;
    data++;
    size--;
    /* The same bytes, with newlines only among the first ones. */
    bytes = malloc(size * times + 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < size * times; i++) {
        bytes[i] = data[i % size];
        if (i >= size && bytes[i] == '\n')
            bytes[i] = 0;
    }
    try_file(bytes, size * times);
    free(bytes);
    return 0;
}
