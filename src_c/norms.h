/* Rows that are normalised, each by its own mean and variance: layer, group and instance norm. */
#ifndef FC_NORMS_H
#define FC_NORMS_H

/* Rows of n elements. A weight and a bias are for `run` neighbours each: layer norm has one for each element of a row
 * (a run of 1), the others one for each channel. They are of `period` rows, after which they repeat: layer norm's are
 * of one row, the others' of all groups of an image. */
typedef struct {
    idx n, run, period;
    const void *w, *b; /* period * n / run numbers; or NULL, for 1 and 0 */
} fc_rows;

typedef struct {
    /* y = w z + b, where z = (x - mean) * inverse, inverse = 1 / sqrt(variance + eps), of rows first, first + 1, ...,
     * the first of which x and y begin with; the means and inverses of these rows are kept. */
    void (*normalise)(void *y, const void *x, const fc_rows *rows, double eps, double *mean, double *inverse, idx first,
                      idx count);
    /* dx, unless that is NULL. To dw and db the sums over the rows are added: as many numbers as w has. Where run
     * and period are 1, scratch holds 2 * n elements, and where dw is NULL there, nothing is added. */
    void (*normalise_backward)(void *dx, const void *dy, const void *x, const fc_rows *rows, const double *mean,
                               const double *inverse, double *dw, double *db, void *scratch, idx first, idx count);
    /* These sums alone, of columns first, first + 1, ... of `rows` rows of n elements: dw and db are the columns'. */
    void (*norm_weights)(const void *dy, const void *x, idx n, const double *mean, const double *inverse, double *dw,
                         double *db, idx rows, idx first, idx count);
} fc_norms_kernels;

#endif

#ifdef REAL

/* The mean, in two parts of which the first is a REAL and the second is small; returns the variance. */
static double NAME(row_moments)(const REAL *x, idx n, REAL *by, double *rest)
{
    double shift = NAME(total)(x, n) / (double)n, square;
    *by = (REAL)shift;
    NAME(sums)(x, &shift, x, &shift, 1, n, rest, &square);
    *rest /= (double)n;
    const double variance = square / (double)n - *rest * *rest;
    return variance < 0 ? 0 : variance;
}

static void NAME(normalise)(void *y_, const void *x_, const fc_rows *rows, double eps, double *mean, double *inverse,
                            idx first, idx count)
{
    REAL *restrict y = y_;
    const REAL *restrict x = x_;
    const idx n = rows->n, run = rows->run, each = n / run;
    for (idx r = 0; r < count; r++, x += n, y += n) {
        const idx at = (first + r) % rows->period * each;
        const REAL *restrict w = rows->w ? (const REAL *)rows->w + at : NULL;
        const REAL *restrict b = rows->b ? (const REAL *)rows->b + at : NULL;
        REAL by;
        double rest;
        inverse[r] = 1 / __builtin_sqrt(NAME(row_moments)(x, n, &by, &rest) + eps);
        mean[r] = (double)by + rest;
        const REAL more = (REAL)rest, scale = (REAL)inverse[r];
        idx i = 0;
        if (run == 1) {
            for (; i + LANES <= n; i += LANES) {
                vec z = ((load(x + i) - by) - more) * scale;
                NAME(ask_ahead)(y + i, x + i, x + i);
                if (w) z *= load(w + i);
                store(y + i, b ? z + load(b + i) : z);
            }
            for (; i < n; i++) y[i] = (w ? w[i] : 1) * (((x[i] - by) - more) * scale) + (b ? b[i] : 0);
        }
        while (i < n) {
            const REAL a = w ? scale * w[i / run] : scale, c = (b ? b[i / run] : 0) - a * more;
            const idx stop = w || b ? i + run : n;
            for (; i + LANES <= stop; i += LANES) {
                NAME(ask_ahead)(y + i, x + i, x + i);
                store(y + i, a * (load(x + i) - by) + c);
            }
            for (; i < stop; i++) y[i] = a * (x[i] - by) + c;
        }
    }
}

/* A row of runs of 1: the sums of w dy and of w dy z, and dy z and dy added to those of the elements, unless sum_w is
 * NULL. */
INLINE void NAME(row_dots)(const REAL *dy, const REAL *x, const REAL *w, REAL by, REAL more, REAL scale, idx n,
                           REAL *sum_w, REAL *sum_b, double *of_dy, double *of_both)
{
    idx i = 0;
    while (i + LANES <= n) {
        const idx stop = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
        vec s = {0}, s2 = {0};
        for (; i + LANES <= stop; i += LANES) {
            const vec g = load(dy + i), z = ((load(x + i) - by) - more) * scale;
            const vec weighted = w ? g * load(w + i) : g;
            if (sum_w) {
                store(sum_w + i, load(sum_w + i) + g * z);
                store(sum_b + i, load(sum_b + i) + g);
            }
            s += weighted;
            s2 += weighted * z;
        }
        *of_dy += NAME(sum)(s);
        *of_both += NAME(sum)(s2);
    }
    for (; i < n; i++) {
        const REAL z = ((x[i] - by) - more) * scale, weighted = w ? dy[i] * w[i] : dy[i];
        if (sum_w) {
            sum_w[i] += dy[i] * z;
            sum_b[i] += dy[i];
        }
        *of_dy += weighted;
        *of_both += (double)weighted * z;
    }
}

