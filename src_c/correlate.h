/* The weight gradient: correlation of images with the gradient of the outputs, in register tiles of sums.
 *
 * Outer products put filters along the lanes and take (channel, tap) pairs by rows; dot products put pixels along the
 * lanes, which serves layers of few channels and large images. */
#ifndef FC_CORRELATE_H
#define FC_CORRELATE_H

/* No tile of the weight gradient holds more sums. */
enum { FC_TILE_SUMS = 256 };

typedef struct {
    idx outer_rows; /* (channel, tap) pairs in a tile of outer products */
    idx outer_vecs; /* its width over filters, in vectors */
    idx dot_rows;   /* filters in a tile of dot products */
    idx dot_cols;   /* its (channel, tap) pairs */

    /* outer[vecs - 1]: a tile with filters along the lanes,
     *     acc[r * acc_row + k] += sum_i x[pixels[i] + offsets[r]] * dy[i * width + k],   r < outer_rows, k < width,
     * where width = vecs * lanes. Meanwhile the widest tile asks for `ahead` n_pixels / FC_AHEAD times, two lines each
     * time. */
    void (*outer[FC_MAX_VECS])(idx n_pixels, const int32_t *pixels, const void *x, const idx *offsets, const void *dy,
                               void *acc, idx acc_row, const fc_ahead *ahead);

    /* dot[rows - 1]: a tile with pixels along the lanes,
     *     acc[r * dot_cols + c] += sum_n sum_p sum_q dy[r * dy_row + n * dy_plane + p * dy_pitch + q]
     *                                               * x[offsets[c] + n * x_plane + p * x_pitch + q],
     * r < rows, c < dot_cols, n < n_planes, p < n_rows, q < n_cols. Of rows shorter than a vector a whole vector is
     * read. Forward of few filters is the same sum, with channels along the lanes: there filters stand for dy, the rows
     * of taps of a window for planes, and its taps for rows. */
    void (*dot[FC_MAX_ROWS])(idx n_planes, idx n_rows, idx n_cols, const void *dy, idx dy_row, idx dy_plane,
                             idx dy_pitch, const void *x, const idx *offsets, idx x_plane, idx x_pitch, void *acc);

    /* w[k * w_row + i] = sum over n < n_slices, in order, of sums[n * slice + k * col + i * row], k < filters, i <
     * pairs: the sums of a tile, at most FC_TILE_SUMS of them, over the slices of the batch. row or col is 1. */
    void (*fold)(void *w, idx w_row, const void *sums, idx slice, idx n_slices, idx row, idx col, idx filters,
                 idx pairs);

    /* sums[p * lanes + v] = sum over s < n of z[p * z_row + s * shift + v], v < lanes, p < count. */
    void (*shifted_sums)(void *sums, const void *z, idx z_row, idx shift, idx n, idx count);
} fc_correlate_kernels;

#endif

#ifdef REAL

INLINE void NAME(outer_step)(const int vecs, vec acc[OUTER_ROWS][OUTER_VECS], const REAL *const *xr, idx at,
                             const REAL *dy)
{
    vec d[OUTER_VECS];
    UNROLL_FOR (int v = 0; v < vecs; v++) d[v] = load(dy + v * LANES);
    UNROLL_FOR (int r = 0; r < OUTER_ROWS; r++) {
        vec xv = splat(xr[r][at]);
        UNROLL_FOR (int v = 0; v < vecs; v++) acc[r][v] += xv * d[v];
    }
}

