/* Windows of layers with few channels a group: depthwise convolution. (The name windows.h belongs to the system.)
 *
 * Pixels of a row lie along the lanes, and rows are read where they are. Where a vector reaches over the end of a row,
 * it is masked by the same columns of a row of ones and zeros; a row above or below the image is a row of zeros. Taps
 * come in blocks of height x span neighbours, so that each row of x that several rows of outputs see is loaded once.
 *
 * Or channels lie along the lanes, in a copy with zeros around it. Then nothing needs a mask, and taps may lie
 * anywhere.
 */
#ifndef FC_WINDOW_H
#define FC_WINDOW_H

/* Where a tap, or the first of a block of taps, reads: which row of a table of rows, and which column of it. */
typedef struct {
    idx row, col;
} fc_tap;

/* Taps that lie apart in a tile of the weight gradient; the most taps of any such tile; terms that a lane sums before
 * they join a longer sum, because one long sum would round worse. */
enum { FC_WINDOW_TAPS = 9, FC_WINDOW_SUMS = 10, FC_WINDOW_RUN = 128 };

/* Rows of windows: output q of output row p reads rows[p * step + row][q * stride + col] for each tap. */
typedef struct {
    idx width;        /* outputs in a row */
    idx step, stride; /* rows, and columns, from an output to the next */
    idx height, span; /* rows and columns of a block of taps: one of the kernels' forms, or 1 x 1 */
    idx phases;       /* 2: even and odd outputs have taps of their own, and a pair of them steps as far as one */
    idx n_blocks[2];  /* blocks of taps, of each phase */
    const fc_tap *taps;
    const void *mask; /* for each column, all bits set if it lies inside the image, else none */
    idx from, to;     /* outputs (or pairs of them) in between have all their taps inside */
} fc_windows;

typedef struct {
    /* Pixels along the lanes. rows:
     *     y[p * y_row + q] = bias + sum_t w[t] * (the pixel that tap t reads),   p < n_rows, q < width.
     * w goes through the blocks, and in each down its columns. Only the rows of y are written; if they follow each
     * other without a gap, they are written in order, each up to a vector into the next. Blocks of more than one row of
     * taps want at least 4 rows of y.
     *
     * row_sums: sums[t * lanes + i] += the sum over p and over some of the q for each i of
     *     dy[p * dy_row + q] * (the pixel that tap t reads),
     * where the taps are one block of height x span by rows, or if height is 1, FC_WINDOW_TAPS single ones.
     *
     * Both read whole vectors of the table's rows; up to a vector past the end of dy may be read. */
    void (*rows)(void *y, idx y_row, idx n_rows, const void *const *rows, const fc_windows *windows, const void *w,
                 const void *bias);
    void (*row_sums)(void *sums, const void *dy, idx dy_row, idx n_rows, const void *const *rows,
                     const fc_windows *windows, idx span, const fc_tap *taps);

    /* Channels along the lanes, of pixels [row][column][lane]. to_lanes makes them:
     *     dst[v * apart + (h * pitch + i) * lanes + r] = src[h * src_h + (v * lanes + r) * src_c + i * src_w]
     * for h < n_rows, i < count, r < lanes and v * lanes + r < channels; lanes beyond the channels hold anything. If
     * `loose`, a whole vector may be read where one element is wanted. */
    void (*to_lanes)(void *dst, idx pitch, idx apart, const void *src, idx src_h, idx src_c, idx src_w, idx channels,
                     idx n_rows, idx count, int loose);

    /* y[q * y_step + i] = bias[i] + sum_t w[t * lanes + i] * x[offsets[t] + q * step + i], q < count, i < lanes. Taps
     * come in runs of `run` (1, 3 or 5), whose offsets lie `step` apart. If groups have `mix` (1, 2, 4 or 8) channels,
     * each filter sees all of its group's: tap t has mix vectors of weights, w[(t * mix + c) * lanes + i] for x[... + i
     * / mix * mix + c], c < mix. */
    void (*lanes)(void *y, idx y_step, const void *x, idx step, idx count, idx mix, idx n_taps, idx run,
                  const idx *offsets, const void *w, const void *bias);

    /* lane_sums: sums[t * lanes + i] += sum_p sum_q dy[p * dy_row + q * dy_step + i] * x[offsets[t] + p * x_row + q *
     * step + i] for p < n_rows, q < count, t < n_taps <= FC_WINDOW_SUMS.
     * mix_sums: the same of groups of `mix` (2, 4 or 8) channels, sums[(t * mix + c) * lanes + i], and any number of
     * taps. Both ask for one line of `ahead` with each pixel of dy (mix_sums with those of its first tile). */
    void (*lane_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                      idx n_rows, idx count, idx n_taps, const idx *offsets, const fc_ahead *ahead);
    void (*mix_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                     idx n_rows, idx count, idx mix, idx n_taps, const idx *offsets, const fc_ahead *ahead);
} fc_windows_kernels;

