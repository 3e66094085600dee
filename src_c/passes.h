/* Single passes over memory: activations, sums and losses. */
#ifndef FC_PASSES_H
#define FC_PASSES_H

typedef struct {
    /* Whether no element is infinite or NaN. */
    int (*finite)(const void *x, idx n);

    /* Passes over n elements that lie side by side. */
    void (*relu)(void *y, const void *x, idx n);                                    /* max(x, 0), NaN stays NaN */
    void (*relu_backward)(void *dx, const void *dy, const void *y, idx n);          /* y <= 0 ? 0 : dy; dx may be dy */
    void (*leaky_relu)(void *y, const void *a, const void *x, double slope, idx n); /* x > 0 ? a : slope * a */
    double (*total)(const void *x, idx n);
    void (*add)(void *y, const void *a, const void *b, idx n); /* a + b; y may be either */
    void (*add_to_doubles)(double *sums, const void *x, idx n);

    /* p = scale * exp(x - largest) / total, where total is the sum of those exponentials. */
    void (*softmax)(void *p, const void *x, idx n, double scale, double *largest, double *total);

    /* Passes over planes of n elements, where each plane has numbers of its own.
     * sums: of a - a_shift (or of a if a_shift is NULL), and of its products with b - b_shift.
     * affine: y = scale * a + slope * (x - shift) + offset, without the first term if a is NULL; y may be a.
     * The same where the elements of all planes are neighbours, [n][n_planes]: channels last. There b may be NULL, and
     * then nothing is written to dot. */
    void (*sums)(const void *a, const double *a_shift, const void *b, const double *b_shift, idx n_planes, idx n,
                 double *sum, double *dot);
    void (*affine)(void *y, const void *a, const void *x, const double *shift, const double *scale, const double *slope,
                   const double *offset, idx n_planes, idx n);
    void (*sums_last)(const void *a, const double *a_shift, const void *b, const double *b_shift, idx n_planes, idx n,
                      double *sum, double *dot);
    void (*affine_last)(void *y, const void *a, const void *x, const double *shift, const double *scale,
                        const double *slope, const double *offset, idx n_planes, idx n);
} fc_passes_kernels;

#endif

#ifdef REAL

static int NAME(finite)(const void *x_, idx n)
{
    const REAL *x = x_;
    vec odd[4] = {{0}};
    REAL rest = 0;
    idx i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        UNROLL_FOR (int k = 0; k < 4; k++) odd[k] += load(x + i + k * LANES) - load(x + i + k * LANES);
    for (; i < n; i++) rest += x[i] - x[i];
    return rest + NAME(sum)((odd[0] + odd[1]) + (odd[2] + odd[3])) == 0;
}

static void NAME(relu)(void *y_, const void *x_, idx n)
{
    REAL *y = y_;
    const REAL *x = x_;
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec v = load(x + i);
        NAME(ask_ahead)(y + i, x + i, x + i);
        store(y + i, (vec)((mask_vec)v & ~(mask_vec)(v < 0)));
    }
    for (; i < n; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

static void NAME(relu_backward)(void *dx_, const void *dy_, const void *y_, idx n)
{
    /* dx may be dy. */
    REAL *dx = dx_;
    const REAL *dy = dy_, *y = y_;
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        NAME(ask_ahead)(dx + i, dy + i, y + i);
        store(dx + i, (vec)((mask_vec)load(dy + i) & ~(mask_vec)(load(y + i) <= 0)));
    }
    for (; i < n; i++) dx[i] = y[i] <= 0 ? 0 : dy[i];
}

static void NAME(leaky_relu)(void *y_, const void *a_, const void *x_, double slope_, idx n)
{
    /* y may be a. */
    REAL *y = y_;
    const REAL *a = a_, *x = x_, slope = (REAL)slope_;
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = load(a + i);
        NAME(ask_ahead)(y + i, a + i, x + i);
        store(y + i, NAME(select)((mask_vec)(load(x + i) > 0), v, v * slope));
    }
    for (; i < n; i++) y[i] = x[i] > 0 ? a[i] : slope * a[i];
}

/* Sums run in REAL over a block and in double over the blocks: the former is fast, and the latter keeps small terms
 * from being lost in a large total. */
enum { NAME(BLOCK) = 64 * LANES };

