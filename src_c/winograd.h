/* Winograd's minimal filtering on tiles of 6 x 6, 5 x 5 and 1 x 8 points, with channels along the lanes: then no shape
 * of a tile leaves a lane idle.
 *
 * F(m, r) computes m outputs of a filter of r taps by n = m + r - 1 products, which in one dimension is
 *     y = A^T [(G w) * (B^T x)].
 * The matrices come from n - 1 points p_j and the one at infinity. With M(t) = (t - p_0) (t - p_1) ...
 *     row j of B^T   holds the coefficients of M(t) / (t - p_j),
 *     row j of G     is (1, p_j, ..., p_j^(r - 1)) / M'(p_j),
 *     column j of A^T is (1, p_j, ..., p_j^(m - 1)),
 * and at infinity B^T has the coefficients of M itself, G and A^T the highest power alone. The products' adjoint in w
 * is the gradient of the filter, dw = G^T [(A dy) * (B^T x)].
 *
 * The points come in pairs +-p, so that each pair shares its sums. 6 points are 0, +-sqrt(1/2), +-sqrt(2) and infinity;
 * 8 points are 0, +-1, +-1/2, +-2 and infinity; 5 points are +-1/2, +-5/4 and infinity. For cheaper sums the sign of
 * row j is changed both in B^T and in G, at 0 of the 8 points and at -p of the 5.
 *
 * A square tile takes each matrix on both sides: V = B^T x B, U = G w G^T, y = A^T m A, where m sums the products of V
 * and U over channels. A filter of one row takes tiles of 1 x 8, and one of one column takes the same tiles in a plane
 * whose axes are exchanged. (Winograd 1980; Lavin and Gray 2016, whose letters these are; the points are those of the
 * least error, after Barabasz et al. 2020.)
 */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

/* The sizes of filters that have kernels: 2 x 2 to 5 x 5 on tiles of 6 x 6 points; from FC_SMALL on 2 x 2 and 3 x 3 on
 * tiles of 5 x 5; from FC_LINES on 1 x 3, 1 x 5 and 1 x 7 on tiles of 1 x 8. FC_FOURIER are those of fourier.h, on
 * tiles of 16 x 16, for filters of any size. */
enum { FC_SMALL = 4, FC_LINES = 6, FC_FOURIER = 9, FC_TILINGS };

/* One plane of an image whose channels lie along the lanes. */
typedef struct {
    idx h, w;     /* its size in pixels */
    idx row, col; /* elements from a row to the next, from a pixel to the next */
    idx dilation_h, dilation_w;
    idx step_h, step_w; /* pixels from a tile to the next */
    idx tall, wide;     /* outputs of a tile, for FC_FOURIER to know */
} fc_plane;

typedef struct {
    /* The transforms of `count` tiles side by side: pixel (i, j) of tile n is pixel (h0 + n * step_h + i * dilation_h,
     * w0 + n * step_w + j * dilation_w) of the plane. Pixels outside the plane read as zero and are not written. Point
     * i of tile n is at v + i * v_point + n * v_tile, and likewise in z and m.
     *
     * input: v = B^T x B, of tiles of 6 x 6 [0], 5 x 5 [1] and 1 x 8 points [2], and 16 x 16 pixels [3].
     * output_gradient: z = A dy A^T. output: y = A^T m A + bias, where bias may be NULL. */
    void (*input[4])(void *v, idx v_point, idx v_tile, const void *x, const fc_plane *plane, idx h0, idx w0, idx count);
    void (*output_gradient[FC_TILINGS])(void *z, idx z_point, idx z_tile, const void *dy, const fc_plane *plane, idx h0,
                                        idx w0, idx count);
    void (*output[FC_TILINGS])(void *y, const fc_plane *plane, idx h0, idx w0, idx count, const void *m, idx m_point,
                               idx m_tile, const void *bias);

    /* u = G w G^T with `filters` (at most a vector) along the lanes, for `depth` channels. Taps lie side by side in w;
     * `flip` reverses them. Nothing is read from `end` on. They are tall x wide, for FC_FOURIER to know. */
    void (*filters[FC_TILINGS])(void *u, idx u_point, idx u_depth, const void *w, idx w_filter, idx w_depth,
                                idx filters, idx depth, int flip, const void *end, idx tall, idx wide);

    /* dw = G^T s G of one filter, where s is the sum of n_slices slices and has channels along the lanes; dw is
     * dense. */
    void (*filter_gradient[FC_TILINGS])(void *dw, const void *s, idx s_point, idx s_slice, idx n_slices, idx channels,
                                        idx tall, idx wide);
} fc_winograd_kernels;

