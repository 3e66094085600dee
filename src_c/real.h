/* The kernels for one element type. Included by isa.h, which has set REAL, SIGNED (an integer of REAL's size) and
 * NAME(x); the instruction set's file has set VECTOR_BYTES and the tile sizes. No include guard: meant to be repeated. */

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define vec NAME(vec)
#define uvec NAME(uvec)
#define mask_vec NAME(mask_vec)

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL uvec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef SIGNED mask_vec __attribute__((vector_size(VECTOR_BYTES)));

INLINE vec NAME(load)(const REAL *p) { return *(const uvec *)p; }
INLINE void NAME(store)(REAL *p, vec v) { *(uvec *)p = v; }
INLINE vec NAME(splat)(REAL a) { return a - (vec){0}; }
#define load NAME(load)
#define store NAME(store)
#define splat NAME(splat)

/* 0, 1, 2, ...; from memory, for GCC does not always see through a loop that fills a vector. */
INLINE mask_vec NAME(lane)(void)
{
    static const SIGNED places[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    mask_vec v;
    memcpy(&v, places, sizeof v);
    return v;
}

/* The first, and the second, half of a[0], b[0], a[1], b[1], ... */
INLINE vec NAME(zip_low)(vec a, vec b)
{
    mask_vec places;
    UNROLL for (int i = 0; i < LANES; i++) places[i] = i / 2 + i % 2 * LANES;
    return __builtin_shuffle(a, b, places);
}
INLINE vec NAME(zip_high)(vec a, vec b)
{
    mask_vec places;
    UNROLL for (int i = 0; i < LANES; i++) places[i] = LANES / 2 + i / 2 + i % 2 * LANES;
    return __builtin_shuffle(a, b, places);
}

/* Lanes p[odd], p[odd + 2], p[odd + 4], ..., out of two whole vectors from p on. */
INLINE vec NAME(load_second)(const REAL *p, const int odd)
{
    vec a = load(p), b = load(p + LANES);
    mask_vec places;
    if (VECTOR_BYTES == 32) {
        /* AVX2 moves 16 bytes as a whole, or elements within 16 bytes, in one step each; anything else costs it more. */
        enum { HALF = LANES / 2, PAIR = 8 / sizeof(REAL) };
        mask_vec low, high;
        UNROLL for (int i = 0; i < LANES; i++) {
            low[i] = i + i / HALF * HALF;
            high[i] = low[i] + HALF;
            places[i] = i / HALF * HALF + i % PAIR * 2 + i / PAIR % 2 * LANES + odd;
        }
        vec first = __builtin_shuffle(a, b, low);
        b = __builtin_shuffle(a, b, high);
        a = first;
    } else {
        UNROLL for (int i = 0; i < LANES; i++) places[i] = 2 * i + odd;
    }
    return __builtin_shuffle(a, b, places);
}

/* Lanes p[0], p[stride], p[2 * stride], ... */
INLINE vec NAME(load_every)(const REAL *p, const idx stride)
{
    if (stride == 1) return load(p);
    if (stride == 2) return NAME(load_second)(p, 0);
    if (stride == 4) {
        mask_vec evens;
        UNROLL for (int i = 0; i < LANES; i++) evens[i] = 2 * i;
        return __builtin_shuffle(NAME(load_second)(p, 0), NAME(load_second)(p + 2 * LANES, 0), evens);
    }
    vec v;
    for (int i = 0; i < LANES; i++) v[i] = p[i * stride];
    return v;
}

/* Lanes p[channel], p[channel + 3], ...: of LANES pixels with three channels each. Of three vectors in a row a channel has
 * each of its pixels in a lane of its own. */
INLINE vec NAME(load_third)(const REAL *p, const int channel)
{
    mask_vec first, second, places;
    UNROLL for (int i = 0; i < LANES; i++) {
        const int n = (channel + 3 * LANES - i) * LANES % 3; /* the vector whose lane i is of this channel */
        first[i] = i + (n > 0) * LANES;
        second[i] = i + (n > 1) * LANES;
        places[i] = (3 * i + channel) % LANES;
    }
    return __builtin_shuffle(__builtin_shuffle(__builtin_shuffle(load(p), load(p + LANES), first),
                                               load(p + 2 * LANES), second), places);
}

/* ---- moving data -------------------------------------------------------------------------------------------- */

INLINE void NAME(set)(REAL *dst, idx n, REAL value)
{
    for (idx i = 0; i < n; i++) dst[i] = value;
}

/* memcpy for rows too short to be worth a call: whole vectors, the last one moved left to fit. */
INLINE void NAME(copy)(REAL *dst, const REAL *src, idx n)
{
    typedef REAL small __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));
    enum { FEW = 16 / sizeof(REAL) };
    if (n >= LANES) {
        for (idx j = 0; j < n - LANES; j += LANES) store(dst + j, load(src + j));
        store(dst + n - LANES, load(src + n - LANES));
    } else if (n >= FEW) {
        for (idx j = 0; j < n - FEW; j += FEW) *(small *)(dst + j) = *(const small *)(src + j);
        *(small *)(dst + n - FEW) = *(const small *)(src + n - FEW);
    } else {
        for (idx j = 0; j < n; j++) dst[j] = src[j];
    }
}

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
    /* Margins of up to a vector are filled with a whole one, before the row comes. */
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
            idx j = 0;
            /* Whole vectors are read, so the last one is left to the loop after. */
            if (src_w == 2)
                for (; j + LANES < count; j += LANES) store(dst + left + j, NAME(load_every)(src + 2 * j, 2));
            else if (src_w == 3)
                for (; j < count && count > LANES; j += LANES) {
                    /* The last vector moves left to fit, and is read from two elements before it. */
                    const int last = j + LANES >= count;
                    if (last) j = count - LANES;
                    store(dst + left + j, last ? NAME(load_third)(src + 3 * j - 2, 2) : NAME(load_third)(src + 3 * j, 0));
                }
            else if (src_w == 4)
                for (; j + LANES < count; j += LANES) store(dst + left + j, NAME(load_every)(src + 4 * j, 4));
            for (; j < count; j++) dst[left + j] = src[j * src_w];
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

/* LANES elements of each of ROWS filters as a tile reads them: all filters' first, all filters' second, ... */
INLINE void NAME(pack_block)(REAL *dst, const REAL *src, idx row, const int reversed)
{
    vec v[ROWS], w[ROWS];
    mask_vec places = LANES - 1 - NAME(lane)();
    UNROLL for (int r = 0; r < ROWS; r++)
        v[r] = reversed ? __builtin_shuffle(load(src + r * row - (LANES - 1)), places) : load(src + r * row);
    /* Each round interleaves the first half of all elements with the second. */
    UNROLL for (int round = 1; round < ROWS; round *= 2) {
        UNROLL for (int i = 0; i < ROWS / 2; i++) {
            w[2 * i] = NAME(zip_low)(v[i], v[i + ROWS / 2]);
            w[2 * i + 1] = NAME(zip_high)(v[i], v[i + ROWS / 2]);
        }
        UNROLL for (int r = 0; r < ROWS; r++) v[r] = w[r];
    }
    UNROLL for (int r = 0; r < ROWS; r++) store(dst + r * LANES, v[r]);
}

