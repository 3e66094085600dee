/* Winograd's minimal filtering on tiles of 6 x 6, 5 x 5 and 1 x 8 pixels, for one element type. Included by real.h,
 * whose names it uses.
 *
 * F(m, r), m + r - 1 points: in one dimension
 *     y = A' [(G g) * (B' d)]
 * where row j of B' holds the coefficients of M(x) / (x - p_j), M(x) = (x - p_0) (x - p_1) ..., row j of G is
 * (1, p_j, ..., p_j^(r - 1)) / M'(p_j), and column j of A' is (1, p_j, ..., p_j^(m - 1)); infinity takes the highest
 * power alone. The adjoint gives the weight gradient,
 *     dg = G' [(A dy) * (B' d)].
 * Points are 0 unless there are 5, some pairs +-p, and infinity: of 6, p = sqrt(1/2) and sqrt(2); of 8, p = 1, 1/2 and 2;
 * of 5, p = 1/2 and 5/4. B' and G take the other sign each at 0 of 8 and at -p of 5. Square filters, r x r, apply each
 * matrix to the columns of a tile and then to its rows; filters of one row take 8 points, and those of one column the
 * same tiles, lying in a plane whose axes are exchanged.
 * Channels lie along the lanes: a tile's shape then never leaves one idle. (Winograd 1980; Lavin and Gray 2016; the
 * points are those of the least error, after Barabasz et al. 2020.) */

#define HALF_ROOT ((REAL)0.70710678118654752440)
#define ROOT ((REAL)1.41421356237309504880)

/* Of each pair, of 5, 6 and 8 points: p, p^2 and 1 / M'(p). */
static const REAL NAME(pairs)[3][3][3] = {
    {{(REAL)0.5, (REAL)0.25, (REAL)(-16.0 / 21)}, {(REAL)1.25, (REAL)1.5625, (REAL)(32.0 / 105)}},
    {{HALF_ROOT, (REAL)0.5, (REAL)(-2.0 / 3)}, {ROOT, 2, (REAL)(1.0 / 6)}},
    {{1, 1, (REAL)(-2.0 / 9)}, {(REAL)0.5, (REAL)0.25, (REAL)(32.0 / 45)}, {2, 4, (REAL)(1.0 / 90)}},
};

INLINE int NAME(table)(const int points) { return (points > 5) + (points > 6); }

/* Where the pairs begin: after 0, if that is a point. */
INLINE int NAME(paired)(const int points) { return points > 5; }

/* B' d */
INLINE void NAME(sight)(const int points, vec *t, const vec *d)
{
    if (points == 6) {
        vec u = d[4] - 2 * d[2], v = HALF_ROOT * (d[3] - 2 * d[1]);
        vec p = d[4] - (REAL)0.5 * d[2], q = ROOT * (d[3] - (REAL)0.5 * d[1]);
        t[0] = (d[0] + d[4]) - (REAL)2.5 * d[2];
        t[1] = u + v;
        t[2] = u - v;
        t[3] = p + q;
        t[4] = p - q;
        t[5] = (d[1] + d[5]) - (REAL)2.5 * d[3];
    } else if (points == 5) {
        vec u = (REAL)0.5 * d[2] - (REAL)0.78125 * d[0], v = d[3] - (REAL)1.5625 * d[1];
        vec p = (REAL)1.25 * d[2] - (REAL)0.3125 * d[0], q = d[3] - (REAL)0.25 * d[1];
        t[0] = u + v;
        t[1] = u - v;
        t[2] = p + q;
        t[3] = p - q;
        t[4] = (d[4] + (REAL)0.390625 * d[0]) - (REAL)1.8125 * d[2];
    } else {
        vec u = (d[2] + d[6]) - (REAL)4.25 * d[4], v = (d[1] + d[5]) - (REAL)4.25 * d[3];
        t[0] = (d[0] - d[6]) + (REAL)5.25 * (d[4] - d[2]);
        t[1] = u + v;
        t[2] = u - v;
        u = (d[6] - 5 * d[4]) + 4 * d[2], v = (2 * d[1] - (REAL)2.5 * d[3]) + (REAL)0.5 * d[5];
        t[3] = u + v;
        t[4] = u - v;
        u = (d[6] - (REAL)1.25 * d[4]) + (REAL)0.25 * d[2], v = ((REAL)0.5 * d[1] - (REAL)2.5 * d[3]) + 2 * d[5];
        t[5] = u + v;
        t[6] = u - v;
        t[7] = (d[7] - d[1]) + (REAL)5.25 * (d[3] - d[5]);
    }
}

