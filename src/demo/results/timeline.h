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

#include "marks.h"

/* Draw into a file, which is replaced. `lanes` is the number of workers; the
 * marks are sorted. Returns 0; -ENOMEM; errors of opening and writing. */
int timeline_write(const char *path, struct mark *marks, size_t count,
                   size_t lanes);

#endif
