/* Moving data: out of images into dense rows, panels and tiles, and back. */
#ifndef FC_MOVE_H
#define FC_MOVE_H

/* A run of pixels that lie side by side in memory. */
typedef struct {
    idx offset; /* of the first pixel, in elements */
    idx count;
} fc_run;

/* At most a vector of such pixels: where they begin in the source, and where in a row of a panel. */
typedef struct {
    idx from, to;
} fc_piece;

typedef struct {
    /* Copy n_rows rows of one channel and pad them. Row i is dst + i * pitch. Its first `left` and last `right`
     * elements are `fill`; the `count` elements between are src[(i - first) * src_h + q * src_w], q < count. Rows
     * before `first` and from `last` on are `fill` throughout. */
    void (*stage)(void *dst, idx pitch, const void *src, idx src_h, idx src_w, idx n_rows, idx first, idx last,
                  idx left, idx count, idx right, double fill);

    /* Have `n` runs of `count` elements brought near, `step` elements from one to the next, all within one array. */
    void (*fetch)(const void *src, idx step, idx n, idx count);

    /* dst[(c * n_taps + t) * rows + r] = w[r * w_row + c * w_channel + taps[t]]: filters as a product's tile reads
     * them. */
    void (*pack_filters)(void *dst, const void *w, idx rows, idx w_row, idx channels, idx w_channel, idx n_taps,
                         const idx *taps);

    /* Gather `depth` rows of pixels into the rows of a panel, dst[k * width ...] from src + offsets[k]. Each piece goes
     * from its offset in the source, where its pixels lie `step` (1 or 2) apart, to its place in the row. Pieces are in
     * the order of their places: whole vectors are read (step * lanes elements) and written, and what is too much is
     * overwritten by the next piece or row. */
    void (*pack_pixels)(void *dst, idx width, const void *src, idx depth, const idx *offsets, idx n_pieces,
                        const fc_piece *pieces, idx step);

    /* Move a tile from its dense form tile[rows][width] into runs of the output, whose pixels lie y_col apart. */
    void (*scatter)(const void *tile, idx width, void *y, idx y_row, idx y_col, idx rows, idx n_runs,
                    const fc_run *runs);

    /* dst[q * n + i] = src[i][q] for the first `size` places of dst. */
    void (*interleave)(void *dst, const void *const *src, idx n, idx size);

    /* dst[i * width + r] = src[r * src_row + i * src_col] for r < rows, i < count; zero for rows <= r < width. */
    void (*transpose)(void *dst, idx width, const void *src, idx src_row, idx src_col, idx rows, idx count);

    /* dst[r * dst_row + i] = src[i * width + r] for r < rows <= lanes, i < count: out of channels along the lanes. */
    void (*untranspose)(void *dst, idx dst_row, const void *src, idx width, idx rows, idx count);

    /* The same for results too large for any cache: whole lines are stored past the caches, where the CPU can. The
     * caller calls fc_fence() when all is written. */
    void (*untranspose_far)(void *dst, idx dst_row, const void *src, idx width, idx rows, idx count);

    /* `count` lines of 64 bytes, one after the other in src, stored likewise where lines begin in dst, dst_step elements
     * apart. */
    void (*lines_far)(void *dst, idx dst_step, const void *src, idx count);
} fc_move_kernels;

#endif

#ifdef REAL

/* Lane i is channel `channel`, 0 or 2, of pixel i, of pixels with three channels each. Three vectors in a row hold the
 * LANES pixels, and this channel has another lane in each: lane i is of this channel in just one of the three
 * vectors. */
