/* The border between Cython and C: one table of kernels for each instruction set.
 *
 * Cython decides what is computed and in which order; a kernel computes one tile of it. Kernels neither allocate nor
 * know Python. The arrays that they see are of one element type, float or double, so pointers are void and every
 * stride, offset and count is in elements. Nothing here is inline: no code crosses from a file compiled for one
 * instruction set into another.
 */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t idx;

/* Bounds of every instruction set's tile, so that callers can size their tables. */
enum { FC_MAX_ROWS = 8, FC_MAX_VECS = 8, FC_AHEAD = 4 };
/* No tile of the weight gradient holds more sums. */
enum { FC_TILE_SUMS = 256 };
/* Elements of a band of rows that pooling sums before it goes along them. */
enum { FC_POOL_BAND = 2048 };

/* A run of pixels that lie side by side in memory. */
typedef struct {
    idx offset; /* of the first pixel, in elements */
    idx count;
} fc_run;

/* Up to a vector of such pixels, and their place in a panel. */
typedef struct {
    idx from, to;
} fc_piece;

/* Where a tap, or the first of a block of taps, reads: which row of a table, and which column of it. */
typedef struct {
    idx row, col;
} fc_tap;

/* Taps that lie apart in a tile of the weight gradient over windows; taps of any such tile at the most; terms that a lane
 * sums before they join a longer sum. */
enum { FC_WINDOW_TAPS = 9, FC_WINDOW_SUMS = 10, FC_WINDOW_RUN = 128 };

/* A row of windows: output q of output row p reads rows[p * step + row][q * stride + col] at each tap. */
typedef struct {
    idx width;        /* outputs in a row */
    idx step, stride; /* rows, and columns, from an output to the next */
    idx height, span; /* rows and columns of a block of taps: one of the kernels' forms, or 1 x 1 */
    idx phases;       /* 2: even and odd outputs have taps of their own, and a pair of them steps as far as one */
    idx n_blocks[2];  /* of each phase */
    const fc_tap *taps;
    const void *mask; /* all bits set where a row's columns are inside the image, else none */
    idx from, to;     /* outputs (or pairs of them) in between have all their taps inside */
} fc_windows;

/* What is wanted next: lines from `from` on, `step` elements apart, which are brought near meanwhile. They may lie anywhere,
 * but reading them must not fail for want of a page: a step of 0 asks for one line again and again. */
typedef struct {
    const void *from;
    idx step;
} fc_ahead;

/* One plane of an image whose channels lie along the lanes. */
typedef struct {
    idx h, w;     /* its size in pixels */
    idx row, col; /* elements from a row to the next, from a pixel to the next */
    idx dilation_h, dilation_w;
    idx step_h, step_w; /* pixels from a tile to the next */
} fc_plane;

/* Filters that Winograd's filtering has kernels for: 2 x 2 to 5 x 5 on tiles of 6 x 6 points, 2 x 2 and 3 x 3 on those
 * of 5 x 5 (from FC_SMALL on), and 1 x 3, 1 x 5, 1 x 7 (from FC_LINES on) on those of 1 x 8. */
enum { FC_SMALL = 4, FC_LINES = 6, FC_WINOGRADS = 9 };

