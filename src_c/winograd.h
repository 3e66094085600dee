/* Winograd's minimal filtering on 6 x 6 tiles, for one element type. Included by real.h, whose names it uses.
 *
 * F(m x m, r x r), m + r = 7, with the points 0, +-sqrt(1/2), +-sqrt(2) and infinity: in one dimension
 *     y = A' [(G g) * (B' d)]
 * where row j of B' holds the coefficients of M(x) / (x - p_j), M(x) = x (x^2 - 1/2) (x^2 - 2), row j of G is
 * (1, p_j, ..., p_j^(r - 1)) / M'(p_j), and column j of A' is (1, p_j, ..., p_j^(m - 1)); infinity takes the highest
 * power alone. In two dimensions each is applied to columns and then to rows. The adjoint gives the weight gradient,
 *     dg = G' [(A dy) * (B' d)].
 * Channels lie along the lanes: a tile's shape then never leaves one idle. (Winograd 1980; Lavin and Gray 2016; the
 * points are those of the least error, after Barabasz et al. 2020.) */

#define HALF_ROOT ((REAL)0.70710678118654752440)
#define ROOT ((REAL)1.41421356237309504880)

/* B' d */
INLINE void NAME(sight)(vec t[6], const vec d[6])
{
    vec u = d[4] - 2 * d[2], v = HALF_ROOT * (d[3] - 2 * d[1]);
    vec p = d[4] - (REAL)0.5 * d[2], q = ROOT * (d[3] - (REAL)0.5 * d[1]);
    t[0] = (d[0] + d[4]) - (REAL)2.5 * d[2];
    t[1] = u + v;
    t[2] = u - v;
    t[3] = p + q;
    t[4] = p - q;
    t[5] = (d[1] + d[5]) - (REAL)2.5 * d[3];
}

/* A' t: m numbers */
INLINE void NAME(answer)(const int m, vec *y, const vec t[6])
{
    vec even = t[1] + t[2], odd = HALF_ROOT * (t[1] - t[2]);
    vec even2 = t[3] + t[4], odd2 = ROOT * (t[3] - t[4]);
    y[0] = t[0] + even + even2;
    y[1] = odd + odd2;
    if (m == 2) y[1] += t[5];
    if (m == 4) {
        y[2] = (REAL)0.5 * even + 2 * even2;
        y[3] = (REAL)0.5 * odd + 2 * odd2 + t[5];
    }
}

/* A y, of m numbers */
INLINE void NAME(spread)(const int m, vec z[6], const vec *y)
{
    vec even = y[0], odd = y[1], even2 = y[0], odd2 = y[1];
    if (m == 4) {
        even += (REAL)0.5 * y[2], odd += (REAL)0.5 * y[3];
        even2 += 2 * y[2], odd2 += 2 * y[3];
    }
    z[0] = y[0];
    z[1] = even + HALF_ROOT * odd;
    z[2] = even - HALF_ROOT * odd;
    z[3] = even2 + ROOT * odd2;
    z[4] = even2 - ROOT * odd2;
    z[5] = y[m - 1];
}

/* G g, of r numbers */
INLINE void NAME(lift)(const int r, vec u[6], const vec *g)
{
    const REAL near = (REAL)(-2.0 / 3), far = (REAL)(1.0 / 6);
    vec even = g[0] + (REAL)0.5 * g[2], odd = g[1], even2 = g[0] + 2 * g[2], odd2 = g[1];
    if (r == 5) {
        even += (REAL)0.25 * g[4], odd += (REAL)0.5 * g[3];
        even2 += 4 * g[4], odd2 += 2 * g[3];
    }
    even *= near, odd *= near * HALF_ROOT;
    even2 *= far, odd2 *= far * ROOT;
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = even2 + odd2;
    u[4] = even2 - odd2;
    u[5] = g[r - 1];
}

/* G' s: r numbers */
INLINE void NAME(lower)(const int r, vec *g, const vec s[6])
{
    const REAL near = (REAL)(-2.0 / 3), far = (REAL)(1.0 / 6);
    vec even = near * (s[1] + s[2]), odd = near * HALF_ROOT * (s[1] - s[2]);
    vec even2 = far * (s[3] + s[4]), odd2 = far * ROOT * (s[3] - s[4]);
    g[0] = s[0] + even + even2;
    g[1] = odd + odd2;
    g[2] = (REAL)0.5 * even + 2 * even2;
    if (r == 5) {
        g[3] = (REAL)0.5 * odd + 2 * odd2;
        g[4] = (REAL)0.25 * even + 4 * even2;
    }
    g[r - 1] += s[5];
}