#define VECTOR(i, channel) (((channel) + 3 * LANES - (i)) * LANES % 3)
#define SECOND_OR_THIRD(i, channel) ((i) + (VECTOR(i, channel) > 0) * LANES)
#define THIRD(i, channel) ((i) + (VECTOR(i, channel) > 1) * LANES)
#define IN_ORDER(i, channel) ((3 * (i) + (channel)) % LANES)
INLINE vec NAME(load_third)(const REAL *p, const int channel)
{
    const vec first = load(p), second = load(p + LANES), third = load(p + 2 * LANES);
    if (channel == 0) {
        const vec all = SHUFFLE(SHUFFLE(first, second, SECOND_OR_THIRD, 0), third, THIRD, 0);
        return SHUFFLE(all, all, IN_ORDER, 0);
    }
    const vec all = SHUFFLE(SHUFFLE(first, second, SECOND_OR_THIRD, 2), third, THIRD, 2);
    return SHUFFLE(all, all, IN_ORDER, 2);
}
#undef VECTOR
#undef SECOND_OR_THIRD
#undef THIRD
#undef IN_ORDER

static void NAME(stage)(void *dst_, idx pitch, const void *src_, idx src_h, idx src_w, idx n_rows, idx first, idx last,
                        idx left, idx count, idx right, double fill_)
{
    REAL *dst = dst_;
    const REAL *src = src_;
    const REAL fill = (REAL)fill_;
    const idx width = left + count + right;
    if (count == pitch && width == pitch && src_h == pitch && src_w == 1 && first == 0 && last == n_rows) {
        NAME(copy)(dst, src, n_rows * pitch);
        return;
    }
    /* Margins of up to a vector are filled by whole vectors, and then the row is written over what is too much. */
    const int narrow = left <= LANES && right <= LANES && width >= LANES;
    for (idx i = 0; i < n_rows; i++, dst += pitch) {
        if (i < first || i >= last) {
            NAME(set)(dst, width, fill);
            continue;
        }
        if (!narrow) {
            NAME(set)(dst, left, fill);
            NAME(set)(dst + left + count, right, fill);
        } else {
            if (left) store(dst, splat(fill));
            if (right) store(dst + width - LANES, splat(fill));
        }
        if (src_w == 1)
            NAME(copy)(dst + left, src, count);
        else {
            idx q = 0;
            /* Whole vectors are read, so the last one is left to the loop after. */
            if (src_w == 2)
                for (; q + LANES < count; q += LANES) store(dst + left + q, NAME(load_every)(src + 2 * q, 2));
            else if (src_w == 3)
                for (; q < count && count > LANES; q += LANES) {
                    /* The last vector moves left to fit, and is read from two elements before it, so as to end in
                     * time. */
                    const int at_end = q + LANES >= count;
                    if (at_end) q = count - LANES;
                    store(dst + left + q,
                          at_end ? NAME(load_third)(src + 3 * q - 2, 2) : NAME(load_third)(src + 3 * q, 0));
                }
            else if (src_w == 4)
                for (; q + LANES < count; q += LANES) store(dst + left + q, NAME(load_every)(src + 4 * q, 4));
            for (; q < count; q++) dst[left + q] = src[q * src_w];
        }
        src += src_h;
    }
}

static void NAME(fetch)(const void *src_, idx step, idx n, idx count)
{
    const REAL *src = src_;
    for (idx i = 0; i < n; i++, src += step) {
        const char *end = (const char *)(src + count);
        const char *line = (const char *)((uintptr_t)src & ~(uintptr_t)63);
        for (; line < end; line += 64) __builtin_prefetch(line, 0, 2);
    }
}

/* LANES elements of each of ROWS filters, as a tile reads them: the first of all filters, then the second of all,
 * ... */
INLINE void NAME(pack_block)(REAL *dst, const REAL *src, idx row, const int reversed)
{
    vec v[ROWS], w[ROWS];
    UNROLL_FOR (int r = 0; r < ROWS; r++) {
        v[r] = load(src + r * row - (reversed ? LANES - 1 : 0));
        if (reversed) v[r] = SHUFFLE(v[r], v[r], REVERSED, LANES - 1);
    }
    /* Each round zips the first half of all elements with the second. */
    UNROLL_FOR (int round = 1; round < ROWS; round *= 2) {
        UNROLL_FOR (int i = 0; i < ROWS / 2; i++) {
            w[2 * i] = NAME(zip_low)(v[i], v[i + ROWS / 2]);
            w[2 * i + 1] = NAME(zip_high)(v[i], v[i + ROWS / 2]);
        }
        UNROLL_FOR (int r = 0; r < ROWS; r++) v[r] = w[r];
    }
    UNROLL_FOR (int r = 0; r < ROWS; r++) store(dst + r * LANES, v[r]);
}

