/* SPDX-License-Identifier: MIT
 * columns.c - what the reports tell of a row. */
#include "columns.h"

#include <string.h>

const struct dialect *dialect_of(const char *bench)
{
    static const struct dialect all[] = {
        { "workers", "job", "a job", "workers",
          "how many there are changes throughput and latency" },
        { "pool", "job", "a job", "workers", "handing over an empty job" },
        { "wake", "job", "a job", "workers",
          "how soon an idle pool begins and answers" },
        { "fan", "fan", "all 1,000", "workers",
          "1,000 empty jobs and wait for all" },
        { "queue", "item", "an item", "consumers",
          "items of 8 bytes through a bounded queue" },
        { "gate", "entry", "an entry", "threads", "entering and leaving" },
        { "writer", "line", "a line", "threads",
          "appending lines to one file" },
        { "table", "access", "an access", "threads", "a shared table" },
        { "memory", "thing", "one, made and dropped", "workers",
          "what is touched by what waits" },
        { "peers", "operation", "one of them", "workers",
          "the same work in other pools" },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i].bench, bench) == 0)
            return &all[i];
    return &all[0];
}

#define VALUE(name, expression)                 \
    static double name(const struct row *r)     \
    {                                           \
        return expression;                      \
    }
VALUE(ns, r->ns.median)
VALUE(ns_min, r->ns.min)
VALUE(ns_max, r->ns.max)
VALUE(rate, 1e9 / r->ns.median)
VALUE(speed_up, r->speed_up)
VALUE(of_linear, r->of_linear)
VALUE(of_bound, r->of_bound)
VALUE(p50, r->p50)
VALUE(p99, r->p99)
VALUE(worst, r->max)
VALUE(cpu, r->cpu_ns)
VALUE(switches, r->switches)
VALUE(batch, r->batch)
VALUE(calls, r->calls)
VALUE(bytes, r->bytes)
VALUE(ratio, strcmp(r->c->series, "weir") == 0 ? 0 : r->ratio)
VALUE(bound, r->c->bound_ns)
VALUE(outliers, r->ns.outliers)

const struct column columns[] = {
    { "ns", "median", ns, SHOW_TIME, 0 },
    { "ns_min", "min", ns_min, SHOW_TIME, 0 },
    { "ns_max", "max", ns_max, SHOW_TIME, 0 },
    { "per_s", "rate", rate, SHOW_RATE, 0 },
    { "speed_up", "speed-up", speed_up, SHOW_TIMES, 0 },
    { "of_linear", "of linear", of_linear, SHOW_PERCENT, 0 },
    { "of_bound", "of bound", of_bound, SHOW_PERCENT, 0 },
    { "weir_to_this", "weir/this", ratio, SHOW_TIMES, 0 },
    { "latency_p50_ns", "p50", p50, SHOW_TIME, 0 },
    { "latency_p99_ns", "p99", p99, SHOW_TIME, 0 },
    { "latency_max_ns", "latest", worst, SHOW_TIME, 0 },
    { "cpu_ns", "CPU", cpu, SHOW_TIME, 0 },
    { "switches", "switches", switches, SHOW_PLAIN, 0 },
    { "batch", "batch size", batch, SHOW_COUNT, 0 },
    { "calls", "syscalls", calls, SHOW_COUNT, 0 },
    { "bytes", "bytes", bytes, SHOW_COUNT, 0 },
    { "bound_ns", "bound", bound, SHOW_TIME, 1 },
    { "outliers", "outliers", outliers, SHOW_PLAIN, 1 },
};
const size_t column_count = sizeof(columns) / sizeof(columns[0]);

const char *column_show(const struct column *column, const struct row *row,
                        char buffer[32])
{
    double value = column->value(row);

    buffer[0] = '\0';
    if (value == 0 && column->show != SHOW_PLAIN)
        return buffer;
    switch (column->show) {
    case SHOW_TIME:
        return show_time(value, buffer);
    case SHOW_RATE:
        return show_rate(value, buffer);
    case SHOW_TIMES:
        snprintf(buffer, 32, value < 0.1 ? "%.3f" : "%.2f", value);
        break;
    case SHOW_PERCENT:
        snprintf(buffer, 32, "%.0f %%", value * 100);
        break;
    case SHOW_COUNT:
        snprintf(buffer, 32, value < 99.5 ? "%.3g" : "%.0f", value);
        break;
    case SHOW_PLAIN:
        snprintf(buffer, 32, value < 0.0005 ? "0" : "%.3g", value);
        break;
    }
    return buffer;
}
