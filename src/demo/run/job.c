/* SPDX-License-Identifier: MIT
 * job.c - what a worker does with a job: send the request, count the outcome in
 * the shared table, and hand the record to the writer thread. */
#include "common/screen.h"
#include "retry.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Only an event is sent: a job must not close its own pool, so control.c stops
 * the run. */
void run_failed(struct run *run, int err, const char *what)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&run->output_error, &none, err))
        return;
    text_puts(&run->broken, what);
    weir_queue_put(run->events, &err, WEIR_NO_WAIT);
}

static void output_failed(struct run *run, int err)
{
    run_failed(run, err, err == -ENOMEM ? "memory"
                                        : run_output_name(run->options));
}

static void show(struct run *run, const struct record *record)
{
    struct text line = { 0 };
    char word[32];

    text_printf(&line, "%s%-4s%s %-9s %8.3f s  ",
                record->ok ? run->green : run->red,
                record->ok ? "ok" : "FAIL", run->plain,
                record_reason(record, word),
                (double)record->total_ns / WEIR_S);
    text_plain(&line, record->url, strlen(record->url));
    if (record->detail[0] != '\0') {
        text_puts(&line, "  ");
        text_plain(&line, record->detail, strlen(record->detail));
    }
    if (!line.failed)
        screen_line(line.data, line.used);
    text_free(&line);
}

static int64_t wall_ms(void)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / WEIR_MS;
}

/* Return the time between two phases of a request; 0 if the later one was not
 * reached. */
static int64_t between(int64_t from, int64_t to)
{
    return to > from ? to - from : 0;
}

/* Return how much of --job-timeout is left; 0: there is no such timeout. */
static int64_t time_left(const struct job *job)
{
    double most = job->run->options->job_timeout;
    int64_t left = job->began + (int64_t)(most * 1e9) - weir_now();

    return most <= 0 ? 0 : left > 1 ? left : 1;
}

/* Send the request and fill in the record. Returns what weir_http_perform()
 * returned. */
static int fetch(struct weir_context *cx, struct job *job,
                  struct weir_http_response *r, struct record *record)
{
    const struct run_options *o = job->run->options;
    const struct task *task = &job->task;
    int own = task->headers != NULL; /* in addition to those of -H */
    int err = weir_http_perform(weir_local(cx), cx,
        &(struct weir_http_request){
            .url = task->url,
            .method = task->method,
            .headers = own ? task->headers : o->headers.texts,
            .header_count = own ? task->header_count : o->headers.count,
            .body = task->body,
            .body_bytes = task->body_bytes,
            .timeout_ns = time_left(job),
            .on_redirect = redirect_wait_for_tick,
            .on_redirect_user = job->run }, r);

    if (err != 0) {
        *r = (struct weir_http_response){
            .error = err == -EINVAL ? WEIR_HTTP_URL : WEIR_HTTP_OTHER,
            .error_text = strerror(-err), .note = "", .url = "",
            .content_type = "" };
    }
    if (r->error != WEIR_HTTP_OK)
        snprintf(record->error, sizeof(record->error), "%s",
                 weir_http_error_name(r->error));
    record->status = r->status;
    record->ok = r->error == WEIR_HTTP_OK &&
                 number_has_status(&o->accept, r->status);
    record->dns_ns = r->resolved_ns;
    record->connect_ns = between(r->resolved_ns, r->connected_ns);
    record->tls_ns = between(r->connected_ns, r->secured_ns);
    record->ttfb_ns = r->first_byte_ns;
    record->total_ns = r->total_ns;
    record->bytes = r->body_bytes;
    record->bytes_sent = r->bytes_sent;
    record->http_version = r->http_version;
    record->content_type = r->content_type;
    record->detail = r->error_text[0] != '\0' ? r->error_text : r->note;
    if (record->detail[0] == '\0' && !record->ok && r->status / 100 == 3)
        record->detail = "a redirect that was not followed";
    record->redirects = r->redirects;
    if (r->redirects > 0 && strlen(r->url) <= TASK_URL_MAX)
        record->final_url = r->url;
    if (o->keep_body && r->error == WEIR_HTTP_OK) {
        record->body = r->body;
        record->body_bytes = r->body_bytes;
    }
    return err;
}

