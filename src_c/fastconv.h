/* The border between Cython and C: one table of kernels for each instruction set.
 *
 * Cython decides what is computed and in which order; a kernel computes one tile of it. Kernels neither allocate nor
 * know Python. The arrays that they see are of one element type, float or double, so pointers are void and every
 * stride, offset and count is in elements.
 *
 * Kernels come in families. Each family's file opens with its contract, a struct of function pointers, which is read
 * here; the kernels themselves follow there and are compiled once for each instruction set and element type (isa.h). No
 * code crosses from a file compiled for one instruction set into another.
 */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t idx;

/* Bounds of every instruction set's tiles, so that callers can size their tables; steps of a product from one request
 * for lines to the next. */
enum { FC_MAX_ROWS = 8, FC_MAX_VECS = 8, FC_AHEAD = 4 };

/* What is wanted next: lines from `from` on, `step` elements apart, which a kernel has brought near while it computes.
 * They may lie anywhere, for asking for an address that cannot be read does nothing. But an address without a page
 * costs a walk of the page tables each time, so they should have one. A step of 0 asks for one line again and again. */
typedef struct {
    const void *from;
    idx step;
} fc_ahead;

#include "move.h"
#include "product.h"
#include "correlate.h"
#include "winograd.h"
#include "window.h"
#include "pool.h"
#include "passes.h"
#include "steps.h"
#include "random.h"
#include "axes.h"
#include "norms.h"
#include "activations.h"
#include "losses.h"
#include "resample.h"
#include "padding.h"
#include "blocks.h"

/* The kernels for one element type. */
typedef struct {
    idx itemsize;
    idx lanes; /* elements in a vector */
    const fc_move_kernels *move;
    const fc_product_kernels *product;
    const fc_correlate_kernels *correlate;
    const fc_winograd_kernels *winograd;
    const fc_windows_kernels *windows;
    const fc_pool_kernels *pool;
    const fc_passes_kernels *passes;
    const fc_steps_kernels *steps;
    const fc_random_kernels *random;
    const fc_axes_kernels *axes;
    const fc_norms_kernels *norms;
    const fc_activations_kernels *activations;
    const fc_losses_kernels *losses;
    const fc_resample_kernels *resample;
    const fc_padding_kernels *padding;
    const fc_blocks_kernels *blocks;
} fc_kernels;

typedef struct {
    const char *name;
    const fc_kernels *f32, *f64;
    /* Multiply and add `n` times on independent registers: returns the operations (float32) done. */
    double (*fma_burst)(idx n);
} fc_isa;

/* Those compiled for this architecture and usable on this CPU, best last; returns how many. */
int fc_usable_isas(const fc_isa *isas[8]);

/* Have subnormal numbers read and written as zero on this thread; returns the mode to restore. */
unsigned fc_flush_subnormals(void);
void fc_restore_mode(unsigned mode);

/* Whatever was stored past the caches is seen by other threads before anything that this thread stores from now on. */
static inline void fc_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/* Have what is read soon brought near. CPUs ask ahead by themselves, but not beyond the end of a page, and later than pays
 * where data come from memory. Where they come from a cache, to ask takes longer than it saves. */
static inline void fc_bring(const char *from, ptrdiff_t bytes)
{
    for (ptrdiff_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

#endif
