/* SPDX-License-Identifier: MIT
 * timeline.h - a picture of a run: who did what when.
 *
 * An SVG with a lane for each worker, where a thin bar shows how long a job
 * waited and a thick one how long it ran, coloured by what came of it; below,
 * how many were in flight and how many waited. Up to 2,000 jobs on 100 workers
 * each has a bar of its own that tells about it when pointed at; of more, a
 * pixel shows the worst that came of those it stands for; where all were ok it
 * is the fainter the less of its time was used. More workers share lanes.
 */
#ifndef WEIR_DEMO_TIMELINE_H
#define WEIR_DEMO_TIMELINE_H

#include "common/file.h"
#include "marks.h"

/* Whether a file begins as a timeline does. */
int timeline_is(const char *bytes, size_t count);

/* Draw into a file, as file_out_write() does. `lanes` is the number of
 * workers; the marks are sorted. Returns 0; -ENOMEM; errors of opening and
 * writing. */
int timeline_write(const struct file_out *out, struct mark *marks, size_t count,
                   size_t lanes);

#endif