typedef struct {
    /* Copy rows of one channel, padded: dst[i] is `left` times `fill`, then `count` elements
     * src[(i - first) * src_h + j * src_w], then `right` times `fill`; rows before `first` and from `last` on are `fill`
     * throughout. */
    void (*stage)(void *dst, idx pitch, const void *src, idx src_h, idx src_w, idx n_rows, idx first, idx last,
                  idx left, idx count, idx right, double fill);

    /* Have `n` runs of `count` elements, `step` apart, brought near; they are all within an array. */
    void (*fetch)(const void *src, idx step, idx n, idx count);

    /* dst[(c * n_taps + t) * rows + r] = w[r * w_row + c * w_channel + taps[t]]. */
    void (*pack_filters)(void *dst, const void *w, idx rows, idx w_row, idx channels, idx w_channel, idx n_taps,
                         const idx *taps);

    /* Gather `depth` rows of pixels, row k from src + offsets[k], into dst[k][0..width): each piece, of at most a
     * vector of pixels `step` apart, goes from its offset in the source to its place in the row. Pieces are in order, for
     * whole vectors are read (step * lanes elements) and written, and what is too much the next piece or row overwrites.
     * step is 1 or 2. */
    void (*pack_pixels)(void *dst, idx width, const void *src, idx depth, const idx *offsets, idx n_pieces,
                        const fc_piece *pieces, idx step);

    /* Move a tile from its dense form tile[rows][width] to strided runs of the output. */
    void (*scatter)(const void *tile, idx width, void *y, idx y_row, idx y_col, idx rows, idx n_runs,
                    const fc_run *runs);

    /* dst[r * dst_row + i] = src[i * width + r] for r < rows <= lanes, i < count: out of channels along the lanes. */
    void (*untranspose)(void *dst, idx dst_row, const void *src, idx width, idx rows, idx count);

    /* untranspose of what is too large for any cache: whole lines go past them. fc_fence() when all is written. */
    void (*untranspose_far)(void *dst, idx dst_row, const void *src, idx width, idx rows, idx count);

    /* dst[q * n + i] = src[i][q] for the first `size` places of dst. */
    void (*interleave)(void *dst, const void *const *src, idx n, idx size);

    /* dst[i * width + r] = src[r * src_row + i * src_col] for r < rows, i < count; zero for rows <= r < width. */
    void (*transpose)(void *dst, idx width, const void *src, idx src_row, idx src_col, idx rows, idx count);
} fc_move_kernels;

typedef struct {
    idx rows;                  /* filters in a tile */
    idx vecs[FC_MAX_ROWS + 1]; /* vecs[r]: the widest tile, in vectors, of r filters */
    idx gemm_rows;             /* rows in a tile of a plain matrix product */
    idx gemm_vecs;             /* its width, in vectors */

    /* tile[rows - 1][vecs - 1]: the tile of forward and of the input gradient,
     *     y[r * y_row + j] = start + sum_k a[k * rows + r] * b[offsets[k] + j],   j < vecs * lanes,
     * where start is y's own value when `accumulate`, else bias[r], or zero when bias is NULL. */
    void (*tile[FC_MAX_ROWS][FC_MAX_VECS])(idx depth, const void *a, const void *b, const idx *offsets, void *y,
                                           idx y_row, const void *bias, int accumulate);
    /* The same for rows of pixels that are shorter than a tile: vector v is at b + v * b_step and y + v * y_step. A
     * vector that reaches into the next one's place is overwritten there. */
    void (*strip[FC_MAX_ROWS][FC_MAX_VECS])(idx depth, const void *a, const void *b, const idx *offsets, idx b_step,
                                            void *y, idx y_row, idx y_step, const void *bias);

    /* The same out of a panel of packed pixels, its rows as wide as the widest tile of all `rows` filters: row k of b is
     * that much after row k - 1. n tiles of filters follow each other in a, bias and y. Meanwhile n * (depth / FC_AHEAD)
     * rows of 128 bytes are brought near as `ahead` says. */
    void (*panel[FC_MAX_ROWS][FC_MAX_VECS])(idx n, idx depth, const void *a, const void *b, void *y, idx y_row,
                                            const void *bias, int accumulate, const fc_ahead *ahead);

    /* gemm[vecs - 1]: y[r * y_row + j] (+)= sum_k a[r * a_row + k * a_depth] * b[k * b_depth + j], j < vecs * lanes,
     * r < rows, and up to whole tiles of gemm_rows; a_row or a_depth is 1. */
    void (*gemm[FC_MAX_VECS])(idx rows, idx depth, const void *a, idx a_row, idx a_depth, const void *b, idx b_depth,
                              void *y, idx y_row, int accumulate);
} fc_product_kernels;