static void NAME(pack_filters)(void *dst_, const void *w_, idx rows, idx w_row, idx channels, idx w_channel, idx n_taps,
                               const idx *taps)
{
    REAL *dst = dst_;
    const REAL *w = w_;
    /* Taps that lie side by side, in order or reversed, are packed by vectors: all channels at once if these follow
     * each other without a gap. */
    int ascending = rows == ROWS, descending = rows == ROWS;
    for (idx t = 1; t < n_taps; t++) {
        ascending &= taps[t] == taps[0] + t;
        descending &= taps[t] == taps[0] - t;
    }
    idx run = n_taps;
    if (ascending && w_channel == n_taps && channels * n_taps >= LANES) {
        run *= channels;
        channels = 1;
    }
    if (run >= LANES && (ascending || descending)) {
        for (idx c = 0; c < channels; c++, w += w_channel, dst += run * ROWS)
            for (idx i = 0; i < run; i += LANES) {
                /* The last vector moves left to fit. */
                if (i + LANES > run) i = run - LANES;
                if (ascending)
                    NAME(pack_block)(dst + i * ROWS, w + taps[0] + i, w_row, 0);
                else
                    NAME(pack_block)(dst + i * ROWS, w + taps[0] - i, w_row, 1);
            }
        return;
    }
    if (w_row == 1 && n_taps == 1 && rows == ROWS) {
        for (idx c = 0; c < channels; c++) memcpy(dst + c * ROWS, w + taps[0] + c * w_channel, ROWS * sizeof(REAL));
        return;
    }
    for (idx c = 0; c < channels; c++, w += w_channel)
        for (idx t = 0; t < n_taps; t++, dst += rows) {
            const REAL *from = w + taps[t];
            if (rows == ROWS)
                UNROLL_FOR (int r = 0; r < ROWS; r++) dst[r] = from[r * w_row];
            else
                for (idx r = 0; r < rows; r++) dst[r] = from[r * w_row];
        }
}

/* n_pieces is a constant here, so the places of the pieces stay in registers. */
INLINE void NAME(pack_few)(REAL *dst, idx width, const REAL *src, idx depth, const idx *offsets, const idx n_pieces,
                           const fc_piece *pieces, const idx step)
{
    for (idx k = 0; k < depth; k++, dst += width) {
        const REAL *from = src + offsets[k];
        UNROLL_FOR (idx i = 0; i < n_pieces; i++)
            store(dst + pieces[i].to, NAME(load_every)(from + pieces[i].from, step));
    }
}

static void NAME(pack_pixels)(void *dst_, idx width, const void *src_, idx depth, const idx *offsets, idx n_pieces,
                              const fc_piece *pieces, idx step)
{
    REAL *dst = dst_;
    const REAL *src = src_;
#define PIECES(n)                                                                                                      \
    if (n_pieces == n) {                                                                                               \
        fc_piece few[n];                                                                                               \
        memcpy(few, pieces, sizeof(few));                                                                              \
        if (step == 2)                                                                                                 \
            NAME(pack_few)(dst, width, src, depth, offsets, n, few, 2);                                                \
        else                                                                                                           \
            NAME(pack_few)(dst, width, src, depth, offsets, n, few, 1);                                                \
        return;                                                                                                        \
    }
    /* clang-format off */
    PIECES(1); PIECES(2); PIECES(3); PIECES(4); PIECES(5); PIECES(6); PIECES(7); PIECES(8);
    /* clang-format on */
    for (idx k = 0; k < depth; k++, dst += width)
        for (idx i = 0; i < n_pieces; i++)
            store(dst + pieces[i].to, NAME(load_every)(src + offsets[k] + pieces[i].from, step));
#undef PIECES
}

