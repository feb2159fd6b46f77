/* SPDX-License-Identifier: MIT
 * body.c - --save: writes each response body to a file. */
#include "run.h"

#include <errno.h>
#include <poll.h>

#define WAITS_MAX 100 /* of 100 ms each, for a descriptor or memory */

int body_save(const struct job *job, const struct weir_http_response *answer,
              char **path)
{
    const struct run *run = job->run;
    struct text whole = { 0 };
    char id[33];
    int err = -ENOMEM;

    id_show(job->id, id);
    text_printf(&whole, "%s/%s", run->options->save, id);
    /* Requesting the body again might do harm, so wait until this machine has
     * a descriptor or memory again. */
    for (int i = 0; !whole.failed && i < WAITS_MAX; i++) {
        err = file_replace(whole.data, answer->body, answer->body_bytes);
        if (err != -EMFILE && err != -ENFILE && err != -ENOMEM)
            break;
        poll(NULL, 0, 100);
    }
    *path = whole.data;
    if (err == 0 || whole.failed) {
        text_free(&whole);
        *path = NULL;
    }
    return err;
}
