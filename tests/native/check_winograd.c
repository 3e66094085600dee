#include "kernels.h"

#include "fourier.h"

/* The matrices that multiply a tile from the left [0] and, transposed, from the right [1], by their definition in
 * winograd.h: of 5, 6 or 8 points, or of a single point, where all are 1. */
static double BT[2][8][8], A[2][8][6], G[2][8][7];
static int points[2], outputs[2], taps[2];

static void set_matrices(int side, int n, int r)
{
    const int m = n + 1 - r;
    const double roots[] = {0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2)}, halves[] = {0, 1, -1, 0.5, -0.5, 2, -2};
    const double quarters[] = {0.5, -0.5, 1.25, -1.25}, *p = n == 5 ? quarters : n == 6 ? roots : halves;
    double (*b)[8] = BT[side], (*a)[6] = A[side], (*g)[7] = G[side];
    memset(b, 0, sizeof BT[side]);
    memset(a, 0, sizeof A[side]);
    memset(g, 0, sizeof G[side]);
    points[side] = n, outputs[side] = m, taps[side] = r;
    for (int j = 0; j < n - 1; j++) {
        /* The coefficients of M(t) / (t - p_j), and the slope M'(p_j). */
        double slope = 1;
        b[j][0] = 1;
        for (int i = 0, degree = 0; i < n - 1; i++) {
            if (i == j) continue;
            slope *= p[j] - p[i];
            degree++;
            for (int k = degree; k >= 0; k--) b[j][k] = (k ? b[j][k - 1] : 0) - p[i] * b[j][k];
        }
        for (int k = 0; k < m; k++) a[j][k] = pow(p[j], k);
        for (int k = 0; k < r; k++) g[j][k] = pow(p[j], k) / slope;
    }
    a[n - 1][m - 1] = g[n - 1][r - 1] = 1;
    if (n == 1) b[0][0] = 1;
    /* At infinity B^T has the coefficients of M(t) = (t^2 - 1/4) (t^2 - 25/16). At -p the sign is changed in B^T and
     * G. */
    if (n == 5) {
        b[4][0] = 25.0 / 64, b[4][2] = -29.0 / 16, b[4][4] = 1;
        for (int j = 1; j < 4; j += 2) {
            for (int k = 0; k < 4; k++) b[j][k] = -b[j][k];
            for (int k = 0; k < r; k++) g[j][k] = -g[j][k];
        }
    }
    /* M(t) = t (t^2 - 1/2) (t^2 - 2) */
    if (n == 6) b[5][1] = 1, b[5][3] = -2.5, b[5][5] = 1;
    /* M(t) = t (t^2 - 1) (t^2 - 1/4) (t^2 - 4). At 0 the sign is changed in B^T and G. */
    if (n == 8) {
        b[7][1] = -1, b[7][3] = 5.25, b[7][5] = -5.25, b[7][7] = 1;
        for (int k = 0; k < 8; k++) b[0][k] = -b[0][k];
        for (int k = 0; k < r; k++) g[0][k] = -g[0][k];
    }
}

static void set_size(int size)
{
    const int sizes[FC_FOURIER][2] = {{2, 2}, {3, 3}, {4, 4}, {5, 5}, {2, 2}, {3, 3}, {1, 3}, {1, 5}, {1, 7}};
    const int square = size < FC_SMALL ? 6 : 5;
    set_matrices(0, size < FC_LINES ? square : 1, sizes[size][0]);
    set_matrices(1, size < FC_LINES ? square : 8, sizes[size][1]);
}

static void expect_close(const void *actual, idx at, double expected)
{
    double tolerance = kern->itemsize == 4 ? 1e-4 : 1e-12;
    if (!(fabs(get(actual, at) - expected) <= tolerance * (10 + fabs(expected)))) {
        char text[100];
        snprintf(text, sizeof text, "[%td] is %g, expected %g", at, get(actual, at), expected);
        fail(text);
    }
}

/* A plane of ragged size, and a row of tiles over it, each `size[0]` x `size[1]` pixels from the last. */
typedef struct {
    fc_plane plane;
    idx h0, w0, count, elements;
} row_of_tiles;