static void NAME(scatter)(const void *tile_, idx width, void *y_, idx y_row, idx y_col, idx rows, idx n_runs,
                          const fc_run *runs)
{
    const REAL *tile = tile_;
    REAL *y = y_;
    idx r = 0;
    /* Of short rows that follow each other without a gap, whole vectors are stored: what is too much is overwritten by
     * the next row. */
    if (n_runs == 1 && y_col == 1 && runs[0].count == y_row && y_row < LANES && width >= LANES)
        for (; r * y_row + LANES <= rows * y_row; r++, tile += width, y += y_row) store(y + runs[0].offset, load(tile));
    for (; r < rows; r++, tile += width, y += y_row) {
        const REAL *from = tile;
        for (idx i = 0; i < n_runs; i++) {
            REAL *to = y + runs[i].offset;
            idx n = runs[i].count;
            if (y_col == 1)
                NAME(copy)(to, from, n);
            else
                for (idx q = 0; q < n; q++) to[q * y_col] = from[q];
            from += n;
        }
    }
}

static void NAME(interleave)(void *dst_, const void *const *src, idx n, idx size)
{
    REAL *dst = dst_;
    idx q = 0;
    if (n == 2 && size >= 2 * LANES) {
        const REAL *even = src[0], *odd = src[1];
        for (;;) {
            vec a = load(even + q), b = load(odd + q);
            store(dst + 2 * q, NAME(zip_low)(a, b));
            store(dst + 2 * q + LANES, NAME(zip_high)(a, b));
            q += LANES;
            if (2 * q + 1 >= size) break;
            /* The last pair of vectors moves left to fit. */
            if (2 * (q + LANES) > size) q = size / 2 - LANES;
        }
    }
    for (idx i = 0; i < n; i++) {
        const REAL *from = src[i];
        for (idx k = q; k * n + i < size; k++) dst[k * n + i] = from[k];
    }
}

static void NAME(transpose)(void *dst_, idx width, const void *src_, idx src_row, idx src_col, idx rows, idx count)
{
    REAL *dst = dst_;
    const REAL *src = src_;
    idx r0 = 0;
    if (src_row == 1 && rows >= LANES) {
        /* The source lies transposed already. What is a page ahead, or 16 pixels if that is more, is asked for
         * meanwhile. */
        const idx page = 4096 / REAL_BYTES, far = 16 * src_col > page ? 16 * src_col : page;
        for (idx i = 0; i < count; i++)
            for (r0 = 0; r0 + LANES <= rows; r0 += LANES) {
                const REAL *from = src + i * src_col + r0;
                __builtin_prefetch(from + far);
                store(dst + i * width + r0, load(from));
            }
    }
    for (; r0 < width; r0 += LANES) {
        const REAL *block = src + r0 * src_row;
        const idx here = rows - r0 < LANES ? rows - r0 : LANES;
        idx i = 0;
        if (src_col == 1 && count >= LANES)
            while (i < count) {
                /* The last block moves left to fit. */
                if (i > count - LANES) i = count - LANES;
                vec v[LANES];
                UNROLL_FOR (int r = 0; r < LANES; r++) {
                    v[r] = r < here ? load(block + r * src_row + i) : (vec){0};
                    /* The rows of the next block are asked for meanwhile. */
                    __builtin_prefetch(block + (LANES + r) * src_row + i);
                }
                NAME(transpose_block)(v);
                UNROLL_FOR (int k = 0; k < LANES; k++) store(dst + (i + k) * width + r0, v[k]);
                i += LANES;
            }
        for (; i < count; i++) {
            REAL *to = dst + i * width + r0;
            for (idx r = 0; r < LANES; r++) to[r] = r < here ? block[r * src_row + i * src_col] : 0;
        }
    }
}

/* LANES pixels with three channels each, out of a row of each channel: lane i of vector v is the (v * LANES + i)-th of all
 * numbers. */
