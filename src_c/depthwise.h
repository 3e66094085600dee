/* Windows over rows of few channels, for one element type: depthwise convolution. Included by real.h, whose names it uses.
 *
 * Pixels of a row lie along the lanes, and rows are read where they are. A vector that reaches over a row's end is
 * masked with the same columns of a row of ones and zeros; rows above and below the image are a row of zeros. */

/* acc[m][0..LANES) += what columns j < n of taps give to the outputs from q on of M rows, `step` rows of x apart. A
 * column is `height` taps, one below the other; every row of x that it meets is loaded once. */
INLINE void NAME(columns)(const int height, const int M, const idx step, const idx stride, const int masked, vec *acc,
                          const REAL *const *rows, const fc_tap *taps, idx n, const REAL *w, const REAL *mask, idx q)
{
    for (idx j = 0; j < n; j++, w += height) {
        const REAL *const *x = rows + taps[j].row;
        const idx at = q * stride + taps[j].col;
        const int n_rows = height == 1 ? M : (int)((M - 1) * step) + height;
        const mask_vec inside = masked ? (mask_vec)NAME(load_every)(mask + at, stride) : (mask_vec){0};
        vec wr[7];
        UNROLL for (int r = 0; r < height; r++) wr[r] = splat(w[r]);
        UNROLL for (int i = 0; i < n_rows; i++) {
            vec v = NAME(load_every)(x[height == 1 ? i * step : i] + at, stride);
            if (masked) v = (vec)((mask_vec)v & inside);
            if (height == 1)
                acc[i] += wr[0] * v;
            else
                UNROLL for (int m = 0; m < M; m++)
                    if (i >= m * step && i < m * step + height) acc[m] += wr[i - m * step] * v;
        }
    }
}

INLINE void NAME(put)(REAL *y, vec v, idx room)
{
    if (room >= LANES) {
        store(y, v);
    } else if (room > 0) {
        REAL whole[LANES];
        store(whole, v);
        NAME(copy)(y, whole, room);
    }
}

/* M rows of outputs. With two phases, even and odd columns of y have taps of their own. */
INLINE void NAME(rows_of_windows)(const int height, const int M, const idx step, const idx stride, const int phases,
                                  REAL *y, idx y_row, const REAL *y_end, const REAL *const *rows, const fc_windows *s,
                                  const REAL *w, REAL bias)
{
    const idx count = phases == 2 ? (s->width + 1) / 2 : s->width;
    const REAL *mask = s->mask;
    for (idx q = 0;;) {
        vec acc[2][4];
        UNROLL for (int m = 0; m < M; m++) acc[0][m] = acc[1][m] = splat(bias);
        if (q >= s->from && q + LANES <= s->to) {
            NAME(columns)(height, M, step, stride, 0, acc[0], rows, s->taps, s->n_taps[0], w, mask, q);
            if (phases == 2)
                NAME(columns)(height, M, step, stride, 0, acc[1], rows, s->taps + s->n_taps[0], s->n_taps[1],
                              w + height * s->n_taps[0], mask, q);
        } else {
            NAME(columns)(height, M, step, stride, 1, acc[0], rows, s->taps, s->n_taps[0], w, mask, q);
            if (phases == 2)
                NAME(columns)(height, M, step, stride, 1, acc[1], rows, s->taps + s->n_taps[0], s->n_taps[1],
                              w + height * s->n_taps[0], mask, q);
        }
        UNROLL for (int m = 0; m < M; m++) {
            REAL *to = y + m * y_row + q * phases;
            /* Into the next row, if that is written later. */
            const idx room = y_row == s->width ? y_end - to : s->width - q * phases;
            if (phases == 2) {
                NAME(put)(to, NAME(zip_low)(acc[0][m], acc[1][m]), s->width - 2 * q);
                NAME(put)(to + LANES, NAME(zip_high)(acc[0][m], acc[1][m]), s->width - 2 * q - LANES);
            } else {
                NAME(put)(to, acc[0][m], room);
            }
        }
        if (q + LANES >= count) return;
        /* The last vector moves left to fit, and computes some outputs again. */
        q = q + 2 * LANES <= count ? q + LANES : count - LANES;
    }
}

INLINE void NAME(windows_body)(const int height, const idx step, const idx stride, const int phases, REAL *y,
                               idx y_row, idx n_rows, const REAL *const *rows, const fc_windows *s, const REAL *w,
                               REAL bias)
{
    const REAL *y_end = y + (n_rows - 1) * y_row + s->width;
    if (height == 1 && n_rows < 4)
        for (idx p = 0; p < n_rows; p++)
            NAME(rows_of_windows)(1, 1, step, stride, phases, y + p * y_row, y_row, y_end, rows + p * step, s, w, bias);
    else
        for (idx p = 0;;) {
            NAME(rows_of_windows)(height, 4, step, stride, phases, y + p * y_row, y_row, y_end, rows + p * step, s, w,
                                  bias);
            if (p + 4 >= n_rows) return;
            p = p + 8 <= n_rows ? p + 4 : n_rows - 4;
        }
}