static row_of_tiles draw_row(const int *size, int outside)
{
    row_of_tiles t;
    t.plane.h = 1 + below(12), t.plane.w = 1 + below(20);
    t.plane.col = kern->lanes + (below(2) ? below(5) : 0);
    t.plane.row = t.plane.w * t.plane.col + below(5);
    t.plane.dilation_h = 1 + below(3), t.plane.dilation_w = 1 + below(3);
    t.h0 = below(t.plane.h), t.w0 = below(t.plane.w);
    if (outside) t.h0 -= below(8), t.w0 -= below(8);
    t.plane.step_h = 0, t.plane.step_w = size[1] * t.plane.dilation_w;
    /* Tiles of one row may lie below each other. */
    if (points[0] == 1 && below(2)) t.plane.step_h = 1, t.plane.step_w = 0;
    t.count = 1 + below(3);
    t.elements = (t.plane.h - 1) * t.plane.row + (t.plane.w - 1) * t.plane.col + kern->lanes;
    SAY("%d x %d taps, plane %td x %td, tiles at %td, %td, dilation %td, %td", taps[0], taps[1], t.plane.h, t.plane.w,
        t.h0, t.w0, t.plane.dilation_h, t.plane.dilation_w);
    return t;
}

static idx pixel(const row_of_tiles *t, idx n, idx i, idx j)
{
    idx h = t->h0 + n * t->plane.step_h + i * t->plane.dilation_h;
    idx w = t->w0 + n * t->plane.step_w + j * t->plane.dilation_w;
    if (h < 0 || h >= t->plane.h || w < 0 || w >= t->plane.w) return -1;
    return h * t->plane.row + w * t->plane.col;
}

/* v = B^T x B, or z = A dy A^T. */
static void check_to_points(int size, int gradient)
{
    const idx lanes = kern->lanes;
    set_size(size);
    const int *seen = gradient ? outputs : points, last = points[0] * points[1] - 1;
    for (int round = 0; round < 60; round++) {
        row_of_tiles t = draw_row(outputs, !gradient);
        idx tile = lanes + below(5), point = t.count * tile + below(5);
        const void *x = input(t.elements);
        void *v = output(last * point + (t.count - 1) * tile + lanes);
        if (gradient)
            kern->winograd->output_gradient[size](v, point, tile, x, &t.plane, t.h0, t.w0, t.count);
        else
            kern->winograd->input[(size >= FC_SMALL) + (size >= FC_LINES)](v, point, tile, x, &t.plane, t.h0, t.w0,
                                                                           t.count);
        for (idx n = 0; n < t.count; n++)
            for (int a = 0; a < points[0]; a++)
                for (int b = 0; b < points[1]; b++)
                    for (idx lane = 0; lane < lanes; lane++) {
                        double sum = 0;
                        for (int i = 0; i < seen[0]; i++)
                            for (int j = 0; j < seen[1]; j++) {
                                idx at = pixel(&t, n, i, j);
                                if (at >= 0)
                                    sum += (gradient ? A[0][a][i] * A[1][b][j] : BT[0][a][i] * BT[1][b][j]) *
                                           get(x, at + lane);
                            }
                        expect_close(v, (a * points[1] + b) * point + n * tile + lane, sum);
                    }
        release();
    }
}

static void check_input(void)
{
    check_to_points(0, 0);
    check_to_points(FC_SMALL, 0);
    check_to_points(FC_LINES, 0);
}

static void check_output_gradient(void)
{
    for (int size = 0; size < FC_FOURIER; size++) check_to_points(size, 1);
}