#endif

#ifdef REAL

/* acc[m] += what n blocks of taps give to a vector of outputs, from q on, in each row m of M. */
INLINE void NAME(add_blocks)(const int height, const int span, const int M, const idx step, const idx stride,
                             const int masked, vec *acc, const REAL *const *rows, const fc_tap *taps, idx n,
                             const REAL *w, const REAL *mask, idx q)
{
    const int n_rows = height == 1 ? M : (int)((M - 1) * step) + height;
    for (idx b = 0; b < n; b++) {
        const REAL *const *x = rows + taps[b].row;
        const idx at = q * stride + taps[b].col;
        UNROLL_FOR (int c = 0; c < span; c++, w += height) {
            const mask_vec inside = masked ? (mask_vec)NAME(load_every)(mask + at + c, stride) : (mask_vec){0};
            vec wr[7];
            UNROLL_FOR (int r = 0; r < height; r++) wr[r] = splat(w[r]);
            UNROLL_FOR (int i = 0; i < n_rows; i++) {
                vec v = NAME(load_every)(x[height == 1 ? i * step : i] + at + c, stride);
                if (masked) v = (vec)((mask_vec)v & inside);
                if (height == 1)
                    acc[i] += wr[0] * v;
                else
                    UNROLL_FOR (int m = 0; m < M; m++)
                        if (i >= m * step && i < m * step + height) acc[m] += wr[i - m * step] * v;
            }
        }
    }
}

/* Store as many lanes as there is room for. */
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

/* M rows of outputs. With two phases, the even and the odd columns of y have taps of their own. */
INLINE void NAME(window_rows)(const int height, const int span, const int M, const idx step, const idx stride,
                              const int phases, REAL *y, idx y_row, const REAL *y_end, const REAL *const *rows,
                              const fc_windows *windows, const REAL *w, REAL bias)
{
    const idx count = phases == 2 ? (windows->width + 1) / 2 : windows->width;
    for (idx q = 0;;) {
        vec acc[2][4];
        UNROLL_FOR (int m = 0; m < M; m++) acc[0][m] = acc[1][m] = splat(bias);
        UNROLL_FOR (int b = 0; b < phases; b++) {
            const fc_tap *taps = windows->taps + b * windows->n_blocks[0];
            const REAL *wb = w + b * height * span * windows->n_blocks[0];
            if (q >= windows->from && q + LANES <= windows->to)
                NAME(add_blocks)(height, span, M, step, stride, 0, acc[b], rows, taps, windows->n_blocks[b], wb,
                                 windows->mask, q);
            else
                NAME(add_blocks)(height, span, M, step, stride, 1, acc[b], rows, taps, windows->n_blocks[b], wb,
                                 windows->mask, q);
        }
        REAL *to = y + q * phases;
        /* A vector may reach to the row's end, or into the next row if that is written later. */
        const idx room = windows->width - q * phases, most = y_row == windows->width ? y_end - to : room;
        UNROLL_FOR (int m = 0; m < M; m++, to += y_row)
            if (phases == 2) {
                NAME(put)(to, NAME(zip_low)(acc[0][m], acc[1][m]), room);
                NAME(put)(to + LANES, NAME(zip_high)(acc[0][m], acc[1][m]), room - LANES);
            } else if (most - (M - 1) * y_row >= LANES || room >= LANES) {
                store(to, acc[0][m]);
            } else {
                NAME(put)(to, acc[0][m], most == room ? room : y_end - to);
            }
        if (q + LANES >= count) return;
        /* The last vector moves left to fit, and computes some outputs again. */
        q = q + 2 * LANES <= count ? q + LANES : count - LANES;
    }
}

