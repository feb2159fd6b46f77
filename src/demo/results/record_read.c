/* SPDX-License-Identifier: MIT
 * record_read.c - reads the record of a job. */
#include "record.h"

#include "common/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <weir/base.h>

struct reading {
    struct record *record;
    struct text *url;
    unsigned seen; /* a bit for each required member that was there */
};

/* Return the days from 1970-01-01 to a date of the Gregorian calendar (Hinnant,
 * "chrono-compatible low-level date algorithms"). */
static int64_t days(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
           of_year - 719468;
}

/* Parse a time like "2026-01-31T23:59:59.123Z". */
static int read_time(const struct json_value *value, int64_t *ms)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    int n[7] = { 0 }, at = 0;

    if (value->kind != JSON_STRING || value->count != sizeof(shape) - 1)
        return -EINVAL;
    for (size_t i = 0; i < value->count; i++) {
        char c = value->bytes[i];

        if (shape[i] != 'd') {
            if (c != shape[i])
                return -EINVAL;
            at++;
            continue;
        }
        if (c < '0' || c > '9')
            return -EINVAL;
        n[at] = n[at] * 10 + (c - '0');
    }
    if (n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 ||
        n[4] > 59 || n[5] > 60)
        return -EINVAL;
    *ms = (((days(n[0], n[1], n[2]) * 24 + n[3]) * 60 + n[4]) * 60 + n[5]) *
              1000 + n[6];
    /* A leap second at the end of the year 9999 is beyond the maximum. */
    return *ms <= RECORD_START_MAX ? 0 : -EINVAL;
}

static int read_ns(const struct json_value *value, int64_t *ns)
{
    double ms;

    if (json_double(value, &ms) != 0 || !(ms >= 0 && ms < 1e12))
        return -EINVAL;
    *ns = (int64_t)(ms * WEIR_MS);
    return 0;
}

static int read_int(const struct json_value *value, int *number)
{
    uint64_t read;

    if (json_whole(value, &read) != 0 || read > INT_MAX)
        return -EINVAL;
    *number = (int)read;
    return 0;
}

static int read_status(const struct json_value *value, int *status)
{
    *status = 0;
    if (value->kind == JSON_NULL)
        return 0;
    return read_int(value, status) == 0 && *status <= 999 ? 0 : -EINVAL;
}

static int read_ok(const struct json_value *value, int *ok)
{
    *ok = value->kind == JSON_TRUE;
    return *ok || value->kind == JSON_FALSE ? 0 : -EINVAL;
}

/* Parse an error: one lower-case word, or null. */
static int read_error(const struct json_value *value, char *error)
{
    error[0] = '\0';
    if (value->kind == JSON_NULL)
        return 0;
    if (value->kind != JSON_STRING || value->count == 0 ||
        value->count >= RECORD_ERROR)
        return -EINVAL;
    for (size_t i = 0; i < value->count; i++)
        if (value->bytes[i] != '_' &&
            (value->bytes[i] < 'a' || value->bytes[i] > 'z'))
            return -EINVAL;
    memcpy(error, value->bytes, value->count);
    error[value->count] = '\0';
    return 0;
}

static int read_run(const struct json_value *value, uint64_t *run)
{
    struct id id;
    char padded[32];

    if (value->kind != JSON_STRING || value->count != 16)
        return -EINVAL;
    memset(padded, '0', 16);
    memcpy(padded + 16, value->bytes, 16);
    if (!id_read(padded, 32, &id))
        return -EINVAL;
    *run = id.low;
    return 0;
}

static int read_url(const struct json_value *value, struct text *url)
{
    int err;

    url->used = 0;
    text_add(url, "", 0);
    err = json_text(value, url);
    if (err == 0 && !url->failed && strlen(url->data) != url->used)
        err = -EINVAL; /* a NUL inside */
    return url->failed ? -ENOMEM : err;
}

static int read_id(const struct json_value *value, struct id *id)
{
    return value->kind == JSON_STRING && id_read(value->bytes, value->count,
                                                 id) ? 0 : -EINVAL;
}

/* Return where the value of a member goes if it is a duration, else NULL. */
static int64_t *span(struct record *r, const char *name, size_t count)
{
    const struct {
        const char *name;
        int64_t *at;
    } spans[] = {
        { "wait_ms", &r->wait_ns },
        { "dns_ms", &r->dns_ns },
        { "connect_ms", &r->connect_ns },
        { "tls_ms", &r->tls_ns },
        { "ttfb_ms", &r->ttfb_ns },
        { "total_ms", &r->total_ns },
    };

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
        if (strlen(spans[i].name) == count &&
            memcmp(spans[i].name, name, count) == 0)
            return spans[i].at;
    return NULL;
}

enum {
    SEEN_V = 1,
    SEEN_ID = 2,
    SEEN_URL = 4,
    SEEN_OK = 8,
    SEEN_ALL = 15
};

static int on_member(void *user, const struct json_value *name,
                     const struct json_value *value)
{
    struct reading *reading = user;
    struct record *r = reading->record;
    int64_t *time = span(r, name->bytes, name->count);
    uint64_t version;

    if (time != NULL)
        return read_ns(value, time);
    if (json_is(name, "v")) {
        reading->seen |= SEEN_V;
        if (json_whole(value, &version) != 0 || version < 1 || version > 2)
            return -EINVAL;
        r->version = (int)version;
        return 0;
    }
    if (json_is(name, "id")) {
        reading->seen |= SEEN_ID;
        return read_id(value, &r->id);
    }
    if (json_is(name, "url")) {
        reading->seen |= SEEN_URL;
        return read_url(value, reading->url);
    }
    if (json_is(name, "ok")) {
        reading->seen |= SEEN_OK;
        return read_ok(value, &r->ok);
    }
    if (json_is(name, "run"))
        return read_run(value, &r->run);
    if (json_is(name, "seq"))
        return json_whole(value, &r->seq);
    if (json_is(name, "status"))
        return read_status(value, &r->status);
    if (json_is(name, "error"))
        return read_error(value, r->error);
    if (json_is(name, "attempts"))
        return read_int(value, &r->attempts);
    if (json_is(name, "worker"))
        return read_int(value, &r->worker);
    if (json_is(name, "start"))
        return read_time(value, &r->start_ms);
    if (json_is(name, "bytes"))
        return json_whole(value, &r->bytes);
    return 0;
}

int record_read(const char *line, size_t count, struct record *record,
                struct text *url)
{
    struct reading reading = { .record = record, .url = url };
    int err;

    *record = (struct record){ 0 };
    err = json_members(line, count, on_member, &reading);
    if (err == 0 && reading.seen != SEEN_ALL)
        err = -EINVAL;
    if (err == 0)
        record->url = url->data;
    return err;
}
