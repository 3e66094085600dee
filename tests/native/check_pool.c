#include "kernels.h"

static void check_max_row(void)
{
    const idx lanes = kern->lanes;
    static const double special[] = {NAN, -INFINITY, INFINITY, -0.0};
    for (int round = 0; round < 600; round++) {
        idx count = 1 + below(3 * lanes), stride = 1 + below(4), dilation = 1 + below(3), n_rows = below(4);
        idx n_cols = 1 + below(4), x_row, whole = up(count, lanes);
        /* Of the outputs of a last, partial vector, the windows are read too. */
        x_row = (whole - 1) * stride + (n_cols - 1) * dilation + 1;
        idx slack = stride == 2 || stride == 4 ? stride - 1 : 0; /* whole vectors are read for every second or fourth */
        void *x = input(n_rows * x_row + slack), *first = input_integers(whole);
        idx index = below(100) - 50, index_row = 17, start = below(20);
        for (idx q = 0; q < whole; q++) put_integer(first, q, below(5));
        if (round % 3 == 0)
            for (idx i = 0; i < n_rows * x_row; i++)
                if (below(3) == 0) put(x, i, special[below(4)]);
        if (round % 7 == 0)
            for (idx i = 0; i < n_rows * x_row; i++) put(x, i, -INFINITY);
        void *y = output(whole), *where = round % 4 ? output(whole) : NULL;
        SAY("count %td stride %td dilation %td window %td x %td", count, stride, dilation, n_rows, n_cols);
        kern->pool->max_row(y, where, x, x_row, n_rows, n_cols, stride, dilation, index, index_row, start, first,
                            count);
        for (idx q = 0; q < count; q++) {
            double best = -INFINITY;
            idx at = start + get_integer(first, q);
            for (idx r = 0; r < n_rows; r++)
                for (idx s = 0; s < n_cols; s++) {
                    double v = get(x, r * x_row + q * stride + s * dilation);
                    if (v > best || v != v) best = v, at = index + r * index_row + q * stride + s * dilation;
                }
            if (!same(get(y, q), best)) fail("wrong maximum");
            if (where && get_integer(where, q) != at) fail("wrong index");
        }
        release();
    }
}

static void check_average_row(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        idx count = 1 + below(3 * lanes), stride = 1 + below(4), n_rows = 1 + below(4), n_cols = 1 + below(4);
        idx whole = up(count, lanes), x_row = (whole - 1) * stride + n_cols;
        x_row += stride == 2 || stride == 4 ? stride - 1 : 0;
        void *x = input(n_rows * x_row), *widths = input(whole), *y = output(whole);
        for (idx q = 0; q < whole; q++) put(widths, q, (double)(1 + below(5)));
        SAY("count %td stride %td window %td x %td", count, stride, n_rows, n_cols);
        kern->pool->average_row(y, x, x_row, n_rows, n_cols, stride, 3.0, widths, count);
        for (idx q = 0; q < count; q++) {
            double sum = 0;
            for (idx r = 0; r < n_rows; r++)
                for (idx s = 0; s < n_cols; s++) sum += get(x, r * x_row + q * stride + s);
            sum /= 3 * get(widths, q);
            expect(y, q, &sum, 1, "y");
        }
        release();
    }
}

static void check_average_plane(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        idx n_rows = 1 + below(4), n_cols = 1 + below(4), stride_h = 1 + below(4), stride = 1 + below(4);
        idx pad = below(n_rows / 2 + 1), out_h = 1 + below(9), out_w = 1 + below(3 * lanes);
        /* So many rows that the last window just lies in the padded image. */
        idx height = (out_h - 1) * stride_h + n_rows - 2 * pad, width = (out_w - 1) * stride + n_cols;
        if (height < 1) continue;
        idx whole = up(width, lanes), x_row = width + below(3), pitch = out_w * stride;
        idx most = pitch > FC_POOL_BAND ? pitch : FC_POOL_BAND;
        void *x = input((height - 1) * x_row + whole), *y = output(out_h * out_w);
        void *sums = output((most > width ? most : width) + 2 * lanes * stride + n_cols);
        SAY("%td x %td windows of %td x %td, strides %td %td, pad %td", out_h, out_w, n_rows, n_cols, stride_h, stride,
            pad);
        kern->pool->average_plane(y, x, x_row, height, out_h, out_w, n_rows, n_cols, stride_h, stride, pad, 7.0, sums);
        for (idx p = 0; p < out_h; p++)
            for (idx q = 0; q < out_w; q++) {
                double sum = 0;
                for (idx r = 0; r < n_rows; r++)
                    for (idx s = 0; s < n_cols; s++) {
                        idx h = p * stride_h + r - pad;
                        if (h >= 0 && h < height) sum += get(x, h * x_row + q * stride + s);
                    }
                sum /= 7;
                expect(y, p * out_w + q, &sum, 1, "y");
            }
        release();
    }
}

static void check_spread_plane(void)
{
    for (int round = 0; round < 200; round++) {
        idx out_h = 1 + below(5), out_w = 1 + below(3 * kern->lanes);
        idx height = 2 * out_h + below(3), width = 2 * out_w + below(3);
        void *dy = input(out_h * out_w), *x = output(height * width);
        SAY("%td x %td from %td x %td", height, width, out_h, out_w);
        kern->pool->spread_plane(x, height, width, dy, out_h, out_w, 0.25);
        for (idx h = 0; h < height; h++)
            for (idx w = 0; w < width; w++) {
                double share = h < 2 * out_h && w < 2 * out_w ? get(dy, h / 2 * out_w + w / 2) / 4 : 0;
                expect(x, h * width + w, &share, 1, "x");
            }
        release();
    }
}