INLINE void NAME(rows_body)(const int height, const int span, const idx step, const idx stride, const int phases,
                            REAL *y, idx y_row, idx n_rows, const REAL *const *rows, const fc_windows *windows,
                            const REAL *w, REAL bias)
{
    const REAL *y_end = y + (n_rows - 1) * y_row + windows->width;
    if (height == 1 && n_rows < 4)
        for (idx p = 0; p < n_rows; p++)
            NAME(window_rows)(1, 1, 1, step, stride, phases, y + p * y_row, y_row, y_end, rows + p * step, windows, w,
                              bias);
    else
        for (idx p = 0;;) {
            NAME(window_rows)(height, span, 4, step, stride, phases, y + p * y_row, y_row, y_end, rows + p * step,
                              windows, w, bias);
            if (p + 4 >= n_rows) return;
            p = p + 8 <= n_rows ? p + 4 : n_rows - 4;
        }
}

static void NAME(rows)(void *y, idx y_row, idx n_rows, const void *const *rows_, const fc_windows *windows,
                       const void *w, const void *bias_)
{
    const REAL *const *rows = (const REAL *const *)rows_;
    const REAL bias = bias_ ? *(const REAL *)bias_ : 0;
    const idx height = windows->height, stride = windows->stride;
#define FORM(fits, height, span, step, stride, phases)                                                                 \
    if (fits) {                                                                                                        \
        NAME(rows_body)(height, span, step, stride, phases, y, y_row, n_rows, rows, windows, w, bias);                 \
        return;                                                                                                        \
    }
    if (windows->phases == 2) {
        FORM(height == 3, 3, 1, 1, 1, 2);
        FORM(height == 2, 2, 1, 1, 1, 2);
        FORM(1, 1, 1, windows->step, 1, 2);
    }
    FORM(stride == 1 && height == 3, 3, 3, 1, 1, 1);
    FORM(stride == 1 && height == 5, 5, 5, 1, 1, 1);
    FORM(stride == 1 && height == 7, 7, 1, 1, 1, 1);
    FORM(stride == 1, 1, 1, windows->step, 1, 1);
    FORM(stride == 2 && height == 3, 3, 3, 2, 2, 1);
    FORM(stride == 2 && height == 5, 5, 1, 2, 2, 1);
    FORM(stride == 2, 1, 1, windows->step, 2, 1);
    FORM(1, 1, 1, windows->step, stride, 1);
#undef FORM
}

/* ---- weight gradient ------------------------------------------------------------------------------------------ */

/* Add what a vector of each of M rows of dy gives to the sums of a block of height x span taps, or if height is 0, of
 * `span` taps that lie apart. */
INLINE void NAME(sums_vector)(const int height, const int span, const int M, const idx step, const int masked, vec *acc,
                              const vec *d, const REAL *const *x, const REAL *ones, const fc_tap *taps, idx at,
                              mask_vec part)
{
    if (height == 0) {
        UNROLL_FOR (int t = 0; t < span; t++) {
            vec v = NAME(load_every)(x[t] + at, step);
            if (masked) v = (vec)((mask_vec)v & (mask_vec)NAME(load_every)(ones + taps[t].col + at, step) & part);
            acc[t] += d[0] * v;
        }
        return;
    }
    UNROLL_FOR (int c = 0; c < span; c++) {
        mask_vec inside = part;
        if (masked) inside &= (mask_vec)NAME(load_every)(ones + taps->col + at + c, step);
        UNROLL_FOR (int i = 0; i < (int)((M - 1) * step) + height; i++) {
            vec v = NAME(load_every)(x[i] + at + c, step);
            if (masked) v = (vec)((mask_vec)v & inside);
            UNROLL_FOR (int m = 0; m < M; m++)
                if (i >= m * step && i < m * step + height) acc[(i - m * step) * span + c] += d[m] * v;
        }
    }
}

