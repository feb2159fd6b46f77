/* SPDX-License-Identifier: MIT
 * gate_line.h - how a pool passes a gate; gate.c has the discipline.
 *
 * A pool has one place in the gate's line for all its workers. Its worker
 * takes a permit and a job in one step, so that no permit is ever held by
 * what does not run. */
#ifndef WEIR_GATE_LINE_H
#define WEIR_GATE_LINE_H

#include "sys/sys.h"

#include <weir/gate.h>

/* A place in line: a thread's on its stack, or a pool's. */
struct weir_gate_place {
    struct weir_gate_place *next, *prev; /* (l) */
    bool in_line;                        /* (l) */
    bool returning; /* (l) it needs a permit, but no slot and no opening */
    bool posted;   /* (l) there is a post it has not answered yet */
    int64_t until; /* (l) when it looks by itself */
    struct weir_sys_sem sem;
};

/* Give back the permit of a job that has ended, if `leaving`; then, if it is
 * the pool's turn, take a permit together with what `claim` takes. `claim`
 * runs under the gate's lock and says whether it took something. `keeper`
 * says that the caller is the one worker that stands in line for the pool.
 * claim returns 1; 0: there is nothing; 2: it took what needs no permit.
 * Returns 0, with a permit; 1: it took what needs none; -ENOENT there was nothing to claim; -EAGAIN the
 * gate lets nobody in now, or others were first. */
int weir_gate_pass(struct weir_gate *gate, struct weir_gate_place *place,
                   bool leaving, bool keeper, int (*claim)(void *user),
                   void *user);

/* Put the pool's place at the end of the line: the caller is its keeper. */
void weir_gate_step_in(struct weir_gate *gate, struct weir_gate_place *place);

/* Wait until it may be the pool's turn, or the gate was held, or
 * weir_gate_nudge(). Its place is in line. */
void weir_gate_stand(struct weir_gate *gate, struct weir_gate_place *place);

/* Take the pool's place out of the line, if it is there. */
void weir_gate_step_out(struct weir_gate *gate,
                        struct weir_gate_place *place);

/* Make the worker that stands look up. */
void weir_gate_nudge(struct weir_gate *gate, struct weir_gate_place *place);

/* Enter again in the middle of a job: in line as all, but whatever the rate
 * and the hold, which are for starts. Waits as long as it takes, in `place`,
 * which is in no line. */
void weir_gate_return(struct weir_gate *gate, struct weir_gate_place *place);

/* Whether the gate is held now. */
bool weir_gate_is_held(struct weir_gate *gate);

#endif