/* Element (i, j) of tile n of a row of tiles is pixel (h0 + i * dilation_h, w0 + n * step + j * dilation_w). How many of
 * `size` elements from `at` on, `dilation` apart, come before the first inside 0 <= pixel < limit, and before the end. */
INLINE void NAME(clip)(idx at, idx dilation, idx limit, int size, int *from, int *to)
{
    *from = 0, *to = size;
    while (*from < size && at + *from * dilation < 0) ++*from;
    while (*to > *from && at + (*to - 1) * dilation >= limit) --*to;
}

/* The size x size pixels of a tile, `row` and `col` elements apart: where they lie, or a copy that is zero outside the
 * plane, whose rows from `top` to `bottom` the tile sees. */
INLINE const REAL *NAME(window)(const int size, vec copy[36], const REAL *x, const fc_plane *plane, idx h, idx w,
                                int top, int bottom, idx *row, idx *col)
{
    int left, right;
    NAME(clip)(w, plane->dilation_w, plane->w, size, &left, &right);
    const idx at = h * plane->row + w * plane->col;
    *row = plane->dilation_h * plane->row, *col = plane->dilation_w * plane->col;
    if (top == 0 && bottom == size && left == 0 && right == size) return x + at;
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            const int inside = i >= top && i < bottom && j >= left && j < right;
            /* Of a pixel outside of the plane there may be no address. */
            copy[i * size + j] = inside ? load(x + (at + i * *row + j * *col)) : (vec){0};
        }
    *row = size * LANES, *col = LANES;
    return (const REAL *)copy;
}

INLINE void NAME(sight_tile)(REAL *v, idx v_point, const REAL *x, idx row, idx col)
{
    vec t[6][6];
    UNROLL for (int j = 0; j < 6; j++) {
        vec d[6], out[6];
        UNROLL for (int i = 0; i < 6; i++) d[i] = load(x + i * row + j * col);
        NAME(sight)(out, d);
        UNROLL for (int i = 0; i < 6; i++) t[i][j] = out[i];
    }
    UNROLL for (int i = 0; i < 6; i++) {
        vec out[6];
        NAME(sight)(out, t[i]);
        UNROLL for (int j = 0; j < 6; j++) store(v + (i * 6 + j) * v_point, out[j]);
    }
}

static void NAME(winograd_input)(void *v_, idx v_point, idx v_tile, const void *x_, const fc_plane *plane, idx h0,
                                 idx w0, idx step, idx count)
{
    REAL *v = v_;
    int top, bottom;
    NAME(clip)(h0, plane->dilation_h, plane->h, 6, &top, &bottom);
    for (idx n = 0; n < count; n++, v += v_tile, w0 += step) {
        vec copy[36];
        idx row, col;
        const REAL *x = NAME(window)(6, copy, x_, plane, h0, w0, top, bottom, &row, &col);
        NAME(sight_tile)(v, v_point, x, row, col);
    }
}

INLINE void NAME(winograd_spread)(const int m, void *z_, idx z_point, idx z_tile, const void *dy_,
                                  const fc_plane *plane, idx h0, idx w0, idx step, idx count)
{
    REAL *z = z_;
    int top, bottom;
    NAME(clip)(h0, plane->dilation_h, plane->h, m, &top, &bottom);
    for (idx n = 0; n < count; n++, z += z_tile, w0 += step) {
        vec copy[36], t[6][4];
        idx row, col;
        const REAL *dy = NAME(window)(m, copy, dy_, plane, h0, w0, top, bottom, &row, &col);
        UNROLL for (int j = 0; j < m; j++) {
            vec d[4], out[6];
            UNROLL for (int i = 0; i < m; i++) d[i] = load(dy + i * row + j * col);
            NAME(spread)(m, out, d);
            UNROLL for (int i = 0; i < 6; i++) t[i][j] = out[i];
        }
        UNROLL for (int i = 0; i < 6; i++) {
            vec out[6];
            NAME(spread)(m, out, t[i]);
            UNROLL for (int j = 0; j < 6; j++) store(z + (i * 6 + j) * z_point, out[j]);
        }
    }
}

