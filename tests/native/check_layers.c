#include "kernels.h"

/* Activations, losses, norms of rows, sums of columns, resizing and padding. */

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
    case FC_SIGMOID:
        return 1 / (1 + exp(-x));
    case FC_TANH:
        return tanh(x);
    case FC_SOFTPLUS:
        return p[0] * x > p[1] ? x : p[2] * log1p(exp(p[0] * x));
    default:
        return x / (1 + exp(-k * (x + 0.044715 * x * x * x)));
    }
}

static void check_activations(void)
{
    const int is_float = kern->itemsize == 4;
    const double p[3] = {-1.5, 2.5, 0.5}, elu[3] = {1.3, 1.5, 0.5}, softplus[3] = {0.5, 9, 2}, step = 1e-5;
    for (int kind = 0; kind < FC_ACTIVATIONS; kind++)
        for (idx n = 0; n < 9 * kern->lanes; n++) {
            const double *q = kind == FC_ELU ? elu : kind == FC_SOFTPLUS ? softplus : p;
            void *x = input(n), *dy = input(n), *y = output(n), *dx = output(n);
            SAY("kind %d n %td", kind, n);
            for (idx i = 0; i < n; i++) put(x, i, get(x, i) * 1.7 + 0.13 + 20 * (below(9) == 0) - 20 * (below(9) == 0));
            kern->activations->activate(kind, y, x, q, n);
            /* The gradients of these two are computed from their results. */
            const void *given = kind == FC_SIGMOID || kind == FC_TANH ? y : x;
            kern->activations->activate_backward(kind, dx, dy, given, q, n);
            void *in_place = copy_of(dy, n);
            kern->activations->activate_backward(kind, in_place, in_place, given, q, n);
            for (idx i = 0; i < n; i++) {
                const double v = get(x, i), f = value(kind, v, q);
                /* Differences are off by step^2 and by rounding over step. */
                const double slope = (value(kind, v + step, q) - value(kind, v - step, q)) / (2 * step);
                if (kind == FC_SOFTPLUS && fabs(q[0] * v - q[1]) < 1e-3) continue;
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
    double *mean = new_buffer(count, sizeof(double), 1), *inverse = new_buffer(count, sizeof(double), 1);
    double *dw = new_buffer(weights, sizeof(double), 1), *db = new_buffer(weights, sizeof(double), 1);
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
    void *dw_alone = new_buffer(weights, sizeof(double), 1);
    memset(dw_alone, 0, (size_t)weights * sizeof(double));
    kern->norms->normalise_backward(NULL, dy, x, &rows, mean, inverse, dw_alone, db, scratch, first, count);
    if (run == 1 && period == 1) {
        /* The sums by columns, and dx without them. */
        const idx from = below(n), columns = 1 + below(n - from);
        double *dw_columns = new_buffer(columns, sizeof(double), 1),
               *db_columns = new_buffer(columns, sizeof(double), 1);
        memset(dw_columns, 0, (size_t)columns * sizeof(double));
        memset(db_columns, 0, (size_t)columns * sizeof(double));
        kern->norms->norm_weights(dy, x, n, mean, inverse, dw_columns, db_columns, count, from, columns);
        for (idx i = 0; i < columns; i++)
            if (fabs(dw_columns[i] - ((double *)dw_alone)[from + i]) > tolerance * (double)size ||
                fabs(db_columns[i] - db[from + i]) > tolerance * (double)size)
                fail("wrong sum of a column");
        void *dx_alone = output(size);
        kern->norms->normalise_backward(dx_alone, dy, x, &rows, mean, inverse, NULL, NULL, NULL, first, count);
        for (idx i = 0; i < size; i++)
            if (fabs(get(dx_alone, i) - get(dx, i)) > 8 * tolerance * inverse[i / n])
                fail("wrong gradient without the weights'");
    }
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
    int32_t *index = new_buffer(taps.taps * n, sizeof(int32_t), 0);
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

static double loss(int kind, double x, double t, double p)
{
    const double d = x - t, size = fabs(d);
    switch (kind) {
    case FC_SQUARED:
        return d * d;
    case FC_ABSOLUTE:
        return size;
    case FC_SMOOTH_L1:
        return size < p ? d * d / (2 * p) : size - p / 2;
    case FC_HUBER:
        return size <= p ? d * d / 2 : p * (size - p / 2);
    default:
        return log1p(exp(-fabs(x))) + fmax(x, 0) - t * x;
    }
}

static void check_losses(void)
{
    const double tolerance = kern->itemsize == 4 ? 1e-6 : 1e-14, p = 1.5, step = 1e-5;
    for (int kind = 0; kind < FC_LOSSES; kind++)
        for (idx n = 0; n < 9 * kern->lanes; n++) {
            void *x = input(n), *t = input(n), *dy = input(n), *y = output(n), *dx = output(n), *scaled = output(n);
            SAY("kind %d n %td", kind, n);
            for (idx i = 0; i < n; i++) put(x, i, get(x, i) * 0.7 + 0.13);
            kern->losses->each_loss(kind, y, x, t, p, n);
            const double total = kern->losses->sum_of_losses(kind, x, t, p, n);
            kern->losses->loss_backward(kind, dx, dy, x, t, p, 0, n);
            kern->losses->loss_backward(kind, scaled, NULL, x, t, p, 0.25, n);
            double sum = 0;
            for (idx i = 0; i < n; i++) {
                const double v = get(x, i), u = get(t, i), f = loss(kind, v, u, p);
                const double slope = (loss(kind, v + step, u, p) - loss(kind, v - step, u, p)) / (2 * step);
                sum += f;
                if (fabs(get(y, i) - f) > tolerance * (1 + fabs(f))) fail("wrong loss");
                if (fabs(get(dx, i) - slope * get(dy, i)) > 1e-5 * (1 + fabs(slope * get(dy, i)))) fail("wrong slope");
                if (fabs(get(scaled, i) - slope / 4) > 1e-5 * (1 + fabs(slope))) fail("wrong scaled slope");
            }
            if (fabs(total - sum) > 4 * tolerance * (double)(n + 1) * (1 + fabs(sum))) fail("wrong sum");
            release();
        }
}

/* Rows of `stride` elements, of which `width` are columns; what lies between is not touched. */
static void check_columns(void)
{
    const double tolerance = kern->itemsize == 4 ? 2e-6 : 1e-14;
    for (int round = 0; round < 400; round++) {
        const idx rows = 1 + below(70), width = 1 + below(9 * kern->lanes), stride = width + below(5);
        const idx size = (rows - 1) * stride + width;
        const int logarithm = round % 2;
        const fc_columns columns = {rows, stride, width};
        void *a = input(size), *b = input(size);
        double *sums = new_buffer(width, sizeof(double), 1);
        SAY("rows %td width %td stride %td", rows, width, stride);
        for (idx c = 0; c < width; c++) sums[c] = 1;
        kern->axes->sum_columns(sums, a, &columns);
        for (idx c = 0; c < width; c++) {
            double sum = 1;
            for (idx r = 0; r < rows; r++) sum += get(a, r * stride + c);
            if (sums[c] != sum) fail("wrong sum");
        }
        void *p = output(size), *dp = output(size);
        kern->axes->softmax_columns(p, a, &columns, logarithm);
        kern->axes->softmax_columns_backward(dp, b, p, &columns, logarithm);
        for (idx i = 0; i < size; i++)
            if (i % stride >= width && (!poisoned(p, i) || !poisoned(dp, i))) fail("written between rows");
        for (idx c = 0; c < width; c++) {
            double most = -1e300, total = 0, dot = 0;
            for (idx r = 0; r < rows; r++) most = fmax(most, get(a, r * stride + c));
            for (idx r = 0; r < rows; r++) total += exp(get(a, r * stride + c) - most);
            for (idx r = 0; r < rows; r++) {
                const double e = exp(get(a, r * stride + c) - most) / total;
                dot += get(b, r * stride + c) * (logarithm ? 1 : e);
            }
            for (idx r = 0; r < rows; r++) {
                const idx i = r * stride + c;
                const double e = exp(get(a, i) - most) / total, v = logarithm ? log(e) : e;
                const double g = logarithm ? get(b, i) - e * dot : e * (get(b, i) - dot);
                if (fabs(get(p, i) - v) > tolerance * (1 + fabs(v))) fail("wrong softmax");
                if (fabs(get(dp, i) - g) > 4 * tolerance * (double)rows * (1 + fabs(g))) fail("wrong gradient");
            }
        }
        /* Of neighbours the same, as far as rounding goes. */
        void *row = copy_of(a, width), *q = output(width), *dq = output(width);
        double total = 0, dot = 0;
        kern->axes->softmax_row(q, row, width, logarithm);
        kern->axes->softmax_row_backward(dq, b, q, width, logarithm);
        for (idx c = 0; c < width; c++) total += exp(get(row, c));
        for (idx c = 0; c < width; c++) dot += get(b, c) * (logarithm ? 1 : exp(get(row, c)) / total);
        for (idx c = 0; c < width; c++) {
            const double e = exp(get(row, c)) / total, v = logarithm ? log(e) : e;
            const double g = logarithm ? get(b, c) - e * dot : e * (get(b, c) - dot);
            if (fabs(get(q, c) - v) > tolerance * (1 + fabs(v))) fail("wrong softmax of a row");
            if (fabs(get(dq, c) - g) > 4 * tolerance * (double)width * (1 + fabs(g))) fail("wrong gradient of a row");
        }
        release();
    }
}

static void check_padding(void)
{
    for (int round = 0; round < 300; round++) {
        const idx rows = 1 + below(6), cols = 1 + below(4 * kern->lanes);
        const idx height = 1 + below(8), left = below(5), right = below(5), middle = 1 + below(cols);
        const idx width = left + middle + right, first = below(cols - middle + 1);
        int32_t *of_rows = new_buffer(height, sizeof(int32_t), 0);
        int32_t *of_cols = new_buffer(width, sizeof(int32_t), 0);
        for (idx p = 0; p < height; p++) of_rows[p] = (int32_t)(below(rows + 1) - 1);
        for (idx q = 0; q < width; q++) of_cols[q] = (int32_t)(below(cols + 1) - 1);
        for (idx q = 0; q < middle; q++) of_cols[left + q] = (int32_t)(first + q);
        const fc_edges edges = {of_rows, of_cols, height, width, left, middle, rows, cols, 7};
        void *x = input(rows * cols), *y = output(height * width), *dy = input(height * width);
        void *dx = output(rows * cols);
        double *sum = calloc((size_t)(rows * cols), sizeof(double));
        SAY("%td x %td to %td x %td", rows, cols, height, width);
        kern->padding->pad_plane(y, x, &edges);
        kern->padding->pad_plane_backward(dx, dy, &edges);
        for (idx p = 0; p < height; p++)
            for (idx q = 0; q < width; q++) {
                const int there = of_rows[p] >= 0 && of_cols[q] >= 0;
                const idx at = of_rows[p] * cols + of_cols[q];
                if (get(y, p * width + q) != (there ? get(x, at) : 7)) fail("wrong pixel");
                if (there) sum[at] += get(dy, p * width + q);
            }
        for (idx i = 0; i < rows * cols; i++)
            if (get(dx, i) != sum[i]) fail("wrong gradient");
        free(sum);
        release();
    }
}

const kernel_check layers_checks[] = {
    {"activate, activate_backward", check_activations},
    {"prelu, prelu_backward", check_prelu},
    {"each_loss, sum_of_losses, loss_backward", check_losses},
    {"normalise, normalise_backward, norm_weights", check_rows},
    {"sum_columns, softmax_columns, softmax_columns_backward, softmax_row, softmax_row_backward", check_columns},
    {"plane", check_resample},
    {"pad_plane, pad_plane_backward", check_padding},
    {NULL, NULL},
};