#define PIXEL(i, v) (((v) * LANES + (i)) / 3)
#define CHANNEL(i, v) (((v) * LANES + (i)) % 3)
#define FIRST_OR_SECOND(i, v) (PIXEL(i, v) + (CHANNEL(i, v) == 1) * LANES)
#define OR_THIRD(i, v) (CHANNEL(i, v) == 2 ? PIXEL(i, v) + LANES : (i))
INLINE vec NAME(mix_thirds)(vec first, vec second, vec third, const int v)
{
    /* As constants, which the compilers' shuffles ask for. */
    if (v == 0) return SHUFFLE(SHUFFLE(first, second, FIRST_OR_SECOND, 0), third, OR_THIRD, 0);
    if (v == 1) return SHUFFLE(SHUFFLE(first, second, FIRST_OR_SECOND, 1), third, OR_THIRD, 1);
    return SHUFFLE(SHUFFLE(first, second, FIRST_OR_SECOND, 2), third, OR_THIRD, 2);
}
#undef PIXEL
#undef CHANNEL
#undef FIRST_OR_SECOND
#undef OR_THIRD

static void NAME(untranspose)(void *dst_, idx dst_row, const void *src_, idx width, idx rows, idx count)
{
    REAL *dst = dst_;
    const REAL *src = src_;
    idx i = 0;
    if (count == 3 && dst_row == 3 && rows == LANES) {
        const vec first = load(src), second = load(src + width), third = load(src + 2 * width);
        UNROLL_FOR (int v = 0; v < 3; v++) store(dst + v * LANES, NAME(mix_thirds)(first, second, third, v));
        return;
    }
    if (count >= LANES)
        for (;;) {
            vec v[LANES];
            UNROLL_FOR (int k = 0; k < LANES; k++) v[k] = load(src + (i + k) * width);
            NAME(transpose_block)(v);
            UNROLL_FOR (int r = 0; r < LANES; r++)
                if (r < rows) store(dst + r * dst_row + i, v[r]);
            if (i + LANES == count) return;
            /* The last block moves left to fit, and writes some pixels again. */
            i = i + 2 * LANES <= count ? i + LANES : count - LANES;
        }
    for (idx r = 0; r < rows; r++)
        for (i = 0; i < count; i++) dst[r * dst_row + i] = src[i * width + r];
}

static void NAME(untranspose_far)(void *dst_, idx dst_row, const void *src_, idx width, idx rows, idx count)
{
    enum { LINE = 64 / REAL_BYTES, PARTS = LINE / LANES };
    REAL *dst = dst_;
    const REAL *src = src_;
    /* First what comes before a line begins, if lines begin at the same place in all rows; then whole lines; then the
     * rest. */
    const idx past = (idx)((uintptr_t)dst / REAL_BYTES % LINE);
    const idx head = dst_row % LINE || LINE - past > count ? count : past ? LINE - past : 0;
    if (head > 0) NAME(untranspose)(dst, dst_row, src, width, rows, head);
    idx i = head;
    for (; i + LINE <= count; i += LINE) {
        vec v[PARTS][LANES];
        UNROLL_FOR (int k = 0; k < PARTS; k++) {
            UNROLL_FOR (int q = 0; q < LANES; q++) v[k][q] = load(src + (i + k * LANES + q) * width);
            NAME(transpose_block)(v[k]);
        }
        UNROLL_FOR (int r = 0; r < LANES; r++)
            if (r < rows)
                UNROLL_FOR (int k = 0; k < PARTS; k++) STREAM((vec *)(dst + r * dst_row + i + k * LANES), v[k][r]);
    }
    if (i < count) NAME(untranspose)(dst + i, dst_row, src + i * width, width, rows, count - i);
}

static void NAME(lines_far)(void *dst_, idx dst_step, const void *src_, idx count)
{
    enum { LINE = 64 / REAL_BYTES, PARTS = LINE / LANES };
    REAL *dst = dst_;
    const REAL *src = src_;
    for (idx i = 0; i < count; i++)
        UNROLL_FOR (int k = 0; k < PARTS; k++)
            STREAM((vec *)(dst + i * dst_step + k * LANES), load(src + i * LINE + k * LANES));
}

/* clang-format off */
static const fc_move_kernels NAME(move) = {
    KERNEL(stage) KERNEL(fetch) KERNEL(pack_filters) KERNEL(pack_pixels) KERNEL(scatter) KERNEL(interleave)
    KERNEL(transpose) KERNEL(untranspose) KERNEL(untranspose_far) KERNEL(lines_far)
};
/* clang-format on */

#endif