INLINE void NAME(winograd_output)(const int m, void *y_, const fc_plane *plane, idx h0, idx w0, idx step, idx count,
                                  const void *t_, idx t_point, idx t_tile, const void *bias)
{
    REAL *y = y_;
    const REAL *from = t_;
    const vec start = bias ? load(bias) : (vec){0};
    int top, bottom, left, right;
    NAME(clip)(h0, plane->dilation_h, plane->h, m, &top, &bottom);
    for (idx n = 0; n < count; n++, from += t_tile, w0 += step) {
        vec s[4][6];
        UNROLL for (int j = 0; j < 6; j++) {
            vec t[6], out[4];
            UNROLL for (int i = 0; i < 6; i++) t[i] = load(from + (i * 6 + j) * t_point);
            NAME(answer)(m, out, t);
            UNROLL for (int i = 0; i < m; i++) s[i][j] = out[i];
        }
        NAME(clip)(w0, plane->dilation_w, plane->w, m, &left, &right);
        UNROLL for (int i = 0; i < m; i++) {
            vec out[4];
            if (i >= bottom) break;
            NAME(answer)(m, out, s[i]);
            REAL *to = y + (h0 + i * plane->dilation_h) * plane->row;
            UNROLL for (int j = 0; j < m; j++)
                if (j < right) store(to + (w0 + j * plane->dilation_w) * plane->col, out[j] + start);
        }
    }
}

/* The r * r taps of `filters` filters, w_filter apart: taps[t] holds tap t of each. Reads whole vectors before `end`. */
INLINE void NAME(load_taps)(const int r, vec *taps, const REAL *w, idx w_filter, idx filters, const REAL *end)
{
    const REAL *last = w_filter > 0 ? w + (LANES - 1) * w_filter : w;
    UNROLL for (int t0 = 0; t0 < r * r; t0 += LANES) {
        /* The last vector moves left to fit, if that can help. */
        const int first = t0 + LANES <= r * r || r * r < LANES ? t0 : r * r - LANES;
        vec v[LANES];
        if (filters == LANES && t0 == r * r - 1) { /* a tap that is no transposition's worth */
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
                for (int t = 0; k < filters && t < LANES && t < r * r - first; t++) few[t] = w[k * w_filter + first + t];
                v[k] = load(few);
            }
        NAME(transpose_block)(v);
        UNROLL for (int t = 0; t < LANES; t++)
            if (first + t < r * r) taps[first + t] = v[t];
    }
}

INLINE void NAME(winograd_filters)(const int r, void *u_, idx u_point, idx u_depth, const void *w_, idx w_filter,
                                   idx w_depth, idx filters, idx depth, int flip, const void *end)
{
    REAL *u = u_;
    const REAL *w = w_;
    for (idx c = 0; c < depth; c++, u += u_depth, w += w_depth) {
        vec taps[25], t[6][5];
        NAME(load_taps)(r, taps, w, w_filter, filters, end);
        UNROLL for (int j = 0; j < r; j++) {
            vec g[5], out[6];
            UNROLL for (int i = 0; i < r; i++) g[i] = flip ? taps[r * r - 1 - (i * r + j)] : taps[i * r + j];
            NAME(lift)(r, out, g);
            UNROLL for (int i = 0; i < 6; i++) t[i][j] = out[i];
        }
        UNROLL for (int i = 0; i < 6; i++) {
            vec out[6];
            NAME(lift)(r, out, t[i]);
            UNROLL for (int j = 0; j < 6; j++) store(u + (i * 6 + j) * u_point, out[j]);
        }
    }
}