static void NAME(sums)(const void *a_, const double *a_shift, const void *b_, const double *b_shift, idx n_planes,
                       idx n, double *sum, double *dot)
{
    const REAL *a = a_, *b = b_;
    for (idx p = 0; p < n_planes; p++, a += n, b += n) {
        const REAL a_by = a_shift ? (REAL)a_shift[p] : 0, b_by = (REAL)b_shift[p];
        double total = 0, total2 = 0;
        idx i = 0;
        while (i + LANES <= n) {
            const idx end = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
            vec s[4] = {{0}}, s2[4] = {{0}};
            for (; i + 4 * LANES <= end; i += 4 * LANES)
                UNROLL_FOR (int k = 0; k < 4; k++) {
                    vec v = load(a + i + k * LANES) - a_by;
                    s[k] += v;
                    s2[k] += v * (load(b + i + k * LANES) - b_by);
                }
            for (; i + LANES <= end; i += LANES) {
                vec v = load(a + i) - a_by;
                s[0] += v;
                s2[0] += v * (load(b + i) - b_by);
            }
            total += NAME(sum)((s[0] + s[1]) + (s[2] + s[3]));
            total2 += NAME(sum)((s2[0] + s2[1]) + (s2[2] + s2[3]));
        }
        for (; i < n; i++) {
            double v = a[i] - a_by;
            total += v;
            total2 += v * (b[i] - b_by);
        }
        sum[p] = total;
        dot[p] = total2;
    }
}

static double NAME(total)(const void *x_, idx n)
{
    const REAL *x = x_;
    double total = 0;
    idx i = 0;
    while (i + LANES <= n) {
        const idx end = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
        vec s[4] = {{0}};
        for (; i + 4 * LANES <= end; i += 4 * LANES)
            UNROLL_FOR (int k = 0; k < 4; k++) s[k] += load(x + i + k * LANES);
        for (; i + LANES <= end; i += LANES) s[0] += load(x + i);
        if (end == n && i < n) {
            /* The last vector moves left to fit, without the lanes that have been added. */
            s[1] += (vec)((mask_vec)load(x + n - LANES) & (NAME(lane)() >= (SIGNED)(LANES - (n - i))));
            i = n;
        }
        total += NAME(sum)((s[0] + s[1]) + (s[2] + s[3]));
    }
    for (; i < n; i++) total += x[i];
    return total;
}

static void NAME(add)(void *y_, const void *a_, const void *b_, idx n)
{
    REAL *y = y_;
    const REAL *a = a_, *b = b_;
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        NAME(ask_ahead)(y + i, a + i, b + i);
        store(y + i, load(a + i) + load(b + i));
    }
    for (; i < n; i++) y[i] = a[i] + b[i];
}

static void NAME(add_to_doubles)(double *restrict sums, const void *x_, idx n)
{
    const REAL *restrict x = x_;
    for (idx i = 0; i < n; i++) sums[i] += x[i];
}

/* exp(x) = scale (1 + p), where scale is a power of two: with x = n log(2) + r it is 2^n, and p = exp(r) - 1 comes by a
 * polynomial that interpolates at Chebyshev's points, to 1e-8 and 2e-17. x lies between the logarithms of the smallest
 * and of the largest normal number. */
INLINE vec NAME(exp_parts)(vec x, vec *scale)
{
    /* clang-format off */
    static const double q_f32[] = {0.5, 0.166665765831580019, 0.0416665541093467166, 0.00836324666975372826,
                                   0.00139262680525705735};
    static const double q_f64[] = {0.5, 0.166666666666666675, 0.0416666666666237416, 0.00833333333333003212,
                                   0.00138888889174064456, 0.000198412698632018284, 2.48015209968256958e-5,
                                   2.75572682299632257e-6, 2.76202305675068979e-7, 2.51004947889050405e-8};
    /* clang-format on */
    const double *q = REAL_BYTES == 4 ? q_f32 : q_f64;
    const int is_float = REAL_BYTES == 4, degree = is_float ? 4 : 9, mantissa = is_float ? 23 : 52;
    /* Adding this number leaves the nearest integer in the low bits. */
    const REAL big = is_float ? (REAL)12582912.0 : (REAL)6755399441055744.0;
    const REAL log2_high = is_float ? (REAL)0.693359375 : (REAL)6.93147180369123816490e-01;
    const REAL log2_low = is_float ? (REAL)-2.12194440e-4 : (REAL)1.90821492927058770002e-10;
    const vec t = x * (REAL)1.4426950408889634 + big, n = t - big;
    const vec r = (x - n * log2_high) - n * log2_low;
    vec y = splat((REAL)q[degree]);
    UNROLL_FOR (int k = degree - 1; k >= 0; k--) y = y * r + (REAL)q[k];
    *scale = (vec)(((mask_vec)t << mantissa) + (mask_vec)splat(1));
    return r + r * r * y;
}