static void NAME(pack_filters)(void *dst_, const void *w_, idx rows, idx w_row, idx channels, idx w_channel, idx n_taps,
                               const idx *taps)
{
    REAL *dst = dst_;
    const REAL *w = w_;
    /* Taps side by side, as they are or reversed; all channels at once where these follow without a gap. */
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
    for (idx c = 0; c < channels; c++, w += w_channel)
        for (idx t = 0; t < n_taps; t++, dst += rows) {
            const REAL *from = w + taps[t];
            if (rows == ROWS) UNROLL for (int r = 0; r < ROWS; r++) dst[r] = from[r * w_row];
            else
                for (idx r = 0; r < rows; r++) dst[r] = from[r * w_row];
        }
}

INLINE void NAME(pack_body)(REAL *dst, idx width, const REAL *src, idx depth, const idx *offsets, const idx n_pieces,
                            const fc_piece *pieces, const idx step)
{
    for (idx k = 0; k < depth; k++, dst += width) {
        const REAL *from = src + offsets[k];
        UNROLL for (idx i = 0; i < n_pieces; i++)
            store(dst + pieces[i].to, NAME(load_every)(from + pieces[i].from, step));
    }
}

static void NAME(pack_pixels)(void *dst, idx width, const void *src, idx depth, const idx *offsets, idx n_pieces,
                              const fc_piece *pieces, idx step)
{
    /* Known numbers of pieces keep their places in registers. */
#define PIECES(n)                                                                                                     \
    case n: {                                                                                                         \
        fc_piece few[n];                                                                                              \
        memcpy(few, pieces, sizeof(few));                                                                             \
        if (step == 2)                                                                                                \
            NAME(pack_body)(dst, width, src, depth, offsets, n, few, 2);                                              \
        else                                                                                                          \
            NAME(pack_body)(dst, width, src, depth, offsets, n, few, 1);                                              \
        return;                                                                                                       \
    }
    switch (n_pieces) {
        PIECES(1) PIECES(2) PIECES(3) PIECES(4) PIECES(5) PIECES(6)
    default: NAME(pack_body)(dst, width, src, depth, offsets, n_pieces, pieces, step);
    }
#undef PIECES
}

static void NAME(scatter)(const void *tile_, idx width, void *y_, idx y_row, idx y_col, idx rows, idx n_runs,
                          const fc_run *runs)
{
    const REAL *tile = tile_;
    REAL *y = y_;
    for (idx r = 0; r < rows; r++, tile += width, y += y_row) {
        const REAL *from = tile;
        for (idx i = 0; i < n_runs; i++) {
            REAL *to = y + runs[i].offset;
            idx n = runs[i].count;
            if (y_col == 1)
                NAME(copy)(to, from, n);
            else
                for (idx j = 0; j < n; j++) to[j * y_col] = from[j];
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
            /* The last vectors move left to fit. */
            if (2 * (q + LANES) > size) q = size / 2 - LANES;
        }
    }
    for (idx i = 0; i < n; i++) {
        const REAL *from = src[i];
        for (idx j = q; j * n + i < size; j++) dst[j * n + i] = from[j];
    }
}

/* Transpose LANES vectors in registers: log2(LANES) rounds, each interleaving the first half with the second. */
INLINE void NAME(transpose_block)(vec v[LANES])
{
    enum { WIDE = VECTOR_BYTES == 32, BLOCK = WIDE ? LANES / 2 : LANES };
    vec w[LANES];
    mask_vec low, high;
    if (WIDE) {
        /* AVX2: 16 bytes as a whole trade places first, for within them a round is one step instead of two. */
        UNROLL for (int i = 0; i < LANES; i++) {
            low[i] = i + i / BLOCK * BLOCK;
            high[i] = low[i] + BLOCK;
        }
        UNROLL for (int i = 0; i < BLOCK; i++) {
            w[i] = __builtin_shuffle(v[i], v[i + BLOCK], low);
            w[i + BLOCK] = __builtin_shuffle(v[i], v[i + BLOCK], high);
        }
        UNROLL for (int i = 0; i < LANES; i++) v[i] = w[i];
    }
    UNROLL for (int i = 0; i < LANES; i++) {
        low[i] = i / BLOCK * BLOCK + i % BLOCK / 2 + i % 2 * LANES;
        high[i] = low[i] + BLOCK / 2;
    }
    UNROLL for (int round = 1; round < BLOCK; round *= 2) {
        UNROLL for (int i = 0; i < LANES / 2; i++) {
            const int a = i / (BLOCK / 2) * BLOCK + i % (BLOCK / 2), to = i / (BLOCK / 2) * BLOCK + i % (BLOCK / 2) * 2;
            w[to] = __builtin_shuffle(v[a], v[a + BLOCK / 2], low);
            w[to + 1] = __builtin_shuffle(v[a], v[a + BLOCK / 2], high);
        }
        UNROLL for (int i = 0; i < LANES; i++) v[i] = w[i];
    }
}

static void NAME(transpose)(void *dst_, idx width, const void *src_, idx src_row, idx src_col, idx rows, idx count)
{
    REAL *dst = dst_;
    const REAL *src = src_;
    idx r0 = 0;
    if (src_row == 1 && rows >= LANES) {
        /* Transposed already. Pixels a page ahead are asked for, or if they are large, some. */
        const idx page = 4096 / sizeof(REAL), far = 16 * src_col > page ? 16 * src_col : page;
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
                UNROLL for (int r = 0; r < LANES; r++) {
                    v[r] = r < here ? load(block + r * src_row + i) : (vec){0};
                    /* The rows of the next block are asked for. */
                    __builtin_prefetch(block + (LANES + r) * src_row + i);
                }
                NAME(transpose_block)(v);
                UNROLL for (int j = 0; j < LANES; j++) store(dst + (i + j) * width + r0, v[j]);
                i += LANES;
            }
        for (; i < count; i++) {
            REAL *to = dst + i * width + r0;
            for (idx r = 0; r < LANES; r++) to[r] = r < here ? block[r * src_row + i * src_col] : 0;
        }
    }
}