static void check_output(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const int size = round % FC_FOURIER;
        set_size(size);
        row_of_tiles t = draw_row(outputs, 1);
        const int last = points[0] * points[1] - 1;
        idx tile = lanes + below(5), point = t.count * tile + below(5);
        const void *x = input(last * point + (t.count - 1) * tile + lanes), *bias = round % 3 ? input(lanes) : NULL;
        void *y = output(t.elements);
        char *written = calloc((size_t)t.elements, 1);
        kern->winograd->output[size](y, &t.plane, t.h0, t.w0, t.count, x, point, tile, bias);
        for (idx n = 0; n < t.count; n++)
            for (int i = 0; i < outputs[0]; i++)
                for (int j = 0; j < outputs[1]; j++) {
                    idx at = pixel(&t, n, i, j);
                    for (idx lane = 0; lane < lanes && at >= 0; lane++) {
                        double sum = bias ? get(bias, lane) : 0;
                        for (int a = 0; a < points[0]; a++)
                            for (int b = 0; b < points[1]; b++)
                                sum += A[0][a][i] * A[1][b][j] * get(x, (a * points[1] + b) * point + n * tile + lane);
                        expect_close(y, at + lane, sum);
                        written[at + lane] = 1;
                    }
                }
        for (idx i = 0; i < t.elements; i++)
            if (!written[i] && !poisoned(y, i)) fail("written outside of the tiles");
        free(written);
        release();
    }
}

static void check_filters(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const int size = round % FC_FOURIER, flip = round % 3 == 0;
        set_size(size);
        const int n_taps = taps[0] * taps[1], last = points[0] * points[1] - 1;
        idx filters = 1 + below(lanes), depth = 1 + below(4), w_depth = n_taps + below(3);
        idx w_filter = depth * w_depth + below(3), elements = (filters - 1) * w_filter + (depth - 1) * w_depth + n_taps;
        idx u_depth = lanes + below(3), u_point = depth * u_depth + below(3);
        const char *w = input(elements);
        void *u = output(last * u_point + (depth - 1) * u_depth + lanes);
        SAY("%d x %d taps, filters %td depth %td flip %d", taps[0], taps[1], filters, depth, flip);
        kern->winograd->filters[size](u, u_point, u_depth, w, w_filter, w_depth, filters, depth, flip,
                                      w + elements * kern->itemsize, taps[0], taps[1]);
        for (idx c = 0; c < depth; c++)
            for (idx k = 0; k < lanes; k++)
                for (int a = 0; a < points[0]; a++)
                    for (int b = 0; b < points[1]; b++) {
                        double sum = 0;
                        for (int i = 0; i < n_taps && k < filters; i++) {
                            int tap = flip ? n_taps - 1 - i : i;
                            sum +=
                                G[0][a][i / taps[1]] * G[1][b][i % taps[1]] * get(w, k * w_filter + c * w_depth + tap);
                        }
                        expect_close(u, (a * points[1] + b) * u_point + c * u_depth + k, sum);
                    }
        release();
    }
}

static void check_filter_gradient(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const int size = round % FC_FOURIER;
        set_size(size);
        const int n_taps = taps[0] * taps[1], n_points = points[0] * points[1];
        idx channels = 1 + below(3 * lanes), whole = (channels + lanes - 1) / lanes * lanes, n_slices = 1 + below(3);
        idx s_point = whole + below(3), s_slice = n_points * s_point + below(3);
        const void *s = input((n_slices - 1) * s_slice + (n_points - 1) * s_point + whole);
        void *dw = output(channels * n_taps);
        SAY("%d x %d taps, channels %td slices %td", taps[0], taps[1], channels, n_slices);
        kern->winograd->filter_gradient[size](dw, s, s_point, s_slice, n_slices, channels, taps[0], taps[1]);
        for (idx c = 0; c < channels; c++)
            for (int i = 0; i < n_taps; i++) {
                double sum = 0;
                for (idx n = 0; n < n_slices; n++)
                    for (int a = 0; a < points[0]; a++)
                        for (int b = 0; b < points[1]; b++)
                            sum += G[0][a][i / taps[1]] * G[1][b][i % taps[1]] *
                                   get(s, n * s_slice + (a * points[1] + b) * s_point + c);
                expect_close(dw, c * n_taps + i, sum);
            }
        release();
    }
}