/* About the logarithm of the smallest normal number. */
#define LEAST (REAL_BYTES == 4 ? (REAL) - 87.0 : (REAL) - 708.0)

/* exp(x) for x no larger than -LEAST, to an ulp or two; results below the smallest normal number are 0. */
INLINE vec NAME(exp)(vec x)
{
    vec scale;
    const vec p = NAME(exp_parts)(x, &scale), y = scale + scale * p;
    return (vec)((mask_vec)y & ~(mask_vec)(x < LEAST));
}

/* Whichever is larger; NaN, if either is. */
INLINE vec NAME(larger)(vec a, vec b) { return NAME(select)((mask_vec)(a > b) | (mask_vec)(a != a), a, b); }

/* The elements from i on, and -infinity where there are none any more. */
INLINE vec NAME(load_rest)(const REAL *x, idx i, idx n)
{
    if (i + LANES <= n) return load(x + i);
    const mask_vec there = NAME(lane)() < (SIGNED)(n - i);
    return NAME(select)(there, NAME(load_few)(x + i, n - i), splat((REAL)-__builtin_inf()));
}

static void NAME(softmax)(void *p_, const void *x_, idx n, double scale, double *largest, double *total)
{
    REAL *p = p_;
    const REAL *x = x_;
    vec most = splat((REAL)-__builtin_inf());
    for (idx i = 0; i < n; i += LANES) most = NAME(larger)(NAME(load_rest)(x, i, n), most);
    if (LANES >= 16) most = NAME(larger)(SHUFFLE(most, most, TURNED, 8), most);
    if (LANES >= 8) most = NAME(larger)(SHUFFLE(most, most, TURNED, 4), most);
    if (LANES >= 4) most = NAME(larger)(SHUFFLE(most, most, TURNED, 2), most);
    if (LANES >= 2) most = NAME(larger)(SHUFFLE(most, most, TURNED, 1), most);
    double sum = 0;
    for (idx i = 0; i < n;) {
        const idx stop = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
        vec s = {0};
        for (; i < stop; i += LANES) {
            const vec v = NAME(exp)(NAME(load_rest)(x, i, n) - most);
            s += v;
            if (i + LANES <= n)
                store(p + i, v);
            else
                NAME(store_few)(p + i, v, n - i);
        }
        sum += NAME(sum)(s);
    }
    const REAL by = (REAL)(scale / sum);
    for (idx i = 0; i < n; i++) p[i] *= by;
    *largest = most[0];
    *total = sum;
}

/* One plane, or one row of planes whose numbers lie `step` elements apart: 0 or 1. */
INLINE void NAME(affine_run)(REAL *y, const REAL *a, const REAL *x, const REAL *by, const REAL *scale,
                             const REAL *slope, const REAL *offset, const int step, idx n)
{
#define NUMBERS(p) (step ? load(p + i) : splat(*p))
    idx i = 0;
    if (a)
        for (; i + LANES <= n; i += LANES) {
            NAME(ask_ahead)(y + i, a + i, x + i);
            store(y + i,
                  NUMBERS(scale) * load(a + i) + (NUMBERS(slope) * (load(x + i) - NUMBERS(by)) + NUMBERS(offset)));
        }
    else
        for (; i + LANES <= n; i += LANES) {
            NAME(ask_ahead)(y + i, x + i, x + i);
            store(y + i, NUMBERS(slope) * (load(x + i) - NUMBERS(by)) + NUMBERS(offset));
        }
#undef NUMBERS
    for (; i < n; i++) {
        const idx k = i * step;
        const REAL of_x = slope[k] * (x[i] - by[k]) + offset[k];
        y[i] = a ? scale[k] * a[i] + of_x : of_x;
    }
}

static void NAME(affine)(void *y_, const void *a_, const void *x_, const double *shift, const double *scale,
                         const double *slope, const double *offset, idx n_planes, idx n)
{
    REAL *y = y_;
    const REAL *a = a_, *x = x_;
    for (idx p = 0; p < n_planes; p++, y += n, x += n, a += a ? n : 0) {
        const REAL by = (REAL)shift[p], of_a = a ? (REAL)scale[p] : 0, of_x = (REAL)slope[p], rest = (REAL)offset[p];
        NAME(affine_run)(y, a, x, &by, &of_a, &of_x, &rest, 0, n);
    }
}