static void NAME(untranspose)(void *dst_, idx dst_row, const void *src_, idx width, idx rows, idx count)
{
    REAL *dst = dst_;
    const REAL *src = src_;
    idx i = 0;
    if (count >= LANES)
        for (;;) {
            vec v[LANES];
            UNROLL for (int j = 0; j < LANES; j++) v[j] = load(src + (i + j) * width);
            NAME(transpose_block)(v);
            UNROLL for (int r = 0; r < LANES; r++)
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
    enum { LINE = 64 / sizeof(REAL), PARTS = LINE / LANES };
    REAL *dst = dst_;
    const REAL *src = src_;
    /* Up to the first line that begins in all rows, lines, and what is left. */
    const idx past = (idx)((uintptr_t)dst / sizeof(REAL) % LINE);
    const idx head = dst_row % LINE || LINE - past > count ? count : past ? LINE - past : 0;
    if (head > 0) NAME(untranspose)(dst, dst_row, src, width, rows, head);
    idx i = head;
    for (; i + LINE <= count; i += LINE) {
        vec v[PARTS][LANES];
        UNROLL for (int k = 0; k < PARTS; k++)
        {
            UNROLL for (int j = 0; j < LANES; j++) v[k][j] = load(src + (i + k * LANES + j) * width);
            NAME(transpose_block)(v[k]);
        }
        UNROLL for (int r = 0; r < LANES; r++)
            if (r < rows) UNROLL for (int k = 0; k < PARTS; k++) STREAM((vec *)(dst + r * dst_row + i + k * LANES), v[k][r]);
    }
    if (i < count) NAME(untranspose)(dst + i, dst_row, src + i * width, width, rows, count - i);
}

static void NAME(shifted_sums)(void *sums_, const void *z_, idx z_row, idx shift, idx n, idx count)
{
    REAL *sums = sums_;
    const REAL *z = z_;
    enum { TURNS = 4 }; /* sums that do not wait for each other */
    idx j = 0;
    for (; j + TURNS <= count; j += TURNS, sums += TURNS * LANES, z += TURNS * z_row) {
        vec sum[TURNS];
        UNROLL for (int t = 0; t < TURNS; t++) sum[t] = load(z + t * z_row);
        for (idx s = 1; s < n; s++) UNROLL for (int t = 0; t < TURNS; t++) sum[t] += load(z + s * shift + t * z_row);
        UNROLL for (int t = 0; t < TURNS; t++) store(sums + t * LANES, sum[t]);
    }
    for (; j < count; j++, sums += LANES, z += z_row) {
        vec sum = load(z);
        for (idx s = 1; s < n; s++) sum += load(z + s * shift);
        store(sums, sum);
    }
}

/* ---- forward and input gradient ------------------------------------------------------------------------------- */

/* acc[r][v] += a[r] * vector v of b. What is fewer waits in registers; accumulators leave room for that and one more. */
INLINE void NAME(tile_step)(const int rows, const int vecs, vec acc[FC_MAX_ROWS][FC_MAX_VECS], const REAL *a,
                            const REAL *b, const idx b_step)
{
    if (rows < vecs) {
        vec ar[FC_MAX_ROWS];
        UNROLL for (int r = 0; r < rows; r++) ar[r] = splat(a[r]);
        UNROLL for (int v = 0; v < vecs; v++) {
            vec bv = load(b + v * b_step);
            KEEP(bv);
            UNROLL for (int r = 0; r < rows; r++) acc[r][v] += ar[r] * bv;
        }
    } else {
        vec bv[FC_MAX_VECS];
        UNROLL for (int v = 0; v < vecs; v++) bv[v] = load(b + v * b_step);
        UNROLL for (int r = 0; r < rows; r++) {
            vec ar = splat(a[r]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] += ar * bv[v];
        }
    }
}

/* The same of a panel's rows. Lines that are wanted later are asked for one by one: all at once, they would keep those of
 * this sum waiting. Returns the first that was not. */
INLINE const char *NAME(panel_sum)(const int rows, const int vecs, vec acc[FC_MAX_ROWS][FC_MAX_VECS], idx depth,
                                   const REAL *a, const REAL *b, const char *ahead, idx ahead_step)
{
    idx k = 0;
    for (; k + FC_AHEAD <= depth; k += FC_AHEAD, a += FC_AHEAD * rows, ahead += ahead_step * sizeof(REAL)) {
        __builtin_prefetch(ahead, 0, 2);
        __builtin_prefetch(ahead + 64, 0, 2);
        UNROLL for (int i = 0; i < FC_AHEAD; i++)
            NAME(tile_step)(rows, vecs, acc, a + i * rows, b + (k + i) * (PANEL * LANES), LANES);
    }
    for (; k < depth; k++, a += rows) NAME(tile_step)(rows, vecs, acc, a, b + k * (PANEL * LANES), LANES);
    return ahead;
}

/* Without offsets, b is a panel. Returns the first line that was not asked for. */
INLINE const char *NAME(tile_body)(const int rows, const int vecs, idx depth, const void *a_, const void *b_,
                                   const idx *offsets, const idx b_step, void *y_, idx y_row, const idx y_step,
                                   const void *bias_, int accumulate, const char *ahead, idx ahead_step)
{
    const REAL *a = a_, *b = b_, *bias = bias_;
    REAL *y = y_;
    vec acc[FC_MAX_ROWS][FC_MAX_VECS];

    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = bias && !accumulate ? splat(bias[r]) : (vec){0};
    /* What the sums are added to comes from far; out-of-order execution does not reach it before the loop's end. */
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) __builtin_prefetch(y + r * y_row + v * y_step, 1);

    if (offsets)
        for (idx k = 0; k < depth; k++) NAME(tile_step)(rows, vecs, acc, a + k * rows, b + offsets[k], b_step);
    else
        ahead = NAME(panel_sum)(rows, vecs, acc, depth, a, b, ahead, ahead_step);

    /* Partial sums meet at the end: one long sum would round worse. */
    if (accumulate)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] += load(y + r * y_row + v * y_step);
    /* In order of v: strips may overlap, and the later one is right. */
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) store(y + r * y_row + v * y_step, acc[r][v]);
    return ahead;
}

#define TILE(rows, vecs)                                                                                              \
    static void NAME(tile_##rows##_##vecs)(idx depth, const void *a, const void *b, const idx *offsets, void *y,      \
                                           idx y_row, const void *bias, int accumulate)                               \
    {                                                                                                                 \
        NAME(tile_body)(rows, vecs, depth, a, b, offsets, LANES, y, y_row, LANES, bias, accumulate, NULL, 0);         \
    }                                                                                                                 \
    static void NAME(strip_##rows##_##vecs)(idx depth, const void *a, const void *b, const idx *offsets, idx b_step,  \
                                            void *y, idx y_row, idx y_step, const void *bias)                         \
    {                                                                                                                 \
        NAME(tile_body)(rows, vecs, depth, a, b, offsets, b_step, y, y_row, y_step, bias, 0, NULL, 0);                \
    }
TILES(TILE)
#undef TILE

#define PANEL_TILE(rows, vecs)                                                                                        \
    static void NAME(panel_##rows##_##vecs)(idx n, idx depth, const void *a_, const void *b, void *y_, idx y_row,     \
                                            const void *bias_, int accumulate, const fc_ahead *ahead_)                \
    {                                                                                                                 \
        const REAL *a = a_, *bias = bias_;                                                                            \
        const char *ahead = ahead_->from;                                                                                 \
        REAL *y = y_;                                                                                                 \
        for (idx i = 0; i < n; i++, a += depth * rows, y += rows * y_row, bias += bias ? rows : 0)                    \
            ahead = NAME(tile_body)(rows, vecs, depth, a, b, NULL, LANES, y, y_row, LANES, bias, accumulate, ahead,   \
                                    ahead_->step);                                                                    \
    }
PANELS(PANEL_TILE)
#undef PANEL_TILE

/* ---- weight gradient ------------------------------------------------------------------------------------------ */

