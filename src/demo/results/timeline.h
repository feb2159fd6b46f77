/* SPDX-License-Identifier: MIT
 * timeline.h - a timeline of the workers of a run, as SVG.
 *
 * Each worker has a lane, in which a thin bar shows how long a job waited, and
 * a thick bar how long it ran, coloured by its outcome. Below the lanes are two
 * curves: the number of running jobs and of waiting jobs. Up to 2,000 jobs on
 * up to 100 workers are drawn one by one, with a tooltip each. If there are
 * more, a pixel shows the worst outcome of the jobs in it; if all of them are
 * ok, it is the paler the less of its time was used. More workers share lanes.
 */
#ifndef WEIR_DEMO_TIMELINE_H
#define WEIR_DEMO_TIMELINE_H

#include "common/file.h"
#include "marks.h"

/* Return whether the first bytes of a file are those of a timeline. */
int timeline_is(const char *bytes, size_t count);

/* Sort the marks, and write the timeline with file_out_write(). `lanes` is the
 * number of workers. Returns 0, -ENOMEM, or an error of opening or writing. */
int timeline_write(const struct file_out *out, struct mark *marks, size_t count,
                   size_t lanes);

#endif
