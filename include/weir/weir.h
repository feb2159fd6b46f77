/* SPDX-License-Identifier: MIT
 * weir.h - includes every public header of the core: all except http.h. */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/base.h>
#include <weir/event.h>
#include <weir/gate.h>
#include <weir/group.h>
#include <weir/job.h>
#include <weir/pool.h>
#include <weir/queue.h>
#include <weir/table.h>
#include <weir/writer.h>

#endif
