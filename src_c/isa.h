/* Everything that one instruction set's file exports, from what that file has set:
 *   ISA            its name, as an identifier
 *   VECTOR_BYTES   width of a vector
 *   REGISTERS      vector registers: 16 or 32
 *   KEEP(v)        holds v in a vector register
 *   STREAM(p, v)   stores v to the aligned p past the caches, where the CPU can
 *   LIMIT(instruction, x, bound)   the larger or the smaller of the two, or x if either is NaN; only where that is
 *                  fewer instructions than a comparison and a choice
 */
#include "fastconv.h"

/* Register tiles: rows times vectors are as many accumulators as leave room for the operands among the registers. TILES
 * has every such tile, VECS the widest of each number of rows, and a panel of packed pixels is PANEL vectors wide, as
 * the widest tile of ROWS filters. OUTER and DOT are the two tiles of the weight gradient, GEMM that of the plain
 * matrix product, BLOCK_ROWS the outputs in a tile of images in blocks of channels. */
#if REGISTERS == 32
#define ROWS 8
#define PANEL 3
#define OUTER_ROWS 8
#define OUTER_VECS 2
#define DOT_ROWS 4
#define DOT_COLS 6
#define GEMM_ROWS 6
#define GEMM_VECS 4
#define BLOCK_ROWS 14
/* clang-format off */
#define TILES(T) \
    T(1, 1) T(1, 2) T(1, 3) T(1, 4) T(1, 5) T(1, 6) T(1, 7) T(1, 8) \
    T(2, 1) T(2, 2) T(2, 3) T(2, 4) T(2, 5) T(2, 6) T(2, 7) T(2, 8) \
    T(3, 1) T(3, 2) T(3, 3) T(3, 4) T(3, 5) T(3, 6) T(3, 7) \
    T(4, 1) T(4, 2) T(4, 3) T(4, 4) T(4, 5) T(4, 6) \
    T(5, 1) T(5, 2) T(5, 3) T(5, 4) \
    T(6, 1) T(6, 2) T(6, 3) T(6, 4) \
    T(7, 1) T(7, 2) T(7, 3) \
    T(8, 1) T(8, 2) T(8, 3)
#define VECS {0, 8, 8, 7, 6, 4, 4, 3, PANEL}
#define PANELS(P) \
    P(1, 1) P(1, 2) P(1, 3) P(2, 1) P(2, 2) P(2, 3) P(3, 1) P(3, 2) P(3, 3) P(4, 1) P(4, 2) P(4, 3) \
    P(5, 1) P(5, 2) P(5, 3) P(6, 1) P(6, 2) P(6, 3) P(7, 1) P(7, 2) P(7, 3) P(8, 1) P(8, 2) P(8, 3)
#define DOTS(D) D(1) D(2) D(3) D(4)
#define GEMMS(M) M(1) M(2) M(3) M(4)
#define EACH_BLOCK_ROW(B) B(1) B(2) B(3) B(4) B(5) B(6) B(7) B(8) B(9) B(10) B(11) B(12) B(13) B(14)
#else
#define ROWS 4
#define PANEL 3
#define OUTER_ROWS 6
#define OUTER_VECS 2
#define DOT_ROWS 3
#define DOT_COLS 4
#define GEMM_ROWS 6
#define GEMM_VECS 2
#define BLOCK_ROWS 6
#define TILES(T) \
    T(1, 1) T(1, 2) T(1, 3) T(1, 4) T(1, 5) T(1, 6) T(1, 7) T(1, 8) \
    T(2, 1) T(2, 2) T(2, 3) T(2, 4) T(2, 5) T(2, 6) \
    T(3, 1) T(3, 2) T(3, 3) T(3, 4) \
    T(4, 1) T(4, 2) T(4, 3)
#define VECS {0, 8, 6, 4, PANEL, 0, 0, 0, 0}
#define PANELS(P) P(1, 1) P(1, 2) P(1, 3) P(2, 1) P(2, 2) P(2, 3) P(3, 1) P(3, 2) P(3, 3) P(4, 1) P(4, 2) P(4, 3)
#define DOTS(D) D(1) D(2) D(3)
#define GEMMS(M) M(1) M(2)
#define EACH_BLOCK_ROW(B) B(1) B(2) B(3) B(4) B(5) B(6)
#endif
#define OUTERS(O) O(1) O(2)
/* clang-format on */

#define REAL float
#define REAL_BYTES 4
#define SIGNED int32_t
#define UNSIGNED uint32_t
#define NAME(x) x##_f32
#include "vec.h"
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
static const fc_kernels NAME(kernels) = FAMILIES;
#undef REAL
#undef REAL_BYTES
#undef SIGNED
#undef UNSIGNED
#undef NAME

#define REAL double
#define REAL_BYTES 8
#define SIGNED int64_t
#define UNSIGNED uint64_t
#define NAME(x) x##_f64
#include "vec.h"
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
static const fc_kernels NAME(kernels) = FAMILIES;
#undef REAL
#undef REAL_BYTES
#undef SIGNED
#undef UNSIGNED
#undef NAME

static double fma_burst(idx n)
{
    enum { CHAINS = 12 };
    vec_f32 acc[CHAINS], a = splat_f32(0.999f), b = splat_f32(0.001f);
    UNROLL_FOR (int i = 0; i < CHAINS; i++) acc[i] = splat_f32((float)i);
    for (idx k = 0; k < n; k++) {
        UNROLL_FOR (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * a + b;
        /* Each value is used through a register, so that no step can be folded away. */
        UNROLL_FOR (int i = 0; i < CHAINS; i++) KEEP(acc[i]);
    }
    return 2.0 * CHAINS * (sizeof(vec_f32) / sizeof(float)) * (double)n;
}

#define GLUE_(a, b) a##_##b
#define GLUE(a, b) GLUE_(a, b)
#define STRING_(x) #x
#define STRING(x) STRING_(x)

const fc_isa GLUE(fc_isa, ISA) = {
    .name = STRING(ISA),
    .f32 = &kernels_f32,
    .f64 = &kernels_f64,
    .fma_burst = fma_burst,
};