#endif

#ifdef REAL

#define HALF_ROOT ((REAL)0.70710678118654752440)
#define ROOT ((REAL)1.41421356237309504880)

/* For each pair +-p of the 5, 6 and 8 points: p, p^2 and 1 / M'(p). At -p of the 5 points, whose M' is odd, the changed
 * sign of row j makes the last number serve both; M' of the others is even. */
static const REAL NAME(pairs)[3][3][3] = {
    {{(REAL)0.5, (REAL)0.25, (REAL)(-16.0 / 21)}, {(REAL)1.25, (REAL)1.5625, (REAL)(32.0 / 105)}},
    {{HALF_ROOT, (REAL)0.5, (REAL)(-2.0 / 3)}, {ROOT, 2, (REAL)(1.0 / 6)}},
    {{1, 1, (REAL)(-2.0 / 9)}, {(REAL)0.5, (REAL)0.25, (REAL)(32.0 / 45)}, {2, 4, (REAL)(1.0 / 90)}},
};

INLINE int NAME(pairs_of)(const int points) { return (points > 5) + (points > 6); }

/* The index of the first pair: the point 0 comes before the pairs, unless there are 5 points. */
INLINE int NAME(first_pair)(const int points) { return points > 5; }

/* t = B^T d */
INLINE void NAME(multiply_BT)(const int points, vec *t, const vec *d)
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

/* y = A^T t, m numbers of it. */
INLINE void NAME(multiply_AT)(const int points, const int m, vec *y, const vec *t)
{
    const vec *pair = t + NAME(first_pair)(points);
    UNROLL_FOR (int k = 0; k < (points - 1) / 2; k++) {
        const REAL *p = NAME(pairs)[NAME(pairs_of)(points)][k];
        const vec even = pair[2 * k] + pair[2 * k + 1], odd = p[0] * (pair[2 * k] - pair[2 * k + 1]);
        REAL power = 1;
        UNROLL_FOR (int i = 0; i < m; i += 2, power *= p[1]) {
            y[i] = k ? y[i] + power * even : i || !NAME(first_pair)(points) ? power * even : t[0] + even;
            if (i + 1 < m) y[i + 1] = k ? y[i + 1] + power * odd : power * odd;
        }
    }
    y[m - 1] += t[points - 1];
}

/* z = A y, where y has m numbers. */
INLINE void NAME(multiply_A)(const int points, const int m, vec *z, const vec *y)
{
    vec *pair = z + NAME(first_pair)(points);
    z[0] = y[0];
    UNROLL_FOR (int k = 0; k < (points - 1) / 2; k++) {
        const REAL *p = NAME(pairs)[NAME(pairs_of)(points)][k];
        vec even = y[0], odd = y[1];
        REAL power = p[1];
        UNROLL_FOR (int i = 2; i < m; i += 2, power *= p[1]) {
            even += power * y[i];
            if (i + 1 < m) odd += power * y[i + 1];
        }
        pair[2 * k] = even + p[0] * odd;
        pair[2 * k + 1] = even - p[0] * odd;
    }
    z[points - 1] = y[m - 1];
}

/* u = G g, where g has r numbers: row j of G is that of A divided by M'(p_j). */
INLINE void NAME(multiply_G)(const int points, const int r, vec *u, const vec *g)
{
    const int first = NAME(first_pair)(points);
    NAME(multiply_A)(points, r, u, g);
    UNROLL_FOR (int k = first; k < points - 1; k++) u[k] *= NAME(pairs)[NAME(pairs_of)(points)][(k - first) / 2][2];
}

/* g = G^T s, r numbers of it. */
INLINE void NAME(multiply_GT)(const int points, const int r, vec *g, const vec *s)
{
    const int first = NAME(first_pair)(points);
    vec scaled[8] = {s[0]};
    UNROLL_FOR (int k = first; k < points - 1; k++)
        scaled[k] = NAME(pairs)[NAME(pairs_of)(points)][(k - first) / 2][2] * s[k];
    scaled[points - 1] = s[points - 1];
    NAME(multiply_AT)(points, r, g, scaled);
}

/* Of `size` pixels along an axis, `dilation` apart from `at` on, those from *from to *to lie inside 0 <= pixel <
 * limit. */
INLINE void NAME(clip)(idx at, idx dilation, idx limit, int size, int *from, int *to)
{
    *from = 0, *to = size;
    while (*from < size && at + *from * dilation < 0) ++*from;
    while (*to > *from && at + (*to - 1) * dilation >= limit) --*to;
}