/* A' t: m numbers */
INLINE void NAME(answer)(const int points, const int m, vec *y, const vec *t)
{
    const vec *pair = t + NAME(paired)(points);
    UNROLL for (int k = 0; k < (points - 1) / 2; k++) {
        const REAL *p = NAME(pairs)[NAME(table)(points)][k];
        const vec even = pair[2 * k] + pair[2 * k + 1], odd = p[0] * (pair[2 * k] - pair[2 * k + 1]);
        REAL power = 1;
        UNROLL for (int i = 0; i < m; i += 2, power *= p[1]) {
            y[i] = k ? y[i] + power * even : i || !NAME(paired)(points) ? power * even : t[0] + even;
            if (i + 1 < m) y[i + 1] = k ? y[i + 1] + power * odd : power * odd;
        }
    }
    y[m - 1] += t[points - 1];
}

/* A y, of m numbers */
INLINE void NAME(spread)(const int points, const int m, vec *z, const vec *y)
{
    vec *pair = z + NAME(paired)(points);
    z[0] = y[0];
    UNROLL for (int k = 0; k < (points - 1) / 2; k++) {
        const REAL *p = NAME(pairs)[NAME(table)(points)][k];
        vec even = y[0], odd = y[1];
        REAL power = p[1];
        UNROLL for (int i = 2; i < m; i += 2, power *= p[1]) {
            even += power * y[i];
            if (i + 1 < m) odd += power * y[i + 1];
        }
        pair[2 * k] = even + p[0] * odd;
        pair[2 * k + 1] = even - p[0] * odd;
    }
    z[points - 1] = y[m - 1];
}

/* G g, of r numbers */
INLINE void NAME(lift)(const int points, const int r, vec *u, const vec *g)
{
    const int first = NAME(paired)(points);
    NAME(spread)(points, r, u, g);
    UNROLL for (int k = first; k < points - 1; k++) u[k] *= NAME(pairs)[NAME(table)(points)][(k - first) / 2][2];
}

/* G' s: r numbers */
INLINE void NAME(lower)(const int points, const int r, vec *g, const vec *s)
{
    const int first = NAME(paired)(points);
    vec scaled[8] = {s[0]};
    UNROLL for (int k = first; k < points - 1; k++)
        scaled[k] = NAME(pairs)[NAME(table)(points)][(k - first) / 2][2] * s[k];
    scaled[points - 1] = s[points - 1];
    NAME(answer)(points, r, g, scaled);
}

/* Element (i, j) of tile n of a row of tiles is pixel (h0 + n * step_h + i * dilation_h, w0 + n * step_w + j * dilation_w).
 * How many of `size` elements from `at` on, `dilation` apart, come before the first inside 0 <= pixel < limit, and before
 * the end. */
INLINE void NAME(clip)(idx at, idx dilation, idx limit, int size, int *from, int *to)
{
    *from = 0, *to = size;
    while (*from < size && at + *from * dilation < 0) ++*from;
    while (*to > *from && at + (*to - 1) * dilation >= limit) --*to;
}

/* The rows x cols pixels of a tile, `row` and `col` elements apart: where they lie, or a copy that is zero outside the
 * plane, whose rows from `top` to `bottom` the tile sees. */