typedef struct {
    idx outer_rows; /* (channel, tap) pairs in a tile of the weight gradient */
    idx outer_vecs; /* its width over filters, in vectors */
    idx dot_rows;   /* filters in a tile of the pixel-wise weight gradient */
    idx dot_cols;   /* its (channel, tap) pairs */

    /* sums[j * lanes + v] = sum over s < n of z[j * z_row + s * shift + v], v < lanes, j < count. */
    void (*shifted_sums)(void *sums, const void *z, idx z_row, idx shift, idx n, idx count);

    /* wgrad[vecs - 1]: a tile of the weight gradient with filters along the lanes,
     *     acc[r * width + j] += sum_i x[pixels[i] + offsets[r]] * dy[i * width + j],   r < wgrad_rows, width = vecs * lanes.
     * Meanwhile the widest asks for n_pixels / FC_AHEAD rows as panel does. */
    void (*outer[FC_MAX_VECS])(idx n_pixels, const int32_t *pixels, const void *x, const idx *offsets, const void *dy,
                               void *acc, const fc_ahead *ahead);

    /* w[k * w_row + i] = sum over n < n_slices, in order, of sums[n * slice + k * col + i * row], k < filters, i < pairs:
     * a tile's sums, of which there are no more than FC_TILE_SUMS; row or col is 1. */
    void (*fold)(void *w, idx w_row, const void *sums, idx slice, idx n_slices, idx row, idx col, idx filters,
                 idx pairs);

    /* A tile of the weight gradient with pixels along the lanes, for few channels,
     *     acc[r * dot_cols + c] += sum_n sum_p sum_q dy[r * dy_row + n * dy_plane + p * dy_pitch + q]
     *                                               * x[offsets[c] + n * x_plane + p * x_pitch + q],
     * r < rows, c < dot_cols, n < n_planes, p < n_rows, q < n_cols. Of rows shorter than a vector a whole one is read. With
     * channels along the lanes, filters for dy, a window's rows of taps for planes and its taps for rows it is forward's
     * of few filters. */
    void (*dot[FC_MAX_ROWS])(idx n_planes, idx n_rows, idx n_cols, const void *dy, idx dy_row, idx dy_plane,
                             idx dy_pitch, const void *x, const idx *offsets, idx x_plane, idx x_pitch, void *acc);
} fc_correlate_kernels;

typedef struct {
    /* Winograd's transforms, channels along the lanes (winograd.h), of `count` tiles side by side: tile n begins at
     * pixel (h0 + n * step_h, w0 + n * step_w) of a plane; its points are v_point elements apart, and tiles v_tile. Pixels
     * outside the plane read as zero and are not written. winograd_input: B' x B, of 6 x 6 points [0], 5 x 5 [1] and
     * 1 x 8 [2]. The rest are for the sizes of filters above. winograd_spread: A dy A', winograd_output: A' t A + bias. */
    void (*input[3])(void *v, idx v_point, idx v_tile, const void *x, const fc_plane *plane, idx h0, idx w0, idx count);
    void (*output_gradient[FC_WINOGRADS])(void *z, idx z_point, idx z_tile, const void *dy, const fc_plane *plane,
                                          idx h0, idx w0, idx count);
    void (*output[FC_WINOGRADS])(void *y, const fc_plane *plane, idx h0, idx w0, idx count, const void *t, idx t_point,
                                 idx t_tile, const void *bias);
    /* u = G w G', `filters` (at most a vector) along the lanes, for `depth` channels; taps lie side by side in w, and
     * `flip` reverses them. Nothing is read from `end` on. */
    void (*filters[FC_WINOGRADS])(void *u, idx u_point, idx u_depth, const void *w, idx w_filter, idx w_depth,
                                  idx filters, idx depth, int flip, const void *end);
    /* dw = G' (sum over the slices of s) G of one filter, dense, channels along the lanes of s. */
    void (*filter_gradient[FC_WINOGRADS])(void *dw, const void *s, idx s_point, idx s_slice, idx n_slices,
                                          idx channels);
} fc_winograd_kernels;

