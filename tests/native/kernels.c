/* Every entry of every kernel table that this machine can run, against plain loops.
 *
 * Sizes are ragged: below, at and above a vector and a tile. Values are small integers, so that sums are exact in any
 * order. What a kernel reads ends at an unreadable page, or begins after one, in turns; what it writes is poisoned and
 * fenced. Where fastconv.h allows a kernel to read or write up to a vector more, that vector is there, and no more.
 *
 * To check another kernel: write a function check_<name> and put it into CHECKS.
 */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fastconv.h"

static const fc_isa *isa;
static const fc_kernels *kern;
static const char *checking = "nothing";
static char what[200] = "";
static long n_checks, n_calls;

static void fail(const char *why)
{
    printf("FAILED: %s %s float%d: %s (%s)\n", isa ? isa->name : "-", checking, kern ? (int)kern->itemsize * 8 : 0, why,
           what);
    exit(1);
}

static void on_fault(int signal)
{
    char text[300];
    int n = snprintf(text, sizeof text, "FAILED: %s %s float%d: signal %d (%s)\n", isa->name, checking,
                     (int)kern->itemsize * 8, signal, what);
    if (write(1, text, (size_t)n)) _exit(2);
    _exit(2);
}

#define SAY(...) (n_calls++, snprintf(what, sizeof what, __VA_ARGS__))

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static idx below(idx n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (idx)((seed >> 33) % (uint64_t)n);
}

static double get(const void *p, idx i) { return kern->itemsize == 4 ? ((const float *)p)[i] : ((const double *)p)[i]; }