/* The rows x cols pixels of a tile, *row and *col elements apart: where they lie if all are inside the plane, else in a
 * copy that is zero outside. The tile's rows from `top` to `bottom` are inside. */
INLINE const REAL *NAME(pixels_of_tile)(const int rows, const int cols, vec copy[36], const REAL *x,
                                        const fc_plane *plane, idx h, idx w, int top, int bottom, idx *row, idx *col)
{
    static const REAL nothing[LANES] = {0};
    int left, right;
    NAME(clip)(w, plane->dilation_w, plane->w, cols, &left, &right);
    const idx at = h * plane->row + w * plane->col;
    *row = plane->dilation_h * plane->row, *col = plane->dilation_w * plane->col;
    if (top == 0 && bottom == rows && left == 0 && right == cols) return x + at;
    for (int i = 0; i < rows; i++)
        UNROLL_FOR (int j = 0; j < cols; j++) {
            const int inside = i >= top && i < bottom && j >= left && j < right;
            /* A pixel outside of the plane may have no valid address. */
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
        const REAL *x = NAME(pixels_of_tile)(rows, cols, copy, x_, plane, h0, w0, top, bottom, &row, &col);
        UNROLL_FOR (int j = 0; j < cols; j++) {
            vec d[6], out[6];
            UNROLL_FOR (int i = 0; i < rows; i++) d[i] = load(x + i * row + j * col);
            if (rows > 1) NAME(multiply_BT)(rows, out, d);
            UNROLL_FOR (int i = 0; i < rows; i++) t[i][j] = rows > 1 ? out[i] : d[i];
        }
        UNROLL_FOR (int i = 0; i < rows; i++) {
            vec out[8];
            NAME(multiply_BT)(cols, out, t[i]);
            UNROLL_FOR (int j = 0; j < cols; j++) store(v + (i * cols + j) * v_point, out[j]);
        }
    }
}

#define INPUT(tile, rows, cols)                                                                                        \
    static void NAME(winograd_input_##tile)(void *v, idx v_point, idx v_tile, const void *x, const fc_plane *plane,    \
                                            idx h0, idx w0, idx count)                                                 \
    {                                                                                                                  \
        NAME(winograd_input)(rows, cols, v, v_point, v_tile, x, plane, h0, w0, count);                                 \
    }
INPUT(square, 6, 6)
INPUT(small, 5, 5)
INPUT(line, 1, 8)
#undef INPUT

/* The transforms below are for tiles of rows x cols points, and of tall x wide outputs or taps. */

INLINE void NAME(winograd_output_gradient)(const int rows, const int cols, const int tall, const int wide, void *z_,
                                           idx z_point, idx z_tile, const void *dy_, const fc_plane *plane, idx h0,
                                           idx w0, idx count)
{
    REAL *z = z_;
    int top, bottom;
    NAME(clip)(h0, plane->dilation_h, plane->h, tall, &top, &bottom);
    for (idx n = 0; n < count; n++, z += z_tile, h0 += plane->step_h, w0 += plane->step_w) {
        vec copy[36], t[6][6];
        idx row, col;
        if (rows == 1) NAME(clip)(h0, 1, plane->h, 1, &top, &bottom);
        const REAL *dy = NAME(pixels_of_tile)(tall, wide, copy, dy_, plane, h0, w0, top, bottom, &row, &col);
        UNROLL_FOR (int j = 0; j < wide; j++) {
            vec d[5], out[6];
            UNROLL_FOR (int i = 0; i < tall; i++) d[i] = load(dy + i * row + j * col);
            if (rows > 1) NAME(multiply_A)(rows, tall, out, d);
            UNROLL_FOR (int i = 0; i < rows; i++) t[i][j] = rows > 1 ? out[i] : d[i];
        }
        UNROLL_FOR (int i = 0; i < rows; i++) {
            vec out[8];
            NAME(multiply_A)(cols, wide, out, t[i]);
            UNROLL_FOR (int j = 0; j < cols; j++) store(z + (i * cols + j) * z_point, out[j]);
        }
    }
}

