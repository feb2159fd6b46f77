/* SPDX-License-Identifier: MIT
 * processors.h - how many processors the control groups of this process allow:
 * see base/processors.c. */
#ifndef WEIR_PROCESSORS_H
#define WEIR_PROCESSORS_H

/* Return how many processors the CPU quotas of this process are worth, rounded
 * up: the least quota of its control group and of those around it, version 1
 * and 2. INT_MAX if there is none, or none can be read. `root` is put before
 * every path: "" for the system's own files. */
int weir_cgroup_processors(const char *root);

#endif
