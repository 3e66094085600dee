#include "kernels.h"

/* Windows of `count` outputs as drawn, and how many elements of x they span. */
static fc_taps_of_blocks draw_taps(idx count, idx *span)
{
    const idx lanes = kern->lanes;
    fc_taps_of_blocks s = {.rows = 1 + below(3), .cols = 1 + below(5), .step = lanes * (1 + below(3))};
    s.col = lanes * (1 + below(2));
    s.row = (s.cols + 2) * s.col + below(7);
    s.low = below(2) ? -INFINITY : -3, s.high = below(2) ? INFINITY : 6;
    *span = (s.rows - 1) * s.row + (s.cols - 1) * s.col + lanes + (count - 1) * s.step;
    return s;
}

static double limited(double x, const fc_taps_of_blocks *s) { return x < s->low ? s->low : x > s->high ? s->high : x; }

static void check_conv(void)
{
    const idx lanes = kern->lanes;
    for (idx vecs = 1; vecs <= FC_BLOCK_VECS; vecs++)
        for (int round = 0; round < 300; round++) {
            const idx count = 1 + below(3 * kern->blocks->tile), depths[] = {lanes, lanes, 1, 3};
            idx places[12], span = 0;
            fc_taps_of_blocks s = {.taps = places, .n_taps = 1 + below(12), .depth = depths[below(4)]};
            s.step = below(2) ? lanes : 1 + below(3 * lanes);
            for (idx t = 0; t < s.n_taps; t++) {
                places[t] = below(9 * lanes);
                if (places[t] > span) span = places[t];
            }
            span += (count - 1) * s.step + s.depth;
            s.y_block = count * lanes + below(5), s.added_block = count * lanes + below(5);
            s.low = below(2) ? -INFINITY : -3, s.high = below(2) ? INFINITY : 6;
            s.ahead = below(100), s.wanted = below(3) * 1000, s.unseen = (int)below(2);
            const idx products = s.n_taps * s.depth, size = (vecs - 1) * s.y_block + count * lanes;
            const void *x = input(span), *w = input(products * vecs * lanes);
            const void *bias = below(3) ? input(vecs * lanes) : NULL;
            const void *added = below(2) ? input((vecs - 1) * s.added_block + count * lanes) : NULL;
            void *y = bias ? output(size) : copy_of(input(size), size);
            double *expected = malloc((size_t)size * sizeof(double));
            for (idx v = 0; v < vecs; v++)
                for (idx q = 0; q < count * lanes; q++) {
                    double sum = bias ? get(bias, v * lanes + q % lanes) : get(y, v * s.y_block + q);
                    if (added) sum += get(added, v * s.added_block + q);
                    for (idx k = 0; k < products; k++)
                        sum += get(x, places[k / s.depth] + q / lanes * s.step + k % s.depth) *
                               get(w, (k * vecs + v) * lanes + q % lanes);
                    expected[v * s.y_block + q] = limited(sum, &s);
                }
            SAY("vecs %td count %td taps %td depth %td step %td", vecs, count, s.n_taps, s.depth, s.step);
            kern->blocks->conv[vecs - 1](y, x, w, bias, added, &s, count);
            for (idx v = 0; v < vecs; v++) expect(y, v * s.y_block, expected + v * s.y_block, count * lanes, "y");
            if (bias)
                for (idx v = 0; v + 1 < vecs; v++)
                    for (idx i = v * s.y_block + count * lanes; i < (v + 1) * s.y_block; i++)
                        if (!poisoned(y, i)) fail("written between vectors");
            free(expected);
            release();
        }
}

static void check_depthwise(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const idx count = 1 + below(30);
        idx span;
        fc_taps_of_blocks s = draw_taps(count, &span);
        if (round % 2) {
            s.cols = 3 + 2 * below(2), s.col = lanes, s.step = lanes * (1 + below(2));
            s.row = 7 * lanes;
            span = (s.rows - 1) * s.row + (s.cols - 1) * s.col + lanes + (count - 1) * s.step;
        }
        const void *x = input(span), *w = input(s.rows * s.cols * lanes), *bias = input(lanes);
        const void *added = below(2) ? input(count * lanes) : NULL;
        void *y = output(count * lanes);
        double *expected = malloc((size_t)(count * lanes) * sizeof(double));
        for (idx q = 0; q < count * lanes; q++) {
            double sum = get(bias, q % lanes) + (added ? get(added, q) : 0);
            for (idx row = 0; row < s.rows; row++)
                for (idx col = 0; col < s.cols; col++)
                    sum += get(x, row * s.row + col * s.col + q / lanes * s.step + q % lanes) *
                           get(w, (row * s.cols + col) * lanes + q % lanes);
            expected[q] = limited(sum, &s);
        }
        SAY("count %td rows %td cols %td step %td", count, s.rows, s.cols, s.step);
        kern->blocks->depthwise(y, x, w, bias, added, &s, count);
        expect(y, 0, expected, count * lanes, "y");
        free(expected);
        release();
    }
}

static void check_windows_of(int mean)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 200; round++) {
        const idx count = 1 + below(20);
        idx span;
        const fc_taps_of_blocks s = draw_taps(count, &span);
        void *x = copy_of(input(span), span), *y = output(count * lanes);
        if (!mean && round % 3 == 0) put(x, below(span), NAN);
        double *expected = malloc((size_t)(count * lanes) * sizeof(double));
        for (idx q = 0; q < count * lanes; q++) {
            double result = mean ? 0 : -INFINITY;
            for (idx row = 0; row < s.rows; row++)
                for (idx col = 0; col < s.cols; col++) {
                    const double a = get(x, row * s.row + col * s.col + q / lanes * s.step + q % lanes);
                    if (mean)
                        result += 0.25 * a;
                    else if (a > result || isnan(a))
                        result = a;
                }
            expected[q] = result;
        }
        SAY("count %td rows %td cols %td step %td", count, s.rows, s.cols, s.step);
        if (mean)
            kern->blocks->mean(y, x, &s, 0.25, count);
        else
            kern->blocks->max(y, x, &s, count);
        expect(y, 0, expected, count * lanes, "y");
        free(expected);
        release();
    }
}

static void check_max(void) { check_windows_of(0); }

static void check_mean(void) { check_windows_of(1); }

static void check_add_and_scale(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 60; round++) {
        const idx n = below(20), size = n * lanes;
        const void *x = input(size), *added = round % 3 ? input(size) : NULL, *factors = input(lanes);
        void *y = output(size), *z = output(size);
        double expected[2][20 * 64];
        for (idx i = 0; i < size; i++) {
            const double sum = get(x, i) + (added ? get(added, i) : 0);
            expected[0][i] = sum < -2 ? -2 : sum > 3 ? 3 : sum;
            expected[1][i] = get(x, i) * get(factors, i % lanes);
        }
        SAY("n %td", n);
        kern->blocks->add(y, x, added, -2, 3, n);
        kern->blocks->scale(z, x, factors, n);
        expect(y, 0, expected[0], size, "y");
        expect(z, 0, expected[1], size, "z");
        release();
    }
}

const kernel_check blocks_checks[] = {{"conv", check_conv}, {"depthwise", check_depthwise},      {"max", check_max},
                                      {"mean", check_mean}, {"add, scale", check_add_and_scale}, {NULL, NULL}};