/* Add n vectors of sums to those in memory, and begin again from zero. */
INLINE void NAME(join)(const int n, REAL *sums, vec *acc)
{
    UNROLL_FOR (int t = 0; t < n; t++) {
        store(sums + t * LANES, load(sums + t * LANES) + acc[t]);
        acc[t] = (vec){0};
    }
}

INLINE void NAME(sums_rows)(const int height, const int span, const int M, const idx step, REAL *sums, vec *acc,
                            const REAL *dy, idx dy_row, const REAL *const *rows, const fc_windows *windows,
                            const fc_tap *taps)
{
    const REAL *x[10], *ones = windows->mask;
    const idx width = windows->width, stop = windows->to < width ? windows->to : width;
    const mask_vec all = ~(mask_vec){0};
    const mask_vec lane = NAME(lane)();
    vec d[4];
    const int n_rows = height ? (int)((M - 1) * step) + height : span;
    for (int i = 0; i < n_rows; i++) x[i] = height ? rows[taps->row + i] + taps->col : rows[taps[i].row] + taps[i].col;
    for (idx done = 0; done < width;) {
        idx q = done;
        if (q >= windows->from) {
            const idx run = q + FC_WINDOW_RUN / M * LANES, until = run < stop ? run : stop;
            for (; q + LANES <= until; q += LANES) {
                UNROLL_FOR (int m = 0; m < M; m++) d[m] = load(dy + m * dy_row + q);
                NAME(sums_vector)(height, span, M, step, 0, acc, d, x, ones, taps, q * step, all);
            }
            if (until < stop) {
                NAME(join)(height ? height * span : span, sums, acc);
                done = q;
                continue;
            }
        }
        if (q == width) return;
        /* The last vector moves left to fit; its lanes that were in the one before, and those beyond a row shorter than
         * a vector, are masked in both factors, for what lies there may be anything. */
        done = q;
        if (q + LANES > width) q = width < LANES ? 0 : width - LANES;
        const mask_vec part = (lane >= (SIGNED)(done - q)) & (lane < (SIGNED)(width - q));
        UNROLL_FOR (int m = 0; m < M; m++) d[m] = (vec)((mask_vec)load(dy + m * dy_row + q) & part);
        NAME(sums_vector)(height, span, M, step, 1, acc, d, x, ones, taps, q * step, part);
        done = q + LANES;
    }
}

INLINE void NAME(row_sums_body)(const int height, const int span, const int M, const idx step, REAL *sums,
                                const REAL *dy, idx dy_row, idx n_rows, const REAL *const *rows,
                                const fc_windows *windows, const fc_tap *taps)
{
    const int n = height ? height * span : span;
    vec acc[FC_WINDOW_SUMS];
    UNROLL_FOR (int t = 0; t < n; t++) acc[t] = (vec){0};
    /* A lane sums some hundred terms before they join the longer sum, because one long sum would round worse. */
    for (idx p = 0; p < n_rows;) {
        const idx end = p + FC_WINDOW_RUN * LANES / windows->width + 1;
        for (; p + M <= n_rows && p < end; p += M)
            NAME(sums_rows)(height, span, M, step, sums, acc, dy + p * dy_row, dy_row, rows + p * windows->step,
                            windows, taps);
        for (; p + M > n_rows && p < n_rows; p++)
            NAME(sums_rows)(height, span, 1, step, sums, acc, dy + p * dy_row, dy_row, rows + p * windows->step,
                            windows, taps);
        NAME(join)(n, sums, acc);
    }
}