INLINE const REAL *NAME(window)(const int rows, const int cols, vec copy[36], const REAL *x, const fc_plane *plane,
                                idx h, idx w, int top, int bottom, idx *row, idx *col)
{
    static const REAL nothing[LANES] = {0};
    int left, right;
    NAME(clip)(w, plane->dilation_w, plane->w, cols, &left, &right);
    const idx at = h * plane->row + w * plane->col;
    *row = plane->dilation_h * plane->row, *col = plane->dilation_w * plane->col;
    if (top == 0 && bottom == rows && left == 0 && right == cols) return x + at;
    for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < cols; j++) {
            const int inside = i >= top && i < bottom && j >= left && j < right;
            /* Of a pixel outside of the plane there may be no address. */
            copy[i * cols + j] = load(inside ? x + (at + i * *row + j * *col) : nothing);
        }
    *row = cols * LANES, *col = LANES;
    return (const REAL *)copy;
}

INLINE void NAME(winograd_input)(const int rows, const int cols, void *v_, idx v_point, idx v_tile, const void *x_,
                                 const fc_plane *plane, idx h0, idx w0, idx count)
{
    REAL *v = v_;
    int top, bottom;
    NAME(clip)(h0, plane->dilation_h, plane->h, rows, &top, &bottom);
    for (idx n = 0; n < count; n++, v += v_tile, h0 += plane->step_h, w0 += plane->step_w) {
        vec copy[36], t[6][8];
        idx row, col;
        if (rows == 1) NAME(clip)(h0, 1, plane->h, 1, &top, &bottom);
        const REAL *x = NAME(window)(rows, cols, copy, x_, plane, h0, w0, top, bottom, &row, &col);
        UNROLL for (int j = 0; j < cols; j++) {
            vec d[6], out[6];
            UNROLL for (int i = 0; i < rows; i++) d[i] = load(x + i * row + j * col);
            if (rows > 1) NAME(sight)(rows, out, d);
            UNROLL for (int i = 0; i < rows; i++) t[i][j] = rows > 1 ? out[i] : d[i];
        }
        UNROLL for (int i = 0; i < rows; i++) {
            vec out[8];
            NAME(sight)(cols, out, t[i]);
            UNROLL for (int j = 0; j < cols; j++) store(v + (i * cols + j) * v_point, out[j]);
        }
    }
}

#define INPUT(tile, rows, cols)                                                                                       \
    static void NAME(winograd_input_##tile)(void *v, idx v_point, idx v_tile, const void *x, const fc_plane *plane,   \
                                            idx h0, idx w0, idx count)                                                \
    {                                                                                                                 \
        NAME(winograd_input)(rows, cols, v, v_point, v_tile, x, plane, h0, w0, count);                                \
    }
INPUT(square, 6, 6)
INPUT(small, 5, 5)
INPUT(line, 1, 8)
#undef INPUT

/* The rest are for tiles of rows x cols points, and of `tall` x `wide` outputs or taps. */

INLINE void NAME(winograd_spread)(const int rows, const int cols, const int tall, const int wide, void *z_, idx z_point,
                                  idx z_tile, const void *dy_, const fc_plane *plane, idx h0, idx w0, idx count)
{
    REAL *z = z_;
    int top, bottom;
    NAME(clip)(h0, plane->dilation_h, plane->h, tall, &top, &bottom);
    for (idx n = 0; n < count; n++, z += z_tile, h0 += plane->step_h, w0 += plane->step_w) {
        vec copy[36], t[6][6];
        idx row, col;
        if (rows == 1) NAME(clip)(h0, 1, plane->h, 1, &top, &bottom);
        const REAL *dy = NAME(window)(tall, wide, copy, dy_, plane, h0, w0, top, bottom, &row, &col);
        UNROLL for (int j = 0; j < wide; j++) {
            vec d[5], out[6];
            UNROLL for (int i = 0; i < tall; i++) d[i] = load(dy + i * row + j * col);
            if (rows > 1) NAME(spread)(rows, tall, out, d);
            UNROLL for (int i = 0; i < rows; i++) t[i][j] = rows > 1 ? out[i] : d[i];
        }
        UNROLL for (int i = 0; i < rows; i++) {
            vec out[8];
            NAME(spread)(cols, wide, out, t[i]);
            UNROLL for (int j = 0; j < cols; j++) store(z + (i * cols + j) * z_point, out[j]);
        }
    }
}