INLINE void NAME(winograd_output)(const int rows, const int cols, const int tall, const int wide, void *y_,
                                  const fc_plane *plane, idx h0, idx w0, idx count, const void *m_, idx m_point,
                                  idx m_tile, const void *bias)
{
    REAL *y = y_;
    const REAL *m = m_;
    const vec start = bias ? load(bias) : (vec){0};
    int top, bottom, left, right;
    NAME(clip)(h0, plane->dilation_h, plane->h, tall, &top, &bottom);
    for (idx n = 0; n < count; n++, m += m_tile, h0 += plane->step_h, w0 += plane->step_w) {
        vec s[5][8];
        if (rows == 1) NAME(clip)(h0, 1, plane->h, 1, &top, &bottom);
        UNROLL_FOR (int j = 0; j < cols; j++) {
            vec t[6], out[5];
            UNROLL_FOR (int i = 0; i < rows; i++) t[i] = load(m + (i * cols + j) * m_point);
            if (rows > 1) NAME(multiply_AT)(rows, tall, out, t);
            UNROLL_FOR (int i = 0; i < tall; i++) s[i][j] = rows > 1 ? out[i] : t[i];
        }
        NAME(clip)(w0, plane->dilation_w, plane->w, wide, &left, &right);
        UNROLL_FOR (int i = 0; i < tall; i++) {
            vec out[6];
            if (i < top) continue;
            if (i >= bottom) break;
            NAME(multiply_AT)(cols, wide, out, s[i]);
            REAL *to = y + (h0 + i * plane->dilation_h) * plane->row;
            UNROLL_FOR (int j = 0; j < wide; j++)
                if (j >= left && j < right) store(to + (w0 + j * plane->dilation_w) * plane->col, out[j] + start);
        }
    }
}

/* taps[t] holds tap t of each of `filters` filters, which lie w_filter apart. Whole vectors are read, where they end
 * before `end`. */
INLINE void NAME(load_taps)(const int n_taps, vec *taps, const REAL *w, idx w_filter, idx filters, const REAL *end)
{
    const REAL *last = w_filter > 0 ? w + (LANES - 1) * w_filter : w;
    UNROLL_FOR (int t0 = 0; t0 < n_taps; t0 += LANES) {
        /* The last vector moves left to fit, unless the taps are fewer than a vector. */
        const int first = t0 + LANES <= n_taps || n_taps < LANES ? t0 : n_taps - LANES;
        vec v[LANES];
        if (filters == LANES && t0 == n_taps - 1) { /* one tap alone is not worth a transposition */
            vec alone = {0};
            UNROLL_FOR (int k = 0; k < LANES; k++) alone[k] = w[k * w_filter + t0];
            taps[t0] = alone;
            break;
        }
        if (filters == LANES && end - (last + first) >= LANES)
            UNROLL_FOR (int k = 0; k < LANES; k++) v[k] = load(w + k * w_filter + first);
        else
            for (int k = 0; k < LANES; k++) {
                REAL few[LANES] = {0};
                for (int t = 0; k < filters && t < LANES && t < n_taps - first; t++)
                    few[t] = w[k * w_filter + first + t];
                v[k] = load(few);
            }
        NAME(transpose_block)(v);
        UNROLL_FOR (int t = 0; t < LANES; t++)
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
        UNROLL_FOR (int j = 0; j < wide; j++) {
            vec g[5], out[6];
            UNROLL_FOR (int i = 0; i < tall; i++) g[i] = flip ? taps[n_taps - 1 - (i * wide + j)] : taps[i * wide + j];
            if (rows > 1) NAME(multiply_G)(rows, tall, out, g);
            UNROLL_FOR (int i = 0; i < rows; i++) t[i][j] = rows > 1 ? out[i] : g[i];
        }
        UNROLL_FOR (int i = 0; i < rows; i++) {
            vec out[8];
            NAME(multiply_G)(cols, wide, out, t[i]);
            UNROLL_FOR (int j = 0; j < cols; j++) store(u + (i * cols + j) * u_point, out[j]);
        }
    }
}