static void check_spread_max(void)
{
    for (int round = 0; round < 400; round++) {
        idx out_h = 1 + below(5), out_w = kern->lanes + below(3 * kern->lanes), n = out_h * out_w;
        idx height = 2 * out_h + below(3), width = 2 * out_w + below(3), astray = round % 2 ? -1 : below(n);
        void *dy = input(n), *x = output(height * width);
        char *where = new_buffer(n, (size_t)kern->itemsize, 0);
        double *expected = calloc((size_t)(height * width), sizeof(double));
        for (idx i = 0; i < n; i++) {
            int64_t at = (2 * (i / out_w) + below(2)) * width + 2 * (i % out_w) + below(2);
            expected[at] = get(dy, i);
            if (i == astray) at += 2 * width;
            int32_t narrow = (int32_t)at;
            memcpy(where + i * kern->itemsize, kern->itemsize == 8 ? (void *)&at : (void *)&narrow,
                   (size_t)kern->itemsize);
        }
        SAY("%td x %td from %td x %td, astray %td", height, width, out_h, out_w, astray);
        if (kern->pool->spread_max(x, height, width, dy, where, out_h, out_w) != (astray < 0)) fail("wrong answer");
        if (astray < 0) expect(x, 0, expected, height * width, "x");
        free(expected);
        release();
    }
}

static void check_share_row(void)
{
    for (idx count = 0; count < 5 * kern->lanes; count++) {
        void *dy = input(count), *widths = input(count), *shares = copy_of(input(count), count);
        double *expected = malloc((size_t)(count + 1) * sizeof(double));
        for (idx q = 0; q < count; q++) {
            put(widths, q, (double)(1 + below(5)));
            expected[q] = get(shares, q) + get(dy, q) / (2 * get(widths, q));
        }
        SAY("count %td", count);
        kern->pool->share_row(shares, dy, 2.0, widths, count);
        expect(shares, 0, expected, count, "shares");
        free(expected);
        release();
    }
}

static void check_spread_row(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        idx size = 1 + below(4 * lanes), n_cols = 1 + below(6), stride = 1 + below(4);
        idx count = (size - 1) / stride + 1, after = up(size, 2 * lanes) / stride + lanes - count;
        if (after < 0) after = 0;
        void *memory = input(n_cols + count + after);
        for (idx i = 0; i < n_cols + count + after; i++)
            if (i < n_cols || i >= n_cols + count) put(memory, i, 0);
        const char *shares = (const char *)memory + n_cols * kern->itemsize;
        void *x = output(up(size, 2 * lanes));
        SAY("size %td n_cols %td stride %td", size, n_cols, stride);
        kern->pool->spread_row(x, size, shares, n_cols, stride, count);
        for (idx j = 0; j < size; j++) {
            double sum = 0;
            for (idx q = 0; q < count; q++)
                if (q * stride <= j && j < q * stride + n_cols) sum += get(shares, q);
            expect(x, j, &sum, 1, "x");
        }
        release();
    }
}

static void check_scatter_add(void)
{
    for (int round = 0; round < 100; round++) {
        idx count = below(50), size = 1 + below(30);
        int wide = round % 2;
        void *dy = input(count), *x = copy_of(input(size), size);
        char *where = new_buffer(count, wide ? 8 : 4, 0);
        double expected[30];
        idx outside = 0;
        for (idx i = 0; i < size; i++) expected[i] = get(x, i);
        for (idx i = 0; i < count; i++) {
            /* Some lie outside: just so, and far away. */
            static const int64_t bad[] = {-1, INT32_MIN, INT32_MAX};
            int64_t at = below(10) ? below(size + 1) : bad[below(3)];
            int32_t narrow = (int32_t)at;
            memcpy(where + i * (wide ? 8 : 4), wide ? (void *)&at : (void *)&narrow, wide ? 8 : 4);
            if (at < 0 || at >= size)
                outside++;
            else
                expected[at] += get(dy, i);
        }
        SAY("count %td size %td", count, size);
        if (kern->pool->scatter_add(x, size, dy, where, wide, count) != outside) fail("wrong count");
        expect(x, 0, expected, size, "x");
        release();
    }
}

static void check_window(void)
{
    for (int round = 0; round < 100; round++) {
        idx n_rows = 1 + below(5), n_cols = 1 + below(20), x_col = 1 + below(2), x_row = n_cols * x_col + below(3);
        idx size = (n_rows - 1) * x_row + (n_cols - 1) * x_col + 1;
        void *x = input(size);
        double sum = 0;
        for (idx r = 0; r < n_rows; r++)
            for (idx s = 0; s < n_cols; s++) sum += get(x, r * x_row + s * x_col);
        SAY("%td x %td", n_rows, n_cols);
        if (!close_to(kern->pool->window_mean(x, x_row, x_col, n_rows, n_cols), sum / (double)(n_rows * n_cols)))
            fail("wrong mean");
        void *y = copy_of(x, size);
        n_cols = 1 + (n_cols - 1) * x_col;
        kern->pool->window_add(y, x_row, n_rows, n_cols, 2.0);
        for (idx i = 0; i < size; i++)
            if (get(y, i) != get(x, i) + (i % x_row < n_cols ? 2 : 0)) fail("wrong sum");
        release();
    }
}

const kernel_check pool_checks[] = {
    {"max_row", check_max_row},
    {"average_row", check_average_row},
    {"share_row", check_share_row},
    {"spread_row", check_spread_row},
    {"average_plane", check_average_plane},
    {"spread_plane", check_spread_plane},
    {"spread_max", check_spread_max},
    {"scatter_add", check_scatter_add},
    {"window_mean, window_add", check_window},
    {NULL, NULL},
};