INLINE void NAME(winograd_output)(const int rows, const int cols, const int tall, const int wide, void *y_,
                                  const fc_plane *plane, idx h0, idx w0, idx count, const void *t_, idx t_point,
                                  idx t_tile, const void *bias)
{
    REAL *y = y_;
    const REAL *from = t_;
    const vec start = bias ? load(bias) : (vec){0};
    int top, bottom, left, right;
    NAME(clip)(h0, plane->dilation_h, plane->h, tall, &top, &bottom);
    for (idx n = 0; n < count; n++, from += t_tile, h0 += plane->step_h, w0 += plane->step_w) {
        vec s[5][8];
        if (rows == 1) NAME(clip)(h0, 1, plane->h, 1, &top, &bottom);
        UNROLL for (int j = 0; j < cols; j++) {
            vec t[6], out[5];
            UNROLL for (int i = 0; i < rows; i++) t[i] = load(from + (i * cols + j) * t_point);
            if (rows > 1) NAME(answer)(rows, tall, out, t);
            UNROLL for (int i = 0; i < tall; i++) s[i][j] = rows > 1 ? out[i] : t[i];
        }
        NAME(clip)(w0, plane->dilation_w, plane->w, wide, &left, &right);
        UNROLL for (int i = 0; i < tall; i++) {
            vec out[6];
            if (i < top) continue;
            if (i >= bottom) break;
            NAME(answer)(cols, wide, out, s[i]);
            REAL *to = y + (h0 + i * plane->dilation_h) * plane->row;
            UNROLL for (int j = 0; j < wide; j++)
                if (j >= left && j < right) store(to + (w0 + j * plane->dilation_w) * plane->col, out[j] + start);
        }
    }
}

/* The taps of `filters` filters, w_filter apart: taps[t] holds tap t of each. Reads whole vectors before `end`. */
INLINE void NAME(load_taps)(const int n_taps, vec *taps, const REAL *w, idx w_filter, idx filters, const REAL *end)
{
    const REAL *last = w_filter > 0 ? w + (LANES - 1) * w_filter : w;
    UNROLL for (int t0 = 0; t0 < n_taps; t0 += LANES) {
        /* The last vector moves left to fit, if that can help. */
        const int first = t0 + LANES <= n_taps || n_taps < LANES ? t0 : n_taps - LANES;
        vec v[LANES];
        if (filters == LANES && t0 == n_taps - 1) { /* a tap that is no transposition's worth */
            vec alone = {0};
            UNROLL for (int k = 0; k < LANES; k++) alone[k] = w[k * w_filter + t0];
            taps[t0] = alone;
            break;
        }
        if (filters == LANES && end - (last + first) >= LANES)
            UNROLL for (int k = 0; k < LANES; k++) v[k] = load(w + k * w_filter + first);
        else
            for (int k = 0; k < LANES; k++) {
                REAL few[LANES] = {0};
                for (int t = 0; k < filters && t < LANES && t < n_taps - first; t++) few[t] = w[k * w_filter + first + t];
                v[k] = load(few);
            }
        NAME(transpose_block)(v);
        UNROLL for (int t = 0; t < LANES; t++)
            if (first + t < n_taps) taps[first + t] = v[t];
    }
}

