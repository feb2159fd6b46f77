/* SPDX-License-Identifier: MIT
 * processors.h - the number of processors that the control groups of this
 * process allow. */
#ifndef WEIR_PROCESSORS_H
#define WEIR_PROCESSORS_H

/* Return the CPU quota of this process in processors, rounded up: the lowest
 * quota of its control group and that group's ancestors, of version 1 and 2.
 * Returns INT_MAX if there is no quota or none can be read. `root` is prepended
 * to every path; "" reads the files of the system. */
int weir_cgroup_processors(const char *root);

#endif