/* Count a job that has ended, and if --halt says so make control.c stop the
 * run. */
static void count_for_halt(struct run *run, int ok)
{
    const struct halt *halt = &run->options->halt;
    uint64_t failed = atomic_fetch_add(&run->failed, !ok) + !ok;
    uint64_t jobs = atomic_fetch_add(&run->jobs, 1) + 1;
    int event = halt->when == HALT_NOW ? EVENT_HALT_NOW : EVENT_HALT_SOON;

    if (!ok && halt_due(halt, jobs, failed) &&
        atomic_exchange(&run->halted, 1) == 0)
        weir_queue_put(run->events, &event, WEIR_NO_WAIT);
}

/* Save the body, count the outcome, and write the record, which says that the
 * job is done and therefore comes last. Returns 0 or an error. */
static int keep(struct job *job, const struct record *record,
                const struct weir_http_response *answer)
{
    struct run *run = job->run;
    struct text line = { 0 };
    char *path = NULL;
    int err = 0;

    if (run->options->save != NULL && answer->error == WEIR_HTTP_OK)
        err = body_save(job, answer, &path);
    if (path != NULL)
        run_failed(run, err, path);
    free(path);
    record_write(&line, record);
    if (err == 0)
        err = line.failed ? -ENOMEM : stats_count_record(run->counts, record);
    if (err == 0)
        err = weir_writer_write(run->results,
                                &(struct iovec){ line.data, line.used }, 1,
                                WEIR_FOREVER);
    text_free(&line);
    return err;
}

/* Return whether an error is transient. */
static int is_transient(enum weir_http_error error)
{
    return error == WEIR_HTTP_CONNECT || error == WEIR_HTTP_RESOLVE ||
           error == WEIR_HTTP_TIMEOUT || error == WEIR_HTTP_CUT;
}

/* Return whether a job may be retried: its failure is transient, and repeating
 * the request does no harm, because the method is idempotent or the server has
 * not processed the request. */
static int may_retry(const struct job *job, const struct record *record,
                     const struct weir_http_response *answer,
                     const struct retry_headers *headers)
{
    const struct run_options *o = job->run->options;
    int limit = retry_is_limit(record->status, headers);
    int refused = record->status == 429 || limit ||
                  (record->status == 503 && headers->retry_after != NULL);

    if (record->ok || job->attempts > o->retries)
        return 0;
    if (answer->error == WEIR_HTTP_OK
            ? !retry_status(record->status) && !limit
            : !is_transient(answer->error))
        return 0;
    if (answer->error != WEIR_HTTP_OK)
        refused = !answer->processed;
    return refused || o->retry_unsafe || retry_idempotent(job->task.method);
}

/* Read for how long the response asks its host's jobs to wait, and hold the
 * host for that time. Returns the time; 0: the response does not ask. */
static int64_t obey(struct run *run, struct weir_http *http,
                    const struct record *record, int64_t most,
                    struct retry_headers *headers)
{
    int64_t hold;

    *headers = (struct retry_headers){ 0 };
    if (record->status == 0)
        return 0;
    headers->remaining = weir_http_header(http, "RateLimit-Remaining");
    headers->x_remaining = weir_http_header(http, "X-RateLimit-Remaining");
    if (record->ok && headers->remaining == NULL &&
        headers->x_remaining == NULL)
        return 0;
    headers->date = weir_http_header(http, "Date");
    headers->retry_after = weir_http_header(http, "Retry-After");
    headers->reset = weir_http_header(http, "RateLimit-Reset");
    headers->x_reset = weir_http_header(http, "X-RateLimit-Reset");
    hold = retry_hold(record->status, headers, most);
    if (hold > 0)
        hosts_hold(run, record->final_url != NULL ? record->final_url
                                                  : record->url,
                   weir_after(hold));
    return hold;
}

