/* Matrix products in register tiles: forward and the input gradient as tiles of filters by pixels, and the plain
 * product that Winograd's filtering takes.
 *
 * A tile's accumulators fill the vector registers but for the operands of one step; isa.h lists the tiles. */
#ifndef FC_PRODUCT_H
#define FC_PRODUCT_H

/* Products in one sum of a tile: a longer sum in float32 would round worse (docs/decisions/direct-kernels.md). */
enum { FC_TILE_DEPTH = 512 };

/* So few tiles of the plain product would wait for the next rows of b longer than they compute. */
enum { FC_FEW_TILES = 8 };

typedef struct {
    idx rows;                  /* filters in a tile */
    idx vecs[FC_MAX_ROWS + 1]; /* vecs[r]: the widest tile of r filters, in vectors */
    idx gemm_rows;             /* rows in a tile of the plain product */
    idx gemm_vecs;             /* its width, in vectors */

    /* tile[rows - 1][vecs - 1]:
     *     y[r * y_row + q] = bias[r] + sum_k a[k * rows + r] * b[offsets[k] + q],   q < vecs * lanes,
     * where bias may be NULL. A sum of more than FC_TILE_DEPTH products is added up in parts. */
    void (*tile[FC_MAX_ROWS][FC_MAX_VECS])(idx depth, const void *a, const void *b, const idx *offsets, void *y,
                                           idx y_row, const void *bias);

    /* The same for rows of pixels that are shorter than a tile: vector v is at b + v * b_step and y + v * y_step. Where
     * a vector reaches into the place of the next one, the next one is what is stored. */
    void (*strip[FC_MAX_ROWS][FC_MAX_VECS])(idx depth, const void *a, const void *b, const idx *offsets, idx b_step,
                                            void *y, idx y_row, idx y_step, const void *bias);

    /* The same in one go for a panel of packed pixels, whose rows are as wide as the widest tile of all `rows` filters
     * and follow each other in b; it adds to y, and not to bias, if `accumulate`. n tiles of filters follow each other in a, bias and y. Meanwhile `ahead` is asked for n * (depth
     * / FC_AHEAD) times, two lines each time. */
    void (*panel[FC_MAX_ROWS][FC_MAX_VECS])(idx n, idx depth, const void *a, const void *b, void *y, idx y_row,
                                            const void *bias, int accumulate, const fc_ahead *ahead);

    /* gemm[vecs - 1]: y[r * y_row + q] (+)= sum_k a[r * a_row + k * a_depth] * b[k * b_depth + q] for q < vecs * lanes
     * and r < rows, rounded up to whole tiles of gemm_rows; it adds to y if `accumulate`. a_row or a_depth is 1. Few
     * rows ask for as many rows of b behind these meanwhile. */
    void (*gemm[FC_MAX_VECS])(idx rows, idx depth, const void *a, idx a_row, idx a_depth, const void *b, idx b_depth,
                              void *y, idx y_row, int accumulate);
} fc_product_kernels;

#endif

#ifdef REAL

/* acc[r][v] += a[r] * vector v of b. The operand with fewer vectors waits in registers: the accumulators leave room for
 * these and one more. */
INLINE void NAME(tile_step)(const int rows, const int vecs, vec acc[FC_MAX_ROWS][FC_MAX_VECS], const REAL *a,
                            const REAL *b, const idx b_step)
{
    if (rows < vecs) {
        vec ar[FC_MAX_ROWS];
        UNROLL_FOR (int r = 0; r < rows; r++) ar[r] = splat(a[r]);
        UNROLL_FOR (int v = 0; v < vecs; v++) {
            vec bv = load(b + v * b_step);
            KEEP(bv);
            UNROLL_FOR (int r = 0; r < rows; r++) acc[r][v] += ar[r] * bv;
        }
    } else {
        vec bv[FC_MAX_VECS];
        UNROLL_FOR (int v = 0; v < vecs; v++) bv[v] = load(b + v * b_step);
        UNROLL_FOR (int r = 0; r < rows; r++) {
            vec ar = splat(a[r]);
            UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] += ar * bv[v];
        }
    }
}

/* The same for all rows of a panel. Lines that are wanted later are asked for a few at a time: all at once, they would
 * keep the lines of this sum waiting. */