INLINE void NAME(winograd_filters)(const int rows, const int cols, const int tall, const int wide, void *u_,
                                   idx u_point, idx u_depth, const void *w_, idx w_filter, idx w_depth, idx filters,
                                   idx depth, int flip, const void *end)
{
    const int n_taps = tall * wide;
    REAL *u = u_;
    const REAL *w = w_;
    for (idx c = 0; c < depth; c++, u += u_depth, w += w_depth) {
        vec taps[25], t[6][7];
        NAME(load_taps)(n_taps, taps, w, w_filter, filters, end);
        UNROLL for (int j = 0; j < wide; j++) {
            vec g[5], out[6];
            UNROLL for (int i = 0; i < tall; i++) g[i] = flip ? taps[n_taps - 1 - (i * wide + j)] : taps[i * wide + j];
            if (rows > 1) NAME(lift)(rows, tall, out, g);
            UNROLL for (int i = 0; i < rows; i++) t[i][j] = rows > 1 ? out[i] : g[i];
        }
        UNROLL for (int i = 0; i < rows; i++) {
            vec out[8];
            NAME(lift)(cols, wide, out, t[i]);
            UNROLL for (int j = 0; j < cols; j++) store(u + (i * cols + j) * u_point, out[j]);
        }
    }
}

INLINE void NAME(winograd_weights)(const int rows, const int cols, const int tall, const int wide, void *dw_,
                                   const void *s_, idx s_point, idx s_slice, idx n_slices, idx channels)
{
    const int n_taps = tall * wide;
    REAL *dw = dw_;
    const REAL *s = s_;
    for (idx c = 0; c < channels; c += LANES, s += LANES, dw += LANES * n_taps) {
        vec half[5][8], taps[25];
        UNROLL for (int j = 0; j < cols; j++) {
            vec t[6], out[5];
            UNROLL for (int i = 0; i < rows; i++) {
                const REAL *from = s + (i * cols + j) * s_point;
                t[i] = load(from);
                for (idx n = 1; n < n_slices; n++) t[i] += load(from + n * s_slice);
            }
            if (rows > 1) NAME(lower)(rows, tall, out, t);
            UNROLL for (int i = 0; i < tall; i++) half[i][j] = rows > 1 ? out[i] : t[i];
        }
        UNROLL for (int i = 0; i < tall; i++) NAME(lower)(cols, wide, taps + i * wide, half[i]);
        /* Filters one after the other again; what is too much of a vector, the next one overwrites. */
        enum { CHUNKS = (25 + LANES - 1) / LANES };
        const int alone = n_taps % LANES == 1; /* a last tap that is no vector's worth */
        vec v[CHUNKS][LANES];
        UNROLL for (int n = 0; n * LANES < n_taps - alone; n++) {
            UNROLL for (int t = 0; t < LANES; t++) v[n][t] = n * LANES + t < n_taps ? taps[n * LANES + t] : (vec){0};
            NAME(transpose_block)(v[n]);
        }
        REAL all[LANES * 25 + LANES];
        REAL *to = alone && channels - c >= LANES ? dw : all; /* in place, where nothing is too much */
        UNROLL for (int i = 0; i < LANES; i++)
            UNROLL for (int n = 0; n * LANES < n_taps - alone; n++) store(to + i * n_taps + n * LANES, v[n][i]);
        if (alone)
            UNROLL for (int i = 0; i < LANES; i++) to[i * n_taps + n_taps - 1] = taps[n_taps - 1][i];
        if (to == all) memcpy(dw, all, (size_t)((channels - c < LANES ? channels - c : LANES) * n_taps) * sizeof(REAL));
    }
}