static void NAME(normalise_backward)(void *dx_, const void *dy_, const void *x_, const fc_rows *rows,
                                     const double *mean, const double *inverse, double *dw, double *db, void *scratch,
                                     idx first, idx count)
{
    REAL *restrict dx = dx_, *sum_w = scratch, *sum_b = sum_w + rows->n;
    const REAL *restrict dy = dy_, *restrict x = x_;
    const idx n = rows->n, run = rows->run, each = n / run;
    /* Elements' sums over rows run in REAL for up to so many rows, and in double over those. */
    enum { SOME = 32 };
    const int by_element = run == 1 && rows->period == 1;
    for (idx r = 0; r < count; r++, x += n, dy += n) {
        const idx at = (first + r) % rows->period * each;
        const REAL *restrict w = rows->w ? (const REAL *)rows->w + at : NULL;
        const REAL by = (REAL)mean[r], more = (REAL)(mean[r] - (double)by), scale = (REAL)inverse[r];
        double of_dy = 0, of_both = 0;
        if (by_element) {
            if (dw && r % SOME == 0) NAME(set)(scratch, 2 * n, 0);
            if (dw && w)
                NAME(row_dots)(dy, x, w, by, more, scale, n, sum_w, sum_b, &of_dy, &of_both);
            else if (dw)
                NAME(row_dots)(dy, x, NULL, by, more, scale, n, sum_w, sum_b, &of_dy, &of_both);
            else
                NAME(row_dots)(dy, x, w, by, more, scale, n, NULL, NULL, &of_dy, &of_both);
            if (dw && (r % SOME == SOME - 1 || r == count - 1))
                VECTOR_FOR (idx i = 0; i < n; i++) dw[i] += sum_w[i], db[i] += sum_b[i];
        } else {
            const double shift = by, rest = mean[r] - shift;
            for (idx c = 0; c < each; c++) {
                double sum, dot;
                NAME(sums)(dy + c * run, NULL, x + c * run, &shift, 1, run, &sum, &dot);
                dot = (dot - rest * sum) * inverse[r];
                dw[at + c] += dot;
                db[at + c] += sum;
                of_dy += w ? w[c] * sum : sum;
                of_both += w ? w[c] * dot : dot;
            }
        }
        if (!dx) continue;
        const REAL a = (REAL)(of_dy / (double)n), c = (REAL)(of_both / (double)n);
        idx i = 0;
        if (run == 1 && w) {
            for (; i + LANES <= n; i += LANES) {
                const vec z = ((load(x + i) - by) - more) * scale;
                NAME(ask_ahead)(dx + i, dy + i, x + i);
                store(dx + i, scale * ((load(dy + i) * load(w + i) - a) - z * c));
            }
            for (; i < n; i++) dx[i] = scale * ((dy[i] * w[i] - a) - ((x[i] - by) - more) * scale * c);
        }
        while (i < n) {
            const REAL v = w ? scale * w[i / run] : scale, u = scale * scale * c, t = scale * a;
            const idx stop = w ? i + run : n;
            for (; i + LANES <= stop; i += LANES) {
                NAME(ask_ahead)(dx + i, dy + i, x + i);
                store(dx + i, (v * load(dy + i) - t) - ((load(x + i) - by) - more) * u);
            }
            for (; i < stop; i++) dx[i] = (v * dy[i] - t) - ((x[i] - by) - more) * u;
        }
        dx += n;
    }
}

static void NAME(norm_weights)(const void *dy_, const void *x_, idx n, const double *mean, const double *inverse,
                               double *dw, double *db, idx rows, idx first, idx count)
{
    for (idx start = 0; start < rows; start += NAME(ROWS_AT_ONCE)) {
        const idx stop = rows - start < NAME(ROWS_AT_ONCE) ? rows : start + NAME(ROWS_AT_ONCE);
        for (idx i = 0; i < count; i += LANES) {
            const idx some = count - i < LANES ? count - i : LANES;
            const REAL *dy = (const REAL *)dy_ + first + i, *x = (const REAL *)x_ + first + i;
            vec s = {0}, s2 = {0};
            for (idx r = start; r < stop; r++) {
                const REAL by = (REAL)mean[r], more = (REAL)(mean[r] - (double)by), scale = (REAL)inverse[r];
                const vec g = NAME(load_up_to)(dy + r * n, some);
                s += g;
                s2 += g * (((NAME(load_up_to)(x + r * n, some) - by) - more) * scale);
            }
            NAME(add_to)(db + i, s, some);
            NAME(add_to)(dw + i, s2, some);
        }
    }
}

static const fc_norms_kernels NAME(norms) = {KERNEL(normalise) KERNEL(normalise_backward) KERNEL(norm_weights)};

#endif
