#include "kernels.h"

static void check_tiles(int panel)
{
    static const idx depths[] = {0, 1, 2, 3, 17, 64};
    static const idx long_depths[] = {FC_TILE_DEPTH, FC_TILE_DEPTH + 1, 2 * FC_TILE_DEPTH + 77};
    const idx lanes = kern->lanes, panel_vecs = kern->product->vecs[kern->product->rows];
    for (idx rows = 1; rows <= kern->product->rows; rows++)
        for (idx vecs = 1; vecs <= (panel ? panel_vecs : kern->product->vecs[rows]); vecs++)
            for (int round = 0; round < (panel ? 12 : 15); round++) {
                idx depth = round < 12 ? depths[round % 6] : long_depths[round - 12], width = vecs * lanes, far = 0;
                idx offsets[3 * FC_TILE_DEPTH];
                int accumulate = panel && round % 3 == 2;
                const idx tiles = panel ? 1 + below(3) : 1, all = tiles * rows;
                for (idx k = 0; k < depth; k++) {
                    offsets[k] = panel ? k * panel_vecs * lanes : below(50);
                    if (offsets[k] > far) far = offsets[k];
                }
                idx y_row = width + below(4), size = (all - 1) * y_row + width;
                const void *a = input(depth * all), *b = input(far + width), *bias = round % 3 ? input(all) : NULL;
                void *y = output(size);
                double *expected = malloc((size_t)size * sizeof(double));
                for (idx r = 0; r < all; r++)
                    for (idx j = 0; j < width; j++) {
                        double sum = bias ? get(bias, r) : 0;
                        if (accumulate) put(y, r * y_row + j, sum = (double)below(9));
                        for (idx k = 0; k < depth; k++)
                            sum += get(a, (r / rows * depth + k) * rows + r % rows) * get(b, offsets[k] + j);
                        expected[r * y_row + j] = sum;
                    }
                SAY("rows %td vecs %td depth %td tiles %td", rows, vecs, depth, tiles);
                if (panel ? !kern->product->panel[rows - 1][vecs - 1] : !kern->product->tile[rows - 1][vecs - 1])
                    fail("no such tile");
                if (panel)
                    kern->product->panel[rows - 1][vecs - 1](tiles, depth, a, b, y, y_row, bias, accumulate,
                                                             &(fc_ahead){b, below(3)});
                else
                    kern->product->tile[rows - 1][vecs - 1](depth, a, b, offsets, y, y_row, bias);
                for (idx r = 0; r < all; r++) {
                    expect(y, r * y_row, expected + r * y_row, width, "y");
                    for (idx j = width; j < y_row && r < all - 1; j++)
                        if (!poisoned(y, r * y_row + j)) fail("written between rows");
                }
                free(expected);
                release();
            }
}

static void check_tile(void) { check_tiles(0); }

static void check_panel(void) { check_tiles(1); }

static void check_strip(void)
{
    const idx lanes = kern->lanes;
    for (idx rows = 1; rows <= kern->product->rows; rows++)
        for (idx vecs = 1; vecs <= kern->product->vecs[rows]; vecs++)
            for (int round = 0; round < 12; round++) {
                idx depth = round < 9 ? 1 + below(9) : FC_TILE_DEPTH * (round - 8) - 1, far = 0;
                idx offsets[3 * FC_TILE_DEPTH];
                for (idx k = 0; k < depth; k++) {
                    offsets[k] = below(50);
                    if (offsets[k] > far) far = offsets[k];
                }
                /* Steps below a vector: later ones overwrite what the former reached into. */
                idx y_step = 1 + below(2 * lanes), b_step = below(2 * lanes);
                idx span = (vecs - 1) * y_step + lanes, y_row = span + below(4), size = (rows - 1) * y_row + span;
                const void *a = input(depth * rows), *b = input(far + (vecs - 1) * b_step + lanes);
                const void *bias = round % 2 ? input(rows) : NULL;
                void *y = output(size);
                double *expected = malloc((size_t)size * sizeof(double));
                char *written = calloc((size_t)size, 1);
                for (idx r = 0; r < rows; r++)
                    for (idx v = 0; v < vecs; v++)
                        for (idx j = 0; j < lanes; j++) {
                            double sum = bias ? get(bias, r) : 0;
                            for (idx k = 0; k < depth; k++)
                                sum += get(a, k * rows + r) * get(b, offsets[k] + v * b_step + j);
                            expected[r * y_row + v * y_step + j] = sum;
                            written[r * y_row + v * y_step + j] = 1;
                        }
                SAY("rows %td vecs %td depth %td y_step %td b_step %td", rows, vecs, depth, y_step, b_step);
                if (!kern->product->strip[rows - 1][vecs - 1]) fail("no such strip");
                kern->product->strip[rows - 1][vecs - 1](depth, a, b, offsets, b_step, y, y_row, y_step, bias);
                for (idx i = 0; i < size; i++)
                    if (written[i])
                        expect(y, i, expected + i, 1, "y");
                    else if (!poisoned(y, i))
                        fail("written between strips");
                free(expected);
                free(written);
                release();
            }
}

static void check_gemm(void)
{
    const idx lanes = kern->lanes;
    for (idx vecs = 1; vecs <= kern->product->gemm_vecs; vecs++)
        for (int round = 0; round < 60; round++) {
            idx depth = below(40), width = vecs * lanes, y_row = width + below(4), b_depth = width + below(4);
            idx a_row = round % 2 ? 1 : depth + below(3),
                a_depth = round % 2 ? 11 * kern->product->gemm_rows + below(3) : 1;
            int accumulate = round % 3 == 0;
            const idx rows = (1 + 5 * below(3)) * kern->product->gemm_rows;
            const void *a = input(depth ? (rows - 1) * a_row + (depth - 1) * a_depth + 1 : 0);
            const void *b = input(depth ? (depth - 1) * b_depth + width : 0);
            void *y = output((rows - 1) * y_row + width);
            SAY("vecs %td depth %td accumulate %d", vecs, depth, accumulate);
            for (idx r = 0; r < rows && accumulate; r++)
                for (idx j = 0; j < width; j++) put(y, r * y_row + j, (double)(r - j));
            kern->product->gemm[vecs - 1](rows - below(kern->product->gemm_rows), depth, a, a_row, a_depth, b, b_depth,
                                          y, y_row, accumulate);
            for (idx r = 0; r < rows; r++)
                for (idx j = 0; j < y_row && (r < rows - 1 || j < width); j++) {
                    double sum = accumulate ? (double)(r - j) : 0;
                    if (j >= width) {
                        if (!poisoned(y, r * y_row + j)) fail("written between rows");
                        continue;
                    }
                    for (idx k = 0; k < depth; k++) sum += get(a, r * a_row + k * a_depth) * get(b, k * b_depth + j);
                    expect(y, r * y_row + j, &sum, 1, "y");
                }
            release();
        }
}

const kernel_check product_checks[] = {
    {"tile", check_tile}, {"strip", check_strip}, {"panel", check_panel}, {"gemm", check_gemm}, {NULL, NULL},
};