INLINE void NAME(gemm_tile)(const int vecs, idx depth, const REAL *a, idx a_row, idx a_depth, const REAL *b, idx b_depth,
                            REAL *y, idx y_row, int accumulate)
{
    vec acc[GEMM_ROWS][GEMM_VECS];
    UNROLL for (int r = 0; r < GEMM_ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = (vec){0};
    for (idx k = 0; k < depth; k++, a += a_depth, b += b_depth) {
        vec bv[GEMM_VECS];
        UNROLL for (int v = 0; v < vecs; v++) bv[v] = load(b + v * LANES);
        UNROLL for (int r = 0; r < GEMM_ROWS; r++) {
            vec ar = splat(a[r * a_row]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] += ar * bv[v];
        }
    }
    /* Partial sums meet at the end: one long sum would round worse. */
    UNROLL for (int r = 0; r < GEMM_ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            REAL *to = y + r * y_row + v * LANES;
            store(to, accumulate ? load(to) + acc[r][v] : acc[r][v]);
        }
}

#define GEMM(vecs)                                                                                                    \
    static void NAME(gemm_##vecs)(idx rows, idx depth, const void *a_, idx a_row, idx a_depth, const void *b,         \
                                  idx b_depth, void *y_, idx y_row, int accumulate)                                   \
    {                                                                                                                 \
        const REAL *a = a_;                                                                                           \
        REAL *y = y_;                                                                                                 \
        for (idx r = 0; r < rows; r += GEMM_ROWS)                                                                     \
            if (a_depth == 1)                                                                                         \
                NAME(gemm_tile)(vecs, depth, a + r * a_row, a_row, 1, b, b_depth, y + r * y_row, y_row, accumulate);  \
            else                                                                                                      \
                NAME(gemm_tile)(vecs, depth, a + r, 1, a_depth, b, b_depth, y + r * y_row, y_row, accumulate);        \
    }
GEMMS(GEMM)
#undef GEMM

/* The kernels of one size of the filter, with the name `size`. */
#define WINOGRAD(size, rows, cols, r_h, r_w)                                                                          \
    static void NAME(winograd_spread_##size)(void *z, idx z_point, idx z_tile, const void *dy, const fc_plane *plane, \
                                             idx h0, idx w0, idx count)                                               \
    {                                                                                                                 \
        NAME(winograd_spread)(rows, cols, rows + 1 - r_h, cols + 1 - r_w, z, z_point, z_tile, dy, plane, h0, w0,      \
                              count);                                                                                 \
    }                                                                                                                 \
    static void NAME(winograd_output_##size)(void *y, const fc_plane *plane, idx h0, idx w0, idx count,               \
                                             const void *t, idx t_point, idx t_tile, const void *bias)                \
    {                                                                                                                 \
        NAME(winograd_output)(rows, cols, rows + 1 - r_h, cols + 1 - r_w, y, plane, h0, w0, count, t, t_point,        \
                              t_tile, bias);                                                                          \
    }                                                                                                                 \
    static void NAME(winograd_filters_##size)(void *u, idx u_point, idx u_depth, const void *w, idx w_filter,         \
                                              idx w_depth, idx filters, idx depth, int flip, const void *end)         \
    {                                                                                                                 \
        NAME(winograd_filters)(rows, cols, r_h, r_w, u, u_point, u_depth, w, w_filter, w_depth, filters, depth, flip, \
                               end);                                                                                  \
    }                                                                                                                 \
    static void NAME(winograd_weights_##size)(void *dw, const void *s, idx s_point, idx s_slice, idx n_slices,        \
                                              idx channels)                                                           \
    {                                                                                                                 \
        NAME(winograd_weights)(rows, cols, r_h, r_w, dw, s, s_point, s_slice, n_slices, channels);                    \
    }
WINOGRAD(2x2, 6, 6, 2, 2)
WINOGRAD(3x3, 6, 6, 3, 3)
WINOGRAD(4x4, 6, 6, 4, 4)
WINOGRAD(5x5, 6, 6, 5, 5)
WINOGRAD(small_2x2, 5, 5, 2, 2)
WINOGRAD(small_3x3, 5, 5, 3, 3)
WINOGRAD(1x3, 1, 8, 1, 3)
WINOGRAD(1x5, 1, 8, 1, 5)
WINOGRAD(1x7, 1, 8, 1, 7)
#undef WINOGRAD

#undef HALF_ROOT
#undef ROOT
