/* SPDX-License-Identifier: MIT
 * test_demo_results.c - reading JSON and records, counting ids and times. */
#include "common/histogram.h"
#include "common/ids.h"
#include "common/json.h"
#include "results/record.h"

#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Append "name=value " for each member. */
static int list(void *user, const struct json_value *name,
                const struct json_value *value)
{
    struct text *text = user;

    text_printf(text, "%.*s=", (int)name->count, name->bytes);
    if (value->kind == JSON_STRING) {
        if (json_text(value, text) != 0)
            text_puts(text, "?");
    } else {
        text_add(text, value->bytes, value->count);
    }
    text_puts(text, " ");
    return 0;
}

static int members_are(const char *json, const char *want)
{
    struct text text = { 0 };
    int err = json_members(json, strlen(json), list, &text);
    int same = want != NULL ? err == 0 && strcmp(text.data != NULL ? text.data
                                                                   : "",
                                                 want) == 0
                            : err == -EINVAL;

    if (!same)
        printf("# %s: %d %s\n", json, err, text.data != NULL ? text.data : "");
    text_free(&text);
    return same;
}

static void json_reads(void)
{
    EXPECT(members_are("{}", ""));
    EXPECT(members_are(" { \"a\" : 1 , \"b\":[ {} ,\"]\"] }\r\n",
                       "a=1 b=[ {} ,\"]\"] "));
    EXPECT(members_are("{\"a\":-0.5e+3,\"b\":true,\"c\":null}",
                       "a=-0.5e+3 b=true c=null "));
    EXPECT(members_are("{\"a\":\"x\\\"\\\\\\/\\n\\u0041\\u00e9\\ud83d\\ude00\"}",
                       "a=x\"\\/\nA\xc3\xa9\xf0\x9f\x98\x80 "));
    EXPECT(members_are("{\"a\":\"\\ud83d\"}", "a=? "));
    EXPECT(members_are("{\"a\":\"\\ude00\\ud83d\"}", "a=? "));
}

static void json_refuses(void)
{
    static const char *const bad[] = {
        "", "[]", "1", "{", "{}x", "{} {}", "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{,}", "{a:1}", "{\"a\":01}", "{\"a\":+1}",
        "{\"a\":.5}", "{\"a\":1.}", "{\"a\":1e}", "{\"a\":nul}",
        "{\"a\":\"\n\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\xff\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"x}",
        "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":1 \"b\":2}", "{\"a\\",
    };
    char deep[200] = "{\"a\":";
    size_t at = strlen(deep);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT(members_are(bad[i], NULL));
    memset(deep + at, '[', 40);
    memset(deep + at + 40, ']', 40);
    deep[at + 80] = '}';
    EXPECT(members_are(deep, NULL));
}

static const struct record sample = {
    .run = UINT64_C(0x0123456789abcdef),
    .id = { UINT64_C(0xfedcba9876543210), 7 },
    .seq = 17, .url = "http://a/\"x", .status = 503, .attempts = 2,
    .worker = 3, .start_ms = INT64_C(1772323199123), .wait_ns = 1500000,
    .total_ns = INT64_C(2250000000), .bytes = 99,
    .line = 21, .ref = "mine", .detail = "say \"x\"", .bytes_sent = 5,
    .http_version = 11, .content_type = "text/plain", .redirects = 1,
    .final_url = "http://b/",
};

