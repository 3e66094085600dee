/* GCC schedules instructions before it assigns registers, which moves the loads of a whole step before its sums: more
 * than the registers hold. The second scheduling, after the assignment, is enough. Nor does it know, when it keeps what
 * a later step will load again (predictive commoning), that sums hold all registers but a few. */
#ifndef __clang__
#pragma GCC optimize("no-schedule-insns", "no-predictive-commoning")
#endif
#define ISA neon
#define VECTOR_BYTES 16
#define REGISTERS 32
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#define STREAM(p, v) (*(p) = (v))
#include "isa.h"
