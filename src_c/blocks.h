/* Layers of a network whose images lie in blocks of channels: a pixel is a vector of them, a block is a plane of such
 * pixels. What follows a convolution (its bias, what is added to its result, limits of an activation) is done before
 * the result is stored. */
#ifndef FC_BLOCKS_H
#define FC_BLOCKS_H

/* Vectors of filters that a tile has at most. */
enum { FC_BLOCK_VECS = 2 };

/* The windows of a row of outputs, in elements, and what is done with their sums. */
typedef struct {
    idx rows, row, cols, col; /* taps, and from one to the next */
    const idx *taps;          /* conv: where they are in a window, those of all blocks of channels */
    idx n_taps, depth;        /* ... how many, and neighbours in memory that each sees */
    idx step;                 /* from the window of an output to that of the next one */
    idx y_block, added_block; /* from a vector of filters to the next one */
    idx ahead, wanted;        /* from w to filters that are wanted next, and how many elements of them to ask for */
    int unseen;               /* whether windows are not near yet, so that each tile asks for those of the next one */
    double low, high;         /* what results are limited to, -infinity and infinity if not; NaN stays NaN */
} fc_taps_of_blocks;

typedef struct {
    idx tile; /* outputs that a tile has at most */

    /* conv[vecs - 1]: y = limited(bias + added + sum of w * x) of `count` outputs, which lie a vector apart in y and
     * in `added`, which may be NULL and may be y; w is [tap][depth][vecs * lanes]. If bias is NULL, the sum is added to
     * y. */
    void (*conv[FC_BLOCK_VECS])(void *y, const void *x, const void *w, const void *bias, const void *added,
                                const fc_taps_of_blocks *s, idx count);

    /* The same for a block of channels each of which has a filter of its own; w is [row][col][lanes]. */
    void (*depthwise)(void *y, const void *x, const void *w, const void *bias, const void *added,
                      const fc_taps_of_blocks *s, idx count);

    /* The largest, and `factor` times the sum, of each window. NaN is larger than any number. */
    void (*max)(void *y, const void *x, const fc_taps_of_blocks *s, idx count);
    void (*mean)(void *y, const void *x, const fc_taps_of_blocks *s, double factor, idx count);

    /* y = limited(x + added), where `added` may be NULL, and y = x * factors, over n pixels; y may be x. */
    void (*add)(void *y, const void *x, const void *added, double low, double high, idx n);
    void (*scale)(void *y, const void *x, const void *factors, idx n);
} fc_blocks_kernels;

#endif

#ifdef REAL

INLINE vec NAME(limited)(vec x, vec low, vec high)
{
#ifndef LIMIT
    x = NAME(select)((mask_vec)(x < low), low, x);
    return NAME(select)((mask_vec)(x > high), high, x);
#elif REAL_BYTES == 4
    LIMIT("vmaxps", x, low);
    LIMIT("vminps", x, high);
    return x;
#else
    LIMIT("vmaxpd", x, low);
    LIMIT("vminpd", x, high);
    return x;
#endif
}

/* A tile of `rows` outputs and `vecs` vectors of filters; `step` is the distance of windows where that is known when
 * this is compiled, which makes it a part of the loads' addresses. */
INLINE void NAME(sum_of_blocks)(const int rows, const int vecs, const idx step, REAL *y, const REAL *x, const REAL *w,
                                const REAL *bias, const REAL *added, const fc_taps_of_blocks *s, fc_ahead ahead)
{
    vec acc[BLOCK_ROWS][FC_BLOCK_VECS];
    UNROLL_FOR (int r = 0; r < rows; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] = bias ? load(bias + v * LANES) : (vec){0};
    const idx depth = s->depth;
    /* One loop over all taps: what is around eight steps of products would take a tenth of the time in three. */
    for (idx t = 0; t < s->n_taps; t++) {
        const REAL *window = x + s->taps[t];
        NAME(bring_near)(&ahead, 1);
        if (s->unseen)
            UNROLL_FOR (int r = 0; r < rows; r++) __builtin_prefetch(window + (rows + r) * step);
        PAIRS_FOR (const REAL *const end = window + depth; window < end; window++, w += vecs * LANES) {
            vec wv[FC_BLOCK_VECS];
            UNROLL_FOR (int v = 0; v < vecs; v++) wv[v] = load(w + v * LANES);
            UNROLL_FOR (int r = 0; r < rows; r++) {
                const vec xr = splat(window[r * step]);
                UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] += xr * wv[v];
            }
        }
    }
    const vec low = splat((REAL)s->low), high = splat((REAL)s->high);
    UNROLL_FOR (int v = 0; v < vecs; v++)
        UNROLL_FOR (int r = 0; r < rows; r++) {
            REAL *to = y + v * s->y_block + r * LANES;
            vec sum = bias ? acc[r][v] : load(to) + acc[r][v];
            if (added) sum += load(added + v * s->added_block + r * LANES);
            store(to, NAME(limited)(sum, low, high));
        }
}