static void NAME(row_sums)(void *sums, const void *dy, idx dy_row, idx n_rows, const void *const *rows_,
                           const fc_windows *windows, idx span, const fc_tap *taps)
{
    const REAL *const *rows = (const REAL *const *)rows_;
    const idx height = windows->height, stride = windows->stride;
#define FORM(fits, height, span, M, step)                                                                              \
    if (fits) {                                                                                                        \
        NAME(row_sums_body)(height, span, M, step, sums, dy, dy_row, n_rows, rows, windows, taps);                     \
        return;                                                                                                        \
    }
    FORM(stride == 1 && height == 3, 3, 3, 4, 1);
    FORM(stride == 1 && height == 5 && span == 2, 5, 2, 4, 1);
    FORM(stride == 1 && height == 5, 5, 1, 4, 1);
    FORM(stride == 1 && height == 7, 7, 1, 4, 1);
    FORM(stride == 1, 0, FC_WINDOW_TAPS, 1, 1);
    FORM(stride == 2 && height == 3, 3, 3, 2, 2);
    FORM(stride == 2 && height == 5 && span == 2, 5, 2, 2, 2);
    FORM(stride == 2 && height == 5, 5, 1, 2, 2);
    FORM(stride == 2, 0, FC_WINDOW_TAPS, 1, 2);
    FORM(1, 0, FC_WINDOW_TAPS, 1, stride);
#undef FORM
}

/* ---- channels along the lanes --------------------------------------------------------------------------------- */

/* to_lanes of at most a vector of channels. */
INLINE void NAME(vector_to_lanes)(REAL *dst, idx pitch, const REAL *src, idx src_h, idx src_c, idx src_w, idx channels,
                                  idx n_rows, idx count, int loose)
{
    idx from[LANES];
    /* Lanes beyond the channels repeat the first. */
    for (int r = 0; r < LANES; r++) from[r] = r < channels ? r * src_c : 0;
    for (idx h = 0; h < n_rows; h++, dst += pitch * LANES, src += src_h) {
        idx i = 0;
        if (src_w == 1 && (count >= LANES || loose))
            while (i < count) {
                /* The last block moves left to fit. */
                if (count >= LANES && i > count - LANES) i = count - LANES;
                vec v[LANES];
                UNROLL_FOR (int r = 0; r < LANES; r++) v[r] = load(src + from[r] + i);
                NAME(transpose_block)(v);
                UNROLL_FOR (int k = 0; k < LANES; k++)
                    if (k < count) store(dst + (i + k) * LANES, v[k]);
                i += LANES;
            }
        for (; i < count; i++)
            for (int r = 0; r < LANES; r++) dst[i * LANES + r] = src[from[r] + i * src_w];
    }
}

static void NAME(to_lanes)(void *dst_, idx pitch, idx apart, const void *src_, idx src_h, idx src_c, idx src_w,
                           idx channels, idx n_rows, idx count, int loose)
{
    REAL *dst = dst_;
    const REAL *src = src_;
    if (src_c == 1 && src_w != 1 && (channels % LANES == 0 || loose)) {
        /* Pixel after pixel, each with all its channels, as they lie in memory. What is a page ahead is asked for. */
        const idx ahead = (4096 / REAL_BYTES + channels - 1) / channels * src_w;
        for (idx h = 0; h < n_rows; h++, dst += pitch * LANES, src += src_h)
            for (idx i = 0; i < count; i++) {
                const REAL *from = src + i * src_w;
                REAL *to = dst + i * LANES;
                for (idx c = 0; c < channels; c += LANES, to += apart) {
                    if (c * REAL_BYTES % 64 == 0) __builtin_prefetch(from + c + ahead);
                    store(to, load(from + c));
                }
            }
    } else
        for (idx c = 0; c < channels; c += LANES, dst += apart)
            NAME(vector_to_lanes)(dst, pitch, src + c * src_c, src_h, src_c, src_w,
                                  channels - c < LANES ? channels - c : LANES, n_rows, count, loose);
}

