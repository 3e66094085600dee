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

    /* Such planes with what is put between 0 and a ceiling, which is NaN where there is none. Results are those of
     * affine, add, relu or a clamp, and of the gradients of these, one after the other, to the last bit.
     * rectified: y = min(max(z, 0), ceiling), z = slope * (x - shift) + offset + r, without r if it is NULL.
     * rectified_sums: of g = dy where 0 < y < ceiling, else 0, and of its products with x - shift. Without y, z without
     * r stands for it; g is written unless it is NULL, and may be dy.
     * rectified_affine: dx = of_g * g + of_x * (x - shift) + rest, where z without r stands for y; dx may be dy. */
    void (*rectified)(void *y, const void *r, const void *x, const double *shift, const double *slope,
                      const double *offset, double ceiling, idx n_planes, idx n);
    void (*rectified_sums)(void *g, const void *dy, const void *y, const void *x, const double *shift,
                           const double *slope, const double *offset, double ceiling, idx n_planes, idx n, double *sum,
                           double *dot);
    void (*rectified_affine)(void *dx, const void *dy, const void *x, const double *shift, const double *slope,
                             const double *offset, double ceiling, const double *of_g, const double *of_x,
                             const double *rest, idx n_planes, idx n);
    void (*rectified_last)(void *y, const void *r, const void *x, const double *shift, const double *slope,
                           const double *offset, double ceiling, idx n_planes, idx n);
    void (*rectified_sums_last)(void *g, const void *dy, const void *y, const void *x, const double *shift,
                                const double *slope, const double *offset, double ceiling, idx n_planes, idx n,
                                double *sum, double *dot);
    void (*rectified_affine_last)(void *dx, const void *dy, const void *x, const double *shift, const double *slope,
                                  const double *offset, double ceiling, const double *of_g, const double *of_x,
                                  const double *rest, idx n_planes, idx n);
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
    for (; i + LANES <= n; i += LANES) store(dx + i, (vec)((mask_vec)load(dy + i) & ~(mask_vec)(load(y + i) <= 0)));
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
        store(y + i, NAME(select)((mask_vec)(load(x + i) > 0), v, v * slope));
    }
    for (; i < n; i++) y[i] = x[i] > 0 ? a[i] : slope * a[i];
}

/* Sums run in REAL over a block and in double over the blocks: the former is fast, and the latter keeps small terms
 * from being lost in a large total. */
enum { NAME(BLOCK) = 64 * LANES };

/* What is summed: a - shift, or the gradient a where it passes the rectifier, of which y or z tells. */
enum { NAME(ALL), NAME(BY_Y), NAME(BY_Z) };

INLINE vec NAME(passing)(vec dy, vec y, vec ceiling)
{
    return (vec)((mask_vec)dy & ~((mask_vec)(y <= 0) | (mask_vec)(y >= ceiling)));
}

/* One plane. */
INLINE void NAME(sums_of_plane)(const int what, REAL *g, const REAL *a, const REAL *y, const REAL *b, REAL a_by,
                                REAL b_by, REAL slope, REAL offset, REAL ceiling, idx n, double *sum, double *dot)
{
    double total = 0, total2 = 0;
    idx i = 0;
#define ADD(at, s, s2)                                                                                                 \
    do {                                                                                                               \
        const vec u = load(b + at) - b_by;                                                                             \
        vec v = load(a + at);                                                                                          \
        if (what == NAME(ALL))                                                                                         \
            v -= a_by;                                                                                                 \
        else                                                                                                           \
            v = NAME(passing)(v, what == NAME(BY_Y) ? load(y + at) : slope * u + offset, splat(ceiling));              \
        if (what != NAME(ALL) && g) store(g + at, v);                                                                  \
        s += v;                                                                                                        \
        s2 += v * u;                                                                                                   \
    } while (0)
    while (i + LANES <= n) {
        const idx end = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
        vec s[4] = {{0}}, s2[4] = {{0}};
        for (; i + 4 * LANES <= end; i += 4 * LANES)
            UNROLL_FOR (int k = 0; k < 4; k++) ADD(i + k * LANES, s[k], s2[k]);
        for (; i + LANES <= end; i += LANES) ADD(i, s[0], s2[0]);
        total += NAME(sum)((s[0] + s[1]) + (s[2] + s[3]));
        total2 += NAME(sum)((s2[0] + s2[1]) + (s2[2] + s2[3]));
    }
#undef ADD
    for (; i < n; i++) {
        const REAL u = b[i] - b_by;
        REAL v = a[i] - a_by;
        if (what != NAME(ALL)) {
            const REAL z = what == NAME(BY_Y) ? y[i] : slope * u + offset;
            v = z <= 0 || z >= ceiling ? 0 : a[i];
            if (g) g[i] = v;
        }
        total += v;
        total2 += (double)v * u;
    }
    *sum = total;
    *dot = total2;
}

