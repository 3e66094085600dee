#include "kernels.h"

/* Activations, norms of rows, and resizing. */

static double value(int kind, double x, const double *p)
{
    const double k = 1.59576912160573071176, cut = fmin(fmax(x + 3, 0), 6) / 6;
    switch (kind) {
    case FC_HARDTANH:
        return fmin(fmax(x, p[0]), p[1]);
    case FC_HARDSIGMOID:
        return cut;
    case FC_HARDSWISH:
        return x * cut;
    case FC_SILU:
        return x / (1 + exp(-x));
    case FC_MISH:
        return x * tanh(log1p(exp(x)));
    case FC_ELU:
        return x > 0 ? p[1] * x : p[0] * expm1(p[2] * x);
    case FC_GELU:
        return x * 0.5 * erfc(-x * 0.70710678118654752440);
    default:
        return x / (1 + exp(-k * (x + 0.044715 * x * x * x)));
    }
}

static void check_activations(void)
{
    const int is_float = kern->itemsize == 4;
    const double p[3] = {-1.5, 2.5, 0.5}, elu[3] = {1.3, 1.5, 0.5}, step = 1e-5;
    for (int kind = 0; kind < FC_ACTIVATIONS; kind++)
        for (idx n = 0; n < 9 * kern->lanes; n++) {
            const double *q = kind == FC_ELU ? elu : p;
            void *x = input(n), *dy = input(n), *y = output(n), *dx = output(n);
            SAY("kind %d n %td", kind, n);
            for (idx i = 0; i < n; i++) put(x, i, get(x, i) * 1.7 + 0.13 + 20 * (below(9) == 0) - 20 * (below(9) == 0));
            kern->activations->activate(kind, y, x, q, n);
            kern->activations->activate_backward(kind, dx, dy, x, q, n);
            void *in_place = copy_of(dy, n);
            kern->activations->activate_backward(kind, in_place, in_place, x, q, n);
            for (idx i = 0; i < n; i++) {
                const double v = get(x, i), f = value(kind, v, q);
                /* Differences are off by step^2 and by rounding over step. */
                const double slope = (value(kind, v + step, q) - value(kind, v - step, q)) / (2 * step);
                if (fabs(get(y, i) - f) > (is_float ? 1e-6 : 4e-15) * (fabs(f) + 1e-3)) fail("wrong value");
                if (fabs(get(dx, i) - slope * get(dy, i)) > (is_float ? 1e-5 : 1e-8) * 4) fail("wrong gradient");
                if (!same(get(in_place, i), get(dx, i))) fail("wrong gradient in place");
            }
            if (n) {
                const idx at = below(n);
                put(x, at, NAN);
                kern->activations->activate(kind, y, x, q, n);
                if (get(y, at) == get(y, at)) fail("NaN is lost");
            }
            release();
        }
}

static void check_prelu(void)
{
    static const double slope[] = {0.5, 0, -2, 3, 1};
    for (int round = 0; round < 200; round++) {
        const idx n_planes = 1 + below(5), n = below(150 * kern->lanes), size = n_planes * n;
        void *x = input(size), *dy = input(size), *y = output(size), *dx = output(size), *in_place = copy_of(dy, size);
        double sum[5];
        SAY("planes %td n %td", n_planes, n);
        kern->activations->prelu(y, x, slope, n_planes, n);
        kern->activations->prelu_backward(dx, dy, x, slope, sum, n_planes, n);
        for (idx i = 0; i < size; i++) {
            const double v = get(x, i), a = v > 0 ? 1 : slope[i / n];
            if (get(y, i) != a * v) fail("wrong value");
            if (get(dx, i) != a * get(dy, i)) fail("wrong gradient");
            if (!(v > 0)) sum[i / n] -= v * get(dy, i);
        }
        for (idx p = 0; p < n_planes; p++)
            if (sum[p] != 0) fail("wrong gradient of the slope");
        kern->activations->prelu_backward(in_place, in_place, x, slope, sum, n_planes, n);
        for (idx i = 0; i < size; i++)
            if (!same(get(in_place, i), get(dx, i))) fail("wrong gradient in place");
        release();
    }
}

