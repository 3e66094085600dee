#include "kernels.h"

typedef struct {
    fc_windows windows;
    fc_tap taps[64];
    idx left, right, n_rows; /* of the table: columns that may be read, rows */
    const void *rows[64];
    int inside[200]; /* of each column, from -left on */
} windows_case;

/* Rows of poison but for what lies inside the image, whose columns come first; a mask, and taps within reach. */
static void draw_windows(windows_case *c, idx width, idx step, idx stride, idx n_out, idx height, idx span, idx phases,
                         idx n_blocks)
{
    const idx lanes = kern->lanes, count = (width + phases - 1) / phases, reach = 4;
    idx x_width = 1 + below(count * stride + 3);
    c->windows = (fc_windows){width,   step, stride, height, span, phases, {n_blocks, phases == 2 ? 1 + below(3) : 0},
                              c->taps, NULL, 0,      0};
    c->left = 3;
    c->right = (count > lanes ? count : lanes) * stride + reach + span;
    if (c->right < x_width) c->right = x_width;
    c->n_rows = (n_out - 1) * step + height + 3;
    void *mask = input_integers(c->left + c->right);
    for (idx i = 0; i < c->left + c->right; i++) {
        c->inside[i] = i >= c->left && i < c->left + x_width;
        put_integer(mask, i, c->inside[i] ? -1 : 0);
    }
    c->windows.mask = (char *)mask + c->left * kern->itemsize;
    for (idx r = 0; r < c->n_rows; r++) {
        void *row = input(c->left + c->right);
        for (idx i = 0; i < c->left + c->right; i++)
            if (!c->inside[i]) put(row, i, NAN);
        c->rows[r] = (char *)row + c->left * kern->itemsize;
    }
    idx least = 100, most = -100;
    for (idx t = 0; t < 64; t++) {
        c->taps[t] = (fc_tap){below(3), below(reach + 3) - 3};
        if (t >= n_blocks + c->windows.n_blocks[1]) continue;
        if (c->taps[t].col < least) least = c->taps[t].col;
        if (c->taps[t].col + span - 1 > most) most = c->taps[t].col + span - 1;
    }
    c->windows.from = least < 0 ? (-least + stride - 1) / stride : 0;
    c->windows.to = x_width > most ? (x_width - 1 - most) / stride + 1 : 0;
}

static double seen(const windows_case *c, idx p, idx q, idx row, idx col)
{
    idx at = q * c->windows.stride + col;
    return c->inside[c->left + at] ? get(c->rows[p * c->windows.step + row], at) : 0;
}

static void check_rows(void)
{
    /* height, span, step, stride, phases */
    static const idx forms[][5] = {{1, 1, 1, 1, 1}, {1, 1, 3, 1, 1}, {1, 1, 2, 2, 1}, {1, 1, 1, 3, 1},
                                   {3, 3, 1, 1, 1}, {5, 5, 1, 1, 1}, {7, 1, 1, 1, 1}, {3, 3, 2, 2, 1},
                                   {5, 1, 2, 2, 1}, {1, 1, 1, 1, 2}, {2, 1, 1, 1, 2}, {3, 1, 1, 1, 2}};
    static windows_case c;
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (int round = 0; round < 60; round++) {
            const idx height = forms[f][0], span = forms[f][1], step = forms[f][2], stride = forms[f][3];
            const idx phases = forms[f][4], block = height * span;
            idx n_out = height > 1 ? 4 + below(6) : 1 + below(6), width = 1 + below(3 * phases * kern->lanes);
            draw_windows(&c, width, step, stride, n_out, height, span, phases, 1 + below(3));
            idx y_row = round % 2 ? width : width + 1 + below(5), size = (n_out - 1) * y_row + width;
            const void *w = input((c.windows.n_blocks[0] + c.windows.n_blocks[1]) * block),
                       *bias = round % 3 ? input(1) : NULL;
            void *y = output(size);
            SAY("height %td span %td step %td stride %td phases %td rows %td width %td", height, span, step, stride,
                phases, n_out, width);
            kern->windows->rows(y, y_row, n_out, c.rows, &c.windows, w, bias);
            for (idx p = 0; p < n_out; p++)
                for (idx q = 0; q < y_row && p * y_row + q < size; q++) {
                    if (q >= width) {
                        if (!poisoned(y, p * y_row + q)) fail("written between rows");
                        continue;
                    }
                    double sum = bias ? get(bias, 0) : 0;
                    idx phase = phases == 2 ? q % 2 : 0, first = phase ? c.windows.n_blocks[0] : 0;
                    for (idx b = first; b < first + c.windows.n_blocks[phase]; b++)
                        for (idx t = 0; t < block; t++)
                            sum += get(w, b * block + t) *
                                   seen(&c, p, q / phases, c.taps[b].row + t % height, c.taps[b].col + t / height);
                    expect(y, p * y_row + q, &sum, 1, "y");
                }
            release();
        }
}