static void NAME(sums)(const void *a_, const double *a_shift, const void *b_, const double *b_shift, idx n_planes,
                       idx n, double *sum, double *dot)
{
    const REAL *a = a_, *b = b_;
    for (idx p = 0; p < n_planes; p++, a += n, b += n)
        NAME(sums_of_plane)(NAME(ALL), NULL, a, NULL, b, a_shift ? (REAL)a_shift[p] : 0, (REAL)b_shift[p], 0, 0, 0, n,
                            sum + p, dot + p);
}

static void NAME(rectified_sums)(void *g_, const void *dy_, const void *y_, const void *x_, const double *shift,
                                 const double *slope, const double *offset, double ceiling, idx n_planes, idx n,
                                 double *sum, double *dot)
{
    for (idx p = 0; p < n_planes; p++) {
        const REAL *dy = (const REAL *)dy_ + p * n, *x = (const REAL *)x_ + p * n;
        REAL *g = g_ ? (REAL *)g_ + p * n : NULL;
        const REAL by = (REAL)shift[p], of_x = (REAL)slope[p], rest = (REAL)offset[p], top = (REAL)ceiling;
        if (y_)
            NAME(sums_of_plane)(NAME(BY_Y), g, dy, (const REAL *)y_ + p * n, x, 0, by, of_x, rest, top, n, sum + p,
                                dot + p);
        else
            NAME(sums_of_plane)(NAME(BY_Z), g, dy, NULL, x, 0, by, of_x, rest, top, n, sum + p, dot + p);
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
    for (; i + LANES <= n; i += LANES) store(y + i, load(a + i) + load(b + i));
    for (; i < n; i++) y[i] = a[i] + b[i];
}

static void NAME(add_to_doubles)(double *restrict sums, const void *x_, idx n)
{
    const REAL *restrict x = x_;
    VECTOR_FOR (idx i = 0; i < n; i++) sums[i] += x[i];
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
    /* Outside of what x lies between, which callers mask, this may wrap around. */
    *scale = (vec)(((bits_vec)t << mantissa) + (bits_vec)splat(1));
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
    VECTOR_FOR (idx i = 0; i < n; i++) p[i] *= by;
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
        for (; i + LANES <= n; i += LANES)
            store(y + i,
                  NUMBERS(scale) * load(a + i) + (NUMBERS(slope) * (load(x + i) - NUMBERS(by)) + NUMBERS(offset)));
    else
        for (; i + LANES <= n; i += LANES) store(y + i, NUMBERS(slope) * (load(x + i) - NUMBERS(by)) + NUMBERS(offset));
    for (; i < n; i++) {
        const idx k = i * step;
        const REAL of_x = slope[k] * (x[i] - by[k]) + offset[k];
        y[i] = a ? scale[k] * a[i] + of_x : of_x;
    }
}

/* The same with a rectifier. */
INLINE void NAME(rectified_run)(REAL *y, const REAL *r, const REAL *x, const REAL *by, const REAL *slope,
                                const REAL *offset, REAL ceiling, const int step, idx n)
{
    const vec top = splat(ceiling);
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec z = NUMBERS(slope) * (load(x + i) - NUMBERS(by)) + NUMBERS(offset);
        if (r) z += load(r + i);
        z = (vec)((mask_vec)z & ~(mask_vec)(z < 0));
        store(y + i, NAME(select)((mask_vec)(z > top), top, z));
    }
    for (; i < n; i++) {
        const idx k = i * step;
        REAL z = slope[k] * (x[i] - by[k]) + offset[k];
        if (r) z += r[i];
        y[i] = z < 0 ? 0 : z > ceiling ? ceiling : z;
    }
}

INLINE void NAME(rectified_affine_run)(REAL *dx, const REAL *dy, const REAL *x, const REAL *by, const REAL *slope,
                                       const REAL *offset, REAL ceiling, const REAL *of_g, const REAL *of_x,
                                       const REAL *rest, const int step, idx n)
{
    const vec top = splat(ceiling);
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec u = load(x + i) - NUMBERS(by);
        const vec g = NAME(passing)(load(dy + i), NUMBERS(slope) * u + NUMBERS(offset), top);
        store(dx + i, NUMBERS(of_g) * g + (NUMBERS(of_x) * u + NUMBERS(rest)));
    }
    for (; i < n; i++) {
        const idx k = i * step;
        const REAL u = x[i] - by[k], z = slope[k] * u + offset[k];
        const REAL g = z <= 0 || z >= ceiling ? 0 : dy[i], of_u = of_x[k] * u + rest[k];
        dx[i] = of_g[k] * g + of_u;
    }
}
#undef NUMBERS

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