/* M outputs side by side. Taps of a run see neighbouring pixels, so each channel of a pixel is loaded and spread over
 * the lanes once for all of the run. */
INLINE void NAME(lane_outputs)(const int mix, const int run, const int M, REAL *y, idx y_step, const REAL *x, idx step,
                               idx n_taps, const idx *offsets, const REAL *w, vec start)
{
    vec acc[8];
    UNROLL_FOR (int m = 0; m < M; m++) acc[m] = start;
    for (idx t = 0; t < n_taps; t += run, w += run * mix * LANES) {
        /* From every fourth pixel, the next three are at multiples of the step that an address can hold. */
        const REAL *at[] = {x + offsets[t], x + offsets[t] + 4 * step, x + offsets[t] + 8 * step};
        UNROLL_FOR (int c = 0; c < mix; c++) {
            /* The compiler is kept from holding the pixels for the next channel: it has too few registers for that. */
            if (mix > 1) __asm__("" : "+r"(at[0]), "+r"(at[1]), "+r"(at[2]));
            vec wt[5];
            UNROLL_FOR (int s = 0; s < run; s++) wt[s] = load(w + (s * mix + c) * LANES);
            UNROLL_FOR (int i = 0; i < M + run - 1; i++) {
                const vec v = NAME(of_group)(at[i / 4] + i % 4 * step, mix, c);
                UNROLL_FOR (int m = 0; m < M; m++)
                    if (i >= m && i < m + run) acc[m] += wt[i - m] * v;
            }
        }
    }
    UNROLL_FOR (int m = 0; m < M; m++) store(y + m * y_step, acc[m]);
}

INLINE void NAME(lane_row)(const int mix, const int run, REAL *y, idx y_step, const REAL *x, const idx step, idx count,
                           idx n_taps, const idx *offsets, const REAL *w, vec start)
{
    for (idx q = 0; q < count;) {
        /* A row is cut into parts as even as can be, because the sums of a short part wait for each other. With mixed
         * channels there are fewer sizes, to save code, and the last part moves left to fit: some outputs are computed
         * again. */
        const idx left = count - q;
        idx here = left <= 8 ? left : left < 16 ? (left + 1) / 2 : 8;
        if (mix > 1) here = count >= 8 ? 8 : count >= 4 ? 4 : 1;
        if (q + here > count) q = count - here;
        switch (here) {
#define OUTPUTS(M)                                                                                                     \
    case M:                                                                                                            \
        if (mix == 1 || M == 8 || M == 4 || M == 1)                                                                    \
            NAME(lane_outputs)(mix, run, M, y + q * y_step, y_step, x + q * step, step, n_taps, offsets, w, start);    \
        break;
            OUTPUTS(1) OUTPUTS(2) OUTPUTS(3) OUTPUTS(4) OUTPUTS(5) OUTPUTS(6) OUTPUTS(7) OUTPUTS(8)
#undef OUTPUTS
        }
        q += here;
    }
}

static void NAME(lanes)(void *y, idx y_step, const void *x, idx step, idx count, idx mix, idx n_taps, idx run,
                        const idx *offsets, const void *w, const void *bias)
{
    const vec start = bias ? load(bias) : (vec){0};
#define ROW(fits, mix, run, step)                                                                                      \
    if (fits) {                                                                                                        \
        NAME(lane_row)(mix, run, y, y_step, x, step, count, n_taps, offsets, w, start);                                \
        return;                                                                                                        \
    }
#define RUNS(n)                                                                                                        \
    ROW(mix == n && run == 3, n, 3, step);                                                                             \
    ROW(mix == n && run == 5, n, 5, step);                                                                             \
    ROW(mix == n, n, 1, step)
    ROW(mix == 1 && run == 1 && step == LANES, 1, 1, LANES);
    RUNS(1);
    RUNS(2);
    RUNS(4);
    if (LANES >= 8) {
        RUNS(8);
    }
#undef RUNS
#undef ROW
}

