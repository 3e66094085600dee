#include "kernels.h"

static void check_stage(void)
{
    static const idx steps[] = {1, 2, 3, 4, -1, -2};
    for (int round = 0; round < 400; round++) {
        idx src_w = steps[round % 6], count = below(5 * kern->lanes), left = below(7), right = below(7);
        idx n_rows = 1 + below(5), first = below(n_rows + 1), last = first + below(n_rows - first + 1);
        idx width = left + count + right, pitch = width + below(5), held = last - first;
        if (width == 0) continue;
        idx span = count ? (count - 1) * (src_w < 0 ? -src_w : src_w) + 1 : 0;
        idx src_h = span + below(3);
        if (round % 2) src_h = -src_h;
        idx size = held && span ? (held - 1) * (src_h < 0 ? -src_h : src_h) + span : 0;
        const char *x = input(size);
        /* With a negative step the first element is the last in memory. */
        idx start = (src_w < 0 && span ? span - 1 : 0) + (src_h < 0 && held ? (held - 1) * -src_h : 0);
        double fill = round % 3 ? 0.0 : -INFINITY;
        char *y = output((n_rows - 1) * pitch + width);
        SAY("src_w %td count %td left %td right %td rows %td %td %td", src_w, count, left, right, n_rows, first, last);
        kern->move->stage(y, pitch, size ? x + start * kern->itemsize : x, src_h, src_w, n_rows, first, last, left,
                          count, right, fill);
        for (idx i = 0; i < n_rows; i++)
            for (idx j = 0; j < pitch; j++) {
                if (j >= width) {
                    if (i < n_rows - 1 && !poisoned(y, i * pitch + j)) fail("written between rows");
                    continue;
                }
                int inside = i >= first && i < last && j >= left && j < left + count;
                double e = inside ? get(x, start + (i - first) * src_h + (j - left) * src_w) : fill;
                if (!same(get(y, i * pitch + j), e)) fail("wrong pixel");
            }
        release();
    }
}

static void check_pack_filters(void)
{
    for (int round = 0; round < 200; round++) {
        const int way = below(4); /* taps side by side, reversed, or anywhere; channels too without a gap */
        idx rows = way < 3 ? kern->product->rows : 1 + below(kern->product->rows), channels = 1 + below(5),
            n_taps = 1 + below(20), taps[20];
        for (idx t = 0; t < n_taps; t++) taps[t] = way < 2 ? t : way == 2 ? n_taps - 1 - t : below(20);
        idx w_channel = way == 0 ? n_taps : 20 + below(3), w_row = channels * w_channel + below(3);
        const void *w = input((rows - 1) * w_row + (channels - 1) * w_channel + (way < 3 ? n_taps : 20));
        void *y = output(rows * channels * n_taps);
        SAY("rows %td channels %td taps %td", rows, channels, n_taps);
        kern->move->pack_filters(y, w, rows, w_row, channels, w_channel, n_taps, taps);
        for (idx c = 0; c < channels; c++)
            for (idx t = 0; t < n_taps; t++)
                for (idx r = 0; r < rows; r++)
                    if (!same(get(y, (c * n_taps + t) * rows + r), get(w, r * w_row + c * w_channel + taps[t])))
                        fail("wrong filter");
        release();
    }
}

static void check_pack_pixels(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 200; round++) {
        idx depth = 1 + below(7), offsets[7], far = 0, count = 0, lengths[8];
        fc_piece pieces[8];
        idx n_pieces = 1 + below(8);
        for (idx k = 0; k < depth; k++) {
            offsets[k] = below(40);
            if (offsets[k] > far) far = offsets[k];
        }
        idx reach = 0;
        for (idx i = 0; i < n_pieces; i++) {
            lengths[i] = 1 + below(lanes);
            pieces[i] = (fc_piece){below(60), count};
            if (pieces[i].from > reach) reach = pieces[i].from;
            count += lengths[i];
        }
        idx width = count + below(3);
        const idx step = 1 + round % 2;
        const void *x = input(far + reach + step * lanes);
        /* The last row's last vector may reach beyond it. */
        void *y = output(depth * width + lanes);
        SAY("depth %td pieces %td width %td step %td", depth, n_pieces, width, step);
        kern->move->pack_pixels(y, width, x, depth, offsets, n_pieces, pieces, step);
        for (idx k = 0; k < depth; k++)
            for (idx i = 0; i < n_pieces; i++)
                for (idx j = 0; j < lengths[i]; j++)
                    if (!same(get(y, k * width + pieces[i].to + j), get(x, offsets[k] + pieces[i].from + j * step)))
                        fail("wrong pixel");
        release();
    }
}