INLINE void NAME(outer)(const int vecs, idx n_pixels, const int32_t *pixels, const void *x_, const idx *offsets,
                        const void *dy_, void *acc_, idx acc_row, fc_ahead ahead)
{
    const REAL *x = x_, *dy = dy_;
    REAL *out = acc_;
    /* A narrow tile takes several pixels at a time, so that as many sums as in a wide one do not wait for each
     * other. */
    const int width = vecs * LANES, turns = OUTER_VECS / vecs;
    const REAL *xr[OUTER_ROWS];
    vec acc[OUTER_ROWS][OUTER_VECS];
    UNROLL_FOR (int r = 0; r < OUTER_ROWS; r++) {
        xr[r] = x + offsets[r];
        __builtin_prefetch(out + r * acc_row, 1);
        UNROLL_FOR (int v = 0; v < turns * vecs; v++) acc[r][v] = (vec){0};
    }
    idx i = 0;
    if (turns > 1)
        for (; i + turns <= n_pixels; i += turns, dy += turns * width)
            UNROLL_FOR (int t = 0; t < turns; t++) {
                const idx at = pixels[i + t];
                UNROLL_FOR (int v = 0; v < vecs; v++) {
                    vec d = load(dy + t * width + v * LANES);
                    UNROLL_FOR (int r = 0; r < OUTER_ROWS; r++) acc[r][t * vecs + v] += splat(xr[r][at]) * d;
                }
            }
    if (turns == 1)
        for (; i + FC_AHEAD <= n_pixels; i += FC_AHEAD, dy += FC_AHEAD * width) {
            NAME(bring_near)(&ahead, 2);
            UNROLL_FOR (int t = 0; t < FC_AHEAD; t++) NAME(outer_step)(vecs, acc, xr, pixels[i + t], dy + t * width);
        }
    for (; i < n_pixels; i++, dy += width) NAME(outer_step)(vecs, acc, xr, pixels[i], dy);
    UNROLL_FOR (int r = 0; r < OUTER_ROWS; r++)
        UNROLL_FOR (int v = 0; v < vecs; v++) {
            REAL *p = out + r * acc_row + v * LANES;
            UNROLL_FOR (int t = 1; t < turns; t++) acc[r][v] += acc[r][t * vecs + v];
            store(p, load(p) + acc[r][v]);
        }
}

#define OUTER(vecs)                                                                                                    \
    static void NAME(outer_##vecs)(idx n_pixels, const int32_t *pixels, const void *x, const idx *offsets,             \
                                   const void *dy, void *acc, idx acc_row, const fc_ahead *ahead)                      \
    {                                                                                                                  \
        NAME(outer)(vecs, n_pixels, pixels, x, offsets, dy, acc, acc_row, *ahead);                                     \
    }
OUTERS(OUTER)
#undef OUTER

/* acc[r][c] += (a vector of dy, of filter r) * (a vector of x, of pair c). The latter is loaded once for all
 * filters. */
#define DOT_STEP(dy_vector, x_vector)                                                                                  \
    do {                                                                                                               \
        vec dv[DOT_ROWS];                                                                                              \
        UNROLL_FOR (int r = 0; r < rows; r++) dv[r] = dy_vector;                                                       \
        UNROLL_FOR (int c = 0; c < DOT_COLS; c++) {                                                                    \
            vec xv = x_vector;                                                                                         \
            KEEP(xv);                                                                                                  \
            UNROLL_FOR (int r = 0; r < rows; r++) acc[r][c] += dv[r] * xv;                                             \
        }                                                                                                              \
    } while (0)

/* The first half of a vector at p, the second half of one at q. */
INLINE vec NAME(load_halves)(const REAL *p, const REAL *q) { return SHUFFLE(load(p), load(q), HALVES, LANES); }

INLINE void NAME(dot)(const int rows, idx n_planes, idx n_rows, idx n_cols, const void *dy_, idx dy_row, idx dy_plane,
                      idx dy_pitch, const void *x_, const idx *offsets, idx x_plane, idx x_pitch, void *acc_)
{
    const REAL *dy = dy_, *x = x_;
    REAL *out = acc_;
    vec acc[DOT_ROWS][DOT_COLS];
    const REAL *xc[DOT_COLS];
    UNROLL_FOR (int c = 0; c < DOT_COLS; c++) {
        xc[c] = x + offsets[c];
        UNROLL_FOR (int r = 0; r < rows; r++) acc[r][c] = (vec){0};
    }
    /* A row's last vector moves left to fit, if the row is long enough. Its lanes that have been added already, or that
     * are past the end, are masked in both factors, for what lies there may be anything. But if half a vector is left
     * of each row, then two rows share one: its first half is the second row's start, and its second half the first
     * row's end. */
    const idx whole = n_cols / LANES * LANES, back = whole ? n_cols - LANES : 0;
    const mask_vec past = NAME(lane)() < (SIGNED)(whole ? LANES - (n_cols - whole) : n_cols);
    const mask_vec tail = whole ? ~past : past;
    const int halves = whole && 2 * (n_cols - whole) == LANES;
    for (idx plane = 0; plane < n_planes; plane++) {
        /* One index serves all rows: that of the row's first column in x. The rows of dy are counted from there,
         * too. */
        idx at = plane * x_plane;
        const REAL *d[DOT_ROWS];
        UNROLL_FOR (int r = 0; r < rows; r++) d[r] = dy + plane * dy_plane + r * dy_row - at;
        for (idx row = 0; row < n_rows; row++) {
            for (idx q = at; q < at + whole; q += LANES) DOT_STEP(load(d[r] + q), load(xc[c] + q));
            const idx last = at + back;
            at += x_pitch;
            if (halves && row + 1 < n_rows) {
                const idx apart = dy_pitch - x_pitch;
                DOT_STEP(NAME(load_halves)(d[r] + apart + at, d[r] + last),
                         NAME(load_halves)(xc[c] + at, xc[c] + last));
                UNROLL_FOR (int r = 0; r < rows; r++) d[r] += apart;
                for (idx q = at + LANES / 2; q < at + n_cols; q += LANES) DOT_STEP(load(d[r] + q), load(xc[c] + q));
                at += x_pitch;
                row++;
            } else if (whole < n_cols) {
                DOT_STEP((vec)((mask_vec)load(d[r] + last) & tail), (vec)((mask_vec)load(xc[c] + last) & tail));
            }
            UNROLL_FOR (int r = 0; r < rows; r++) d[r] += dy_pitch - x_pitch;
        }
    }
    UNROLL_FOR (int r = 0; r < rows; r++)
        UNROLL_FOR (int c = 0; c < DOT_COLS; c++) out[r * DOT_COLS + c] += NAME(sum)(acc[r][c]);
}
#undef DOT_STEP