INLINE void NAME(panel_sum)(const int rows, const int vecs, vec acc[FC_MAX_ROWS][FC_MAX_VECS], idx depth, const REAL *a,
                            const REAL *b, fc_ahead *ahead)
{
    idx k = 0;
    for (; k + FC_AHEAD <= depth; k += FC_AHEAD, a += FC_AHEAD * rows) {
        NAME(bring_near)(ahead, 2);
        UNROLL_FOR (int i = 0; i < FC_AHEAD; i++)
            NAME(tile_step)(rows, vecs, acc, a + i * rows, b + (k + i) * (PANEL * LANES), LANES);
    }
    for (; k < depth; k++, a += rows) NAME(tile_step)(rows, vecs, acc, a, b + k * (PANEL * LANES), LANES);
}

/* b is a panel if there is something to ask for ahead; else its rows are at the offsets. */
INLINE void NAME(tile_body)(const int rows, const int vecs, idx depth, const void *a_, const void *b_,
                            const idx *offsets, const idx b_step, void *y_, idx y_row, const idx y_step,
                            const void *bias_, int accumulate, fc_ahead *ahead)
{
    const REAL *a = a_, *b = b_, *bias = bias_;
    REAL *y = y_;
    vec acc[FC_MAX_ROWS][FC_MAX_VECS];

    UNROLL_FOR (int r = 0; r < rows; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] = bias && !accumulate ? splat(bias[r]) : (vec){0};
    /* The outputs may be far away, and out-of-order execution does not reach their lines before the loop's end. */
    UNROLL_FOR (int r = 0; r < rows; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) __builtin_prefetch(y + r * y_row + v * y_step, 1);

    if (ahead)
        NAME(panel_sum)(rows, vecs, acc, depth, a, b, ahead);
    else
        for (idx k = 0; k < depth; k++) NAME(tile_step)(rows, vecs, acc, a + k * rows, b + offsets[k], b_step);

    /* Partial sums are added at the end, because one long sum would round worse. */
    if (accumulate)
        UNROLL_FOR (int r = 0; r < rows; r++)
            UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] += load(y + r * y_row + v * y_step);
    /* Strips may overlap, and the later one is right, so they are stored in the order of v. */
    UNROLL_FOR (int r = 0; r < rows; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) store(y + r * y_row + v * y_step, acc[r][v]);
}

/* A long sum in even parts, each of which adds to what y has of those before. */
INLINE void NAME(tile_parts)(const int rows, const int vecs, idx depth, const void *a_, const void *b,
                             const idx *offsets, const idx b_step, void *y, idx y_row, const idx y_step,
                             const void *bias)
{
    const REAL *a = a_;
    const idx n_parts = depth > FC_TILE_DEPTH ? (depth + FC_TILE_DEPTH - 1) / FC_TILE_DEPTH : 1;
    const idx most = n_parts > 1 ? (depth + n_parts - 1) / n_parts : depth;
    idx k = 0;
    do {
        NAME(tile_body)(rows, vecs, depth - k < most ? depth - k : most, a + k * rows, b, offsets + k, b_step, y, y_row,
                        y_step, bias, k > 0, NULL);
        k += most;
    } while (k < depth);
}

#define TILE(rows, vecs)                                                                                               \
    static void NAME(tile_##rows##_##vecs)(idx depth, const void *a, const void *b, const idx *offsets, void *y,       \
                                           idx y_row, const void *bias)                                                \
    {                                                                                                                  \
        NAME(tile_parts)(rows, vecs, depth, a, b, offsets, LANES, y, y_row, LANES, bias);                              \
    }                                                                                                                  \
    static void NAME(strip_##rows##_##vecs)(idx depth, const void *a, const void *b, const idx *offsets, idx b_step,   \
                                            void *y, idx y_row, idx y_step, const void *bias)                          \
    {                                                                                                                  \
        NAME(tile_parts)(rows, vecs, depth, a, b, offsets, b_step, y, y_row, y_step, bias);                            \
    }
TILES(TILE)
#undef TILE