typedef void NAME(block_tile)(REAL *y, const REAL *x, const REAL *w, const REAL *bias, const REAL *added,
                              const fc_taps_of_blocks *s, fc_ahead ahead);

#define BLOCK_TILE(rows, vecs)                                                                                         \
    static void NAME(block_##rows##_##vecs)(REAL * y, const REAL *x, const REAL *w, const REAL *bias,                  \
                                            const REAL *added, const fc_taps_of_blocks *s, fc_ahead ahead)             \
    {                                                                                                                  \
        NAME(sum_of_blocks)(rows, vecs, LANES, y, x, w, bias, added, s, ahead);                                        \
    }                                                                                                                  \
    static void NAME(block_apart_##rows##_##vecs)(REAL * y, const REAL *x, const REAL *w, const REAL *bias,            \
                                                  const REAL *added, const fc_taps_of_blocks *s, fc_ahead ahead)       \
    {                                                                                                                  \
        NAME(sum_of_blocks)(rows, vecs, s->step, y, x, w, bias, added, s, ahead);                                      \
    }
#define BLOCK_TILES(rows) BLOCK_TILE(rows, 1) BLOCK_TILE(rows, 2)
EACH_BLOCK_ROW(BLOCK_TILES)
#undef BLOCK_TILES
#undef BLOCK_TILE

static NAME(block_tile) *const NAME(block_tiles)[FC_BLOCK_VECS][2][BLOCK_ROWS] = {
#define BLOCK_ENTRY(rows) NAME(block_##rows##_1),
#define BLOCK_APART_ENTRY(rows) NAME(block_apart_##rows##_1),
    {{EACH_BLOCK_ROW(BLOCK_ENTRY)}, {EACH_BLOCK_ROW(BLOCK_APART_ENTRY)}},
#undef BLOCK_ENTRY
#undef BLOCK_APART_ENTRY
#define BLOCK_ENTRY(rows) NAME(block_##rows##_2),
#define BLOCK_APART_ENTRY(rows) NAME(block_apart_##rows##_2),
    {{EACH_BLOCK_ROW(BLOCK_ENTRY)}, {EACH_BLOCK_ROW(BLOCK_APART_ENTRY)}},
#undef BLOCK_ENTRY
#undef BLOCK_APART_ENTRY
};

/* A row of outputs in the fewest tiles, as even as they can be. */
INLINE void NAME(conv_row)(const int vecs, REAL *y, const REAL *x, const REAL *w, const REAL *bias, const REAL *added,
                           const fc_taps_of_blocks *s, idx count)
{
    NAME(block_tile) *const *const tiles = NAME(block_tiles)[vecs - 1][s->step != LANES];
    idx left = (count + BLOCK_ROWS - 1) / BLOCK_ROWS;
    fc_ahead ahead = {w + s->ahead, s->wanted / (left * s->n_taps)};
    for (; left > 0; left--) {
        const idx rows = (count + left - 1) / left;
        tiles[rows - 1](y, x, w, bias, added, s, ahead);
        ahead.from = (const REAL *)ahead.from + s->n_taps * ahead.step;
        count -= rows;
        y += rows * LANES;
        x += rows * s->step;
        added += added ? rows * LANES : 0;
    }
}

static void NAME(conv_1)(void *y, const void *x, const void *w, const void *bias, const void *added,
                         const fc_taps_of_blocks *s, idx count)
{
    NAME(conv_row)(1, y, x, w, bias, added, s, count);
}

static void NAME(conv_2)(void *y, const void *x, const void *w, const void *bias, const void *added,
                         const fc_taps_of_blocks *s, idx count)
{
    NAME(conv_row)(2, y, x, w, bias, added, s, count);
}

enum { NAME(NEIGHBOURS) = REGISTERS / 4 };

/* A column of taps of some neighbouring outputs. */
INLINE void NAME(depthwise_taps)(const int n, const idx step, vec *acc, const REAL *x, const REAL *w)
{
    const vec tap = load(w);
    UNROLL_FOR (int i = 0; i < n; i++) acc[i] += load(x + i * step) * tap;
}