#define DOT(rows)                                                                                                      \
    static void NAME(dot_##rows)(idx n_planes, idx n_rows, idx n_cols, const void *dy, idx dy_row, idx dy_plane,       \
                                 idx dy_pitch, const void *x, const idx *offsets, idx x_plane, idx x_pitch, void *acc) \
    {                                                                                                                  \
        NAME(dot)(rows, n_planes, n_rows, n_cols, dy, dy_row, dy_plane, dy_pitch, x, offsets, x_plane, x_pitch, acc);  \
    }
DOTS(DOT)
#undef DOT

static void NAME(fold)(void *w_, idx w_row, const void *sums_, idx slice, idx n_slices, idx row, idx col, idx filters,
                       idx pairs)
{
    REAL *w = w_;
    const REAL *sums = sums_;
    REAL total[FC_TILE_SUMS];
    const idx count = filters * col > pairs * row ? filters * col : pairs * row;
    memcpy(total, sums, (size_t)count * sizeof(REAL));
    for (idx n = 1; n < n_slices; n++)
        for (idx i = 0; i < count; i++) total[i] += sums[n * slice + i];
    for (idx k = 0; k < filters; k++)
        for (idx i = 0; i < pairs; i++) w[k * w_row + i] = total[k * col + i * row];
}

static void NAME(shifted_sums)(void *sums_, const void *z_, idx z_row, idx shift, idx n, idx count)
{
    REAL *sums = sums_;
    const REAL *z = z_;
    enum { TURNS = 4 }; /* sums that do not wait for each other */
    idx p = 0;
    for (; p + TURNS <= count; p += TURNS, sums += TURNS * LANES, z += TURNS * z_row) {
        vec sum[TURNS];
        UNROLL_FOR (int t = 0; t < TURNS; t++) sum[t] = load(z + t * z_row);
        for (idx s = 1; s < n; s++)
            UNROLL_FOR (int t = 0; t < TURNS; t++) sum[t] += load(z + s * shift + t * z_row);
        UNROLL_FOR (int t = 0; t < TURNS; t++) store(sums + t * LANES, sum[t]);
    }
    for (; p < count; p++, sums += LANES, z += z_row) {
        vec sum = load(z);
        for (idx s = 1; s < n; s++) sum += load(z + s * shift);
        store(sums, sum);
    }
}

#define OUTER_ENTRY(v) .outer[v - 1] = NAME(outer_##v),
#define DOT_ENTRY(r) .dot[r - 1] = NAME(dot_##r),
/* clang-format off */
static const fc_correlate_kernels NAME(correlate) = {
    .outer_rows = OUTER_ROWS, .outer_vecs = OUTER_VECS, .dot_rows = DOT_ROWS, .dot_cols = DOT_COLS,
    OUTERS(OUTER_ENTRY) DOTS(DOT_ENTRY) KERNEL(fold) KERNEL(shifted_sums)
};
/* clang-format on */
#undef OUTER_ENTRY
#undef DOT_ENTRY

#endif