static void check_row_sums(void)
{
    /* height, span, stride */
    static const idx forms[][3] = {{1, FC_WINDOW_TAPS, 1},
                                   {1, FC_WINDOW_TAPS, 2},
                                   {1, FC_WINDOW_TAPS, 3},
                                   {3, 3, 1},
                                   {5, 2, 1},
                                   {5, 1, 1},
                                   {7, 1, 1},
                                   {3, 3, 2},
                                   {5, 2, 2},
                                   {5, 1, 2}};
    static windows_case c;
    const idx lanes = kern->lanes;
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (int round = 0; round < 60; round++) {
            const idx height = forms[f][0], span = forms[f][1], stride = forms[f][2];
            const int apart = height == 1;
            idx n_out = 1 + below(9), width = 1 + below(3 * lanes), n = apart ? span : height * span;
            draw_windows(&c, width, apart ? 1 + below(3) : stride, stride, n_out, height, apart ? 1 : span, 1,
                         apart ? span : 1);
            /* A vector beyond the last row may be read, and whatever it holds must not count. */
            idx dy_row = width + below(5), dy_size = (n_out - 1) * dy_row + width;
            void *dy = input(dy_size + lanes);
            for (idx i = 0; i < lanes; i++) put(dy, dy_size + i, NAN);
            void *sums = copy_of(input(n * lanes), n * lanes);
            double expected[FC_WINDOW_SUMS];
            for (idx t = 0; t < n; t++) {
                expected[t] = 0;
                for (idx i = 0; i < lanes; i++) expected[t] += get(sums, t * lanes + i);
                for (idx p = 0; p < n_out; p++)
                    for (idx q = 0; q < width; q++)
                        expected[t] += get(dy, p * dy_row + q) *
                                       (apart ? seen(&c, p, q, c.taps[t].row, c.taps[t].col)
                                              : seen(&c, p, q, c.taps[0].row + t / span, c.taps[0].col + t % span));
            }
            SAY("height %td span %td stride %td rows %td width %td", height, span, stride, n_out, width);
            kern->windows->row_sums(sums, dy, dy_row, n_out, c.rows, &c.windows, span, c.taps);
            for (idx t = 0; t < n; t++) {
                double total = 0;
                for (idx i = 0; i < lanes; i++) total += get(sums, t * lanes + i);
                if (!close_to(total, expected[t])) fail("wrong sum");
            }
            release();
        }
}

static void check_to_lanes(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 400; round++) {
        idx channels = 1 + below(3 * lanes), n_rows = 1 + below(3), count = 1 + below(3 * lanes),
            pitch = count + below(3);
        idx s_w = 1 + below(2), s_c = count * s_w + below(3), s_h = channels * s_c, loose = below(2);
        if (round % 2) s_c = 1, s_w = channels + below(3), s_h = count * s_w + below(3);
        idx size = (n_rows - 1) * s_h + (channels - 1) * s_c + (count - 1) * s_w + 1;
        idx used = ((n_rows - 1) * pitch + count) * lanes, apart = used + below(3),
            vectors = (channels + lanes - 1) / lanes;
        const void *x = input(size + (loose ? lanes : 0));
        void *y = output((vectors - 1) * apart + used);
        SAY("channels %td rows %td count %td strides %td %td %td loose %td", channels, n_rows, count, s_h, s_c, s_w,
            loose);
        kern->windows->to_lanes(y, pitch, apart, x, s_h, s_c, s_w, channels, n_rows, count, (int)loose);
        for (idx v = 0; v < vectors; v++)
            for (idx at = 0; at < (v < vectors - 1 ? apart : used); at++) {
                idx h = at / (pitch * lanes), i = at / lanes % pitch, c = v * lanes + at % lanes;
                if (at >= used || i >= count
                        ? !poisoned(y, v * apart + at)
                        : c < channels && !same(get(y, v * apart + at), get(x, h * s_h + c * s_c + i * s_w)))
                    fail("wrong element");
            }
        release();
    }
}

static void check_lane_sums(void)
{
    const idx lanes = kern->lanes;
    idx offsets[FC_WINDOW_SUMS];
    for (int round = 0; round < 300; round++) {
        idx count = 1 + below(12), n_rows = 1 + below(4), n_taps = 1 + below(FC_WINDOW_SUMS), steps = 1 + below(3);
        idx x_row = below(40) * lanes, far = 0;
        for (idx t = 0; t < n_taps; t++) {
            offsets[t] = below(30) * lanes;
            if (offsets[t] > far) far = offsets[t];
        }
        const void *x = input(far + (n_rows - 1) * x_row + ((count - 1) * steps + 1) * lanes);
        idx dy_step = lanes + below(3), dy_row = count * dy_step + below(3);
        const void *dy = input((n_rows - 1) * dy_row + (count - 1) * dy_step + lanes), *before = input(n_taps * lanes);
        void *sums = copy_of(before, n_taps * lanes);
        SAY("count %td rows %td taps %td step %td", count, n_rows, n_taps, steps);
        kern->windows->lane_sums(sums, dy, dy_row, dy_step, x, x_row, steps * lanes, n_rows, count, n_taps, offsets,
                                 &(fc_ahead){x, below(9)});
        for (idx t = 0; t < n_taps; t++)
            for (idx i = 0; i < lanes; i++) {
                double sum = get(before, t * lanes + i);
                for (idx p = 0; p < n_rows; p++)
                    for (idx q = 0; q < count; q++)
                        sum += get(dy, p * dy_row + q * dy_step + i) *
                               get(x, offsets[t] + p * x_row + q * steps * lanes + i);
                if (!close_to(get(sums, t * lanes + i), sum)) fail("wrong sum");
            }
        release();
    }
}

