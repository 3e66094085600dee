#include "kernels.h"

static void check_outer(void)
{
    const idx lanes = kern->lanes;
    for (idx vecs = 1; vecs <= kern->correlate->outer_vecs; vecs++)
        for (int round = 0; round < 60; round++) {
            idx n = below(40), width = vecs * lanes, rows = kern->correlate->outer_rows, offsets[16], far = 0, most = 0;
            const idx row = width + below(5), size = (rows - 1) * row + width;
            int32_t pixels[40];
            for (idx r = 0; r < rows; r++) {
                offsets[r] = below(30);
                if (offsets[r] > far) far = offsets[r];
            }
            for (idx i = 0; i < n; i++) {
                pixels[i] = (int32_t)below(100);
                if (pixels[i] > most) most = pixels[i];
            }
            const void *x = input(far + most + 1), *dy = input(n * width);
            void *acc = copy_of(input(size), size);
            double *expected = malloc((size_t)size * sizeof(double));
            for (idx j = 0; j < size; j++) expected[j] = get(acc, j);
            for (idx r = 0; r < rows; r++)
                for (idx j = 0; j < width; j++)
                    for (idx i = 0; i < n; i++)
                        expected[r * row + j] += get(x, pixels[i] + offsets[r]) * get(dy, i * width + j);
            SAY("vecs %td pixels %td", vecs, n);
            kern->correlate->outer[vecs - 1](n, pixels, x, offsets, dy, acc, row, &(fc_ahead){x, lanes});
            expect(acc, 0, expected, size, "acc");
            free(expected);
            release();
        }
}

static void check_dot(void)
{
    const idx lanes = kern->lanes;
    for (idx rows = 1; rows <= kern->correlate->dot_rows; rows++)
        for (int round = 0; round < 80; round++) {
            idx planes = 1 + below(3), n_rows = 1 + below(4), n_cols = 1 + below(3 * lanes), offsets[16], far = 0;
            idx pitch = n_cols + below(3), plane = n_rows * pitch + below(3), dy_row = planes * plane + below(3);
            idx x_pitch = n_cols + below(5), x_plane = n_rows * x_pitch + below(3);
            for (idx c = 0; c < kern->correlate->dot_cols; c++) {
                offsets[c] = below(60);
                if (offsets[c] > far) far = offsets[c];
            }
            /* Of a short row a whole vector is read, and what is past its end must not count. */
            idx beyond = n_cols < lanes ? lanes : 0;
            idx dy_size = (rows - 1) * dy_row + (planes - 1) * plane + (n_rows - 1) * pitch + n_cols;
            idx x_size = far + (planes - 1) * x_plane + (n_rows - 1) * x_pitch + n_cols,
                size = rows * kern->correlate->dot_cols;
            void *dy = input(dy_size + beyond), *x = input(x_size + beyond);
            for (idx i = 0; i < beyond; i++) put(dy, dy_size + i, NAN), put(x, x_size + i, NAN);
            void *acc = copy_of(input(size), size);
            double expected[64];
            for (idx r = 0; r < rows; r++)
                for (idx c = 0; c < kern->correlate->dot_cols; c++) {
                    double sum = get(acc, r * kern->correlate->dot_cols + c);
                    for (idx n = 0; n < planes; n++)
                        for (idx p = 0; p < n_rows; p++)
                            for (idx q = 0; q < n_cols; q++)
                                sum += get(dy, r * dy_row + n * plane + p * pitch + q) *
                                       get(x, offsets[c] + n * x_plane + p * x_pitch + q);
                    expected[r * kern->correlate->dot_cols + c] = sum;
                }
            SAY("rows %td planes %td %td x %td", rows, planes, n_rows, n_cols);
            kern->correlate->dot[rows - 1](planes, n_rows, n_cols, dy, dy_row, plane, pitch, x, offsets, x_plane,
                                           x_pitch, acc);
            expect(acc, 0, expected, size, "acc");
            release();
        }
}

static void check_fold(void)
{
    for (int round = 0; round < 200; round++) {
        idx filters = 1 + below(9), pairs = 1 + below(9), n_slices = 1 + below(5);
        idx col = round % 2 ? 1 : pairs, row = round % 2 ? filters : 1, slice = filters * pairs + below(4);
        idx w_row = pairs + below(4), size = (filters - 1) * w_row + pairs;
        const void *sums = input((n_slices - 1) * slice + filters * pairs);
        void *w = output(size);
        SAY("filters %td pairs %td slices %td", filters, pairs, n_slices);
        kern->correlate->fold(w, w_row, sums, slice, n_slices, row, col, filters, pairs);
        for (idx k = 0; k < filters; k++)
            for (idx i = 0; i < w_row && k * w_row + i < size; i++) {
                double sum = 0;
                if (i >= pairs) {
                    if (!poisoned(w, k * w_row + i)) fail("written between filters");
                    continue;
                }
                for (idx n = 0; n < n_slices; n++) sum += get(sums, n * slice + k * col + i * row);
                expect(w, k * w_row + i, &sum, 1, "w");
            }
        release();
    }
}

static void check_shifted_sums(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 60; round++) {
        idx n = 1 + below(5), count = 1 + below(20), z_row = below(30), shift = below(41) - 20;
        idx before = shift < 0 ? (1 - n) * shift : 0, after = shift > 0 ? (n - 1) * shift : 0;
        const void *z = input(before + (count - 1) * z_row + after + lanes);
        void *sums = output(count * lanes);
        double *expected = malloc((size_t)(count * lanes) * sizeof(double));
        for (idx j = 0; j < count; j++)
            for (idx v = 0; v < lanes; v++) {
                double sum = 0;
                for (idx s = 0; s < n; s++) sum += get(z, before + j * z_row + s * shift + v);
                expected[j * lanes + v] = sum;
            }
        SAY("n %td count %td row %td shift %td", n, count, z_row, shift);
        kern->correlate->shifted_sums(sums, (const char *)z + before * kern->itemsize, z_row, shift, n, count);
        expect(sums, 0, expected, count * lanes, "sums");
        free(expected);
        release();
    }
}

const kernel_check correlate_checks[] = {
    {"outer", check_outer}, {"dot", check_dot}, {"fold", check_fold}, {"shifted_sums", check_shifted_sums},
    {NULL, NULL},
};