static void records(void)
{
    struct text line = { 0 }, url = { 0 };
    struct record r, more = sample;

    record_write(&line, &sample);
    REQUIRE(record_read(line.data, line.used, &r, &url) == 0);
    EXPECT(r.run == sample.run && r.id.high == sample.id.high &&
           r.id.low == 7 && r.seq == 17 && strcmp(r.url, sample.url) == 0);
    EXPECT(!r.ok && r.status == 503 && r.error[0] == '\0');
    EXPECT(r.attempts == 2 && r.worker == 3 && r.bytes == 99);
    EXPECT(r.start_ms == sample.start_ms && r.wait_ns == sample.wait_ns &&
           r.total_ns == sample.total_ns);
    EXPECT(strstr(line.data, "\"start\":\"2026-02-28T23:59:59.123Z\"") !=
           NULL);
    EXPECT(r.version == 2);
    EXPECT(strstr(line.data, "{\"v\":2,\"run\":\"0123456789abcdef\",\"id\":"
                             "\"fedcba98765432100000000000000007\",\"seq\":17,"
                             "\"line\":21,\"ref\":\"mine\",\"url\":") ==
           line.data);
    EXPECT(strstr(line.data, "\"method\":\"GET\",\"ok\":false,\"status\":503,"
                             "\"error\":null,\"detail\":\"say \\\"x\\\"\",")
           != NULL);
    EXPECT(strstr(line.data, ",\"bytes\":99,\"bytes_sent\":5,"
                             "\"http_version\":\"1.1\","
                             "\"content_type\":\"text/plain\","
                             "\"redirects\":1,\"final_url\":\"http://b/\"}\n")
           != NULL);
    more.ok = 1;
    more.status = 0;
    more.insecure = 1;
    more.line = 0;
    more.ref = more.detail = more.content_type = more.final_url = NULL;
    more.http_version = 0;
    more.method = "POST";
    more.body = "\xff\x01";
    more.body_bytes = 2;
    strcpy(more.error, "timeout");
    line.used = 0;
    record_write(&line, &more);
    EXPECT(strstr(line.data, "\"method\":\"POST\"") != NULL);
    EXPECT(strstr(line.data, "\"line\":null,\"url\"") != NULL);
    EXPECT(strstr(line.data, "\"http_version\":null,\"content_type\":null,"
                             "\"redirects\":1,\"final_url\":null,"
                             "\"insecure\":true,\"body") != NULL);
    EXPECT(strstr(line.data, ",\"body_base64\":\"/wE=\"}\n") != NULL);
    REQUIRE(record_read(line.data, line.used, &r, &url) == 0);
    EXPECT(r.ok && r.status == 0 && strcmp(r.error, "timeout") == 0);
    text_free(&line);
    text_free(&url);
}

/* Whatever this computer's clock says: 10^11 s is in the year 5138. */
static void strange_times(void)
{
    static const struct {
        int64_t ms, read;
        const char *shown;
    } times[] = {
        { 0, 0, "1970-01-01T00:00:00.000Z" },
        { -1, -1, "1969-12-31T23:59:59.999Z" },
        { -1000, -1000, "1969-12-31T23:59:59.000Z" },
        { INT64_C(4133980799999), INT64_C(4133980799999),
          "2100-12-31T23:59:59.999Z" },
        { INT64_C(100000000000123), INT64_C(100000000000123),
          "5138-11-16T09:46:40.123Z" },
        { INT64_C(-62135596800000), INT64_C(-62135596800000),
          "0001-01-01T00:00:00.000Z" },
        { INT64_MAX, INT64_C(253402300799999), "9999-12-31T23:59:59.999Z" },
        { INT64_MIN, INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z" },
    };
    struct text line = { 0 }, url = { 0 };
    struct record r, more = sample;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        more.start_ms = times[i].ms;
        line.used = 0;
        record_write(&line, &more);
        REQUIRE(!line.failed);
        EXPECT(strstr(line.data, times[i].shown) != NULL ||
               (printf("# %s", line.data), 0));
        EXPECT_INT(record_read(line.data, line.used, &r, &url), 0);
        EXPECT(r.start_ms == times[i].read);
    }
    text_free(&line);
    text_free(&url);
}

static void old_records(void)
{
    static const char line[] =
        "{\"v\":1,\"run\":\"0123456789abcdef\",\"id\":"
        "\"0123456789abcdef0123456789abcdef\",\"seq\":3,\"url\":"
        "\"http://a/\",\"ok\":true,\"status\":200,\"error\":null,"
        "\"attempts\":1,\"worker\":2,\"start\":"
        "\"2026-02-28T23:59:59.123Z\",\"wait_ms\":1.500,\"dns_ms\":0.000,"
        "\"connect_ms\":0.000,\"tls_ms\":0.000,\"ttfb_ms\":0.000,"
        "\"total_ms\":2250.000,\"bytes\":99}\n";
    struct text url = { 0 };
    struct record r;

    REQUIRE(record_read(line, sizeof(line) - 1, &r, &url) == 0);
    EXPECT(r.version == 1 && r.ok && r.status == 200 && r.seq == 3);
    EXPECT(r.bytes == 99 && strcmp(r.url, "http://a/") == 0);
    text_free(&url);
}

/* No prefix of a record is a record: torn lines are recognised. */
static void torn_records(void)
{
    struct text line = { 0 }, url = { 0 };
    struct record r;

    record_write(&line, &sample);
    for (size_t i = 0; i < line.used - 1; i++)
        EXPECT_INT(record_read(line.data, i, &r, &url), -EINVAL);
    text_free(&line);
    text_free(&url);
}