/* Whether taps come in runs of `run`, side by side. */
INLINE int NAME(in_runs)(idx run, idx step, idx n_taps, const idx *offsets)
{
    if (step != LANES || n_taps % run) return 0;
    for (idx t = 1; t < n_taps; t++)
        if (t % run && offsets[t] - offsets[t - 1] != LANES) return 0;
    return 1;
}

/* lane_sums of n taps. If these come in runs side by side (run > 1), then two pixels of dy share what is loaded. */
INLINE void NAME(lane_sums_body)(const int n, const int run, REAL *sums, const REAL *dy, idx dy_row, idx dy_step,
                                 const REAL *x, idx x_row, const idx step, idx n_rows, idx count, const idx *offsets,
                                 fc_ahead ahead)
{
    vec acc[FC_WINDOW_SUMS];
    const REAL *at[FC_WINDOW_SUMS];
    UNROLL_FOR (int t = 0; t < n; t++) {
        acc[t] = (vec){0};
        at[t] = x + offsets[t];
    }
    for (idx p = 0; p < n_rows; p++, dy += dy_row) {
        for (idx q = 0; q < count;) {
            const idx until = count - q < FC_WINDOW_RUN ? count : q + FC_WINDOW_RUN;
            if (run > 1)
                for (; q + 2 <= until; q += 2) {
                    const vec d0 = load(dy + q * dy_step), d1 = load(dy + (q + 1) * dy_step);
                    NAME(bring_near)(&ahead, 1);
                    NAME(bring_near)(&ahead, 1);
                    UNROLL_FOR (int t = 0; t < n; t += run)
                        UNROLL_FOR (int i = 0; i <= run; i++) {
                            const vec v = load(at[t] + (q + i) * step);
                            if (i < run) acc[t + i] += d0 * v;
                            if (i > 0) acc[t + i - 1] += d1 * v;
                        }
                }
            for (; q < until; q++) {
                const vec d = load(dy + q * dy_step);
                NAME(bring_near)(&ahead, 1);
                UNROLL_FOR (int t = 0; t < n; t++) acc[t] += d * load(at[t / run * run] + (q + t % run) * step);
            }
            if (until < count) NAME(join)(n, sums, acc);
        }
        UNROLL_FOR (int t = 0; t < n; t++) at[t] += x_row;
    }
    NAME(join)(n, sums, acc);
}

static void NAME(lane_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                            idx n_rows, idx count, idx n_taps, const idx *offsets, const fc_ahead *ahead)
{
    const int threes = NAME(in_runs)(3, step, n_taps, offsets), fives = NAME(in_runs)(5, step, n_taps, offsets);
#define BODY(n, run, step)                                                                                             \
    NAME(lane_sums_body)(n, run, sums, dy, dy_row, dy_step, x, x_row, step, n_rows, count, offsets, *ahead)
    switch (n_taps) {
#define SUMS(n)                                                                                                        \
    case n:                                                                                                            \
        if (n % 3 == 0 && threes)                                                                                      \
            BODY(n, n % 3 == 0 ? 3 : 1, LANES);                                                                        \
        else if (n % 5 == 0 && fives)                                                                                  \
            BODY(n, n % 5 == 0 ? 5 : 1, LANES);                                                                        \
        else if (step == LANES)                                                                                        \
            BODY(n, 1, LANES);                                                                                         \
        else                                                                                                           \
            BODY(n, 1, step);                                                                                          \
        break;
        SUMS(1) SUMS(2) SUMS(3) SUMS(4) SUMS(5) SUMS(6) SUMS(7) SUMS(8) SUMS(9) SUMS(10)
#undef SUMS
#undef BODY
    }
}