typedef struct {
    /* Few channels (depthwise.h). windows: y[p * y_row + q] = bias + sum_t w[t] * (the pixel that tap t reads), for n_rows
     * rows; w goes through blocks, and down the columns of each. Of y only its rows are written; if they follow each
     * other without a gap, they are written in order, and up to a vector into the next. Blocks of more than a row of
     * taps want 4 rows of y.
     * window_sums: sums[t * lanes + i] += dy[p * dy_row + q] * (that pixel) for some q each, where taps t are a block of
     * height x span, by rows, or with a height of 1 FC_WINDOW_TAPS single ones.
     * Both read whole vectors of the table's rows; dy's may be read up to a vector. */
    void (*rows)(void *y, idx y_row, idx n_rows, const void *const *rows, const fc_windows *s, const void *w,
                 const void *bias);
    void (*row_sums)(void *sums, const void *dy, idx dy_row, idx n_rows, const void *const *rows, const fc_windows *s,
                     idx span, const fc_tap *taps);

    /* The same with channels along the lanes, of pixels [row][column][lane].
     * to_lanes: dst[v * apart + (h * pitch + i) * lanes + r] = src[h * src_h + (v * lanes + r) * src_c + i * src_w],
     * h < n_rows, i < count, r < lanes, v * lanes + r < channels; lanes beyond hold anything. If `loose`, a vector may be
     * read where one element is wanted.
     * lane_windows: y[q * y_step + i] = bias[i] + sum_t w[t * lanes + i] * x[offsets[t] + q * step + i], q < count, of
     * taps in runs of `run` (1, 3 or 5) with offsets `step` apart. With `mix` (1, 2, 4 or 8) neighbours along the lanes, each
     * sees all: a tap is mix of them, w[(t * mix + c) * lanes + i] for x[... + i / mix * mix + c], c < mix.
     * lane_sums: sums[t * lanes + i] += sum_p sum_q dy[p * dy_row + q * dy_step + i] * x[offsets[t] + p * x_row + q * step
     * + i], p < n_rows, q < count, t < n_taps <= FC_WINDOW_SUMS.
     * The sums bring near, with each pixel of dy, the next line that `ahead` says.
     * mix_sums: the same of groups of `mix` (2, 4 or 8), sums[(t * mix + c) * lanes + i], and any number of taps. */
    void (*to_lanes)(void *dst, idx pitch, idx apart, const void *src, idx src_h, idx src_c, idx src_w, idx channels,
                     idx n_rows, idx count, int loose);
    void (*lanes)(void *y, idx y_step, const void *x, idx step, idx count, idx mix, idx n_taps, idx run,
                  const idx *offsets, const void *w, const void *bias);
    void (*lane_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                      idx n_rows, idx count, idx n_taps, const idx *offsets, const fc_ahead *ahead);
    void (*mix_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                     idx n_rows, idx count, idx mix, idx n_taps, const idx *offsets, const fc_ahead *ahead);
} fc_windows_kernels;

typedef struct {
    /* Pooling, one row of `count` outputs. The window of output q has rows x + r * x_row, r < n_rows, and columns
     * q * stride + s * dilation, s < n_cols. Writes up to a vector past the row's end; reads the windows of a
     * whole last vector and, of strides of 2 and 4, stride - 1 elements more.
     *
     * max_row: the largest, NaN above all, the first of equals; where[q] (integers of the element's size) is its
     * index, index + r * index_row + q * stride + s * dilation, or start + first[q] where nothing exceeds -infinity.
     * `where` may be NULL.
     * average_row: the sum over the window divided by height * widths[q].
     * share_row: shares[q] += dy[q] / (height * widths[q]).
     * spread_row: x[j] = sum of the shares of the windows over column j, q * stride <= j < q * stride + n_cols; j < size.
     * Around the shares lie zeros: n_cols before, and after them up to a vector past size / stride. */
    void (*max_row)(void *y, void *where, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride, idx dilation,
                    idx index, idx index_row, idx start, const void *first, idx count);
    void (*average_row)(void *y, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride, double height,
                        const void *widths, idx count);
    /* average_plane: all rows of windows that lie in the padded image, but for their rows they do in the image itself; each
     * sum is divided by area. `sums` holds FC_POOL_BAND elements or a row of windows, and two vectors a column's step.
     * spread_plane: its gradient for windows of 2 x 2 that neither overlap nor leave a gap: dy times factor.
     * spread_max: the same of their maximum, dy where `where` (integers of REAL's size) says, for rows of a vector or more.
     * Returns whether it names a place of its window everywhere; x is garbage if not. Such integers count a plane's pixels. */
    void (*average_plane)(void *y, const void *x, idx x_row, idx height, idx out_h, idx out_w, idx n_rows, idx n_cols,
                          idx stride_h, idx stride_w, idx pad_h, double area, void *sums);
    void (*spread_plane)(void *x, idx height, idx width, const void *dy, idx out_h, idx out_w, double factor);
    int (*spread_max)(void *x, idx height, idx width, const void *dy, const void *where, idx out_h, idx out_w);
    void (*share_row)(void *shares, const void *dy, double height, const void *widths, idx count);
    void (*spread_row)(void *x, idx size, const void *shares, idx n_cols, idx stride, idx count);
    /* x[where[i]] += dy[i], i < count; `where` holds 64-bit indices if `wide`, else integers of 32 bits. Returns how many
     * of them are not below size, and left out. */
    idx (*scatter_add)(void *x, idx size, const void *dy, const void *where, int wide, idx count);
    /* Sum of an n_rows x n_cols window divided by its size; and its gradient, added to each element of the window. */
    double (*window_mean)(const void *x, idx x_row, idx x_col, idx n_rows, idx n_cols);
    void (*window_add)(void *x, idx x_row, idx n_rows, idx n_cols, double value);
} fc_pool_kernels;

