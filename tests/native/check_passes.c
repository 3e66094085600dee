#include "kernels.h"

static void check_finite(void)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (idx n = 0; n < 5 * kern->lanes; n++) {
        void *x = input(n);
        SAY("n %td", n);
        if (!kern->passes->finite(x, n)) fail("finite numbers");
        if (n) {
            idx at = below(n);
            put(x, at, bad[below(3)]);
            if (kern->passes->finite(x, n)) fail("one that is not finite");
        }
        release();
    }
}

static void check_relu(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++) {
        void *x = input(n), *dy = input(n), *y = output(n), *dx = output(n), *leaky = output(n);
        if (n > 2) put(x, 1, NAN), put(x, 2, -INFINITY);
        SAY("n %td", n);
        kern->passes->relu(y, x, n);
        kern->passes->relu_backward(dx, dy, y, n);
        void *in_place = copy_of(dy, n);
        kern->passes->relu_backward(in_place, in_place, y, n);
        kern->passes->leaky_relu(leaky, dy, x, 0.25, n);
        for (idx i = 0; i < n; i++) {
            double v = get(x, i);
            if (!same(get(y, i), v < 0 ? 0 : v)) fail("wrong value");
            if (!same(get(dx, i), v <= 0 ? 0 : get(dy, i))) fail("wrong gradient");
            if (!same(get(in_place, i), get(dx, i))) fail("wrong gradient in place");
            if (!same(get(leaky, i), v > 0 ? get(dy, i) : 0.25 * get(dy, i))) fail("wrong leaky gradient");
        }
        release();
    }
}

static void check_total_and_add(void)
{
    for (idx n = 0; n < 150 * kern->lanes; n += n < 9 * kern->lanes ? 1 : 1 + below(40)) {
        void *x = input(n), *y0 = input(n), *y = copy_of(y0, n);
        double *sums = new_buffer(n, sizeof(double), 0), sum = 0;
        for (idx i = 0; i < n; i++) sum += get(x, i), sums[i] = (double)i;
        SAY("n %td", n);
        if (kern->passes->total(x, n) != sum) fail("wrong total");
        void *apart = output(n), *same_as_b = copy_of(y0, n);
        kern->passes->add(y, y, x, n);
        kern->passes->add(same_as_b, x, same_as_b, n);
        kern->passes->add(apart, y0, x, n);
        kern->passes->add_to_doubles(sums, x, n);
        for (idx i = 0; i < n; i++) {
            if (get(y, i) != get(y0, i) + get(x, i)) fail("wrong sum");
            if (get(apart, i) != get(y, i) || get(same_as_b, i) != get(y, i)) fail("wrong sum in another place");
            if (sums[i] != (double)i + get(x, i)) fail("wrong sum in double");
        }
        release();
    }
}

static void check_softmax(void)
{
    const double tolerance = kern->itemsize == 4 ? 1e-6 : 1e-14;
    for (idx n = 1; n < 6 * kern->lanes; n++) {
        void *x = input(n), *p = output(n);
        double largest = NAN, total = NAN, most = -INFINITY, sum = 0;
        if (n % 3 == 0) put(x, below(n), -1000);
        if (n % 7 == 0) put(x, below(n), 1000);
        for (idx i = 0; i < n; i++) most = fmax(most, get(x, i));
        for (idx i = 0; i < n; i++) sum += exp(get(x, i) - most);
        SAY("n %td", n);
        kern->passes->softmax(p, x, n, 0.5, &largest, &total);
        if (largest != most || fabs(total - sum) > tolerance * sum) fail("wrong total");
        for (idx i = 0; i < n; i++) {
            double e = 0.5 * exp(get(x, i) - most) / sum;
            if (fabs(get(p, i) - e) > 4 * tolerance * e + 1e-38) fail("wrong probability");
        }
        put(x, below(n), NAN);
        kern->passes->softmax(p, x, n, 0.5, &largest, &total);
        for (idx i = 0; i < n; i++)
            if (get(p, i) == get(p, i)) fail("NaN is lost");
        release();
    }
}

/* For planes of up to some blocks of vectors. */
static idx draw_planes(idx round, idx *n_planes)
{
    *n_planes = 1 + below(5);
    return round % 2 ? below(9 * kern->lanes) : below(150 * kern->lanes);
}