/* mix_sums of `channels` channels of a group, from x on, and of `taps` taps; with `run` these lie side by side. */
INLINE void NAME(mix_tile)(const int mix, const int channels, const int taps, const int run, REAL *sums, const REAL *dy,
                           idx dy_row, idx dy_step, const REAL *x, idx x_row, const idx step, idx n_rows, idx count,
                           const idx *offsets, fc_ahead ahead)
{
    vec acc[24];
    UNROLL_FOR (int i = 0; i < taps * channels; i++) acc[i] = (vec){0};
    for (idx p = 0; p < n_rows; p++, dy += dy_row, x += x_row)
        for (idx q = 0; q < count;) {
            const idx until = count - q < FC_WINDOW_RUN ? count : q + FC_WINDOW_RUN;
            if (run)
                for (; q + 2 <= until; q += 2) {
                    const vec d0 = load(dy + q * dy_step), d1 = load(dy + (q + 1) * dy_step);
                    NAME(bring_near)(&ahead, 1);
                    NAME(bring_near)(&ahead, 1);
                    UNROLL_FOR (int t = 0; t <= taps; t++)
                        UNROLL_FOR (int c = 0; c < channels; c++) {
                            const vec v = NAME(of_group)(x + offsets[0] + (q + t) * LANES, mix, c);
                            if (t < taps) acc[t * channels + c] += d0 * v;
                            if (t > 0) acc[(t - 1) * channels + c] += d1 * v;
                        }
                }
            for (; q < until; q++) {
                const vec d = load(dy + q * dy_step);
                NAME(bring_near)(&ahead, 1);
                UNROLL_FOR (int t = 0; t < taps; t++)
                    UNROLL_FOR (int c = 0; c < channels; c++)
                        acc[t * channels + c] += d * NAME(of_group)(x + offsets[t] + q * step, mix, c);
            }
            if (until < count || p + 1 == n_rows)
                UNROLL_FOR (int t = 0; t < taps; t++) NAME(join)(channels, sums + t * mix * LANES, acc + t * channels);
        }
}

/* How many sums stay in registers, beside the operands. */
enum { NAME(MIX_SUMS_HELD) = REGISTERS == 32 ? 24 : 12 };

static void NAME(mix_sums)(void *sums_, const void *dy, idx dy_row, idx dy_step, const void *x_, idx x_row, idx step,
                           idx n_rows, idx count, idx mix, idx n_taps, const idx *offsets, const fc_ahead *wanted)
{
    const REAL *x = x_;
    REAL *sums = sums_;
    fc_ahead ahead = *wanted;
    const int threes = NAME(in_runs)(3, step, n_taps, offsets);
    for (idx t = 0; t < n_taps;) {
        idx taps = 1;
#define TILE(mix, channels, taps, run)                                                                                 \
    for (int c = 0; c < mix; c += channels, ahead = (fc_ahead){x, 0})                                                  \
    NAME(mix_tile)(mix, channels, taps, run, sums + (t * mix + c) * LANES, dy, dy_row, dy_step, x + c, x_row,          \
                   run ? LANES : step, n_rows, count, offsets + t, ahead)
#define TILES_OF(mix, channels)                                                                                        \
    if (threes) {                                                                                                      \
        taps = 3;                                                                                                      \
        TILE(mix, channels, 3, 1);                                                                                     \
    } else if (n_taps - t >= 3) {                                                                                      \
        taps = 3;                                                                                                      \
        TILE(mix, channels, 3, 0);                                                                                     \
    } else                                                                                                             \
        TILE(mix, channels, 1, 0)
        if (mix == 2) {
            TILES_OF(2, 2);
        } else if (mix == 4) {
            TILES_OF(4, 4);
        } else if (LANES == 8 || NAME(MIX_SUMS_HELD) == 12) {
            TILES_OF(8, 4);
        } else {
            TILES_OF(8, 8);
        }
#undef TILES_OF
#undef TILE
        t += taps;
    }
}

/* clang-format off */
static const fc_windows_kernels NAME(windows) = {
    KERNEL(rows) KERNEL(row_sums) KERNEL(to_lanes) KERNEL(lanes) KERNEL(lane_sums) KERNEL(mix_sums)
};
/* clang-format on */

#endif