typedef struct {
    /* Whether no element is infinite or NaN. */
    int (*finite)(const void *x, idx n);

    /* Single passes over n elements that lie side by side. */
    void (*relu)(void *y, const void *x, idx n);                           /* max(x, 0), NaN stays NaN */
    void (*relu_backward)(void *dx, const void *dy, const void *y, idx n); /* y > 0 ? dy : 0; dx may be dy */
    double (*total)(const void *x, idx n);
    void (*add)(void *y, const void *a, const void *b, idx n); /* a + b; y may be either */
    void (*add_to_doubles)(double *sums, const void *x, idx n);
    /* p = scale * exp(x - largest) / total, where total is the sum of those exponentials. */
    void (*softmax)(void *p, const void *x, idx n, double scale, double *largest, double *total);
    /* Of planes of n elements, each with its own numbers. Sums of a - a_shift (unless NULL), and of its products with
     * b - b_shift; y = scale * (x - shift) + offset; dx = scale * dy + slope * (x - shift) + offset, and dx may be dy. */
    void (*sums)(const void *a, const double *a_shift, const void *b, const double *b_shift, idx n_planes, idx n,
                 double *sum, double *dot);
    void (*affine)(void *y, const void *x, const double *shift, const double *scale, const double *offset, idx n_planes,
                   idx n);
    void (*affine_pair)(void *dx, const void *dy, const void *x, const double *shift, const double *scale,
                        const double *slope, const double *offset, idx n_planes, idx n);
    /* One step of SGD: g = sign * dp + decay * p; buffer = momentum * buffer + fresh * g unless NULL; p -= lr * (nesterov
     * ? g + momentum * buffer : buffer or g). */
    void (*sgd)(void *p, const void *dp, void *buffer, double sign, double lr, double momentum, double fresh,
                double decay, int nesterov, idx n);
} fc_passes_kernels;

typedef struct {
    idx itemsize;
    idx lanes; /* elements in a vector */
    const fc_move_kernels *move;
    const fc_product_kernels *product;
    const fc_correlate_kernels *correlate;
    const fc_winograd_kernels *winograd;
    const fc_windows_kernels *windows;
    const fc_pool_kernels *pool;
    const fc_passes_kernels *passes;
} fc_kernels;

typedef struct {
    const char *name;
    const fc_kernels *f32, *f64;
    /* Multiply and add `n` times on independent registers: returns the operations (float32) done. */
    double (*fma_burst)(idx n);
} fc_isa;

/* Those compiled for this architecture and usable on this CPU, best last; returns how many. */
int fc_usable_isas(const fc_isa *isas[8]);

/* Have subnormal numbers read and written as zero on this thread; returns the mode to restore. */
unsigned fc_flush_subnormals(void);
void fc_restore_mode(unsigned mode);

/* What went past the caches is seen by other threads before anything that this thread writes from now on. */
static inline void fc_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

#endif
