/* Images in other sizes: each output is a weighted sum of a few inputs along either dimension. */
#ifndef FC_RESAMPLE_H
#define FC_RESAMPLE_H

/* For each of n outputs of a dimension its taps: output i takes weight[t * n + i] times input index[t * n + i]. */
typedef struct {
    const int32_t *index;
    const void *weight;
    idx taps, n;
} fc_taps;

typedef struct {
    /* A dense plane y of rows.n by cols.n out of a dense plane x of height by width. A dimension without taps (0) stays
     * as it is. Where both have some, scratch holds height * cols.n elements. */
    void (*plane)(void *y, const void *x, idx height, idx width, const fc_taps *rows, const fc_taps *cols,
                  void *scratch);
} fc_resample_kernels;

#endif

#ifdef REAL

static void NAME(gather_row)(REAL *restrict y, const REAL *restrict x, const fc_taps *cols)
{
    const int32_t *index = cols->index;
    const REAL *w = cols->weight;
    const idx n = cols->n;
    if (cols->taps == 1)
        for (idx i = 0; i < n; i++) y[i] = w[i] * x[index[i]];
    else
        for (idx i = 0; i < n; i++) y[i] = w[i] * x[index[i]] + w[n + i] * x[index[n + i]];
    for (idx t = 2; t < cols->taps; t++)
        for (idx i = 0; i < n; i++) y[i] += w[t * n + i] * x[index[t * n + i]];
}

static void NAME(blend_rows)(REAL *restrict y, const REAL *restrict x, idx width, const fc_taps *rows, idx row)
{
    const REAL *w = rows->weight;
    for (idx t = 0; t < rows->taps; t += 2) {
        const idx at = t * rows->n + row, next = at + (t + 1 < rows->taps ? rows->n : 0);
        const REAL *a = x + rows->index[at] * width, *b = x + rows->index[next] * width;
        const REAL wa = w[at], wb = w[next];
        if (next == at && t == 0)
            VECTOR_FOR (idx i = 0; i < width; i++) y[i] = wa * a[i];
        else if (next == at)
            VECTOR_FOR (idx i = 0; i < width; i++) y[i] += wa * a[i];
        else if (t == 0)
            VECTOR_FOR (idx i = 0; i < width; i++) y[i] = wa * a[i] + wb * b[i];
        else
            VECTOR_FOR (idx i = 0; i < width; i++) y[i] += wa * a[i] + wb * b[i];
    }
}

static void NAME(plane)(void *y_, const void *x_, idx height, idx width, const fc_taps *rows, const fc_taps *cols,
                        void *scratch)
{
    REAL *y = y_, *between = rows->taps ? scratch : y_;
    const REAL *x = x_;
    if (cols->taps) {
        for (idx r = 0; r < height; r++) NAME(gather_row)(between + r * cols->n, x + r * width, cols);
        x = between;
        width = cols->n;
    }
    if (rows->taps)
        for (idx p = 0; p < rows->n; p++) NAME(blend_rows)(y + p * width, x, width, rows, p);
}

static const fc_resample_kernels NAME(resample) = {KERNEL(plane)};

#endif