static void NAME(rectified)(void *y, const void *r, const void *x, const double *shift, const double *slope,
                            const double *offset, double ceiling, idx n_planes, idx n)
{
    for (idx p = 0; p < n_planes; p++) {
        const REAL by = (REAL)shift[p], of_x = (REAL)slope[p], rest = (REAL)offset[p];
        NAME(rectified_run)((REAL *)y + p * n, r ? (const REAL *)r + p * n : NULL, (const REAL *)x + p * n, &by, &of_x,
                            &rest, (REAL)ceiling, 0, n);
    }
}

static void NAME(rectified_affine)(void *dx, const void *dy, const void *x, const double *shift, const double *slope,
                                   const double *offset, double ceiling, const double *of_g, const double *of_x,
                                   const double *rest, idx n_planes, idx n)
{
    for (idx p = 0; p < n_planes; p++) {
        const REAL by = (REAL)shift[p], before = (REAL)slope[p], after = (REAL)offset[p];
        const REAL g_times = (REAL)of_g[p], x_times = (REAL)of_x[p], more = (REAL)rest[p];
        NAME(rectified_affine_run)((REAL *)dx + p * n, (const REAL *)dy + p * n, (const REAL *)x + p * n, &by, &before,
                                   &after, (REAL)ceiling, &g_times, &x_times, &more, 0, n);
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

static void NAME(rectified_last)(void *y_, const void *r_, const void *x_, const double *shift, const double *slope,
                                 const double *offset, double ceiling, idx n_planes, idx n)
{
    REAL by[NAME(NEAR)], of_x[NAME(NEAR)], rest[NAME(NEAR)];
    for (idx p = 0; p < n_planes; p += NAME(NEAR)) {
        const idx some = n_planes - p < NAME(NEAR) ? n_planes - p : NAME(NEAR);
        const idx times = some == n_planes ? NAME(NEAR) / some : 1;
        NAME(repeat)(by, shift + p, some, times);
        NAME(repeat)(of_x, slope + p, some, times);
        NAME(repeat)(rest, offset + p, some, times);
        for (idx i = 0; i < n; i += times) {
            const idx at = i * n_planes + p, count = (n - i < times ? n - i : times) * some;
            NAME(rectified_run)((REAL *)y_ + at, r_ ? (const REAL *)r_ + at : NULL, (const REAL *)x_ + at, by, of_x,
                                rest, (REAL)ceiling, 1, count);
        }
    }
}

static void NAME(rectified_affine_last)(void *dx_, const void *dy_, const void *x_, const double *shift,
                                        const double *slope, const double *offset, double ceiling, const double *of_g,
                                        const double *of_x, const double *rest, idx n_planes, idx n)
{
    REAL by[NAME(NEAR)], before[NAME(NEAR)], after[NAME(NEAR)];
    REAL g_times[NAME(NEAR)], x_times[NAME(NEAR)], more[NAME(NEAR)];
    for (idx p = 0; p < n_planes; p += NAME(NEAR)) {
        const idx some = n_planes - p < NAME(NEAR) ? n_planes - p : NAME(NEAR);
        const idx times = some == n_planes ? NAME(NEAR) / some : 1;
        NAME(repeat)(by, shift + p, some, times);
        NAME(repeat)(before, slope + p, some, times);
        NAME(repeat)(after, offset + p, some, times);
        NAME(repeat)(g_times, of_g + p, some, times);
        NAME(repeat)(x_times, of_x + p, some, times);
        NAME(repeat)(more, rest + p, some, times);
        for (idx i = 0; i < n; i += times) {
            const idx at = i * n_planes + p, count = (n - i < times ? n - i : times) * some;
            NAME(rectified_affine_run)((REAL *)dx_ + at, (const REAL *)dy_ + at, (const REAL *)x_ + at, by, before,
                                       after, (REAL)ceiling, g_times, x_times, more, 1, count);
        }
    }
}

/* b may be NULL if all is summed; `slope` and `offset` are read for what z tells. */
INLINE void NAME(sums_of_rows)(const int what, void *g_, const void *a_, const void *y_, const void *b_,
                               const double *a_shift, const double *b_shift, const double *slope, const double *offset,
                               REAL ceiling, idx n_planes, idx n, double *sum, double *dot)
{
    enum { SOME = 16 }; /* elements of a plane that REAL sums before they are added to the total in double */
    REAL a_by[NAME(NEAR)], b_by[NAME(NEAR)], of_x[NAME(NEAR)], rest[NAME(NEAR)], s[NAME(NEAR)], s2[NAME(NEAR)];
    const vec top = splat(ceiling);
    memset(sum, 0, (size_t)n_planes * sizeof(double));
    if (b_) memset(dot, 0, (size_t)n_planes * sizeof(double));
    for (idx p = 0; p < n_planes; p += NAME(NEAR)) {
        const idx some = n_planes - p < NAME(NEAR) ? n_planes - p : NAME(NEAR);
        const idx times = some == n_planes ? NAME(NEAR) / some : 1;
        NAME(repeat)(a_by, a_shift ? a_shift + p : NULL, some, times);
        NAME(repeat)(b_by, b_ ? b_shift + p : NULL, some, times);
        if (what == NAME(BY_Z)) {
            NAME(repeat)(of_x, slope + p, some, times);
            NAME(repeat)(rest, offset + p, some, times);
        }
        for (idx i = 0; i < n;) {
            const idx end = n - i < SOME * times ? n : i + SOME * times;
            NAME(set)(s, times * some, 0);
            NAME(set)(s2, times * some, 0);
            for (; i < end; i += times) {
                const idx at = i * n_planes + p, count = (end - i < times ? end - i : times) * some;
                const REAL *a = (const REAL *)a_ + at, *b = b_ ? (const REAL *)b_ + at : NULL;
                const REAL *y = what == NAME(BY_Y) ? (const REAL *)y_ + at : NULL;
                REAL *g = what != NAME(ALL) && g_ ? (REAL *)g_ + at : NULL;
                idx k = 0;
                for (; k + LANES <= count; k += LANES) {
                    const vec u = b ? load(b + k) - load(b_by + k) : splat(0);
                    vec v = load(a + k);
                    if (what == NAME(ALL))
                        v -= load(a_by + k);
                    else
                        v = NAME(passing)(v, y ? load(y + k) : load(of_x + k) * u + load(rest + k), top);
                    if (g) store(g + k, v);
                    store(s + k, load(s + k) + v);
                    if (b) store(s2 + k, load(s2 + k) + v * u);
                }
                for (; k < count; k++) {
                    const REAL u = b ? b[k] - b_by[k] : 0;
                    REAL v = a[k] - a_by[k];
                    if (what != NAME(ALL)) {
                        const REAL z = y ? y[k] : of_x[k] * u + rest[k];
                        v = z <= 0 || z >= ceiling ? 0 : a[k];
                    }
                    if (g) g[k] = v;
                    s[k] += v;
                    if (b) s2[k] += v * u;
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

static void NAME(sums_last)(const void *a, const double *a_shift, const void *b, const double *b_shift, idx n_planes,
                            idx n, double *sum, double *dot)
{
    NAME(sums_of_rows)(NAME(ALL), NULL, a, NULL, b, a_shift, b_shift, NULL, NULL, 0, n_planes, n, sum, dot);
}

static void NAME(rectified_sums_last)(void *g, const void *dy, const void *y, const void *x, const double *shift,
                                      const double *slope, const double *offset, double ceiling, idx n_planes, idx n,
                                      double *sum, double *dot)
{
    if (y)
        NAME(sums_of_rows)(NAME(BY_Y), g, dy, y, x, NULL, shift, NULL, NULL, (REAL)ceiling, n_planes, n, sum, dot);
    else
        NAME(sums_of_rows)(NAME(BY_Z), g, dy, NULL, x, NULL, shift, slope, offset, (REAL)ceiling, n_planes, n, sum,
                           dot);
}

/* clang-format off */
static const fc_passes_kernels NAME(passes) = {
    KERNEL(finite) KERNEL(relu) KERNEL(relu_backward) KERNEL(leaky_relu) KERNEL(total) KERNEL(add)
    KERNEL(add_to_doubles) KERNEL(softmax) KERNEL(sums) KERNEL(affine) KERNEL(sums_last)
    KERNEL(affine_last) KERNEL(rectified) KERNEL(rectified_sums) KERNEL(rectified_affine)
    KERNEL(rectified_last) KERNEL(rectified_sums_last) KERNEL(rectified_affine_last)
};
/* clang-format on */

#endif