/* Element i of plane p, of n_planes of n elements, which lie one after the other or side by side. */
static idx place(int last, idx p, idx i, idx n_planes, idx n) { return last ? i * n_planes + p : p * n + i; }

static void check_sums(void)
{
    static const double a_shift[] = {1, 0, -2, 3, 1}, b_shift[] = {2, -1, 0, 1, -3};
    for (int round = 0; round < 400; round++) {
        const int shifted = round & 1, last = round >> 1 & 1, alone = last && round >> 2 & 1;
        idx n_planes, n = draw_planes(round >> 3, &n_planes);
        void *x = input(n_planes * n), *dy = input(n_planes * n);
        double sum[5], dot[5] = {0};
        SAY("planes %td n %td shifted %d last %d alone %d", n_planes, n, shifted, last, alone);
        (last ? kern->passes->sums_last : kern->passes->sums)(dy, shifted ? a_shift : NULL, alone ? NULL : x, b_shift,
                                                              n_planes, n, sum, dot);
        for (idx p = 0; p < n_planes; p++) {
            for (idx i = 0; i < n; i++) {
                const idx at = place(last, p, i, n_planes, n);
                double v = get(dy, at) - (shifted ? a_shift[p] : 0);
                sum[p] -= v;
                if (!alone) dot[p] -= v * (get(x, at) - b_shift[p]);
            }
            if (sum[p] != 0 || dot[p] != 0) fail("wrong sum");
        }
        release();
    }
}

static void check_affine(void)
{
    static const double shift[] = {1, 0, -2, 3, 1}, scale[] = {3, 1, 0, 2, -1}, offset[] = {0.5, 0, 2, -1, 1};
    static const double slope[] = {0.25, 0, -1, 4, 2};
    for (int round = 0; round < 400; round++) {
        const int last = round & 1;
        idx n_planes, n = draw_planes(round >> 1, &n_planes), size = n_planes * n;
        void *x = input(size), *dy = input(size), *y = output(size), *dx = output(size), *in_place = copy_of(dy, size);
        SAY("planes %td n %td last %d", n_planes, n, last);
        void (*affine)(void *, const void *, const void *, const double *, const double *, const double *,
                       const double *, idx, idx) = last ? kern->passes->affine_last : kern->passes->affine;
        affine(y, NULL, x, shift, NULL, slope, offset, n_planes, n);
        affine(dx, dy, x, shift, scale, slope, offset, n_planes, n);
        affine(in_place, in_place, x, shift, scale, slope, offset, n_planes, n);
        for (idx p = 0; p < n_planes; p++)
            for (idx i = 0; i < n; i++) {
                const idx at = place(last, p, i, n_planes, n);
                double v = slope[p] * (get(x, at) - shift[p]) + offset[p];
                if (get(y, at) != v) fail("wrong value");
                if (get(dx, at) != scale[p] * get(dy, at) + v) fail("wrong pair");
                if (!same(get(in_place, at), get(dx, at))) fail("wrong pair in place");
            }
        release();
    }
}

/* What a rectifier lets through. */
static double passing(double dy, double z, double ceiling) { return z <= 0 || z >= ceiling ? 0 : dy; }

