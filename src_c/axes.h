/* Sums and softmax where neighbours in memory belong to different sums: columns of rows. */
#ifndef FC_AXES_H
#define FC_AXES_H

/* Column c of `rows` rows has its elements at x[r * stride + c], for c from 0 to width - 1. */
typedef struct {
    idx rows, stride, width;
} fc_columns;

typedef struct {
    /* The sum of each column is added to sums. */
    void (*sum_columns)(double *sums, const void *x, const fc_columns *columns);

    /* Of each column: exp(x) / sum exp(x), or its logarithm; y lies as x does. And the gradients, from y:
     * y (dy - sum dy y), and dy - exp(y) sum dy. */
    void (*softmax_columns)(void *y, const void *x, const fc_columns *columns, int logarithm);
    void (*softmax_columns_backward)(void *dx, const void *dy, const void *y, const fc_columns *columns, int logarithm);
    /* The same of n neighbours. */
    void (*softmax_row)(void *y, const void *x, idx n, int logarithm);
    void (*softmax_row_backward)(void *dx, const void *dy, const void *y, idx n, int logarithm);
} fc_axes_kernels;

#endif

#ifdef REAL

#include <math.h>

/* So many rows are summed in REAL, and those sums in double. */
enum { NAME(ROWS_AT_ONCE) = 32 };

INLINE void NAME(add_to)(double *sums, vec v, idx count)
{
    REAL all[LANES];
    store(all, v);
    for (idx k = 0; k < count; k++) sums[k] += all[k];
}

INLINE vec NAME(load_up_to)(const REAL *p, idx count) { return count < LANES ? NAME(load_few)(p, count) : load(p); }

INLINE void NAME(store_up_to)(REAL *p, vec v, idx count)
{
    if (count < LANES)
        NAME(store_few)(p, v, count);
    else
        store(p, v);
}

static void NAME(sum_columns)(double *sums, const void *x_, const fc_columns *columns)
{
    const idx rows = columns->rows, stride = columns->stride, width = columns->width;
    for (idx first = 0; first < rows; first += NAME(ROWS_AT_ONCE)) {
        const REAL *x = (const REAL *)x_ + first * stride;
        const idx count = rows - first < NAME(ROWS_AT_ONCE) ? rows - first : NAME(ROWS_AT_ONCE);
        idx i = 0;
        for (; i + 4 * LANES <= width; i += 4 * LANES) {
            vec s[4] = {{0}};
            for (idx r = 0; r < count; r++)
                UNROLL_FOR (int k = 0; k < 4; k++) s[k] += load(x + r * stride + i + k * LANES);
            UNROLL_FOR (int k = 0; k < 4; k++) NAME(add_to)(sums + i + k * LANES, s[k], LANES);
        }
        for (; i < width; i += LANES) {
            const idx some = width - i < LANES ? width - i : LANES;
            vec s = {0};
            for (idx r = 0; r < count; r++) s += NAME(load_up_to)(x + r * stride + i, some);
            NAME(add_to)(sums + i, s, some);
        }
    }
}

static void NAME(softmax_columns)(void *y_, const void *x_, const fc_columns *columns, int logarithm)
{
    const idx rows = columns->rows, stride = columns->stride, width = columns->width;
    for (idx i = 0; i < width; i += LANES) {
        const idx some = width - i < LANES ? width - i : LANES;
        const REAL *x = (const REAL *)x_ + i;
        REAL *y = (REAL *)y_ + i;
        vec most = splat((REAL)-__builtin_inf()), total = {0};
        for (idx r = 0; r < rows; r++) most = NAME(larger)(NAME(load_up_to)(x + r * stride, some), most);
        for (idx r = 0; r < rows; r++) {
            const vec v = NAME(load_up_to)(x + r * stride, some) - most, e = NAME(exp)(v);
            NAME(store_up_to)(y + r * stride, logarithm ? v : e, some);
            total += e;
        }
        if (logarithm) {
            REAL of_total[LANES];
            store(of_total, total);
            for (int k = 0; k < LANES; k++) of_total[k] = (REAL)log((double)of_total[k]);
            const vec less = load(of_total);
            for (idx r = 0; r < rows; r++)
                NAME(store_up_to)(y + r * stride, NAME(load_up_to)(y + r * stride, some) - less, some);
        } else {
            const vec by = 1 / total;
            for (idx r = 0; r < rows; r++)
                NAME(store_up_to)(y + r * stride, NAME(load_up_to)(y + r * stride, some) * by, some);
        }
    }
}

static void NAME(softmax_columns_backward)(void *dx_, const void *dy_, const void *y_, const fc_columns *columns,
                                           int logarithm)
{
    const idx rows = columns->rows, stride = columns->stride, width = columns->width;
    for (idx i = 0; i < width; i += LANES) {
        const idx some = width - i < LANES ? width - i : LANES;
        const REAL *dy = (const REAL *)dy_ + i, *y = (const REAL *)y_ + i;
        REAL *dx = (REAL *)dx_ + i;
        vec total = {0};
        for (idx r = 0; r < rows; r++) {
            const vec g = NAME(load_up_to)(dy + r * stride, some);
            total += logarithm ? g : g * NAME(load_up_to)(y + r * stride, some);
        }
        for (idx r = 0; r < rows; r++) {
            const vec g = NAME(load_up_to)(dy + r * stride, some), v = NAME(load_up_to)(y + r * stride, some);
            NAME(store_up_to)(dx + r * stride, logarithm ? g - NAME(exp)(v) * total : v * (g - total), some);
        }
    }
}

static void NAME(softmax_row)(void *y_, const void *x_, idx n, int logarithm)
{
    double largest, total;
    NAME(softmax)(y_, x_, n, 1, &largest, &total);
    if (!logarithm) return;
    REAL *y = y_;
    const REAL *x = x_, most = (REAL)largest, less = (REAL)log(total);
    VECTOR_FOR (idx i = 0; i < n; i++) y[i] = (x[i] - most) - less;
}

static void NAME(softmax_row_backward)(void *dx_, const void *dy_, const void *y_, idx n, int logarithm)
{
    REAL *dx = dx_;
    const REAL *dy = dy_, *y = y_;
    if (logarithm) {
        const REAL total = (REAL)NAME(total)(dy, n);
        for (idx i = 0; i < n; i += LANES) {
            const idx some = n - i < LANES ? n - i : LANES;
            const vec e = NAME(exp)(NAME(load_up_to)(y + i, some));
            NAME(store_up_to)(dx + i, NAME(load_up_to)(dy + i, some) - e * total, some);
        }
    } else {
        const double none = 0;
        double total, dot;
        NAME(sums)(dy, NULL, y, &none, 1, n, &total, &dot);
        const REAL by = (REAL)dot;
        VECTOR_FOR (idx i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - by);
    }
}

/* clang-format off */
static const fc_axes_kernels NAME(axes) = {
    KERNEL(sum_columns) KERNEL(softmax_columns)
    KERNEL(softmax_columns_backward) KERNEL(softmax_row) KERNEL(softmax_row_backward)
};
/* clang-format on */

#endif