static void check_scatter(void)
{
    static const idx cols[] = {1, 2, -1, 3};
    for (int round = 0; round < 400; round++) {
        /* Or short rows without a gap, of which whole vectors are stored. */
        int dense = round % 8 == 0;
        idx rows = 1 + below(3 * FC_MAX_ROWS), n_runs = dense ? 1 : 1 + below(6), y_col = cols[round % 4];
        idx total = 0, place = 0;
        fc_run runs[6];
        idx step = y_col < 0 ? -y_col : y_col;
        for (idx i = 0; i < n_runs; i++) {
            runs[i].count = 1 + below(3 * kern->lanes);
            idx span = (runs[i].count - 1) * step + 1;
            runs[i].offset = place + (y_col < 0 ? span - 1 : 0);
            place += span + below(4);
            total += runs[i].count;
        }
        idx width = total + below(4), y_row = place + below(4), size;
        if (dense) runs[0].offset = 0, y_row = runs[0].count, width += kern->lanes;
        size = rows * y_row;
        void *tile = input(rows * width);
        char *mark = malloc((size_t)size);
        memset(mark, 0, (size_t)size);
        void *y = output(size);
        SAY("rows %td runs %td y_col %td", rows, n_runs, y_col);
        kern->move->scatter(tile, width, y, y_row, y_col, rows, n_runs, runs);
        for (idx r = 0; r < rows; r++) {
            idx from = r * width;
            for (idx i = 0; i < n_runs; i++)
                for (idx j = 0; j < runs[i].count; j++) {
                    idx at = r * y_row + runs[i].offset + j * y_col;
                    mark[at] = 1;
                    if (!same(get(y, at), get(tile, from++))) fail("wrong place");
                }
        }
        for (idx i = 0; i < size; i++)
            if (!mark[i] && !poisoned(y, i)) fail("written between runs");
        free(mark);
        release();
    }
}

static void check_interleave(void)
{
    for (idx n = 1; n <= 5; n++)
        for (idx size = 1; size < 6 * kern->lanes + 3; size++) {
            const void *src[5];
            for (idx i = 0; i < n; i++) src[i] = input(size > i ? (size - i + n - 1) / n : 0);
            void *y = output(size);
            SAY("n %td size %td", n, size);
            kern->move->interleave(y, src, n, size);
            for (idx j = 0; j < size; j++)
                if (!same(get(y, j), get(src[j % n], j / n))) fail("wrong element");
            release();
        }
}

static void check_transpose(void)
{
    const idx lanes = kern->lanes;
    static const idx cols[] = {1, 2, -1};
    for (int round = 0; round < 300; round++) {
        idx width = lanes * (1 + below(3)), rows = 1 + below(width), count = 1 + below(3 * lanes + 2);
        idx src_col = cols[round % 3], step = src_col < 0 ? -1 * src_col : src_col;
        idx span = (count - 1) * step + 1, src_row = span + below(3);
        if (round % 4 == 3) src_row = 1, src_col = rows + below(3), span = (count - 1) * src_col + 1;
        const char *x = input((rows - 1) * src_row + span);
        const char *start = x + (src_col < 0 ? (span - 1) * kern->itemsize : 0);
        void *y = output(count * width);
        SAY("width %td rows %td count %td src_row %td src_col %td", width, rows, count, src_row, src_col);
        kern->move->transpose(y, width, start, src_row, src_col, rows, count);
        for (idx i = 0; i < count; i++)
            for (idx r = 0; r < width; r++)
                if (!same(get(y, i * width + r), r < rows ? get(start, r * src_row + i * src_col) : 0))
                    fail("wrong element");
        release();
    }
}

static void check_untranspose_to(int far)
{
    const idx lanes = kern->lanes, line = 64 / kern->itemsize;
    for (int round = 0; round < 200; round++) {
        idx rows = 1 + below(lanes), count = 1 + below(far ? 6 * line : 4 * lanes), dst_row = count + below(4);
        idx width = lanes + below(2) * lanes;
        if (round % 8 == 7) rows = lanes, count = dst_row = 3;
        if (far && round % 4) dst_row = (dst_row + line - 1) / line * line;
        const void *x = input((count - 1) * width + lanes);
        void *y = output((rows - 1) * dst_row + count);
        SAY("rows %td count %td width %td apart %td", rows, count, width, dst_row);
        (far ? kern->move->untranspose_far : kern->move->untranspose)(y, dst_row, x, width, rows, count);
        for (idx r = 0; r < rows; r++)
            for (idx i = 0; i < dst_row && (r < rows - 1 || i < count); i++)
                if (i < count ? !same(get(y, r * dst_row + i), get(x, i * width + r)) : !poisoned(y, r * dst_row + i))
                    fail("wrong element");
        release();
    }
}

static void check_untranspose(void)
{
    check_untranspose_to(0);
    check_untranspose_to(1);
}

static void check_lines_far(void)
{
    const idx line = 64 / kern->itemsize;
    for (int round = 0; round < 50; round++) {
        idx count = 1 + below(9), step = line * (1 + below(3)), used = (count - 1) * step + line;
        const void *x = input(count * line);
        char *y = output(used + line);
        idx first = (idx)(-(uintptr_t)y % 64) / kern->itemsize;
        SAY("count %td step %td", count, step);
        kern->move->lines_far(y + first * kern->itemsize, step, x, count);
        for (idx i = 0; i < used + line; i++) {
            idx at = i - first, n = at / step, place = at % step;
            int inside = at >= 0 && at < used && place < line;
            if (inside ? !same(get(y, i), get(x, n * line + place)) : !poisoned(y, i)) fail("wrong element");
        }
        release();
    }
}

static void check_fetch(void)
{
    for (int round = 0; round < 20; round++) {
        idx n = 1 + below(5), count = 1 + below(70), step = count + below(9);
        const void *x = input((n - 1) * step + count);
        SAY("n %td count %td", n, count);
        kern->move->fetch(x, step, n, count);
        release();
    }
}

const kernel_check move_checks[] = {
    {"stage", check_stage},
    {"fetch", check_fetch},
    {"pack_filters", check_pack_filters},
    {"pack_pixels", check_pack_pixels},
    {"scatter", check_scatter},
    {"interleave", check_interleave},
    {"transpose", check_transpose},
    {"untranspose, untranspose_far", check_untranspose},
    {"lines_far", check_lines_far},
    {NULL, NULL},
};