INLINE void NAME(wgrad_step)(const int vecs, vec acc[WGRAD_ROWS][WGRAD_VECS], const REAL *const *xr, idx at,
                             const REAL *dy)
{
    vec d[WGRAD_VECS];
    UNROLL for (int v = 0; v < vecs; v++) d[v] = load(dy + v * LANES);
    UNROLL for (int r = 0; r < WGRAD_ROWS; r++) {
        vec xv = splat(xr[r][at]);
        UNROLL for (int v = 0; v < vecs; v++) acc[r][v] += xv * d[v];
    }
}

INLINE void NAME(wgrad)(const int vecs, idx n_pixels, const int32_t *pixels, const void *x_, const idx *offsets,
                        const void *dy_, void *acc_, const char *ahead, idx ahead_step)
{
    const REAL *x = x_, *dy = dy_;
    REAL *out = acc_;
    /* A narrow tile takes several pixels at a time, for as many independent sums. */
    const int width = vecs * LANES, turns = WGRAD_VECS / vecs;
    const REAL *xr[WGRAD_ROWS];
    vec acc[WGRAD_ROWS][WGRAD_VECS];
    UNROLL for (int r = 0; r < WGRAD_ROWS; r++) {
        xr[r] = x + offsets[r];
        __builtin_prefetch(out + r * width, 1);
        UNROLL for (int v = 0; v < turns * vecs; v++) acc[r][v] = (vec){0};
    }
    idx i = 0;
    if (turns > 1)
        for (; i + turns <= n_pixels; i += turns, dy += turns * width)
            UNROLL for (int t = 0; t < turns; t++) {
                const idx at = pixels[i + t];
                UNROLL for (int v = 0; v < vecs; v++) {
                    vec d = load(dy + t * width + v * LANES);
                    UNROLL for (int r = 0; r < WGRAD_ROWS; r++) acc[r][t * vecs + v] += splat(xr[r][at]) * d;
                }
            }
    if (turns == 1)
        for (; i + FC_AHEAD <= n_pixels; i += FC_AHEAD, dy += FC_AHEAD * width, ahead += ahead_step * sizeof(REAL)) {
            __builtin_prefetch(ahead, 0, 2);
            __builtin_prefetch(ahead + 64, 0, 2);
            UNROLL for (int t = 0; t < FC_AHEAD; t++) NAME(wgrad_step)(vecs, acc, xr, pixels[i + t], dy + t * width);
        }
    for (; i < n_pixels; i++, dy += width) NAME(wgrad_step)(vecs, acc, xr, pixels[i], dy);
    UNROLL for (int r = 0; r < WGRAD_ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            REAL *p = out + r * width + v * LANES;
            UNROLL for (int t = 1; t < turns; t++) acc[r][v] += acc[r][t * vecs + v];
            store(p, load(p) + acc[r][v]);
        }
}

#define WGRAD(vecs)                                                                                                   \
    static void NAME(wgrad_##vecs)(idx n_pixels, const int32_t *pixels, const void *x, const idx *offsets,            \
                                   const void *dy, void *acc, const fc_ahead *ahead)                                  \
    {                                                                                                                 \
        NAME(wgrad)(vecs, n_pixels, pixels, x, offsets, dy, acc, ahead->from, ahead->step);                            \
    }
WGRADS(WGRAD)
#undef WGRAD

static void NAME(fold)(void *w_, idx w_row, const void *sums_, idx slice, idx n_slices, idx row, idx col, idx filters,
                       idx pairs)
{
    REAL *w = w_;
    const REAL *sums = sums_;
    REAL total[FC_TILE_SUMS];
    const idx count = filters * col > pairs * row ? filters * col : pairs * row;
    memcpy(total, sums, (size_t)count * sizeof(REAL));
    for (idx n = 1; n < n_slices; n++)
        for (idx i = 0; i < count; i++) total[i] += sums[n * slice + i];
    for (idx k = 0; k < filters; k++)
        for (idx i = 0; i < pairs; i++) w[k * w_row + i] = total[k * col + i * row];
}

INLINE vec NAME(turn)(vec v, const int by)
{
    mask_vec places;
    UNROLL for (int i = 0; i < LANES; i++) places[i] = (i + by) % LANES;
    return __builtin_shuffle(v, places);
}

/* Sum of the lanes, by halves. Not a loop: GCC would put the places together one by one as the program runs. */
INLINE REAL NAME(sum)(vec v)
{
    if (LANES >= 16) v += NAME(turn)(v, 8);
    if (LANES >= 8) v += NAME(turn)(v, 4);
    if (LANES >= 4) v += NAME(turn)(v, 2);
    if (LANES >= 2) v += NAME(turn)(v, 1);
    return v[0];
}

/* acc[r][c] += dy's vector of filter r * x's of pair c, which is loaded once, not for each filter. */
#define DOT_STEP(dy_vector, x_vector)                                                                                 \
    do {                                                                                                              \
        vec dv[DOT_ROWS];                                                                                             \
        UNROLL for (int r = 0; r < rows; r++) dv[r] = dy_vector;                                                      \
        UNROLL for (int c = 0; c < DOT_COLS; c++) {                                                                   \
            vec xv = x_vector;                                                                                        \
            KEEP(xv);                                                                                                 \
            UNROLL for (int r = 0; r < rows; r++) acc[r][c] += dv[r] * xv;                                            \
        }                                                                                                             \
    } while (0)

/* The first half of a vector at p, the second half of one at q. */
INLINE vec NAME(load_halves)(const REAL *p, const REAL *q)
{
    mask_vec places;
    UNROLL for (int i = 0; i < LANES; i++) places[i] = i + i / (LANES / 2) * LANES;
    return __builtin_shuffle(load(p), load(q), places);
}