/* Columns of a run of taps, or taps anywhere; returns the farthest. */
static idx draw_taps(idx *offsets, idx n_taps)
{
    const idx lanes = kern->lanes, run = 1 + 2 * below(3);
    idx far = 0;
    for (idx t = 0; t < n_taps; t++) {
        offsets[t] = t % run ? offsets[t - 1] + lanes : below(30) * lanes;
        if (offsets[t] > far) far = offsets[t];
    }
    return far;
}

static idx draw_mix(void)
{
    idx mix = (idx)1 << (1 + below(3));
    while (mix > kern->lanes) mix /= 2;
    return mix;
}

static void check_lanes(void)
{
    const idx lanes = kern->lanes;
    idx offsets[20];
    for (int round = 0; round < 800; round++) {
        idx count = 1 + below(20), steps = 1 + below(3), gap = 1 + below(2), mix = below(2) ? 1 : draw_mix(), far = 0;
        idx run = 1 + 2 * below(3), n_taps = below(20) / run * run;
        for (idx t = 0; t < n_taps; t++) {
            offsets[t] = t % run ? offsets[t - 1] + steps * lanes : below(30) * lanes;
            if (offsets[t] > far) far = offsets[t];
        }
        const void *x = input(far + ((count - 1) * steps + 1) * lanes), *w = input(n_taps * mix * lanes + 1);
        const void *bias = round % 2 ? input(lanes) : NULL;
        void *y = output(((count - 1) * gap + 1) * lanes);
        SAY("count %td taps %td run %td step %td gap %td mix %td", count, n_taps, run, steps, gap, mix);
        kern->windows->lanes(y, gap * lanes, x, steps * lanes, count, mix, n_taps, run, offsets, w, bias);
        for (idx q = 0; q < (count - 1) * gap + 1; q++)
            for (idx i = 0; i < lanes; i++) {
                if (q % gap) {
                    if (!poisoned(y, q * lanes + i)) fail("written between outputs");
                    continue;
                }
                double sum = bias ? get(bias, i) : 0;
                for (idx t = 0; t < n_taps * mix; t++)
                    sum += get(w, t * lanes + i) *
                           get(x, offsets[t / mix] + q / gap * steps * lanes + i / mix * mix + t % mix);
                expect(y, q * lanes + i, &sum, 1, "y");
            }
        release();
    }
}

static void check_mix_sums(void)
{
    const idx lanes = kern->lanes;
    idx offsets[20];
    if (lanes < 2) return; /* no group of several channels fits a vector */
    for (int round = 0; round < 400; round++) {
        idx count = 1 + below(round % 8 ? 12 : 300), n_rows = 1 + below(4), n_taps = 1 + below(20),
            steps = 1 + below(2);
        idx x_row = below(40) * lanes, mix = draw_mix(), far = draw_taps(offsets, n_taps);
        const void *x = input(far + (n_rows - 1) * x_row + ((count - 1) * steps + 1) * lanes);
        idx dy_step = lanes + below(3), dy_row = count * dy_step + below(3);
        const void *dy = input((n_rows - 1) * dy_row + (count - 1) * dy_step + lanes),
                   *before = input(n_taps * mix * lanes);
        void *sums = copy_of(before, n_taps * mix * lanes);
        SAY("count %td rows %td taps %td step %td mix %td", count, n_rows, n_taps, steps, mix);
        kern->windows->mix_sums(sums, dy, dy_row, dy_step, x, x_row, steps * lanes, n_rows, count, mix, n_taps, offsets,
                                &(fc_ahead){x, below(9)});
        for (idx t = 0; t < n_taps * mix; t++)
            for (idx i = 0; i < lanes; i++) {
                double sum = get(before, t * lanes + i);
                for (idx p = 0; p < n_rows; p++)
                    for (idx q = 0; q < count; q++)
                        sum += get(dy, p * dy_row + q * dy_step + i) *
                               get(x, offsets[t / mix] + p * x_row + q * steps * lanes + i / mix * mix + t % mix);
                if (!close_to(get(sums, t * lanes + i), sum)) fail("wrong sum");
            }
        release();
    }
}

const kernel_check windows_checks[] = {
    {"rows", check_rows},   {"row_sums", check_row_sums},   {"to_lanes", check_to_lanes},
    {"lanes", check_lanes}, {"lane_sums", check_lane_sums}, {"mix_sums", check_mix_sums},
    {NULL, NULL},
};