INLINE void NAME(winograd_weights)(const int r, void *dw_, const void *s_, idx s_point, idx s_slice, idx n_slices,
                                   idx channels)
{
    REAL *dw = dw_;
    const REAL *s = s_;
    for (idx c = 0; c < channels; c += LANES, s += LANES, dw += LANES * r * r) {
        vec half[5][6], taps[25];
        UNROLL for (int j = 0; j < 6; j++) {
            vec t[6], out[5];
            UNROLL for (int i = 0; i < 6; i++) {
                const REAL *from = s + (i * 6 + j) * s_point;
                t[i] = load(from);
                for (idx n = 1; n < n_slices; n++) t[i] += load(from + n * s_slice);
            }
            NAME(lower)(r, out, t);
            UNROLL for (int i = 0; i < r; i++) half[i][j] = out[i];
        }
        UNROLL for (int i = 0; i < r; i++) NAME(lower)(r, taps + i * r, half[i]);
        /* Filters one after the other again; what is too much of a vector, the next one overwrites. */
        enum { CHUNKS = (25 + LANES - 1) / LANES };
        const int alone = r * r % LANES == 1; /* a last tap that is no vector's worth */
        vec v[CHUNKS][LANES];
        UNROLL for (int n = 0; n * LANES < r * r - alone; n++) {
            UNROLL for (int t = 0; t < LANES; t++) v[n][t] = n * LANES + t < r * r ? taps[n * LANES + t] : (vec){0};
            NAME(transpose_block)(v[n]);
        }
        REAL all[LANES * 25 + LANES];
        REAL *to = alone && channels - c >= LANES ? dw : all; /* in place, where nothing is too much */
        UNROLL for (int i = 0; i < LANES; i++)
            UNROLL for (int n = 0; n * LANES < r * r - alone; n++) store(to + i * r * r + n * LANES, v[n][i]);
        if (alone)
            UNROLL for (int i = 0; i < LANES; i++) to[i * r * r + r * r - 1] = taps[r * r - 1][i];
        if (to == all) memcpy(dw, all, (size_t)((channels - c < LANES ? channels - c : LANES) * r * r) * sizeof(REAL));
    }
}

INLINE void NAME(gemm)(const int vecs, idx depth, const void *a_, idx a_row, idx a_depth, const void *b_, idx b_depth,
                       void *y_, idx y_row, int accumulate)
{
    const REAL *a = a_, *b = b_;
    REAL *y = y_;
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
    static void NAME(gemm_##vecs)(idx depth, const void *a, idx a_row, idx a_depth, const void *b, idx b_depth,       \
                                  void *y, idx y_row, int accumulate)                                                 \
    {                                                                                                                 \
        if (a_depth == 1)                                                                                             \
            NAME(gemm)(vecs, depth, a, a_row, 1, b, b_depth, y, y_row, accumulate);                                   \
        else                                                                                                          \
            NAME(gemm)(vecs, depth, a, 1, a_depth, b, b_depth, y, y_row, accumulate);                                 \
    }
GEMMS(GEMM)
#undef GEMM

/* The kernels of one size of the filter, r, and the m = 7 - r outputs a side that go with it. */
#define WINOGRAD(r, m)                                                                                                \
    static void NAME(winograd_spread_##r)(void *z, idx z_point, idx z_tile, const void *dy, const fc_plane *plane,    \
                                          idx h0, idx w0, idx step, idx count)                                        \
    {                                                                                                                 \
        NAME(winograd_spread)(m, z, z_point, z_tile, dy, plane, h0, w0, step, count);                                 \
    }                                                                                                                 \
    static void NAME(winograd_output_##r)(void *y, const fc_plane *plane, idx h0, idx w0, idx step, idx count,        \
                                          const void *t, idx t_point, idx t_tile, const void *bias)                   \
    {                                                                                                                 \
        NAME(winograd_output)(m, y, plane, h0, w0, step, count, t, t_point, t_tile, bias);                            \
    }                                                                                                                 \
    static void NAME(winograd_filters_##r)(void *u, idx u_point, idx u_depth, const void *w, idx w_filter,            \
                                           idx w_depth, idx filters, idx depth, int flip, const void *end)            \
    {                                                                                                                 \
        NAME(winograd_filters)(r, u, u_point, u_depth, w, w_filter, w_depth, filters, depth, flip, end);              \
    }                                                                                                                 \
    static void NAME(winograd_weights_##r)(void *dw, const void *s, idx s_point, idx s_slice, idx n_slices,           \
                                           idx channels)                                                              \
    {                                                                                                                 \
        NAME(winograd_weights)(r, dw, s, s_point, s_slice, n_slices, channels);                                       \
    }
WINOGRAD(3, 4)
WINOGRAD(5, 2)
#undef WINOGRAD

#undef HALF_ROOT
#undef ROOT