INLINE void NAME(dot)(const int rows, idx n_planes, idx n_rows, idx n_cols, const void *dy_, idx dy_row, idx dy_plane,
                      idx dy_pitch, const void *x_, const idx *offsets, idx x_plane, idx x_pitch, void *acc_)
{
    const REAL *dy = dy_, *x = x_;
    REAL *out = acc_;
    vec acc[DOT_ROWS][DOT_COLS];
    const REAL *xc[DOT_COLS];
    UNROLL for (int c = 0; c < DOT_COLS; c++) {
        xc[c] = x + offsets[c];
        UNROLL for (int r = 0; r < rows; r++) acc[r][c] = (vec){0};
    }
    /* A row's last vector moves left to fit, if it can. Its lanes that have been added already, or that are past the end,
     * are masked in both factors: what lies there may be anything. But where half a vector is left of two rows, it is the
     * first one's end and the second one's start, and both share a vector. */
    const idx whole = n_cols / LANES * LANES, back = whole ? n_cols - LANES : 0;
    const mask_vec past = NAME(lane)() < (SIGNED)(whole ? LANES - (n_cols - whole) : n_cols);
    const mask_vec tail = whole ? ~past : past;
    const int halves = whole && 2 * (n_cols - whole) == LANES;
    for (idx plane = 0; plane < n_planes; plane++) {
        /* One index serves all: of a row's first column in x, from where dy's is counted too. */
        idx at = plane * x_plane;
        const REAL *d[DOT_ROWS];
        UNROLL for (int r = 0; r < rows; r++) d[r] = dy + plane * dy_plane + r * dy_row - at;
        for (idx row = 0; row < n_rows; row++) {
            for (idx q = at; q < at + whole; q += LANES) DOT_STEP(load(d[r] + q), load(xc[c] + q));
            const idx last = at + back;
            at += x_pitch;
            if (halves && row + 1 < n_rows) {
                const idx apart = dy_pitch - x_pitch;
                DOT_STEP(NAME(load_halves)(d[r] + apart + at, d[r] + last),
                         NAME(load_halves)(xc[c] + at, xc[c] + last));
                UNROLL for (int r = 0; r < rows; r++) d[r] += apart;
                for (idx q = at + LANES / 2; q < at + n_cols; q += LANES) DOT_STEP(load(d[r] + q), load(xc[c] + q));
                at += x_pitch;
                row++;
            } else if (whole < n_cols) {
                DOT_STEP((vec)((mask_vec)load(d[r] + last) & tail), (vec)((mask_vec)load(xc[c] + last) & tail));
            }
            UNROLL for (int r = 0; r < rows; r++) d[r] += dy_pitch - x_pitch;
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < DOT_COLS; c++) out[r * DOT_COLS + c] += NAME(sum)(acc[r][c]);
}
#undef DOT_STEP

static int NAME(finite)(const void *x_, idx n)
{
    const REAL *x = x_;
    vec odd[4] = {{0}};
    REAL rest = 0;
    idx i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        UNROLL for (int k = 0; k < 4; k++) odd[k] += load(x + i + k * LANES) - load(x + i + k * LANES);
    for (; i < n; i++) rest += x[i] - x[i];
    return rest + NAME(sum)((odd[0] + odd[1]) + (odd[2] + odd[3])) == 0;
}

#define DOT(rows)                                                                                                     \
    static void NAME(dot_##rows)(idx n_planes, idx n_rows, idx n_cols, const void *dy, idx dy_row, idx dy_plane,      \
                                 idx dy_pitch, const void *x, const idx *offsets, idx x_plane, idx x_pitch,           \
                                 void *acc)                                                                           \
    {                                                                                                                 \
        NAME(dot)(rows, n_planes, n_rows, n_cols, dy, dy_row, dy_plane, dy_pitch, x, offsets, x_plane, x_pitch, acc); \
    }
DOTS(DOT)
#undef DOT

/* ---- pooling -------------------------------------------------------------------------------------------------- */

INLINE vec NAME(select)(mask_vec where, vec yes, vec no)
{
    return (vec)(((mask_vec)yes & where) | ((mask_vec)no & ~where));
}

/* Whether b takes the place of a, which comes before it. */
INLINE mask_vec NAME(better)(vec b, vec a) { return (mask_vec)(b > a) | (mask_vec)(b != b); }

INLINE void NAME(max_body)(REAL *y, SIGNED *where, const REAL *x, idx x_row, const idx n_rows, const idx n_cols,
                           const idx stride, const idx dilation, idx index, idx index_row, idx start,
                           const SIGNED *first, idx count)
{
    const mask_vec ramp = NAME(lane)() * (SIGNED)stride;
    for (idx q = 0; q < count; q += LANES) {
        vec best = splat((REAL)-__builtin_inf());
        mask_vec at;
        memcpy(&at, first + q, sizeof at);
        at += (SIGNED)start;
        for (idx r = 0; r < n_rows; r++)
            for (idx s = 0; s < n_cols; s++) {
                vec v = NAME(load_every)(x + r * x_row + q * stride + s * dilation, stride);
                const mask_vec better = NAME(better)(v, best);
                best = NAME(select)(better, v, best);
                if (where) {
                    mask_vec here = ramp + (SIGNED)(index + r * index_row + q * stride + s * dilation);
                    at = (here & better) | (at & ~better);
                }
            }
        store(y + q, best);
        if (where) memcpy(where + q, &at, sizeof at);
    }
}

/* The same of 2 x 2, two steps apart: the better one of each row's, then of these. */
INLINE void NAME(max_of_four)(REAL *y, SIGNED *where, const REAL *x, idx x_row, idx index, idx index_row, idx start,
                              const SIGNED *first, idx count)
{
    for (idx q = 0; q < count; q += LANES) {
        const REAL *above = x + 2 * q, *below = above + x_row;
        vec a = NAME(load_second)(above, 0), b = NAME(load_second)(above, 1);
        vec c = NAME(load_second)(below, 0), d = NAME(load_second)(below, 1);
        const mask_vec ab = NAME(better)(b, a), cd = NAME(better)(d, c);
        const mask_vec none = (mask_vec)(a == (REAL)-__builtin_inf());
        a = NAME(select)(ab, b, a);
        c = NAME(select)(cd, d, c);
        const mask_vec ac = NAME(better)(c, a);
        store(y + q, NAME(select)(ac, c, a));
        if (where) {
            mask_vec at;
            memcpy(&at, first + q, sizeof at);
            const mask_vec here = 2 * NAME(lane)() + (SIGNED)(index + 2 * q);
            at = ((at + (SIGNED)start) & none) | (here & ~none);
            at = ((here + 1) & ab) | (at & ~ab);
            at = ((here + (SIGNED)index_row - cd) & ac) | (at & ~ac);
            memcpy(where + q, &at, sizeof at);
        }
    }
}

static void NAME(max_row)(void *y, void *where, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride,
                          idx dilation, idx index, idx index_row, idx start, const void *first, idx count)
{
    if (stride == 2 && n_rows == 2 && n_cols == 2 && dilation == 1)
        NAME(max_of_four)(y, where, x, x_row, index, index_row, start, first, count);
    else if (stride == 1)
        NAME(max_body)(y, where, x, x_row, n_rows, n_cols, 1, dilation, index, index_row, start, first, count);
    else if (stride == 2)
        NAME(max_body)(y, where, x, x_row, n_rows, n_cols, 2, dilation, index, index_row, start, first, count);
    else
        NAME(max_body)(y, where, x, x_row, n_rows, n_cols, stride, dilation, index, index_row, start, first, count);
}

INLINE void NAME(average_body)(REAL *y, const REAL *x, idx x_row, idx n_rows, idx n_cols, const idx stride, REAL height,
                               const REAL *widths, idx count)
{
    for (idx q = 0; q < count; q += LANES) {
        vec sum = {0};
        for (idx r = 0; r < n_rows; r++)
            for (idx s = 0; s < n_cols; s++) sum += NAME(load_every)(x + r * x_row + q * stride + s, stride);
        store(y + q, sum / (height * load(widths + q)));
    }
}

static void NAME(average_row)(void *y, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride, double height,
                              const void *widths, idx count)
{
    if (stride == 1)
        NAME(average_body)(y, x, x_row, n_rows, n_cols, 1, (REAL)height, widths, count);
    else if (stride == 2)
        NAME(average_body)(y, x, x_row, n_rows, n_cols, 2, (REAL)height, widths, count);
    else
        NAME(average_body)(y, x, x_row, n_rows, n_cols, stride, (REAL)height, widths, count);
}

/* Rows of windows are summed by columns first, then along them: of windows that do not overlap many rows at once. */
INLINE void NAME(average_plane_body)(REAL *y, const REAL *x, idx x_row, idx height, idx out_h, idx out_w, idx n_rows,
                                     idx n_cols, idx stride_h, const idx stride, idx pad_h, double area, REAL *sums)
{
    const idx width = (out_w - 1) * stride + n_cols, pitch = out_w * stride;
    const idx band = n_cols <= stride && pitch < FC_POOL_BAND ? FC_POOL_BAND / pitch : 1;
    const int by_product = area > 0 && ((idx)area & ((idx)area - 1)) == 0; /* as exact as a division */
    const vec divisor = splat((REAL)area), factor = splat((REAL)(1 / area));
    for (idx p0 = 0; p0 < out_h; p0 += band) {
        const idx rows = out_h - p0 < band ? out_h - p0 : band, count = rows * out_w;
        for (idx p = 0; p < rows; p++) {
            idx first = (p0 + p) * stride_h - pad_h, last = first + n_rows < height ? first + n_rows : height;
            if (first < 0) first = 0;
            for (idx j = 0; j < width; j += LANES) {
                vec sum = load(x + first * x_row + j);
                for (idx r = first + 1; r < last; r++) sum += load(x + r * x_row + j);
                store(sums + p * pitch + j, sum);
            }
        }
        for (idx i = 0; i < count; i += LANES) {
            vec sum = NAME(load_every)(sums + i * stride, stride);
            for (idx s = 1; s < n_cols; s++) sum += NAME(load_every)(sums + i * stride + s, stride);
            sum = by_product ? sum * factor : sum / divisor;
            if (i + LANES <= count) {
                store(y + i, sum);
            } else {
                REAL rest[LANES];
                store(rest, sum);
                NAME(copy)(y + i, rest, count - i);
            }
        }
        y += count;
    }
}

static void NAME(average_plane)(void *y, const void *x, idx x_row, idx height, idx out_h, idx out_w, idx n_rows,
                                idx n_cols, idx stride_h, idx stride_w, idx pad_h, double area, void *sums)
{
    if (stride_w == 1)
        NAME(average_plane_body)(y, x, x_row, height, out_h, out_w, n_rows, n_cols, stride_h, 1, pad_h, area, sums);
    else if (stride_w == 2)
        NAME(average_plane_body)(y, x, x_row, height, out_h, out_w, n_rows, n_cols, stride_h, 2, pad_h, area, sums);
    else
        NAME(average_plane_body)(y, x, x_row, height, out_h, out_w, n_rows, n_cols, stride_h, stride_w, pad_h, area, sums);
}

/* Each share twice in each of two rows. What a vector writes beyond a row's end the next row overwrites. */
static void NAME(spread_plane)(void *x_, idx height, idx width, const void *dy_, idx out_h, idx out_w, double factor)
{
    REAL *x = x_;
    const REAL *dy = dy_;
    const REAL *const x_end = x + height * width, *const dy_end = dy + out_h * out_w;
    for (idx p = 0; p < out_h; p++, dy += out_w)
        for (int r = 0; r < 2; r++, x += width) {
            idx q = 0;
            for (; q < out_w && dy + q + LANES <= dy_end && x + 2 * (q + LANES) <= x_end; q += LANES) {
                vec v = load(dy + q) * (REAL)factor;
                store(x + 2 * q, NAME(zip_low)(v, v));
                if (2 * q + LANES < width) store(x + 2 * q + LANES, NAME(zip_high)(v, v));
            }
            for (; q < out_w; q++) x[2 * q] = x[2 * q + 1] = dy[q] * (REAL)factor;
            NAME(set)(x + 2 * out_w, width - 2 * out_w, 0);
        }
    NAME(set)(x, x_end - x, 0);
}

/* Each dy at the place of its window's four that `where` names. A row's last vector moves left to fit. */
static int NAME(spread_max)(void *x_, idx height, idx width, const void *dy_, const void *where_, idx out_h, idx out_w)
{
    REAL *x = x_;
    const REAL *dy = dy_;
    const SIGNED *where = where_;
    const mask_vec evens = 2 * NAME(lane)();
    mask_vec astray = {0};
    for (idx p = 0; p < out_h; p++, dy += out_w, where += out_w, x += 2 * width) {
        for (idx q = 0; q < out_w; q += LANES) {
            if (q + LANES > out_w) q = out_w - LANES;
            mask_vec at;
            memcpy(&at, where + q, sizeof at);
            const mask_vec first = evens + (SIGNED)(2 * (p * width + q)), below = first + (SIGNED)width;
            const mask_vec a = at == first, b = at == first + 1, c = at == below, d = at == below + 1;
            const mask_vec v = (mask_vec)(load(dy + q) + 0); /* as in a sum from zero, which is never -0 */
            astray |= ~(a | b | c | d);
            store(x + 2 * q, NAME(zip_low)((vec)(v & a), (vec)(v & b)));
            store(x + 2 * q + LANES, NAME(zip_high)((vec)(v & a), (vec)(v & b)));
            store(x + width + 2 * q, NAME(zip_low)((vec)(v & c), (vec)(v & d)));
            store(x + width + 2 * q + LANES, NAME(zip_high)((vec)(v & c), (vec)(v & d)));
        }
        for (int r = 0; r < 2; r++) NAME(set)(x + r * width + 2 * out_w, width - 2 * out_w, 0);
        /* Windows of another size are found out in their first row. */
        if (p == 0 || p == out_h - 1)
            for (int i = 0; i < LANES; i++)
                if (astray[i]) return 0;
    }
    NAME(set)(x, (height - 2 * out_h) * width, 0);
    return 1;
}

static void NAME(share_row)(void *shares_, const void *dy_, double height, const void *widths_, idx count)
{
    REAL *restrict shares = shares_;
    const REAL *restrict dy = dy_;
    const REAL *restrict widths = widths_;
    for (idx q = 0; q < count; q++) shares[q] += dy[q] / ((REAL)height * widths[q]);
}

static void NAME(spread_row)(void *x_, idx size, const void *shares_, idx n_cols, idx stride, idx count)
{
    REAL *x = x_;
    const REAL *shares = shares_;
    if (stride == 1) {
        for (idx j = 0; j < size; j += LANES) {
            vec total = {0};
            for (idx s = 0; s < n_cols; s++) total += load(shares + j - s);
            store(x + j, total);
        }
    } else if (stride == 2) {
        /* Even columns see the windows by their even places, odd ones by their odd places. */
        for (idx j = 0; j < size; j += 2 * LANES) {
            vec even = {0}, odd = {0};
            for (idx s = 0; s < n_cols; s += 2) even += load(shares + j / 2 - s / 2);
            for (idx s = 1; s < n_cols; s += 2) odd += load(shares + j / 2 - s / 2);
            store(x + j, NAME(zip_low)(even, odd));
            store(x + j + LANES, NAME(zip_high)(even, odd));
        }
    } else {
        NAME(set)(x, size, 0);
        for (idx q = 0; q < count; q++)
            for (idx s = 0; s < n_cols && q * stride + s < size; s++) x[q * stride + s] += shares[q];
    }
}

static idx NAME(scatter_add)(void *x_, idx size, const void *dy_, const void *where, int wide, idx count)
{
    REAL *x = x_;
    const REAL *dy = dy_;
    idx outside = 0;
    for (idx i = 0; i < count; i++) {
        /* As unsigned numbers, negative indices are large ones. */
        const uint64_t at = wide ? ((const uint64_t *)where)[i] : ((const uint32_t *)where)[i];
        if (at < (uint64_t)size)
            x[at] += dy[i];
        else
            outside++;
    }
    return outside;
}

static double NAME(window_mean)(const void *x_, idx x_row, idx x_col, idx n_rows, idx n_cols)
{
    const REAL *x = x_;
    double sum = 0;
    for (idx r = 0; r < n_rows; r++)
        for (idx s = 0; s < n_cols; s++) sum += x[r * x_row + s * x_col];
    return sum / (double)(n_rows * n_cols);
}

static void NAME(window_add)(void *x_, idx x_row, idx n_rows, idx n_cols, double value)
{
    REAL *x = x_;
    for (idx r = 0; r < n_rows; r++)
        for (idx s = 0; s < n_cols; s++) x[r * x_row + s] += (REAL)value;
}

/* ---- single passes over memory -------------------------------------------------------------------------------- */

static void NAME(relu)(void *y_, const void *x_, idx n)
{
    REAL *restrict y = y_;
    const REAL *restrict x = x_;
    for (idx i = 0; i < n; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

static void NAME(relu_backward)(void *dx_, const void *dy_, const void *y_, idx n)
{
    /* dx may be dy. */
    REAL *dx = dx_;
    const REAL *dy = dy_, *y = y_;
    idx i = 0;
    for (; i + LANES <= n; i += LANES)
        store(dx + i, (vec)((mask_vec)load(dy + i) & (mask_vec)(load(y + i) > 0)));
    for (; i < n; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
}

/* Sums run in REAL over blocks, and the blocks' in double: neither slow nor stalled by a large total. */
enum { NAME(BLOCK) = 64 * LANES };

static void NAME(sums)(const void *a_, const double *a_shift, const void *b_, const double *b_shift, idx n_planes, idx n,
                       double *sum, double *dot)
{
    const REAL *a = a_, *b = b_;
    for (idx p = 0; p < n_planes; p++, a += n, b += n) {
        const REAL a_by = a_shift ? (REAL)a_shift[p] : 0, b_by = (REAL)b_shift[p];
        double total = 0, total2 = 0;
        idx i = 0;
        while (i + LANES <= n) {
            const idx end = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
            vec s[4] = {{0}}, s2[4] = {{0}};
            for (; i + 4 * LANES <= end; i += 4 * LANES)
                UNROLL for (int k = 0; k < 4; k++) {
                    vec v = load(a + i + k * LANES) - a_by;
                    s[k] += v;
                    s2[k] += v * (load(b + i + k * LANES) - b_by);
                }
            for (; i + LANES <= end; i += LANES) {
                vec v = load(a + i) - a_by;
                s[0] += v;
                s2[0] += v * (load(b + i) - b_by);
            }
            total += NAME(sum)((s[0] + s[1]) + (s[2] + s[3]));
            total2 += NAME(sum)((s2[0] + s2[1]) + (s2[2] + s2[3]));
        }
        for (; i < n; i++) {
            double v = a[i] - a_by;
            total += v;
            total2 += v * (b[i] - b_by);
        }
        sum[p] = total;
        dot[p] = total2;
    }
}

static double NAME(total)(const void *x_, idx n)
{
    const REAL *x = x_;
    double total = 0;
    idx i = 0;
    while (i + LANES <= n) {
        const idx end = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
        vec s[4] = {{0}};
        for (; i + 4 * LANES <= end; i += 4 * LANES) UNROLL for (int k = 0; k < 4; k++) s[k] += load(x + i + k * LANES);
        for (; i + LANES <= end; i += LANES) s[0] += load(x + i);
        if (end == n && i < n) {
            /* The last vector without the lanes that have been added. */
            s[1] += (vec)((mask_vec)load(x + n - LANES) & (NAME(lane)() >= (SIGNED)(LANES - (n - i))));
            i = n;
        }
        total += NAME(sum)((s[0] + s[1]) + (s[2] + s[3]));
    }
    for (; i < n; i++) total += x[i];
    return total;
}

static void NAME(add)(void *y_, const void *a_, const void *b_, idx n)
{
    REAL *y = y_;
    const REAL *a = a_, *b = b_;
    idx i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, load(a + i) + load(b + i));
    for (; i < n; i++) y[i] = a[i] + b[i];
}

static void NAME(add_to_doubles)(double *restrict sums, const void *x_, idx n)
{
    const REAL *restrict x = x_;
    for (idx i = 0; i < n; i++) sums[i] += x[i];
}

/* exp(x) for x <= 0, to an ulp or two: x = n log(2) + r, and exp(r) by its series. What is too small is 0. */
INLINE vec NAME(exp)(vec x)
{
    static const double inverse_factorial[] = {1.,         1.,          1. / 2,       1. / 6,        1. / 24,
                                               1. / 120,   1. / 720,    1. / 5040,    1. / 40320,    1. / 362880,
                                               1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
    const int is_float = sizeof(REAL) == 4, degree = is_float ? 7 : 13, mantissa = is_float ? 23 : 52;
    /* Adding it leaves the nearest integer in the low bits. */
    const REAL big = is_float ? (REAL)12582912.0 : (REAL)6755399441055744.0;
    const REAL log2_high = is_float ? (REAL)0.693359375 : (REAL)6.93147180369123816490e-01;
    const REAL log2_low = is_float ? (REAL)-2.12194440e-4 : (REAL)1.90821492927058770002e-10;
    const REAL least = is_float ? (REAL)-87.0 : (REAL)-708.0;
    /* What is too small would overflow the exponent. */
    const mask_vec enough = (mask_vec)(x >= least);
    const vec held = (vec)((mask_vec)x & enough);
    vec t = held * (REAL)1.4426950408889634 + big;
    vec n = t - big;
    vec r = (held - n * log2_high) - n * log2_low;
    vec y = splat((REAL)inverse_factorial[degree]);
    UNROLL for (int k = degree - 1; k >= 0; k--) y = y * r + (REAL)inverse_factorial[k];
    y = (vec)((mask_vec)y + ((mask_vec)t << mantissa));
    y = (vec)((mask_vec)y & enough);
    return NAME(select)((mask_vec)(x != x), x, y);
}

static void NAME(softmax)(void *p_, const void *x_, idx n, double scale, double *largest, double *total)
{
    REAL *p = p_;
    const REAL *x = x_;
    REAL most = (REAL)-__builtin_inf();
    for (idx i = 0; i < n; i++)
        if (x[i] > most || x[i] != x[i]) most = x[i];
    double sum = 0;
    for (idx i = 0; i < n; i += LANES) {
        vec v = splat((REAL)-__builtin_inf());
        const idx count = n - i < LANES ? n - i : LANES;
        if (count == LANES)
            v = load(x + i);
        else
            for (idx k = 0; k < count; k++) v[k] = x[i + k];
        v = NAME(exp)(v - most);
        sum += NAME(sum)(v);
        if (count == LANES)
            store(p + i, v);
        else
            for (idx k = 0; k < count; k++) p[i + k] = v[k];
    }
    const REAL by = (REAL)(scale / sum);
    for (idx i = 0; i < n; i++) p[i] *= by;
    *largest = most;
    *total = sum;
}

static void NAME(affine)(void *y_, const void *x_, const double *shift, const double *scale, const double *offset,
                         idx n_planes, idx n)
{
    REAL *y = y_;
    const REAL *x = x_;
    for (idx p = 0; p < n_planes; p++, y += n, x += n) {
        const REAL by = (REAL)shift[p], a = (REAL)scale[p], b = (REAL)offset[p];
        idx i = 0;
        for (; i + LANES <= n; i += LANES) store(y + i, a * (load(x + i) - by) + b);
        for (; i < n; i++) y[i] = a * (x[i] - by) + b;
    }
}

static void NAME(affine_pair)(void *dx_, const void *dy_, const void *x_, const double *shift, const double *scale,
                              const double *slope, const double *offset, idx n_planes, idx n)
{
    REAL *dx = dx_;
    const REAL *dy = dy_, *x = x_;
    for (idx p = 0; p < n_planes; p++, dx += n, dy += n, x += n) {
        const REAL by = (REAL)shift[p], a = (REAL)scale[p], b = (REAL)slope[p], c = (REAL)offset[p];
        idx i = 0;
        for (; i + LANES <= n; i += LANES) store(dx + i, a * load(dy + i) + (b * (load(x + i) - by) + c));
        for (; i < n; i++) dx[i] = a * dy[i] + (b * (x[i] - by) + c);
    }
}

static void NAME(sgd)(void *p_, const void *dp_, void *buffer_, double sign_, double lr_, double momentum_,
                      double fresh_, double decay_, int nesterov, idx n)
{
    REAL *restrict p = p_;
    const REAL *restrict dp = dp_;
    REAL *restrict buffer = buffer_;
    const REAL sign = (REAL)sign_, lr = (REAL)lr_, momentum = (REAL)momentum_, fresh = (REAL)fresh_;
    const REAL decay = (REAL)decay_;
    if (!buffer)
        for (idx i = 0; i < n; i++) p[i] -= lr * (sign * dp[i] + decay * p[i]);
    else if (nesterov)
        for (idx i = 0; i < n; i++) {
            REAL g = sign * dp[i] + decay * p[i];
            buffer[i] = momentum * buffer[i] + fresh * g;
            p[i] -= lr * (g + momentum * buffer[i]);
        }
    else
        for (idx i = 0; i < n; i++) {
            buffer[i] = momentum * buffer[i] + fresh * (sign * dp[i] + decay * p[i]);
            p[i] -= lr * buffer[i];
        }
}

#include "winograd.h"
#include "depthwise.h"

#define TILE_ENTRY(r, v) .tile[r - 1][v - 1] = NAME(tile_##r##_##v), .strip[r - 1][v - 1] = NAME(strip_##r##_##v),
#define PANEL_ENTRY(r, v) .panel[r - 1][v - 1] = NAME(panel_##r##_##v),
#define WGRAD_ENTRY(v) .outer[v - 1] = NAME(wgrad_##v),
#define DOT_ENTRY(r) .dot[r - 1] = NAME(dot_##r),
#define GEMM_ENTRY(v) .gemm[v - 1] = NAME(gemm_##v),
#define WINOGRAD_ENTRY(stage)                                                                                         \
    {NAME(winograd_##stage##_2x2), NAME(winograd_##stage##_3x3), NAME(winograd_##stage##_4x4),                        \
     NAME(winograd_##stage##_5x5), NAME(winograd_##stage##_small_2x2), NAME(winograd_##stage##_small_3x3),            \
     NAME(winograd_##stage##_1x3), NAME(winograd_##stage##_1x5), NAME(winograd_##stage##_1x7)}
#define KERNEL(name) .name = NAME(name),

/* clang-format off */
static const fc_move_kernels NAME(move) = {
    KERNEL(stage) KERNEL(fetch) KERNEL(pack_filters) KERNEL(pack_pixels) KERNEL(scatter) KERNEL(interleave)
    KERNEL(transpose) KERNEL(untranspose) KERNEL(untranspose_far)
};
static const fc_product_kernels NAME(product) = {
    .rows = ROWS, .vecs = VECS, .gemm_rows = GEMM_ROWS, .gemm_vecs = GEMM_VECS,
    TILES(TILE_ENTRY) PANELS(PANEL_ENTRY) GEMMS(GEMM_ENTRY)
};
static const fc_correlate_kernels NAME(correlate) = {
    .outer_rows = WGRAD_ROWS, .outer_vecs = WGRAD_VECS, .dot_rows = DOT_ROWS, .dot_cols = DOT_COLS,
    WGRADS(WGRAD_ENTRY) DOTS(DOT_ENTRY) KERNEL(fold) KERNEL(shifted_sums)
};
static const fc_winograd_kernels NAME(winograd) = {
    .input = {NAME(winograd_input_square), NAME(winograd_input_small), NAME(winograd_input_line)},
    .output_gradient = WINOGRAD_ENTRY(spread), .output = WINOGRAD_ENTRY(output), .filters = WINOGRAD_ENTRY(filters),
    .filter_gradient = WINOGRAD_ENTRY(weights),
};
static const fc_windows_kernels NAME(windows_) = {
    .rows = NAME(windows), .row_sums = NAME(window_sums), .lanes = NAME(lane_windows),
    KERNEL(to_lanes) KERNEL(lane_sums) KERNEL(mix_sums)
};
static const fc_pool_kernels NAME(pool) = {
    KERNEL(max_row) KERNEL(spread_max) KERNEL(average_row) KERNEL(average_plane) KERNEL(spread_plane)
    KERNEL(share_row) KERNEL(spread_row) KERNEL(scatter_add) KERNEL(window_mean) KERNEL(window_add)
};
static const fc_passes_kernels NAME(passes) = {
    KERNEL(finite) KERNEL(relu) KERNEL(relu_backward) KERNEL(add) KERNEL(total) KERNEL(sums) KERNEL(add_to_doubles)
    KERNEL(softmax) KERNEL(affine) KERNEL(affine_pair) KERNEL(sgd)
};
static const fc_kernels NAME(kernels) = {
    .itemsize = sizeof(REAL), .lanes = LANES, .move = &NAME(move), .product = &NAME(product),
    .correlate = &NAME(correlate), .winograd = &NAME(winograd), .windows = &NAME(windows_), .pool = &NAME(pool),
    .passes = &NAME(passes),
};
/* clang-format on */

#undef KERNEL
#undef TILE_ENTRY
#undef PANEL_ENTRY
#undef WGRAD_ENTRY
#undef DOT_ENTRY
#undef GEMM_ENTRY
#undef WINOGRAD_ENTRY
#undef load
#undef store
#undef splat
#undef LANES
#undef vec
#undef uvec
#undef mask_vec