INLINE void NAME(winograd_filter_gradient)(const int rows, const int cols, const int tall, const int wide, void *dw_,
                                           const void *s_, idx s_point, idx s_slice, idx n_slices, idx channels)
{
    const int n_taps = tall * wide;
    REAL *dw = dw_;
    const REAL *s = s_;
    for (idx c = 0; c < channels; c += LANES, s += LANES, dw += LANES * n_taps) {
        vec half[5][8], taps[25];
        UNROLL_FOR (int j = 0; j < cols; j++) {
            vec t[6], out[5];
            UNROLL_FOR (int i = 0; i < rows; i++) {
                const REAL *from = s + (i * cols + j) * s_point;
                t[i] = load(from);
                for (idx n = 1; n < n_slices; n++) t[i] += load(from + n * s_slice);
            }
            if (rows > 1) NAME(multiply_GT)(rows, tall, out, t);
            UNROLL_FOR (int i = 0; i < tall; i++) half[i][j] = rows > 1 ? out[i] : t[i];
        }
        UNROLL_FOR (int i = 0; i < tall; i++) NAME(multiply_GT)(cols, wide, taps + i * wide, half[i]);
        /* Filters are stored one after the other, by whole vectors: what is too much, the next filter overwrites. */
        enum { CHUNKS = (25 + LANES - 1) / LANES };
        const int alone = n_taps % LANES == 1; /* one tap alone is not worth a vector */
        vec v[CHUNKS][LANES];
        UNROLL_FOR (int n = 0; n * LANES < n_taps - alone; n++) {
            UNROLL_FOR (int t = 0; t < LANES; t++) v[n][t] = n * LANES + t < n_taps ? taps[n * LANES + t] : (vec){0};
            NAME(transpose_block)(v[n]);
        }
        REAL all[LANES * 25 + LANES];
        REAL *to = alone && channels - c >= LANES ? dw : all; /* in place, if nothing is too much */
        UNROLL_FOR (int i = 0; i < LANES; i++)
            UNROLL_FOR (int n = 0; n * LANES < n_taps - alone; n++) store(to + i * n_taps + n * LANES, v[n][i]);
        if (alone)
            UNROLL_FOR (int i = 0; i < LANES; i++) to[i * n_taps + n_taps - 1] = taps[n_taps - 1][i];
        if (to == all) memcpy(dw, all, (size_t)((channels - c < LANES ? channels - c : LANES) * n_taps) * sizeof(REAL));
    }
}

/* The kernels of filters of r_h x r_w taps, under the name `size`. */
#define WINOGRAD(size, rows, cols, r_h, r_w)                                                                           \
    static void NAME(winograd_output_gradient_##size)(void *z, idx z_point, idx z_tile, const void *dy,                \
                                                      const fc_plane *plane, idx h0, idx w0, idx count)                \
    {                                                                                                                  \
        NAME(winograd_output_gradient)(rows, cols, rows + 1 - r_h, cols + 1 - r_w, z, z_point, z_tile, dy, plane, h0,  \
                                       w0, count);                                                                     \
    }                                                                                                                  \
    static void NAME(winograd_output_##size)(void *y, const fc_plane *plane, idx h0, idx w0, idx count, const void *m, \
                                             idx m_point, idx m_tile, const void *bias)                                \
    {                                                                                                                  \
        NAME(winograd_output)(rows, cols, rows + 1 - r_h, cols + 1 - r_w, y, plane, h0, w0, count, m, m_point, m_tile, \
                              bias);                                                                                   \
    }                                                                                                                  \
    static void NAME(winograd_filters_##size)(void *u, idx u_point, idx u_depth, const void *w, idx w_filter,          \
                                              idx w_depth, idx filters, idx depth, int flip, const void *end,          \
                                              idx tall, idx wide)                                                      \
    {                                                                                                                  \
        (void)tall, (void)wide;                                                                                        \
        NAME(winograd_filters)(rows, cols, r_h, r_w, u, u_point, u_depth, w, w_filter, w_depth, filters, depth, flip,  \
                               end);                                                                                   \
    }                                                                                                                  \
    static void NAME(winograd_filter_gradient_##size)(void *dw, const void *s, idx s_point, idx s_slice, idx n_slices, \
                                                      idx channels, idx tall, idx wide)                                \
    {                                                                                                                  \
        (void)tall, (void)wide;                                                                                        \
        NAME(winograd_filter_gradient)(rows, cols, r_h, r_w, dw, s, s_point, s_slice, n_slices, channels);             \
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

#include "fourier.h"

#define SIZES(transform)                                                                                               \
    {NAME(winograd_##transform##_2x2), NAME(winograd_##transform##_3x3),       NAME(winograd_##transform##_4x4),       \
     NAME(winograd_##transform##_5x5), NAME(winograd_##transform##_small_2x2), NAME(winograd_##transform##_small_3x3), \
     NAME(winograd_##transform##_1x3), NAME(winograd_##transform##_1x5),       NAME(winograd_##transform##_1x7),       \
     NAME(fourier_##transform)}
static const fc_winograd_kernels NAME(winograd) = {
    .input = {NAME(winograd_input_square), NAME(winograd_input_small), NAME(winograd_input_line), NAME(fourier_input)},
    .output_gradient = SIZES(output_gradient),
    .output = SIZES(output),
    .filters = SIZES(filters),
    .filter_gradient = SIZES(filter_gradient),
};
#undef SIZES
#undef HALF_ROOT
#undef ROOT

#endif