/* Some neighbouring outputs of a block whose channels have filters of their own, of `known` columns (0: any). */
INLINE void NAME(depthwise_tile)(const int n, const int known, const idx step, const idx col, REAL *y, const REAL *x,
                                 const REAL *w, const REAL *bias, const REAL *added, const fc_taps_of_blocks *s)
{
    vec acc[NAME(NEIGHBOURS)];
    const vec low = splat((REAL)s->low), high = splat((REAL)s->high);
    UNROLL_FOR (int i = 0; i < n; i++) acc[i] = load(bias);
    for (idx row = 0; row < s->rows; row++, x += s->row, w += s->cols * LANES) {
        if (known) {
            UNROLL_FOR (int c = 0; c < known; c++) NAME(depthwise_taps)(n, step, acc, x + c * col, w + c * LANES);
        } else {
            for (idx c = 0; c < s->cols; c++) NAME(depthwise_taps)(n, step, acc, x + c * col, w + c * LANES);
        }
    }
    UNROLL_FOR (int i = 0; i < n; i++) {
        if (added) acc[i] += load(added + i * LANES);
        store(y + i * LANES, NAME(limited)(acc[i], low, high));
    }
}

INLINE void NAME(depthwise_row)(const int known, const idx step, const idx col, REAL *y, const REAL *x, const REAL *w,
                                const REAL *bias, const REAL *added, const fc_taps_of_blocks *s, idx count)
{
    idx i = 0;
    for (; i + NAME(NEIGHBOURS) <= count; i += NAME(NEIGHBOURS))
        NAME(depthwise_tile)(NAME(NEIGHBOURS), known, step, col, y + i * LANES, x + i * step, w, bias,
                             added ? added + i * LANES : NULL, s);
    for (; i < count; i++)
        NAME(depthwise_tile)(1, known, step, col, y + i * LANES, x + i * step, w, bias,
                             added ? added + i * LANES : NULL, s);
}

static void NAME(depthwise)(void *y, const void *x, const void *w, const void *bias, const void *added,
                            const fc_taps_of_blocks *s, idx count)
{
    if (s->cols == 3 && s->col == LANES && s->step == LANES)
        NAME(depthwise_row)(3, LANES, LANES, y, x, w, bias, added, s, count);
    else if (s->cols == 3 && s->col == LANES && s->step == 2 * LANES)
        NAME(depthwise_row)(3, 2 * LANES, LANES, y, x, w, bias, added, s, count);
    else if (s->cols == 5 && s->col == LANES && s->step == LANES)
        NAME(depthwise_row)(5, LANES, LANES, y, x, w, bias, added, s, count);
    else
        NAME(depthwise_row)(0, s->step, s->col, y, x, w, bias, added, s, count);
}

static void NAME(block_max)(void *y_, const void *x_, const fc_taps_of_blocks *s, idx count)
{
    REAL *y = y_;
    const REAL *x = x_;
    for (idx i = 0; i < count; i++, y += LANES, x += s->step) {
        vec most = load(x);
        for (idx row = 0; row < s->rows; row++)
            for (idx col = 0; col < s->cols; col++) {
                const vec a = load(x + row * s->row + col * s->col);
                most = NAME(select)((mask_vec)(a <= most) | (mask_vec)(most != most), most, a);
            }
        store(y, most);
    }
}

static void NAME(block_mean)(void *y_, const void *x_, const fc_taps_of_blocks *s, double factor, idx count)
{
    REAL *y = y_;
    const REAL *x = x_;
    const vec by = splat((REAL)factor);
    for (idx i = 0; i < count; i++, y += LANES, x += s->step) {
        /* The sums of rows are summed, because one long sum would round worse. */
        vec total = {0};
        for (idx row = 0; row < s->rows; row++) {
            vec sum = {0};
            for (idx col = 0; col < s->cols; col++) sum += load(x + row * s->row + col * s->col);
            total += sum;
        }
        store(y, total * by);
    }
}

static void NAME(block_add)(void *y_, const void *x_, const void *added_, double low_, double high_, idx n)
{
    REAL *y = y_;
    const REAL *x = x_, *added = added_;
    const vec low = splat((REAL)low_), high = splat((REAL)high_);
    for (idx i = 0; i < n * LANES; i += LANES) {
        const vec sum = added ? load(x + i) + load(added + i) : load(x + i);
        store(y + i, NAME(limited)(sum, low, high));
    }
}

static void NAME(block_scale)(void *y_, const void *x_, const void *factors, idx n)
{
    REAL *y = y_;
    const REAL *x = x_;
    const vec by = load(factors);
    for (idx i = 0; i < n * LANES; i += LANES) store(y + i, load(x + i) * by);
}

static const fc_blocks_kernels NAME(blocks) = {
    .tile = BLOCK_ROWS,
    .conv = {NAME(conv_1), NAME(conv_2)},
    .depthwise = NAME(depthwise),
    .max = NAME(block_max),
    .mean = NAME(block_mean),
    .add = NAME(block_add),
    .scale = NAME(block_scale),
};

#endif
