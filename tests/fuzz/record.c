/* SPDX-License-Identifier: MIT
 * record.c - fuzz target: a line of a results file.
 *
 * A line that is parsed, written and parsed again stays the same, and so does a
 * record that is built from the bytes. */
#include "fuzz.h"

#include "results/record.h"

#include <errno.h>
#include <weir/base.h>

/* Times are written in whole microseconds, rounded. */
static bool same_time(int64_t a, int64_t b)
{
    int64_t apart = a < b ? b - a : a - b;

    /* Parsed as a double in milliseconds: 53 bits. */
    return apart <= WEIR_US / 2 + 1 + (a >> 51);
}

static void check_same(const struct record *a, const struct record *b)
{
    CHECK(a->run == b->run && a->id.high == b->id.high &&
          a->id.low == b->id.low && a->seq == b->seq);
    CHECK(strcmp(a->url, b->url) == 0);
    CHECK(a->ok == b->ok && a->status == b->status);
    CHECK(strcmp(a->error, b->error) == 0);
    CHECK(a->attempts == b->attempts && a->worker == b->worker);
    CHECK(a->start_ms == b->start_ms && a->bytes == b->bytes);
    CHECK(same_time(a->wait_ns, b->wait_ns));
    CHECK(same_time(a->dns_ns, b->dns_ns));
    CHECK(same_time(a->connect_ns, b->connect_ns));
    CHECK(same_time(a->tls_ns, b->tls_ns));
    CHECK(same_time(a->ttfb_ns, b->ttfb_ns));
    CHECK(same_time(a->total_ns, b->total_ns));
}

/* Write the record and parse the result. */
static void there_and_back(const struct record *record)
{
    struct text line = { 0 }, url = { 0 };
    struct record back;

    record_write(&line, record);
    CHECK(!line.failed && line.data[line.used - 1] == '\n');
    CHECK(fuzz_is_text(line.data, line.used - 1, true, ""));
    CHECK(record_read(line.data, line.used, &back, &url) == 0);
    check_same(record, &back);
    text_free(&line);
    text_free(&url);
}

static void read_line(const uint8_t *data, size_t size)
{
    struct text url = { 0 };
    struct record record;
    char reason[32];
    int err = record_read((const char *)data, size, &record, &url);

    CHECK(err == 0 || err == -EINVAL);
    if (err == 0) {
        record_reason(&record, reason);
        there_and_back(&record);
    }
    text_free(&url);
}

static void make_record(const uint8_t *data, size_t size)
{
    static const char *const errors[] = { "", "timeout", "too_large" };
    struct feed feed = feed_of(data, size);
    struct record r = { 0 };
    char *url;

    r.run = feed_number(&feed, 8);
    r.id.high = feed_number(&feed, 8);
    r.id.low = feed_number(&feed, 8);
    r.seq = feed_number(&feed, 8);
    r.ok = (int)feed_below(&feed, 2);
    r.status = (int)feed_number(&feed, 2) % 600;
    strcpy(r.error, errors[feed_below(&feed, 3)]);
    r.attempts = (int)feed_number(&feed, 4) & INT32_MAX;
    r.worker = (int)feed_number(&feed, 2);
    r.start_ms = (int64_t)(feed_number(&feed, 8) %
                           (RECORD_START_MAX - RECORD_START_MIN)) +
                 RECORD_START_MIN;
    r.line = feed_number(&feed, 8);
    r.bytes_sent = (int64_t)(feed_number(&feed, 8) >> 1);
    r.http_version = (int)feed_number(&feed, 1);
    r.redirects = (int)feed_below(&feed, 11);
    r.insecure = (int)feed_below(&feed, 2);
    r.wait_ns = (int64_t)(feed_number(&feed, 8) % 1000000000000000000u);
    r.total_ns = (int64_t)(feed_number(&feed, 5));
    r.ttfb_ns = (int64_t)(feed_number(&feed, 3));
    r.bytes = feed_number(&feed, 8);
    size = (size_t)(feed.end - feed.at);
    r.body = feed_below(&feed, 2) != 0 ? (const char *)data : NULL;
    r.body_bytes = size;
    url = malloc(size + 1);
    CHECK(url != NULL);
    for (size_t i = 0; i < size; i++)
        url[i] = (char)(1 + (data[i] & 0x7E) % 0x7E); /* ASCII, no NUL */
    url[size] = '\0';
    r.url = url;
    r.ref = r.method = r.detail = r.content_type = r.final_url = url;
    there_and_back(&r);
    free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_line(data, size);
    make_record(data, size);
    return 0;
}