static void check_norm(idx count, idx run, idx each, idx period, int weighted)
{
    const idx n = run * each, weights = period * each, size = count * n, first = below(3);
    const double tolerance = kern->itemsize == 4 ? 2e-5 : 1e-12, eps = 0.5;
    void *x = input(size), *dy = input(size), *y = output(size), *dx = output(size), *scratch = output(2 * n);
    void *w = input(weights), *b = input(weights);
    double *mean = new_buffer((size_t)count * sizeof(double), 1),
           *inverse = new_buffer((size_t)count * sizeof(double), 1);
    double *dw = new_buffer((size_t)weights * sizeof(double), 1), *db = new_buffer((size_t)weights * sizeof(double), 1);
    const fc_rows rows = {n, run, period, weighted ? w : NULL, weighted > 1 ? b : NULL};
    SAY("count %td run %td each %td period %td weighted %d", count, run, each, period, weighted);
    memset(dw, 0, (size_t)weights * sizeof(double));
    memset(db, 0, (size_t)weights * sizeof(double));
    kern->norms->normalise(y, x, &rows, eps, mean, inverse, first, count);
    kern->norms->normalise_backward(dx, dy, x, &rows, mean, inverse, dw, db, scratch, first, count);
    for (idx r = 0; r < count; r++) {
        double m = 0, v = 0, g1 = 0, g2 = 0;
        const idx at = (first + r) % period * each;
        for (idx i = 0; i < n; i++) m += get(x, r * n + i) / (double)n;
        for (idx i = 0; i < n; i++) v += pow(get(x, r * n + i) - m, 2) / (double)n;
        const double s = 1 / sqrt(v + eps);
        if (fabs(mean[r] - m) > tolerance || fabs(inverse[r] - s) > tolerance * s) fail("wrong moments");
        for (idx i = 0; i < n; i++) {
            const double z = (get(x, r * n + i) - m) * s, g = get(dy, r * n + i);
            const double a = weighted ? get(w, at + i / run) : 1, c = weighted > 1 ? get(b, at + i / run) : 0;
            if (fabs(get(y, r * n + i) - (a * z + c)) > tolerance * (1 + fabs(a))) fail("wrong value");
            g1 += a * g / (double)n, g2 += a * g * z / (double)n;
            dw[at + i / run] -= g * z, db[at + i / run] -= g;
        }
        for (idx i = 0; i < n; i++) {
            const double z = (get(x, r * n + i) - m) * s, a = weighted ? get(w, at + i / run) : 1;
            const double e = s * (a * get(dy, r * n + i) - g1 - z * g2);
            if (fabs(get(dx, r * n + i) - e) > 8 * tolerance * s) fail("wrong gradient");
        }
    }
    for (idx i = 0; i < weights; i++)
        if (fabs(dw[i]) > tolerance * (double)size || fabs(db[i]) > tolerance) fail("wrong gradient of a weight");
    void *dw_alone = new_buffer((size_t)weights * sizeof(double), 1);
    memset(dw_alone, 0, (size_t)weights * sizeof(double));
    kern->norms->normalise_backward(NULL, dy, x, &rows, mean, inverse, dw_alone, db, scratch, first, count);
    release();
}

static void check_rows(void)
{
    for (int round = 0; round < 300; round++) {
        const int weighted = round % 3;
        if (round % 2)
            check_norm(1 + below(70), 1, 1 + below(9 * kern->lanes), 1, weighted);
        else
            check_norm(1 + below(9), 1 + below(9 * kern->lanes), 1 + below(4), 1 + below(3), weighted);
    }
}

/* Taps drawn at random for n outputs of a dimension of `length`; weights are small integers. */
static fc_taps draw_taps(idx length, idx n)
{
    fc_taps taps = {NULL, NULL, below(5), n};
    if (!taps.taps) {
        taps.n = length;
        return taps;
    }
    int32_t *index = new_buffer((size_t)(taps.taps * n) * sizeof(int32_t), 0);
    for (idx i = 0; i < taps.taps * n; i++) index[i] = (int32_t)below(length);
    taps.index = index;
    taps.weight = input(taps.taps * n);
    return taps;
}

static void check_resample(void)
{
    for (int round = 0; round < 600; round++) {
        const idx height = 1 + below(7), width = 1 + below(5 * kern->lanes);
        const fc_taps rows = draw_taps(height, 1 + below(9)), cols = draw_taps(width, 1 + below(5 * kern->lanes));
        if (!rows.taps && !cols.taps) {
            release();
            continue;
        }
        void *x = input(height * width), *y = output(rows.n * cols.n), *scratch = output(height * cols.n);
        SAY("%td x %td to %td x %td, %td and %td taps", height, width, rows.n, cols.n, rows.taps, cols.taps);
        kern->resample->plane(y, x, height, width, &rows, &cols, scratch);
        for (idx p = 0; p < rows.n; p++)
            for (idx q = 0; q < cols.n; q++) {
                double sum = 0;
                for (idx s = 0; s < (rows.taps ? rows.taps : 1); s++)
                    for (idx t = 0; t < (cols.taps ? cols.taps : 1); t++) {
                        const idx a = s * rows.n + p, b = t * cols.n + q;
                        const idx row = rows.taps ? rows.index[a] : p, col = cols.taps ? cols.index[b] : q;
                        sum += (rows.taps ? get(rows.weight, a) : 1) * (cols.taps ? get(cols.weight, b) : 1) *
                               get(x, row * width + col);
                    }
                if (get(y, p * cols.n + q) != sum) fail("wrong pixel");
            }
        release();
    }
}

const kernel_check layers_checks[] = {
    {"activate, activate_backward", check_activations},
    {"prelu, prelu_backward", check_prelu},
    {"normalise, normalise_backward", check_rows},
    {"plane", check_resample},
    {NULL, NULL},
};
