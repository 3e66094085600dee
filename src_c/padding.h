/* Images with edges around them, of zeros or of what the image holds. */
#ifndef FC_PADDING_H
#define FC_PADDING_H

/* Row p of the result is row rows[p] of the image, and column q column cols[q]; or the value, where that is -1. Columns
 * left, left + 1, ..., left + middle - 1 are neighbours in the image, too, from cols[left] on. */
typedef struct {
    const int32_t *rows, *cols;
    idx height, width; /* of the result */
    idx left, middle;
    idx image_rows, image_width;
    double value;
} fc_edges;

typedef struct {
    void (*pad_plane)(void *y, const void *x, const fc_edges *edges);
    /* The sum, for each pixel of the image, of dy wherever the result holds that pixel. */
    void (*pad_plane_backward)(void *dx, const void *dy, const fc_edges *edges);
} fc_padding_kernels;

#endif

#ifdef REAL

static void NAME(pad_plane)(void *y_, const void *x_, const fc_edges *edges)
{
    const REAL value = (REAL)edges->value;
    const idx width = edges->width, left = edges->left, right = left + edges->middle;
    const int32_t *cols = edges->cols;
    for (idx p = 0; p < edges->height; p++) {
        REAL *y = (REAL *)y_ + p * width;
        if (edges->rows[p] < 0) {
            NAME(set)(y, width, value);
            continue;
        }
        const REAL *x = (const REAL *)x_ + edges->rows[p] * edges->image_width;
        for (idx q = 0; q < left; q++) y[q] = cols[q] < 0 ? value : x[cols[q]];
        if (right > left) NAME(copy)(y + left, x + cols[left], right - left);
        for (idx q = right; q < width; q++) y[q] = cols[q] < 0 ? value : x[cols[q]];
    }
}

static void NAME(pad_plane_backward)(void *dx_, const void *dy_, const fc_edges *edges)
{
    const idx width = edges->width, left = edges->left, right = left + edges->middle;
    const int32_t *cols = edges->cols;
    NAME(set)(dx_, edges->image_rows * edges->image_width, 0);
    for (idx p = 0; p < edges->height; p++) {
        if (edges->rows[p] < 0) continue;
        const REAL *dy = (const REAL *)dy_ + p * width;
        REAL *dx = (REAL *)dx_ + edges->rows[p] * edges->image_width;
        for (idx q = 0; q < left; q++)
            if (cols[q] >= 0) dx[cols[q]] += dy[q];
        if (right > left) {
            REAL *restrict to = dx + cols[left];
            const REAL *restrict from = dy + left;
            for (idx q = 0; q < right - left; q++) to[q] += from[q];
        }
        for (idx q = right; q < width; q++)
            if (cols[q] >= 0) dx[cols[q]] += dy[q];
    }
}

static const fc_padding_kernels NAME(padding) = {KERNEL(pad_plane) KERNEL(pad_plane_backward)};

#endif