/* Products of what two transforms made, lane by lane; the arrays have FC_FOURIER_POINTS points of a vector. */
static void *multiplied(const void *a, const void *b)
{
    const idx n = FC_FOURIER_POINTS * kern->lanes;
    void *product = output(n);
    for (idx i = 0; i < n; i++)
        if (kern->itemsize == 4)
            ((float *)product)[i] = (float)(get(a, i) * get(b, i));
        else
            ((double *)product)[i] = get(a, i) * get(b, i);
    return product;
}

/* Fourier transforms, from pixels to outputs, and from pixels to the gradient of the taps: each lane is a channel whose
 * filter, or whose dy, is its own. */
static void check_fourier(void)
{
    const idx lanes = kern->lanes, n = FC_FOURIER_POINTS * lanes;
    for (int round = 0; round < 60; round++) {
        const int tall = 1 + below(13), wide = 1 + below(13), flip = round % 3 == 0, n_taps = tall * wide;
        const int out[2] = {FC_SIDE + 1 - tall, FC_SIDE + 1 - wide};
        points[0] = points[1] = FC_SIDE, taps[0] = tall, taps[1] = wide;
        row_of_tiles t = draw_row(out, 1);
        t.count = 1;
        t.plane.tall = out[0], t.plane.wide = out[1];
        const idx filters = 1 + below(lanes), w_filter = n_taps + below(3);
        const void *x = input(t.elements), *dy = input(t.elements), *w = input((filters - 1) * w_filter + n_taps);
        const void *bias = round % 2 ? input(lanes) : NULL;
        void *v = output(n), *u = output(n), *z = output(n), *y = output(t.elements), *dw = output(lanes * n_taps);
        kern->winograd->input[3](v, lanes, n, x, &t.plane, t.h0, t.w0, 1);
        kern->winograd->filters[FC_FOURIER](u, lanes, n, w, w_filter, n_taps, filters, 1, flip, NULL, tall, wide);
        kern->winograd->output[FC_FOURIER](y, &t.plane, t.h0, t.w0, 1, multiplied(v, u), lanes, n, bias);
        char *written = calloc((size_t)t.elements, 1);
        for (int i = 0; i < out[0]; i++)
            for (int j = 0; j < out[1]; j++)
                for (idx lane = 0; lane < lanes && pixel(&t, 0, i, j) >= 0; lane++) {
                    double sum = bias ? get(bias, lane) : 0;
                    for (int a = 0; a < n_taps && lane < filters; a++) {
                        const idx at = pixel(&t, 0, i + a / wide, j + a % wide);
                        if (at >= 0) sum += get(w, lane * w_filter + (flip ? n_taps - 1 - a : a)) * get(x, at + lane);
                    }
                    expect_close(y, pixel(&t, 0, i, j) + lane, sum);
                    written[pixel(&t, 0, i, j) + lane] = 1;
                }
        for (idx i = 0; i < t.elements; i++)
            if (!written[i] && !poisoned(y, i)) fail("written outside of the tile");
        free(written);
        kern->winograd->output_gradient[FC_FOURIER](z, lanes, n, dy, &t.plane, t.h0, t.w0, 1);
        kern->winograd->filter_gradient[FC_FOURIER](dw, multiplied(v, z), lanes, 0, 1, filters, tall, wide);
        for (idx c = 0; c < filters; c++)
            for (int a = 0; a < n_taps; a++) {
                double sum = 0;
                for (int i = 0; i < out[0]; i++)
                    for (int j = 0; j < out[1]; j++) {
                        const idx at = pixel(&t, 0, i, j), seen = pixel(&t, 0, i + a / wide, j + a % wide);
                        if (at >= 0 && seen >= 0) sum += get(dy, at + c) * get(x, seen + c);
                    }
                expect_close(dw, c * n_taps + a, sum);
            }
        release();
    }
}

const kernel_check winograd_checks[] = {
    {"input", check_input},
    {"output_gradient", check_output_gradient},
    {"output", check_output},
    {"filters", check_filters},
    {"filter_gradient", check_filter_gradient},
    {"fourier", check_fourier},
    {NULL, NULL},
};