static void NAME(windows)(void *y, idx y_row, idx n_rows, const void *const *rows_, const fc_windows *s, const void *w,
                          const void *bias_)
{
    const REAL *const *rows = (const REAL *const *)rows_;
    const REAL bias = bias_ ? *(const REAL *)bias_ : 0;
#define FORM(height, step, stride, phases)                                                                            \
    NAME(windows_body)(height, step, stride, phases, y, y_row, n_rows, rows, s, w, bias)
    if (s->phases == 2 && s->height == 2)
        FORM(2, 1, 1, 2);
    else if (s->phases == 2)
        FORM(1, s->step, 1, 2);
    else if (s->stride == 1 && s->height == 3)
        FORM(3, 1, 1, 1);
    else if (s->stride == 1 && s->height == 5)
        FORM(5, 1, 1, 1);
    else if (s->stride == 1 && s->height == 7)
        FORM(7, 1, 1, 1);
    else if (s->stride == 1)
        FORM(1, s->step, 1, 1);
    else if (s->stride == 2 && s->height == 3)
        FORM(3, 2, 2, 1);
    else if (s->stride == 2)
        FORM(1, s->step, 2, 1);
    else
        FORM(1, s->step, s->stride, 1);
#undef FORM
}

/* ---- weight gradient ------------------------------------------------------------------------------------------ */

INLINE void NAME(correlate_vector)(const idx stride, const int masked, vec acc[FC_WINDOW_TAPS],
                                   const REAL *const x[FC_WINDOW_TAPS], vec d, const REAL *const ones[FC_WINDOW_TAPS],
                                   mask_vec part, idx q)
{
    UNROLL for (int t = 0; t < FC_WINDOW_TAPS; t++) {
        vec v = NAME(load_every)(x[t] + q * stride, stride);
        if (masked) v = (vec)((mask_vec)v & (mask_vec)NAME(load_every)(ones[t] + q * stride, stride) & part);
        acc[t] += d * v;
    }
}

INLINE void NAME(window_sums_body)(const idx stride, REAL *sums, const REAL *dy, idx dy_row, idx n_rows,
                                   const REAL *const *rows, const fc_windows *s, const fc_tap *taps)
{
    const idx width = s->width;
    vec acc[FC_WINDOW_TAPS];
    const REAL *ones[FC_WINDOW_TAPS];
    mask_vec lane;
    UNROLL for (int i = 0; i < LANES; i++) lane[i] = i;
    UNROLL for (int t = 0; t < FC_WINDOW_TAPS; t++) {
        acc[t] = load(sums + t * LANES);
        ones[t] = (const REAL *)s->mask + taps[t].col;
    }
    for (idx p = 0; p < n_rows; p++, dy += dy_row) {
        const REAL *x[FC_WINDOW_TAPS];
        UNROLL for (int t = 0; t < FC_WINDOW_TAPS; t++) x[t] = rows[p * s->step + taps[t].row] + taps[t].col;
        for (idx q = 0, done = 0; done < width; q = q + 2 * LANES <= width ? q + LANES : width - LANES) {
            vec d = load(dy + q);
            if (q >= s->from && q + LANES <= s->to && q == done && q + LANES <= width) {
                NAME(correlate_vector)(stride, 0, acc, x, d, ones, lane, q);
            } else {
                /* Lanes of the vector before, if this one moved left to fit, and beyond a row shorter than a vector:
                 * what lies there may be anything, so both factors are masked. */
                const mask_vec part = (lane >= (SIGNED)(done - q)) & (lane < (SIGNED)(width - q));
                d = (vec)((mask_vec)d & part);
                NAME(correlate_vector)(stride, 1, acc, x, d, ones, part, q);
            }
            done = q + LANES;
        }
    }
    UNROLL for (int t = 0; t < FC_WINDOW_TAPS; t++) store(sums + t * LANES, acc[t]);
}

static void NAME(window_sums)(void *sums, const void *dy, idx dy_row, idx n_rows, const void *const *rows,
                              const fc_windows *s, const fc_tap *taps)
{
    const REAL *const *x = (const REAL *const *)rows;
    if (s->stride == 1)
        NAME(window_sums_body)(1, sums, dy, dy_row, n_rows, x, s, taps);
    else if (s->stride == 2)
        NAME(window_sums_body)(2, sums, dy, dy_row, n_rows, x, s, taps);
    else
        NAME(window_sums_body)(s->stride, sums, dy, dy_row, n_rows, x, s, taps);
}