/* Return whether the job is retried, after arranging with the pool when. A
 * retry that would start too late is not made. */
static int arrange_retry(struct weir_context *cx, struct job *job,
                         const struct record *record,
                         const struct weir_http_response *answer)
{
    struct run *run = job->run;
    const struct run_options *o = run->options;
    int64_t most = (int64_t)(o->retry_max_time * 1e9);
    uint64_t random = (job->id.low ^ run->name) + (uint64_t)job->attempts;
    struct retry_headers headers;
    int64_t hold = obey(run, weir_local(cx), record, most, &headers), pause;
    int64_t spent;

    if (!may_retry(job, record, answer, &headers))
        return 0;
    pause = retry_pause(job->attempts,
                        random * UINT64_C(0x9e3779b97f4a7c15) >> 16);
    if (pause < hold)
        pause = hold;
    spent = weir_now() - job->began;
    if (spent + pause > most ||
        (o->job_timeout > 0 && spent + pause >= (int64_t)(o->job_timeout *
                                                          1e9)))
        return 0;
    hosts_back_off(run, job, 1);
    weir_retry_in(cx, pause);
    atomic_fetch_add(&run->retries, 1);
    atomic_fetch_add(&run->retried_ns, (uint64_t)record->total_ns);
    return 1;
}

/* Note an attempt for --timeline. For a retry, waiting begins at the end of
 * the attempt before. Returns 0 or -ENOMEM. */
static int mark(struct job *job, const struct record *record, int64_t start,
                int retried)
{
    struct run *run = job->run;
    int64_t waited_from = job->attempts == 1 ? job->submitted : job->ended;

    if (run->options->timeline == NULL)
        return 0;
    job->ended = weir_now();
    return marks_add(&run->marks, &(struct mark){
        .submitted = waited_from, .start = start, .end = job->ended,
        .lane = (uint32_t)record->worker, .seq = (uint32_t)job->seq,
        .attempt = (uint16_t)job->attempts,
        .outcome = retried ? MARK_RETRIED
                           : mark_outcome(record->ok,
                                          record->error[0] != '\0') });
}

/* Give up the job's place and free the job. */
static void leave(struct job *job)
{
    hosts_leave(job->run, job);
    job_free(job);
}

int job_run(struct weir_context *cx, void *arg)
{
    struct job *job = arg;
    struct run *run = job->run;
    struct weir_http_response answer;
    struct record record = { .run = run->name, .id = job->id, .seq = job->seq,
                             .line = job->line, .ref = job->task.ref,
                             .url = job_url(job), .method = job->task.method,
                             .insecure = run->options->insecure,
                             .attempts = ++job->attempts,
                             .worker = weir_worker_index(cx),
                             .start_ms = wall_ms() };
    int64_t start = weir_now();
    int retried, err;

    if (job->attempts == 1)
        job->began = start;
    else
        hosts_back_off(run, job, 0);
    if (run->options->rate > 0)
        starts_note(&run->starts);
    record.wait_ns = start - job->submitted;
    err = fetch(cx, job, &answer, &record);
    if (answer.error == WEIR_HTTP_CANCELLED) {
        /* Cancelled: write no record, so that --resume runs the job. */
        job_drop(job, -ECANCELED);
        return 1;
    }
    if (shortage_is(&answer, err))
        return shortage_defer(cx, job, answer.error_text, err);
    shortage_over(run);
    if (run->trace != NULL)
        trace_job(run->trace, &record, &answer, start);
    retried = arrange_retry(cx, job, &record, &answer);
    err = mark(job, &record, start, retried);
    if (retried) {
        if (err != 0)
            output_failed(run, err);
        return WEIR_RERUN;
    }
    if (err == 0)
        err = keep(job, &record, &answer);
    if (err != 0)
        output_failed(run, err);
    else if (run->show_jobs)
        show(run, &record);
    if (err == 0)
        count_for_halt(run, record.ok);
    leave(job);
    return record.ok ? 0 : 1;
}

void job_drop(void *arg, int reason)
{
    (void)reason;
    leave(arg);
}