static void other_records(void)
{
    static const char *const bad[] = {
        "{}", "{\"v\":3,\"id\":\"0123456789abcdef0123456789abcdef\","
              "\"url\":\"http://a\",\"ok\":true}",
        "{\"v\":1,\"id\":\"0123456789ABCDEF0123456789abcdef\","
        "\"url\":\"http://a\",\"ok\":true}",
        "{\"v\":1,\"id\":\"0123456789abcdef0123456789abcdef\","
        "\"url\":\"a\\u0000b\",\"ok\":true}",
        "{\"v\":1,\"id\":\"0123456789abcdef0123456789abcdef\","
        "\"url\":\"http://a\",\"ok\":1}",
        "{\"v\":1,\"id\":\"0123456789abcdef0123456789abcdef\","
        "\"url\":\"http://a\",\"ok\":true,\"error\":\"\\u001b[31m\"}",
    };
    struct text url = { 0 };
    struct record r;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT_INT(record_read(bad[i], strlen(bad[i]), &r, &url), -EINVAL);
    text_free(&url);
}

static struct id id_of(uint64_t i)
{
    return id_add(id_start(), &i, sizeof(i));
}

static void many_ids(void)
{
    struct ids *ids = ids_create();
    uint32_t *number;

    REQUIRE(ids != NULL);
    EXPECT_INT((long)ids_find(ids, id_of(1)), 0);
    for (uint64_t i = 1; i <= 100000; i++) {
        number = ids_add(ids, id_of(i));
        REQUIRE(number != NULL && *number == 0);
        *number = (uint32_t)i;
    }
    EXPECT_INT((long)ids_count(ids), 100000);
    for (uint64_t i = 1; i <= 100000; i++)
        EXPECT(ids_find(ids, id_of(i)) == i);
    for (uint64_t i = 100001; i <= 101000; i++)
        EXPECT(ids_find(ids, id_of(i)) == 0);
    number = ids_add(ids, id_of(5));
    EXPECT(number != NULL && *number == 5);
    ids_destroy(ids);
    ids_destroy(NULL);
}

static void parts(void)
{
    unsigned counts[7] = { 0 };

    for (uint64_t i = 0; i < 70000; i++)
        counts[id_part(id_of(i), 7)]++;
    for (int i = 0; i < 7; i++)
        EXPECT(counts[i] > 9500 && counts[i] < 10500);
}

static void times(void)
{
    static struct histogram h;
    double exact;

    EXPECT(histogram_quantile(&h, 0.5) == 0 && !histogram_knows(&h, 0.5));
    for (int i = 1; i <= 1000; i++)
        histogram_add(&h, (int64_t)i * i * 1000);
    for (int i = 1; i <= 99; i++) {
        exact = (double)(i * 10) * (i * 10) * 1000;
        EXPECT((double)histogram_quantile(&h, i / 100.0) / exact > 0.96 &&
               (double)histogram_quantile(&h, i / 100.0) / exact < 1.04);
    }
    EXPECT(histogram_quantile(&h, 1) <= 1000000000 &&
           h.longest_ns == 1000000000);
    EXPECT(histogram_knows(&h, 0.999) && !histogram_knows(&h, 0.9999));
    histogram_add(&h, INT64_MAX);
    histogram_add(&h, -5);
    EXPECT(h.total == 1002);
}

static void shells(void)
{
    struct text text = { 0 };

    text_shell(&text, "a/b:c");
    text_puts(&text, " ");
    text_shell(&text, "");
    text_puts(&text, " ");
    text_shell(&text, "it's $x");
    EXPECT(strcmp(text.data, "a/b:c '' 'it'\\''s $x'") == 0);
    text.used = 0;
    text_base64(&text, "abcd", 4);
    EXPECT(strcmp(text.data, "YWJjZA==") == 0);
    text_free(&text);
}

static const struct tap_case cases[] = {
    { "JSON objects are parsed member by member", json_reads },
    { "text that is not a JSON object is rejected", json_refuses },
    { "a record that was written is parsed back", records },
    { "a record is parsed back whatever the clock said", strange_times },
    { "a record of version 1 is parsed", old_records },
    { "no prefix of a record is a record", torn_records },
    { "a line that is not a record is recognised", other_records },
    { "ids are found with their numbers, and no others are found", many_ids },
    { "ids are distributed evenly over the shards", parts },
    { "quantiles are accurate to 1.6 % and half a rank", times },
    { "quoted words pass through a shell unchanged", shells },
};

int main(void)
{
    return TAP_RUN(cases);
}