static void put(void *p, idx i, double v)
{
    if (kern->itemsize == 4)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

static int same(double a, double b) { return a == b || (a != a && b != b); }
static int near(double a, double b) { return same(a, b) || fabs(a - b) <= 1e-6 * (1 + fabs(b)); }

/* ---- memory --------------------------------------------------------------------------------------------------- */

enum { GUARD = 512, MOST_BUFFERS = 64 };
static const unsigned char POISON = 0xA5;

typedef struct {
    char *pages, *data;
    size_t whole, size;
    int fenced;
} buffer;

static buffer buffers[MOST_BUFFERS];
static int n_buffers;
static size_t page;

static buffer *new_buffer(size_t size, int fenced)
{
    if (n_buffers == MOST_BUFFERS) fail("too many buffers");
    buffer *b = &buffers[n_buffers++];
    b->size = size;
    b->fenced = fenced;
    size_t room = size + (fenced ? 2 * GUARD : 0);
    b->whole = (room + page - 1) / page * page + 2 * page;
    b->pages = mmap(NULL, b->whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->pages == MAP_FAILED) fail("no memory");
    mprotect(b->pages, page, PROT_NONE);
    mprotect(b->pages + b->whole - page, page, PROT_NONE);
    memset(b->pages + page, POISON, b->whole - 2 * page);
    if (fenced) /* Aligned to an element and to nothing more. */
        b->data = b->pages + page + GUARD + kern->itemsize;
    else
        b->data = n_buffers % 2 ? b->pages + b->whole - page - size : b->pages + page;
    return b;
}

/* `n` elements to read, small integers all of them, between unreadable pages: at the end, or the beginning. */
static void *input(idx n)
{
    buffer *b = new_buffer((size_t)(n * kern->itemsize), 0);
    for (idx i = 0; i < n; i++) put(b->data, i, (double)(below(9) - 4));
    return b->data;
}

/* Integers of the element's size. */
static void *input_integers(idx n) { return new_buffer((size_t)(n * kern->itemsize), 0)->data; }

static void put_integer(void *p, idx i, idx v)
{
    if (kern->itemsize == 4)
        ((int32_t *)p)[i] = (int32_t)v;
    else
        ((int64_t *)p)[i] = v;
}

static idx get_integer(const void *p, idx i)
{
    return kern->itemsize == 4 ? ((const int32_t *)p)[i] : (idx)((const int64_t *)p)[i];
}

/* `n` elements to write: poison, between guard zones. */
static void *output(idx n) { return new_buffer((size_t)(n * kern->itemsize), 1)->data; }

static void *copy_of(const void *p, idx n)
{
    buffer *b = new_buffer((size_t)(n * kern->itemsize), 1);
    memcpy(b->data, p, b->size);
    return b->data;
}

/* Everything but the first `n` elements of an output must be as it was; `n` elements equal the expected ones. */
static int untouched(const char *from, const char *to)
{
    for (; from < to; from++)
        if (*(const unsigned char *)from != POISON) return 0;
    return 1;
}

static int poisoned(const void *p, idx i)
{
    return untouched((const char *)p + i * kern->itemsize, (const char *)p + (i + 1) * kern->itemsize);
}

static void check_guards(void)
{
    for (int i = 0; i < n_buffers; i++) {
        buffer *b = &buffers[i];
        if (b->fenced && !untouched(b->pages + page, b->data)) fail("written before the beginning");
        if (b->fenced && !untouched(b->data + b->size, b->pages + b->whole - page)) fail("written beyond the end");
    }
}

static void release(void)
{
    check_guards();
    for (int i = 0; i < n_buffers; i++) munmap(buffers[i].pages, buffers[i].whole);
    n_buffers = 0;
    n_checks++;
}

/* `count` elements from place `at` equal those of `expected`. */
static void expect(const void *actual, idx at, const double *expected, idx count, const char *name)
{
    for (idx i = 0; i < count; i++)
        if (!near(get(actual, at + i), expected[i])) {
            char text[100];
            snprintf(text, sizeof text, "%s[%td] is %g, expected %g", name, at + i, get(actual, at + i), expected[i]);
            fail(text);
        }
}

/* ---- moving data ---------------------------------------------------------------------------------------------- */

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
        kern->move->stage(y, pitch, size ? x + start * kern->itemsize : x, src_h, src_w, n_rows, first, last, left, count,
                    right, fill);
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
        idx rows = way < 3 ? kern->product->rows : 1 + below(kern->product->rows), channels = 1 + below(5), n_taps = 1 + below(20),
            taps[20];
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
        idx rows = 1 + below(FC_MAX_ROWS), n_runs = 1 + below(6), y_col = cols[round % 4], total = 0, place = 0;
        fc_run runs[6];
        idx step = y_col < 0 ? -y_col : y_col;
        for (idx i = 0; i < n_runs; i++) {
            runs[i].count = 1 + below(3 * kern->lanes);
            idx span = (runs[i].count - 1) * step + 1;
            runs[i].offset = place + (y_col < 0 ? span - 1 : 0);
            place += span + below(4);
            total += runs[i].count;
        }
        idx width = total + below(4), y_row = place + below(4), size = rows * y_row;
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

/* ---- the three passes ----------------------------------------------------------------------------------------- */

static void check_tiles(int panel)
{
    static const idx depths[] = {0, 1, 2, 3, 17, 64};
    const idx lanes = kern->lanes, panel_vecs = kern->product->vecs[kern->product->rows];
    for (idx rows = 1; rows <= kern->product->rows; rows++)
        for (idx vecs = 1; vecs <= (panel ? panel_vecs : kern->product->vecs[rows]); vecs++)
            for (int round = 0; round < 12; round++) {
                idx depth = depths[round % 6], width = vecs * lanes, offsets[64], far = 0;
                int accumulate = round % 3 == 2;
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
                if (panel ? !kern->product->panel[rows - 1][vecs - 1] : !kern->product->tile[rows - 1][vecs - 1]) fail("no such tile");
                if (panel)
                    kern->product->panel[rows - 1][vecs - 1](tiles, depth, a, b, y, y_row, bias, accumulate,
                                                             &(fc_ahead){b, below(3)});
                else
                    kern->product->tile[rows - 1][vecs - 1](depth, a, b, offsets, y, y_row, bias, accumulate);
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
                idx depth = 1 + below(9), offsets[9], far = 0;
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

static void check_wgrad(void)
{
    const idx lanes = kern->lanes;
    for (idx vecs = 1; vecs <= kern->correlate->outer_vecs; vecs++)
        for (int round = 0; round < 60; round++) {
            idx n = below(40), width = vecs * lanes, rows = kern->correlate->outer_rows, offsets[16], far = 0, most = 0;
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
            void *acc = copy_of(input(rows * width), rows * width);
            double *expected = malloc((size_t)(rows * width) * sizeof(double));
            for (idx r = 0; r < rows; r++)
                for (idx j = 0; j < width; j++) {
                    double sum = get(acc, r * width + j);
                    for (idx i = 0; i < n; i++) sum += get(x, pixels[i] + offsets[r]) * get(dy, i * width + j);
                    expected[r * width + j] = sum;
                }
            SAY("vecs %td pixels %td", vecs, n);
            kern->correlate->outer[vecs - 1](n, pixels, x, offsets, dy, acc, &(fc_ahead){x, lanes});
            expect(acc, 0, expected, rows * width, "acc");
            free(expected);
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
            idx x_size = far + (planes - 1) * x_plane + (n_rows - 1) * x_pitch + n_cols, size = rows * kern->correlate->dot_cols;
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
            kern->correlate->dot[rows - 1](planes, n_rows, n_cols, dy, dy_row, plane, pitch, x, offsets, x_plane, x_pitch, acc);
            expect(acc, 0, expected, size, "acc");
            release();
        }
}

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

static void check_gemm(void)
{
    const idx lanes = kern->lanes;
    for (idx vecs = 1; vecs <= kern->product->gemm_vecs; vecs++)
        for (int round = 0; round < 60; round++) {
            idx depth = below(40), width = vecs * lanes, y_row = width + below(4), b_depth = width + below(4);
            idx a_row = round % 2 ? 1 : depth + below(3), a_depth = round % 2 ? 3 * kern->product->gemm_rows + below(3) : 1;
            int accumulate = round % 3 == 0;
            const idx rows = (1 + below(3)) * kern->product->gemm_rows;
            const void *a = input(depth ? (rows - 1) * a_row + (depth - 1) * a_depth + 1 : 0);
            const void *b = input(depth ? (depth - 1) * b_depth + width : 0);
            void *y = output((rows - 1) * y_row + width);
            SAY("vecs %td depth %td accumulate %d", vecs, depth, accumulate);
            for (idx r = 0; r < rows && accumulate; r++)
                for (idx j = 0; j < width; j++) put(y, r * y_row + j, (double)(r - j));
            kern->product->gemm[vecs - 1](rows - below(kern->product->gemm_rows), depth, a, a_row, a_depth, b, b_depth, y, y_row,
                                 accumulate);
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

/* ---- Winograd's transforms: the matrices from their definition in winograd.h ------------------------------------ */

/* Left of a tile and, transposed, right of it: of 5, 6, 8 or of one point, where all is 1. Of B the transpose. */
static double B[2][8][8], A[2][8][6], G[2][8][7];
static int points[2], outputs[2], taps[2];

static void set_matrices(int side, int n, int r)
{
    const int m = n + 1 - r;
    const double roots[] = {0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2)}, halves[] = {0, 1, -1, 0.5, -0.5, 2, -2};
    const double quarters[] = {0.5, -0.5, 1.25, -1.25}, *p = n == 5 ? quarters : n == 6 ? roots : halves;
    double (*b)[8] = B[side], (*a)[6] = A[side], (*g)[7] = G[side];
    memset(b, 0, sizeof B[side]);
    memset(a, 0, sizeof A[side]);
    memset(g, 0, sizeof G[side]);
    points[side] = n, outputs[side] = m, taps[side] = r;
    for (int j = 0; j < n - 1; j++) {
        /* The product of (x - p_i), i != j, and the slope of the whole product at p_j. */
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
    /* (x^2 - 1/4) (x^2 - 25/16); at the negative ones the other sign in both */
    if (n == 5) {
        b[4][0] = 25.0 / 64, b[4][2] = -29.0 / 16, b[4][4] = 1;
        for (int j = 1; j < 4; j += 2) {
            for (int k = 0; k < 4; k++) b[j][k] = -b[j][k];
            for (int k = 0; k < r; k++) g[j][k] = -g[j][k];
        }
    }
    /* x (x^2 - 1/2) (x^2 - 2) */
    if (n == 6) b[5][1] = 1, b[5][3] = -2.5, b[5][5] = 1;
    /* x (x^2 - 1) (x^2 - 1/4) (x^2 - 4); at 0 the other sign in both */
    if (n == 8) {
        b[7][1] = -1, b[7][3] = 5.25, b[7][5] = -5.25, b[7][7] = 1;
        for (int k = 0; k < 8; k++) b[0][k] = -b[0][k];
        for (int k = 0; k < r; k++) g[0][k] = -g[0][k];
    }
}

static void set_size(int size)
{
    const int sizes[FC_WINOGRADS][2] = {{2, 2}, {3, 3}, {4, 4}, {5, 5}, {2, 2}, {3, 3}, {1, 3}, {1, 5}, {1, 7}};
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

/* points = left x left' of tiles. */
static void check_to_points(int size, int spread)
{
    const idx lanes = kern->lanes;
    set_size(size);
    const int *seen = spread ? outputs : points, last = points[0] * points[1] - 1;
    for (int round = 0; round < 60; round++) {
        row_of_tiles t = draw_row(outputs, !spread);
        idx tile = lanes + below(5), point = t.count * tile + below(5);
        const void *x = input(t.elements);
        void *v = output(last * point + (t.count - 1) * tile + lanes);
        if (spread)
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
                                    sum += (spread ? A[0][a][i] * A[1][b][j] : B[0][a][i] * B[1][b][j]) *
                                           get(x, at + lane);
                            }
                        expect_close(v, (a * points[1] + b) * point + n * tile + lane, sum);
                    }
        release();
    }
}

static void check_winograd_input(void)
{
    check_to_points(0, 0);
    check_to_points(FC_SMALL, 0);
    check_to_points(FC_LINES, 0);
}

static void check_winograd_spread(void)
{
    for (int size = 0; size < FC_WINOGRADS; size++) check_to_points(size, 1);
}

static void check_winograd_output(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const int size = round % FC_WINOGRADS;
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

static void check_winograd_filters(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const int size = round % FC_WINOGRADS, flip = round % 3 == 0;
        set_size(size);
        const int n_taps = taps[0] * taps[1], last = points[0] * points[1] - 1;
        idx filters = 1 + below(lanes), depth = 1 + below(4), w_depth = n_taps + below(3);
        idx w_filter = depth * w_depth + below(3), elements = (filters - 1) * w_filter + (depth - 1) * w_depth + n_taps;
        idx u_depth = lanes + below(3), u_point = depth * u_depth + below(3);
        const char *w = input(elements);
        void *u = output(last * u_point + (depth - 1) * u_depth + lanes);
        SAY("%d x %d taps, filters %td depth %td flip %d", taps[0], taps[1], filters, depth, flip);
        kern->winograd->filters[size](u, u_point, u_depth, w, w_filter, w_depth, filters, depth, flip,
                                     w + elements * kern->itemsize);
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

static void check_winograd_weights(void)
{
    const idx lanes = kern->lanes;
    for (int round = 0; round < 300; round++) {
        const int size = round % FC_WINOGRADS;
        set_size(size);
        const int n_taps = taps[0] * taps[1], n_points = points[0] * points[1];
        idx channels = 1 + below(3 * lanes), whole = (channels + lanes - 1) / lanes * lanes, n_slices = 1 + below(3);
        idx s_point = whole + below(3), s_slice = n_points * s_point + below(3);
        const void *s = input((n_slices - 1) * s_slice + (n_points - 1) * s_point + whole);
        void *dw = output(channels * n_taps);
        SAY("%d x %d taps, channels %td slices %td", taps[0], taps[1], channels, n_slices);
        kern->winograd->filter_gradient[size](dw, s, s_point, s_slice, n_slices, channels);
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

/* ---- few channels --------------------------------------------------------------------------------------------- */

typedef struct {
    fc_windows s;
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
    c->s = (fc_windows){width,   step, stride, height, span, phases, {n_blocks, phases == 2 ? 1 + below(3) : 0},
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
    c->s.mask = (char *)mask + c->left * kern->itemsize;
    for (idx r = 0; r < c->n_rows; r++) {
        void *row = input(c->left + c->right);
        for (idx i = 0; i < c->left + c->right; i++)
            if (!c->inside[i]) put(row, i, NAN);
        c->rows[r] = (char *)row + c->left * kern->itemsize;
    }
    idx least = 100, most = -100;
    for (idx t = 0; t < 64; t++) {
        c->taps[t] = (fc_tap){below(3), below(reach + 3) - 3};
        if (t >= n_blocks + c->s.n_blocks[1]) continue;
        if (c->taps[t].col < least) least = c->taps[t].col;
        if (c->taps[t].col + span - 1 > most) most = c->taps[t].col + span - 1;
    }
    c->s.from = least < 0 ? (-least + stride - 1) / stride : 0;
    c->s.to = x_width > most ? (x_width - 1 - most) / stride + 1 : 0;
}

static double seen(const windows_case *c, idx p, idx q, idx row, idx col)
{
    idx at = q * c->s.stride + col;
    return c->inside[c->left + at] ? get(c->rows[p * c->s.step + row], at) : 0;
}

static void check_windows_of_rows(void)
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
            const void *w = input((c.s.n_blocks[0] + c.s.n_blocks[1]) * block), *bias = round % 3 ? input(1) : NULL;
            void *y = output(size);
            SAY("height %td span %td step %td stride %td phases %td rows %td width %td", height, span, step, stride,
                phases, n_out, width);
            kern->windows->rows(y, y_row, n_out, c.rows, &c.s, w, bias);
            for (idx p = 0; p < n_out; p++)
                for (idx q = 0; q < y_row && p * y_row + q < size; q++) {
                    if (q >= width) {
                        if (!poisoned(y, p * y_row + q)) fail("written between rows");
                        continue;
                    }
                    double sum = bias ? get(bias, 0) : 0;
                    idx phase = phases == 2 ? q % 2 : 0, first = phase ? c.s.n_blocks[0] : 0;
                    for (idx b = first; b < first + c.s.n_blocks[phase]; b++)
                        for (idx t = 0; t < block; t++)
                            sum += get(w, b * block + t) *
                                   seen(&c, p, q / phases, c.taps[b].row + t % height, c.taps[b].col + t / height);
                    expect(y, p * y_row + q, &sum, 1, "y");
                }
            release();
        }
}

static void check_window_sums(void)
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
            kern->windows->row_sums(sums, dy, dy_row, n_out, c.rows, &c.s, span, c.taps);
            for (idx t = 0; t < n; t++) {
                double total = 0;
                for (idx i = 0; i < lanes; i++) total += get(sums, t * lanes + i);
                if (!near(total, expected[t])) fail("wrong sum");
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
        kern->windows->lane_sums(sums, dy, dy_row, dy_step, x, x_row, steps * lanes, n_rows, count, n_taps, offsets, &(fc_ahead){x, below(9)});
        for (idx t = 0; t < n_taps; t++)
            for (idx i = 0; i < lanes; i++) {
                double sum = get(before, t * lanes + i);
                for (idx p = 0; p < n_rows; p++)
                    for (idx q = 0; q < count; q++)
                        sum += get(dy, p * dy_row + q * dy_step + i) *
                               get(x, offsets[t] + p * x_row + q * steps * lanes + i);
                if (!near(get(sums, t * lanes + i), sum)) fail("wrong sum");
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

static void check_lane_windows(void)
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
        kern->windows->mix_sums(sums, dy, dy_row, dy_step, x, x_row, steps * lanes, n_rows, count, mix, n_taps, offsets, &(fc_ahead){x, below(9)});
        for (idx t = 0; t < n_taps * mix; t++)
            for (idx i = 0; i < lanes; i++) {
                double sum = get(before, t * lanes + i);
                for (idx p = 0; p < n_rows; p++)
                    for (idx q = 0; q < count; q++)
                        sum += get(dy, p * dy_row + q * dy_step + i) *
                               get(x, offsets[t / mix] + p * x_row + q * steps * lanes + i / mix * mix + t % mix);
                if (!near(get(sums, t * lanes + i), sum)) fail("wrong sum");
            }
        release();
    }
}

/* ---- pooling --------------------------------------------------------------------------------------------------- */

static idx up(idx a, idx b) { return (a + b - 1) / b * b; }

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
        kern->pool->max_row(y, where, x, x_row, n_rows, n_cols, stride, dilation, index, index_row, start, first, count);
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
        char *where = new_buffer((size_t)(n * kern->itemsize), 0)->data;
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
        char *where = new_buffer((size_t)count * (wide ? 8 : 4), 0)->data;
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

static void check_windows(void)
{
    for (int round = 0; round < 100; round++) {
        idx n_rows = 1 + below(5), n_cols = 1 + below(20), x_col = 1 + below(2), x_row = n_cols * x_col + below(3);
        idx size = (n_rows - 1) * x_row + (n_cols - 1) * x_col + 1;
        void *x = input(size);
        double sum = 0;
        for (idx r = 0; r < n_rows; r++)
            for (idx s = 0; s < n_cols; s++) sum += get(x, r * x_row + s * x_col);
        SAY("%td x %td", n_rows, n_cols);
        if (!near(kern->pool->window_mean(x, x_row, x_col, n_rows, n_cols), sum / (double)(n_rows * n_cols)))
            fail("wrong mean");
        void *y = copy_of(x, size);
        n_cols = 1 + (n_cols - 1) * x_col;
        kern->pool->window_add(y, x_row, n_rows, n_cols, 2.0);
        for (idx i = 0; i < size; i++)
            if (get(y, i) != get(x, i) + (i % x_row < n_cols ? 2 : 0)) fail("wrong sum");
        release();
    }
}

/* ---- single passes --------------------------------------------------------------------------------------------- */

static void check_relu(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++) {
        void *x = input(n), *dy = input(n), *y = output(n), *dx = output(n);
        if (n > 2) put(x, 1, NAN), put(x, 2, -INFINITY);
        SAY("n %td", n);
        kern->passes->relu(y, x, n);
        kern->passes->relu_backward(dx, dy, y, n);
        void *in_place = copy_of(dy, n);
        kern->passes->relu_backward(in_place, in_place, y, n);
        for (idx i = 0; i < n; i++) {
            double v = get(x, i);
            if (!same(get(y, i), v < 0 ? 0 : v)) fail("wrong value");
            if (!same(get(dx, i), v > 0 ? get(dy, i) : 0)) fail("wrong gradient");
            if (!same(get(in_place, i), get(dx, i))) fail("wrong gradient in place");
        }
        release();
    }
}

static void check_total_and_add(void)
{
    for (idx n = 0; n < 150 * kern->lanes; n += n < 9 * kern->lanes ? 1 : 1 + below(40)) {
        void *x = input(n), *y0 = input(n), *y = copy_of(y0, n);
        double *sums = (double *)(void *)new_buffer((size_t)n * sizeof(double), 0)->data, sum = 0;
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

static void check_sums(void)
{
    static const double a_shift[] = {1, 0, -2, 3, 1}, b_shift[] = {2, -1, 0, 1, -3};
    for (int round = 0; round < 200; round++) {
        idx n_planes, n = draw_planes(round, &n_planes);
        void *x = input(n_planes * n), *dy = input(n_planes * n);
        double sum[5], dot[5];
        SAY("planes %td n %td", n_planes, n);
        for (int shifted = 0; shifted < 2; shifted++) {
            kern->passes->sums(dy, shifted ? a_shift : NULL, x, b_shift, n_planes, n, sum, dot);
            for (idx p = 0; p < n_planes; p++) {
                for (idx i = p * n; i < (p + 1) * n; i++) {
                    double v = get(dy, i) - (shifted ? a_shift[p] : 0);
                    sum[p] -= v;
                    dot[p] -= v * (get(x, i) - b_shift[p]);
                }
                if (sum[p] != 0 || dot[p] != 0) fail("wrong sum");
            }
        }
        release();
    }
}

static void check_affine(void)
{
    static const double shift[] = {1, 0, -2, 3, 1}, scale[] = {3, 1, 0, 2, -1}, offset[] = {0.5, 0, 2, -1, 1};
    static const double slope[] = {0.25, 0, -1, 4, 2};
    for (int round = 0; round < 200; round++) {
        idx n_planes, n = draw_planes(round, &n_planes), size = n_planes * n;
        void *x = input(size), *dy = input(size), *y = output(size), *dx = output(size), *in_place = copy_of(dy, size);
        SAY("planes %td n %td", n_planes, n);
        kern->passes->affine(y, x, shift, scale, offset, n_planes, n);
        kern->passes->affine_pair(dx, dy, x, shift, scale, slope, offset, n_planes, n);
        kern->passes->affine_pair(in_place, in_place, x, shift, scale, slope, offset, n_planes, n);
        for (idx i = 0; i < size; i++) {
            idx p = i / n;
            double v = get(x, i) - shift[p];
            if (get(y, i) != scale[p] * v + offset[p]) fail("wrong value");
            if (get(dx, i) != scale[p] * get(dy, i) + slope[p] * v + offset[p]) fail("wrong pair");
            if (!same(get(in_place, i), get(dx, i))) fail("wrong pair in place");
        }
        release();
    }
}

static void check_sgd(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++)
        for (int kind = 0; kind < 3; kind++) {
            void *p0 = input(n), *dp = input(n), *b0 = input(n), *p = copy_of(p0, n), *b = copy_of(b0, n);
            SAY("n %td kind %d", n, kind);
            kern->passes->sgd(p, dp, kind ? b : NULL, -1, 0.5, 0.25, 0.5, 2, kind == 2, n);
            for (idx i = 0; i < n; i++) {
                double g = -get(dp, i) + 2 * get(p0, i), v = 0.25 * get(b0, i) + 0.5 * g;
                double step = kind == 0 ? g : kind == 1 ? v : g + 0.25 * v;
                if (get(p, i) != get(p0, i) - 0.5 * step) fail("wrong parameter");
                if (get(b, i) != (kind ? v : get(b0, i))) fail("wrong buffer");
            }
            release();
        }
}

static void check_burst(void)
{
    SAY("n 10");
    if (!(isa->fma_burst(10) >= 2 * 10 * 12 * 4)) fail("no work done");
    n_checks++;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*check)(void);
} CHECKS[] = {
    {"stage", check_stage},
    {"pack_filters", check_pack_filters},
    {"pack_pixels", check_pack_pixels},
    {"scatter", check_scatter},
    {"interleave", check_interleave},
    {"transpose", check_transpose},
    {"untranspose, untranspose_far", check_untranspose},
    {"tile", check_tile},
    {"panel", check_panel},
    {"strip", check_strip},
    {"wgrad", check_wgrad},
    {"shifted_sums", check_shifted_sums},
    {"fetch", check_fetch},
    {"fold", check_fold},
    {"dot", check_dot},
    {"finite", check_finite},
    {"gemm", check_gemm},
    {"winograd_input", check_winograd_input},
    {"winograd_spread", check_winograd_spread},
    {"winograd_output", check_winograd_output},
    {"winograd_filters", check_winograd_filters},
    {"winograd_weights", check_winograd_weights},
    {"windows", check_windows_of_rows},
    {"window_sums", check_window_sums},
    {"to_lanes", check_to_lanes},
    {"lane_windows", check_lane_windows},
    {"lane_sums", check_lane_sums},
    {"mix_sums", check_mix_sums},
    {"max_row", check_max_row},
    {"average_row", check_average_row},
    {"average_plane", check_average_plane},
    {"spread_plane", check_spread_plane},
    {"spread_max", check_spread_max},
    {"share_row", check_share_row},
    {"spread_row", check_spread_row},
    {"scatter_add", check_scatter_add},
    {"window_mean, window_add", check_windows},
    {"relu, relu_backward", check_relu},
    {"total, add, add_to_doubles", check_total_and_add},
    {"softmax", check_softmax},
    {"sums", check_sums},
    {"affine, affine_pair", check_affine},
    {"sgd", check_sgd},
    {"fma_burst", check_burst},
};

static void check_mode(void)
{
    volatile float tiny = 1e-40f, one = 1.0f;
    checking = "mode";
    if (tiny * one == 0) fail("subnormal numbers are zero from the start");
    unsigned mode = fc_flush_subnormals();
#if defined(__x86_64__) || defined(__aarch64__)
    if (tiny * one != 0) fail("subnormal numbers are not flushed");
#endif
    fc_restore_mode(mode);
    if (tiny * one == 0) fail("the mode is not restored");
}

int main(int n_arguments, char **arguments)
{
    const fc_isa *isas[8];
    int n = fc_usable_isas(isas);
    page = (size_t)sysconf(_SC_PAGESIZE);
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
    signal(SIGFPE, on_fault);
    /* memcheck knows no such mode. */
    if (n_arguments < 2 || strcmp(arguments[1], "--any-mode")) check_mode();
    for (int i = 0; i < n; i++) {
        isa = isas[i];
        const fc_kernels *both[] = {isa->f32, isa->f64};
        for (int k = 0; k < 2; k++) {
            kern = both[k];
            n_checks = n_calls = 0;
            for (size_t c = 0; c < sizeof CHECKS / sizeof *CHECKS; c++) {
                checking = CHECKS[c].name;
                CHECKS[c].check();
            }
            printf("%-8s float%d: %ld cases of %zu kinds\n", isa->name, (int)kern->itemsize * 8, n_checks,
                   sizeof CHECKS / sizeof *CHECKS);
        }
    }
    printf("all kernels agree with plain loops\n");
    return 0;
}