/* Planes whose numbers lie side by side in memory near; of fewer planes, so many elements of each, so that short rows
 * fill vectors, too. */
enum { NAME(NEAR) = 64 * LANES };

/* `times` copies of some numbers, one after the other; zeros if there are none. */
static void NAME(repeat)(REAL *to, const double *from, idx count, idx times)
{
    for (idx t = 0; t < times; t++)
        for (idx i = 0; i < count; i++) to[t * count + i] = from ? (REAL)from[i] : 0;
}

static void NAME(affine_last)(void *y_, const void *a_, const void *x_, const double *shift, const double *scale,
                              const double *slope, const double *offset, idx n_planes, idx n)
{
    REAL by[NAME(NEAR)], of_a[NAME(NEAR)], of_x[NAME(NEAR)], rest[NAME(NEAR)];
    for (idx p = 0; p < n_planes; p += NAME(NEAR)) {
        const idx some = n_planes - p < NAME(NEAR) ? n_planes - p : NAME(NEAR);
        const idx times = some == n_planes ? NAME(NEAR) / some : 1;
        NAME(repeat)(by, shift + p, some, times);
        NAME(repeat)(of_a, a_ ? scale + p : NULL, some, times);
        NAME(repeat)(of_x, slope + p, some, times);
        NAME(repeat)(rest, offset + p, some, times);
        for (idx i = 0; i < n; i += times) {
            const idx at = i * n_planes + p, count = (n - i < times ? n - i : times) * some;
            NAME(affine_run)((REAL *)y_ + at, a_ ? (const REAL *)a_ + at : NULL, (const REAL *)x_ + at, by, of_a, of_x,
                             rest, 1, count);
        }
    }
}

static void NAME(sums_last)(const void *a_, const double *a_shift, const void *b_, const double *b_shift, idx n_planes,
                            idx n, double *sum, double *dot)
{
    enum { SOME = 16 }; /* elements of a plane that REAL sums before they are added to the total in double */
    REAL a_by[NAME(NEAR)], b_by[NAME(NEAR)], s[NAME(NEAR)], s2[NAME(NEAR)];
    memset(sum, 0, (size_t)n_planes * sizeof(double));
    if (b_) memset(dot, 0, (size_t)n_planes * sizeof(double));
    for (idx p = 0; p < n_planes; p += NAME(NEAR)) {
        const idx some = n_planes - p < NAME(NEAR) ? n_planes - p : NAME(NEAR);
        const idx times = some == n_planes ? NAME(NEAR) / some : 1;
        NAME(repeat)(a_by, a_shift ? a_shift + p : NULL, some, times);
        NAME(repeat)(b_by, b_ ? b_shift + p : NULL, some, times);
        for (idx i = 0; i < n;) {
            const idx end = n - i < SOME * times ? n : i + SOME * times;
            NAME(set)(s, times * some, 0);
            NAME(set)(s2, times * some, 0);
            for (; i < end; i += times) {
                const REAL *a = (const REAL *)a_ + i * n_planes + p;
                const REAL *b = b_ ? (const REAL *)b_ + i * n_planes + p : NULL;
                const idx count = (end - i < times ? end - i : times) * some;
                idx k = 0;
                for (; k + LANES <= count; k += LANES) {
                    vec v = load(a + k) - load(a_by + k);
                    store(s + k, load(s + k) + v);
                    if (b) store(s2 + k, load(s2 + k) + v * (load(b + k) - load(b_by + k)));
                }
                for (; k < count; k++) {
                    const REAL v = a[k] - a_by[k];
                    s[k] += v;
                    if (b) s2[k] += v * (b[k] - b_by[k]);
                }
            }
            for (idx t = 0; t < times; t++)
                for (idx k = 0; k < some; k++) {
                    sum[p + k] += s[t * some + k];
                    if (b_) dot[p + k] += s2[t * some + k];
                }
        }
    }
}

/* clang-format off */
static const fc_passes_kernels NAME(passes) = {
    KERNEL(finite) KERNEL(relu) KERNEL(relu_backward) KERNEL(leaky_relu) KERNEL(total) KERNEL(add)
    KERNEL(add_to_doubles) KERNEL(softmax) KERNEL(sums) KERNEL(affine) KERNEL(sums_last)
    KERNEL(affine_last)
};
/* clang-format on */

#endif
