/* Pooling, a row of outputs or a plane at a time, and its gradients. */
#ifndef FC_POOL_H
#define FC_POOL_H

/* Elements of the rows that average_plane sums by columns before it goes along them. */
enum { FC_POOL_BAND = 2048 };

typedef struct {
    /* One row of `count` outputs. The window of output q has the rows x + r * x_row, r < n_rows, and the columns q *
     * stride + s * dilation, s < n_cols. Up to a vector past the row's end is written; the windows of a whole last
     * vector are read, and of strides of 2 and 4 another stride - 1 elements.
     *
     * max_row: the largest, where NaN is above all and the first of equals counts. where[q], an integer of the
     * element's size, is its index, index + r * index_row + q * stride + s * dilation; if nothing exceeds -infinity, it
     * is start + first[q]. `where` may be NULL.
     * average_row: the sum over the window divided by height * widths[q]. */
    void (*max_row)(void *y, void *where, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride, idx dilation,
                    idx index, idx index_row, idx start, const void *first, idx count);
    void (*average_row)(void *y, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride, double height,
                        const void *widths, idx count);

    /* The gradient of average_row by way of shares. share_row: shares[q] += dy[q] / (height * widths[q]).
     * spread_row: x[i] = the sum of the shares of the windows over column i, q * stride <= i < q * stride + n_cols, i <
     * size. Around the shares lie zeros: n_cols before them, and after them up to a vector past size / stride. */
    void (*share_row)(void *shares, const void *dy, double height, const void *widths, idx count);
    void (*spread_row)(void *x, idx size, const void *shares, idx n_cols, idx stride, idx count);

    /* average_plane: all rows of a plane whose windows lie in the padded image and, but for their rows, in the image
     * itself; each sum is divided by `area`. `sums` holds FC_POOL_BAND elements or a row of windows if that is more,
     * and on top two vectors times stride_w and n_cols elements. */
    void (*average_plane)(void *y, const void *x, idx x_row, idx height, idx out_h, idx out_w, idx n_rows, idx n_cols,
                          idx stride_h, idx stride_w, idx pad_h, double area, void *sums);

    /* Gradients for windows of 2 x 2 that neither overlap nor leave a gap. spread_plane, of their average: dy times
     * `factor` at all four places. spread_max, of their maximum, in rows of a vector or more: dy at the place that
     * `where` names, an integer of the element's size that counts the plane's pixels. It returns whether every such
     * place lies in its window; if not, x holds garbage. */
    void (*spread_plane)(void *x, idx height, idx width, const void *dy, idx out_h, idx out_w, double factor);
    int (*spread_max)(void *x, idx height, idx width, const void *dy, const void *where, idx out_h, idx out_w);

    /* x[where[i]] += dy[i], i < count; `where` holds integers of 64 bits if `wide`, else of 32. Returns how many of
     * them are negative or not below size; these are left out. */
    idx (*scatter_add)(void *x, idx size, const void *dy, const void *where, int wide, idx count);

    /* The mean of one n_rows x n_cols window; and its gradient, `value` added to each element of the window. */
    double (*window_mean)(const void *x, idx x_row, idx x_col, idx n_rows, idx n_cols);
    void (*window_add)(void *x, idx x_row, idx n_rows, idx n_cols, double value);
} fc_pool_kernels;

#endif

#ifdef REAL

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

/* The same for windows of 2 x 2, two steps apart: the better one of each row, and then of these two. */
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

/* Rows of windows are summed by columns first and then along the rows, many rows at once if windows do not overlap. */
INLINE void NAME(average_plane_body)(REAL *y, const REAL *x, idx x_row, idx height, idx out_h, idx out_w, idx n_rows,
                                     idx n_cols, idx stride_h, const idx stride, idx pad_h, double area, REAL *sums)
{
    const idx width = (out_w - 1) * stride + n_cols, pitch = out_w * stride;
    const idx band = n_cols <= stride && pitch < FC_POOL_BAND ? FC_POOL_BAND / pitch : 1;
    const int by_product = area > 0 && ((idx)area & ((idx)area - 1)) == 0; /* which is exact then */
    const vec divisor = splat((REAL)area), factor = splat((REAL)(1 / area));
    for (idx p0 = 0; p0 < out_h; p0 += band) {
        const idx rows = out_h - p0 < band ? out_h - p0 : band, count = rows * out_w;
        for (idx p = 0; p < rows; p++) {
            idx first = (p0 + p) * stride_h - pad_h, last = first + n_rows < height ? first + n_rows : height;
            if (first < 0) first = 0;
            for (idx q = 0; q < width; q += LANES) {
                vec sum = load(x + first * x_row + q);
                for (idx r = first + 1; r < last; r++) sum += load(x + r * x_row + q);
                store(sums + p * pitch + q, sum);
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
        NAME(average_plane_body)(y, x, x_row, height, out_h, out_w, n_rows, n_cols, stride_h, stride_w, pad_h, area,
                                 sums);
}

/* Each share is stored twice in each of two rows. The next row overwrites what a vector writes beyond a row's end. */
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

/* Each dy goes to that one of the four places of its window which `where` names. A row's last vector moves left to
 * fit. */
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
            const mask_vec v = (mask_vec)(load(dy + q) + 0); /* a sum from zero is never -0 */
            astray |= ~(a | b | c | d);
            store(x + 2 * q, NAME(zip_low)((vec)(v & a), (vec)(v & b)));
            store(x + 2 * q + LANES, NAME(zip_high)((vec)(v & a), (vec)(v & b)));
            store(x + width + 2 * q, NAME(zip_low)((vec)(v & c), (vec)(v & d)));
            store(x + width + 2 * q + LANES, NAME(zip_high)((vec)(v & c), (vec)(v & d)));
        }
        for (int r = 0; r < 2; r++) NAME(set)(x + r * width + 2 * out_w, width - 2 * out_w, 0);
        /* If the windows had another size, the first row shows it. */
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
    VECTOR_FOR (idx q = 0; q < count; q++) shares[q] += dy[q] / ((REAL)height * widths[q]);
}

static void NAME(spread_row)(void *x_, idx size, const void *shares_, idx n_cols, idx stride, idx count)
{
    REAL *x = x_;
    const REAL *shares = shares_;
    if (stride == 1) {
        for (idx i = 0; i < size; i += LANES) {
            vec total = {0};
            for (idx s = 0; s < n_cols; s++) total += load(shares + i - s);
            store(x + i, total);
        }
    } else if (stride == 2) {
        /* Even columns lie at the even places of the windows that see them, odd columns at the odd ones. */
        for (idx i = 0; i < size; i += 2 * LANES) {
            vec even = {0}, odd = {0};
            for (idx s = 0; s < n_cols; s += 2) even += load(shares + i / 2 - s / 2);
            for (idx s = 1; s < n_cols; s += 2) odd += load(shares + i / 2 - s / 2);
            store(x + i, NAME(zip_low)(even, odd));
            store(x + i + LANES, NAME(zip_high)(even, odd));
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

/* clang-format off */
static const fc_pool_kernels NAME(pool) = {
    KERNEL(max_row) KERNEL(average_row) KERNEL(share_row) KERNEL(spread_row) KERNEL(average_plane) KERNEL(spread_plane)
    KERNEL(spread_max) KERNEL(scatter_add) KERNEL(window_mean) KERNEL(window_add)
};
/* clang-format on */

#endif