#define PANEL_TILE(rows, vecs)                                                                                         \
    static void NAME(panel_##rows##_##vecs)(idx n, idx depth, const void *a_, const void *b, void *y_, idx y_row,      \
                                            const void *bias_, int accumulate, const fc_ahead *wanted)                 \
    {                                                                                                                  \
        const REAL *a = a_, *bias = bias_;                                                                             \
        fc_ahead ahead = *wanted;                                                                                      \
        REAL *y = y_;                                                                                                  \
        for (idx i = 0; i < n; i++, a += depth * rows, y += rows * y_row, bias += bias ? rows : 0)                     \
            NAME(tile_body)(rows, vecs, depth, a, b, NULL, LANES, y, y_row, LANES, bias, accumulate, &ahead);          \
    }
PANELS(PANEL_TILE)
#undef PANEL_TILE

/* For every `group` rows of b some lines are asked for ahead. */
INLINE void NAME(gemm_tile)(const int vecs, idx depth, const REAL *a, idx a_row, idx a_depth, const REAL *b,
                            idx b_depth, REAL *y, idx y_row, int accumulate, idx group, const char *ahead, idx lines)
{
    vec acc[GEMM_ROWS][GEMM_VECS];
    UNROLL_FOR (int r = 0; r < GEMM_ROWS; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] = (vec){0};
    for (idx left = depth; left > 0; left -= group) {
        for (idx i = 0; i < lines; i++, ahead += 64) __builtin_prefetch(ahead, 0, 2);
        const REAL *const end = b + (left < group ? left : group) * b_depth;
        for (; b < end; a += a_depth, b += b_depth) {
            vec bv[GEMM_VECS];
            UNROLL_FOR (int v = 0; v < vecs; v++) bv[v] = load(b + v * LANES);
            UNROLL_FOR (int r = 0; r < GEMM_ROWS; r++) {
                vec ar = splat(a[r * a_row]);
                UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] += ar * bv[v];
            }
        }
    }
    /* Partial sums are added at the end, because one long sum would round worse. */
    UNROLL_FOR (int r = 0; r < GEMM_ROWS; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) {
            REAL *to = y + r * y_row + v * LANES;
            store(to, accumulate ? load(to) + acc[r][v] : acc[r][v]);
        }
}

#define GEMM(vecs)                                                                                                     \
    static void NAME(gemm_##vecs)(idx rows, idx depth, const void *a_, idx a_row, idx a_depth, const void *b,          \
                                  idx b_depth, void *y_, idx y_row, int accumulate)                                    \
    {                                                                                                                  \
        const REAL *a = a_;                                                                                            \
        REAL *y = y_;                                                                                                  \
        const char *ahead = (const char *)b + depth * b_depth * REAL_BYTES;                                            \
        const idx tiles = (rows + GEMM_ROWS - 1) / GEMM_ROWS, group = tiles <= FC_FEW_TILES ? 16 : depth;              \
        const idx share = depth * b_depth * REAL_BYTES / (64 * tiles) + 1; /* lines that a tile asks for */            \
        const idx lines = tiles <= FC_FEW_TILES ? share * group / (depth + 1) + 1 : 0;                                 \
        for (idx r = 0; r < rows; r += GEMM_ROWS, ahead += 64 * share)                                                 \
            if (a_depth == 1)                                                                                          \
                NAME(gemm_tile)(vecs, depth, a + r * a_row, a_row, 1, b, b_depth, y + r * y_row, y_row, accumulate,    \
                                group, ahead, lines);                                                                  \
            else                                                                                                       \
                NAME(gemm_tile)(vecs, depth, a + r, 1, a_depth, b, b_depth, y + r * y_row, y_row, accumulate, group,   \
                                ahead, lines);                                                                         \
    }
GEMMS(GEMM)
#undef GEMM

#define TILE_ENTRY(r, v) .tile[r - 1][v - 1] = NAME(tile_##r##_##v), .strip[r - 1][v - 1] = NAME(strip_##r##_##v),
#define PANEL_ENTRY(r, v) .panel[r - 1][v - 1] = NAME(panel_##r##_##v),
#define GEMM_ENTRY(v) .gemm[v - 1] = NAME(gemm_##v),
/* clang-format off */
static const fc_product_kernels NAME(product) = {
    .rows = ROWS, .vecs = VECS, .gemm_rows = GEMM_ROWS, .gemm_vecs = GEMM_VECS,
    TILES(TILE_ENTRY) PANELS(PANEL_ENTRY) GEMMS(GEMM_ENTRY)
};
/* clang-format on */
#undef TILE_ENTRY
#undef PANEL_ENTRY
#undef GEMM_ENTRY

#endif