static void check_rectified(void)
{
    static const double shift[] = {1, 0, -2, 3, 1}, of_g[] = {3, 1, 0, 2, -1}, rest[] = {0.5, 0, 2, -1, 1};
    static const double slope[] = {0.25, 0, -1, 4, 2}, offset[] = {1, 2, -3, 0, 0.5}, of_x[] = {2, -1, 0.5, 0, 1};
    for (int round = 0; round < 800; round++) {
        const int last = round & 1, added = round >> 1 & 1;
        const double ceiling = round & 4 ? 2 : NAN;
        idx n_planes, n = draw_planes(round >> 3, &n_planes), size = n_planes * n;
        void *x = input(size), *dy = input(size), *r = added ? input(size) : NULL, *y = output(size);
        void *g = output(size), *dx = output(size), *over = copy_of(dy, size), *in_place = copy_of(dy, size);
        double sum[5], dot[5] = {0}, sum2[5], dot2[5];
        SAY("planes %td n %td last %d added %d ceiling %g", n_planes, n, last, added, ceiling);
        (last ? kern->passes->rectified_last : kern->passes->rectified)(y, r, x, shift, slope, offset, ceiling,
                                                                        n_planes, n);
        void (*sums)(void *, const void *, const void *, const void *, const double *, const double *, const double *,
                     double, idx, idx, double *, double *) =
            last ? kern->passes->rectified_sums_last : kern->passes->rectified_sums;
        sums(g, dy, y, x, shift, slope, offset, ceiling, n_planes, n, sum, dot);
        sums(over, over, added ? y : NULL, x, shift, slope, offset, ceiling, n_planes, n, sum2, dot2);
        sums(NULL, dy, y, x, shift, slope, offset, ceiling, n_planes, n, sum2, dot2);
        void (*affine)(void *, const void *, const void *, const double *, const double *, const double *, double,
                       const double *, const double *, const double *, idx, idx) =
            last ? kern->passes->rectified_affine_last : kern->passes->rectified_affine;
        affine(dx, dy, x, shift, slope, offset, ceiling, of_g, of_x, rest, n_planes, n);
        affine(in_place, in_place, x, shift, slope, offset, ceiling, of_g, of_x, rest, n_planes, n);
        for (idx p = 0; p < n_planes; p++) {
            if (sum2[p] != sum[p] || dot2[p] != dot[p]) fail("other sums without g");
            for (idx i = 0; i < n; i++) {
                const idx at = place(last, p, i, n_planes, n);
                const double u = get(x, at) - shift[p], v = slope[p] * u + offset[p];
                const double z = v + (added ? get(r, at) : 0), through = passing(get(dy, at), z, ceiling);
                if (get(y, at) != (z < 0 ? 0 : z > ceiling ? ceiling : z)) fail("wrong value");
                if (get(g, at) != through) fail("wrong gradient");
                if (!same(get(over, at), get(g, at))) fail("wrong gradient in place");
                if (get(dx, at) != of_g[p] * passing(get(dy, at), v, ceiling) + (of_x[p] * u + rest[p]))
                    fail("wrong pair");
                if (!same(get(in_place, at), get(dx, at))) fail("wrong pair in place");
                sum[p] -= through;
                dot[p] -= through * u;
            }
            if (sum[p] != 0 || dot[p] != 0) fail("wrong sum");
        }
        release();
    }
}

/* More planes than numbers that are kept near. */
static void check_many_planes(void)
{
    const idx n_planes = 130 * kern->lanes + 1, n = 3, size = n_planes * n;
    void *x = input(size), *dy = input(size), *dx = output(size);
    double *number = new_buffer(n_planes, sizeof(double), 0);
    double *sum = new_buffer(n_planes, sizeof(double), 0);
    double *dot = new_buffer(n_planes, sizeof(double), 0);
    for (idx p = 0; p < n_planes; p++) number[p] = (double)(p % 5 - 2);
    SAY("planes %td", n_planes);
    kern->passes->sums_last(dy, number, x, number, n_planes, n, sum, dot);
    kern->passes->affine_last(dx, dy, x, number, number, number, number, n_planes, n);
    for (idx at = 0; at < size; at++) {
        const idx p = at % n_planes;
        double v = get(dy, at) - number[p], u = get(x, at) - number[p];
        sum[p] -= v;
        dot[p] -= v * u;
        if (get(dx, at) != number[p] * get(dy, at) + (number[p] * u + number[p])) fail("wrong pair");
    }
    for (idx p = 0; p < n_planes; p++)
        if (sum[p] != 0 || dot[p] != 0) fail("wrong sum");
    release();
}

const kernel_check passes_checks[] = {
    {"finite", check_finite},
    {"relu, relu_backward, leaky_relu", check_relu},
    {"total, add, add_to_doubles", check_total_and_add},
    {"softmax", check_softmax},
    {"sums, sums_last", check_sums},
    {"affine, affine_last", check_affine},
    {"rectified, rectified_sums, rectified_affine and _last", check_rectified},
    {"sums_last, affine_last of many planes", check_many_planes},
    {NULL, NULL},
};
