"""The border to C: what src_c/fastconv.h and the headers of its families declare, where each has its contract."""

from libc.stdint cimport int32_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy

ctypedef Py_ssize_t idx

cdef extern from "fastconv.h" nogil:
    enum:
        FC_AHEAD
        FC_MAX_ROWS
        FC_MAX_VECS
        FC_POOL_BAND
        FC_WINDOW_TAPS
        FC_WINDOW_SUMS
        FC_WINDOW_RUN
        FC_SMALL
        FC_LINES
        FC_FOURIER
        FC_STATE_WORDS
        FC_NORMAL_BLOCK

    ctypedef struct fc_run:
        idx offset
        idx count

    ctypedef struct fc_piece:
        # "from" is a word of the language
        idx source "from"
        idx to

    ctypedef struct fc_tap:
        idx row, col

    ctypedef struct fc_windows:
        idx width
        idx step, stride
        idx height, span
        idx phases
        idx n_blocks[2]
        const fc_tap *taps
        const void *mask
        idx start "from"
        idx stop "to"

    ctypedef struct fc_ahead:
        # "from" is a word of the language
        const void *start "from"
        idx step

    ctypedef struct fc_plane:
        idx h, w
        idx row, col
        idx dilation_h, dilation_w
        idx step_h, step_w
        idx tall, wide

    ctypedef struct fc_move_kernels:
        void (*stage)(void *dst, idx pitch, const void *src, idx src_h, idx src_w, idx n_rows, idx first, idx last,
                      idx left, idx count, idx right, double fill) noexcept nogil
        void (*fetch)(const void *src, idx step, idx n, idx count) noexcept nogil
        void (*pack_filters)(void *dst, const void *w, idx rows, idx w_row, idx channels, idx w_channel, idx n_taps,
                             const idx *taps) noexcept nogil
        void (*pack_pixels)(void *dst, idx width, const void *src, idx depth, const idx *offsets, idx n_pieces,
                            const fc_piece *pieces, idx step) noexcept nogil
        void (*scatter)(const void *tile, idx width, void *y, idx y_row, idx y_col, idx rows, idx n_runs,
                        const fc_run *runs) noexcept nogil
        void (*interleave)(void *dst, const void **src, idx n, idx size) noexcept nogil
        void (*transpose)(void *dst, idx width, const void *src, idx src_row, idx src_col, idx rows,
                          idx count) noexcept nogil
        void (*untranspose)(void *dst, idx dst_row, const void *src, idx width, idx rows, idx count) noexcept nogil
        void (*untranspose_far)(void *dst, idx dst_row, const void *src, idx width, idx rows, idx count) noexcept nogil
        void (*lines_far)(void *dst, idx dst_step, const void *src, idx count) noexcept nogil

    ctypedef struct fc_product_kernels:
        idx rows
        idx *vecs
        idx gemm_rows
        idx gemm_vecs
        void (*tile[8][8])(idx depth, const void *a, const void *b, const idx *offsets, void *y, idx y_row,
                           const void *bias) noexcept nogil
        void (*strip[8][8])(idx depth, const void *a, const void *b, const idx *offsets, idx b_step, void *y,
                            idx y_row, idx y_step, const void *bias) noexcept nogil
        void (*panel[8][8])(idx n, idx depth, const void *a, const void *b, void *y, idx y_row, const void *bias,
                            int accumulate, const fc_ahead *ahead) noexcept nogil
        void (*gemm[8])(idx rows, idx depth, const void *a, idx a_row, idx a_depth, const void *b, idx b_depth, void *y,
                        idx y_row, int accumulate) noexcept nogil

    ctypedef struct fc_correlate_kernels:
        idx outer_rows
        idx outer_vecs
        idx dot_rows
        idx dot_cols
        void (*shifted_sums)(void *sums, const void *z, idx z_row, idx shift, idx n, idx count) noexcept nogil
        void (*outer[8])(idx n_pixels, const int32_t *pixels, const void *x, const idx *offsets, const void *dy,
                         void *acc, idx acc_row, const fc_ahead *ahead) noexcept nogil
        void (*fold)(void *w, idx w_row, const void *sums, idx slice, idx n_slices, idx row, idx col, idx filters,
                     idx pairs) noexcept nogil
        void (*dot[8])(idx n_planes, idx n_rows, idx n_cols, const void *dy, idx dy_row, idx dy_plane, idx dy_pitch,
                       const void *x, const idx *offsets, idx x_plane, idx x_pitch, void *acc) noexcept nogil

    ctypedef struct fc_winograd_kernels:
        void (*input[4])(void *v, idx v_point, idx v_tile, const void *x, const fc_plane *plane, idx h0,
                         idx w0, idx count) noexcept nogil
        void (*output_gradient[10])(void *z, idx z_point, idx z_tile, const void *dy, const fc_plane *plane, idx h0,
                                    idx w0, idx count) noexcept nogil
        void (*output[10])(void *y, const fc_plane *plane, idx h0, idx w0, idx count, const void *t,
                           idx t_point, idx t_tile, const void *bias) noexcept nogil
        void (*filters[10])(void *u, idx u_point, idx u_depth, const void *w, idx w_filter, idx w_depth,
                            idx filters, idx depth, int flip, const void *end, idx tall, idx wide) noexcept nogil
        void (*filter_gradient[10])(void *dw, const void *s, idx s_point, idx s_slice, idx n_slices,
                                    idx channels, idx tall, idx wide) noexcept nogil

    ctypedef struct fc_windows_kernels:
        void (*rows)(void *y, idx y_row, idx n_rows, const void **rows, const fc_windows *s, const void *w,
                     const void *bias) noexcept nogil
        void (*row_sums)(void *sums, const void *dy, idx dy_row, idx n_rows, const void **rows,
                         const fc_windows *s, idx span, const fc_tap *taps) noexcept nogil
        void (*to_lanes)(void *dst, idx pitch, idx apart, const void *src, idx src_h, idx src_c, idx src_w,
                         idx channels, idx n_rows, idx count, int loose) noexcept nogil
        void (*lanes)(void *y, idx y_step, const void *x, idx step, idx count, idx mix, idx n_taps, idx run,
                      const idx *offsets, const void *w, const void *bias) noexcept nogil
        void (*lane_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                          idx n_rows, idx count, idx n_taps, const idx *offsets, const fc_ahead *ahead) noexcept nogil
        void (*mix_sums)(void *sums, const void *dy, idx dy_row, idx dy_step, const void *x, idx x_row, idx step,
                         idx n_rows, idx count, idx mix, idx n_taps, const idx *offsets,
                         const fc_ahead *ahead) noexcept nogil

    ctypedef struct fc_pool_kernels:
        void (*max_row)(void *y, void *where, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride,
                        idx dilation, idx index, idx index_row, idx start, const void *first,
                        idx count) noexcept nogil
        void (*average_row)(void *y, const void *x, idx x_row, idx n_rows, idx n_cols, idx stride, double height,
                            const void *widths, idx count) noexcept nogil
        void (*average_plane)(void *y, const void *x, idx x_row, idx height, idx out_h, idx out_w, idx n_rows,
                              idx n_cols, idx stride_h, idx stride_w, idx pad_h, double area,
                              void *sums) noexcept nogil
        void (*spread_plane)(void *x, idx height, idx width, const void *dy, idx out_h, idx out_w,
                             double factor) noexcept nogil
        int (*spread_max)(void *x, idx height, idx width, const void *dy, const void *where, idx out_h,
                          idx out_w) noexcept nogil
        void (*share_row)(void *shares, const void *dy, double height, const void *widths, idx count) noexcept nogil
        void (*spread_row)(void *x, idx size, const void *shares, idx n_cols, idx stride, idx count) noexcept nogil
        idx (*scatter_add)(void *x, idx size, const void *dy, const void *where, int wide,
                           idx count) noexcept nogil
        double (*window_mean)(const void *x, idx x_row, idx x_col, idx n_rows, idx n_cols) noexcept nogil
        void (*window_add)(void *x, idx x_row, idx n_rows, idx n_cols, double value) noexcept nogil

    ctypedef struct fc_passes_kernels:
        int (*finite)(const void *x, idx n) noexcept nogil
        void (*relu)(void *y, const void *x, idx n) noexcept nogil
        void (*relu_backward)(void *dx, const void *dy, const void *y, idx n) noexcept nogil
        void (*leaky_relu)(void *y, const void *a, const void *x, double slope, idx n) noexcept nogil
        double (*total)(const void *x, idx n) noexcept nogil
        void (*add)(void *y, const void *a, const void *b, idx n) noexcept nogil
        void (*add_to_doubles)(double *sums, const void *x, idx n) noexcept nogil
        void (*softmax)(void *p, const void *x, idx n, double scale, double *largest, double *total) noexcept nogil
        void (*sums)(const void *a, const double *a_shift, const void *b, const double *b_shift, idx n_planes, idx n,
                     double *sum, double *dot) noexcept nogil
        void (*affine)(void *y, const void *a, const void *x, const double *shift, const double *scale,
                       const double *slope, const double *offset, idx n_planes, idx n) noexcept nogil
        void (*sums_last)(const void *a, const double *a_shift, const void *b, const double *b_shift, idx n_planes,
                          idx n, double *sum, double *dot) noexcept nogil
        void (*affine_last)(void *y, const void *a, const void *x, const double *shift, const double *scale,
                            const double *slope, const double *offset, idx n_planes, idx n) noexcept nogil
        void (*rectified)(void *y, const void *r, const void *x, const double *shift, const double *slope,
                          const double *offset, double ceiling, idx n_planes, idx n) noexcept nogil
        void (*rectified_sums)(void *g, const void *dy, const void *y, const void *x, const double *shift,
                               const double *slope, const double *offset, double ceiling, idx n_planes, idx n,
                               double *sum, double *dot) noexcept nogil
        void (*rectified_affine)(void *dx, const void *dy, const void *x, const double *shift, const double *slope,
                                 const double *offset, double ceiling, const double *of_g, const double *of_x,
                                 const double *rest, idx n_planes, idx n) noexcept nogil
        void (*rectified_last)(void *y, const void *r, const void *x, const double *shift, const double *slope,
                               const double *offset, double ceiling, idx n_planes, idx n) noexcept nogil
        void (*rectified_sums_last)(void *g, const void *dy, const void *y, const void *x, const double *shift,
                                    const double *slope, const double *offset, double ceiling, idx n_planes, idx n,
                                    double *sum, double *dot) noexcept nogil
        void (*rectified_affine_last)(void *dx, const void *dy, const void *x, const double *shift,
                                      const double *slope, const double *offset, double ceiling, const double *of_g,
                                      const double *of_x, const double *rest, idx n_planes, idx n) noexcept nogil

    ctypedef struct fc_step:
        double sign, decay, keep, lr, first_old, first_new, second_old, second_new, scale, eps, lr_direct
        int nesterov

    ctypedef void (*fc_step_kernel)(const fc_step *step, void *p, const void *dp, void *a, void *b, void *c,
                                    idx n) noexcept nogil

    ctypedef struct fc_steps_kernels:
        fc_step_kernel sgd, adam, rmsprop, adagrad, adadelta, adamax

    ctypedef struct fc_random_kernels:
        void (*twist)(uint32_t *state) noexcept nogil
        void (*temper)(uint32_t *words, const uint32_t *state, idx n) noexcept nogil
        void (*uniform)(void *x, const uint32_t *words, idx n, double low, double high) noexcept nogil
        void (*normal)(void *x, idx n_blocks, double mean, double std) noexcept nogil
        void (*bernoulli)(void *x, const uint32_t *words, idx n, uint64_t bound, double value) noexcept nogil

    ctypedef struct fc_rows:
        idx n
        idx run
        idx period
        const void *w
        const void *b

    ctypedef struct fc_norms_kernels:
        void (*normalise)(void *y, const void *x, const fc_rows *rows, double eps, double *mean, double *inverse,
                          idx first, idx count) noexcept nogil
        void (*normalise_backward)(void *dx, const void *dy, const void *x, const fc_rows *rows, const double *mean,
                                   const double *inverse, double *dw, double *db, void *scratch, idx first,
                                   idx count) noexcept nogil
        void (*norm_weights)(const void *dy, const void *x, idx n, const double *mean, const double *inverse,
                             double *dw, double *db, idx rows, idx first, idx count) noexcept nogil

    ctypedef struct fc_columns:
        idx rows, stride, width

    ctypedef struct fc_axes_kernels:
        void (*sum_columns)(double *sums, const void *x, const fc_columns *columns) noexcept nogil
        void (*softmax_columns)(void *y, const void *x, const fc_columns *columns, int logarithm) noexcept nogil
        void (*softmax_columns_backward)(void *dx, const void *dy, const void *y, const fc_columns *columns,
                                         int logarithm) noexcept nogil
        void (*softmax_row)(void *y, const void *x, idx n, int logarithm) noexcept nogil
        void (*softmax_row_backward)(void *dx, const void *dy, const void *y, idx n, int logarithm) noexcept nogil

    cdef enum:
        FC_ACTIVATIONS
        FC_LOSSES

    ctypedef struct fc_losses_kernels:
        void (*each_loss)(int kind, void *y, const void *x, const void *t, double p, idx n) noexcept nogil
        double (*sum_of_losses)(int kind, const void *x, const void *t, double p, idx n) noexcept nogil
        void (*loss_backward)(int kind, void *dx, const void *dy, const void *x, const void *t, double p, double scale,
                              idx n) noexcept nogil

    ctypedef struct fc_activations_kernels:
        void (*activate)(int kind, void *y, const void *x, const double *p, idx n) noexcept nogil
        void (*activate_backward)(int kind, void *dx, const void *dy, const void *x, const double *p,
                                  idx n) noexcept nogil
        void (*prelu)(void *y, const void *x, const double *slope, idx n_planes, idx n) noexcept nogil
        void (*prelu_backward)(void *dx, const void *dy, const void *x, const double *slope, double *sum,
                               idx n_planes, idx n) noexcept nogil

    ctypedef struct fc_taps:
        const int32_t *index
        const void *weight
        idx taps
        idx n

    ctypedef struct fc_resample_kernels:
        void (*plane)(void *y, const void *x, idx height, idx width, const fc_taps *rows, const fc_taps *cols,
                      void *scratch) noexcept nogil

    ctypedef struct fc_edges:
        const int32_t *rows
        const int32_t *cols
        idx height, width, left, middle, image_rows, image_width
        double value

    ctypedef struct fc_padding_kernels:
        void (*pad_plane)(void *y, const void *x, const fc_edges *edges) noexcept nogil
        void (*pad_plane_backward)(void *dx, const void *dy, const fc_edges *edges) noexcept nogil

    cdef enum:
        FC_BLOCK_VECS

    ctypedef struct fc_taps_of_blocks:
        idx rows, row, cols, col
        const idx *taps
        idx n_taps, depth
        idx step
        idx y_block, added_block
        idx ahead, wanted
        bint unseen
        double low, high

    ctypedef struct fc_blocks_kernels:
        idx tile
        void (*conv[2])(void *y, const void *x, const void *w, const void *bias, const void *added,
                        const fc_taps_of_blocks *s, idx count) noexcept nogil
        void (*depthwise)(void *y, const void *x, const void *w, const void *bias, const void *added,
                          const fc_taps_of_blocks *s, idx count) noexcept nogil
        void (*max)(void *y, const void *x, const fc_taps_of_blocks *s, idx count) noexcept nogil
        void (*mean)(void *y, const void *x, const fc_taps_of_blocks *s, double factor, idx count) noexcept nogil
        void (*add)(void *y, const void *x, const void *added, double low, double high, idx n) noexcept nogil
        void (*scale)(void *y, const void *x, const void *factors, idx n) noexcept nogil

    ctypedef struct fc_kernels:
        idx itemsize
        idx lanes
        const fc_move_kernels *move
        const fc_product_kernels *product
        const fc_correlate_kernels *correlate
        const fc_winograd_kernels *winograd
        const fc_windows_kernels *windows
        const fc_pool_kernels *pool
        const fc_passes_kernels *passes
        const fc_steps_kernels *steps
        const fc_random_kernels *random
        const fc_axes_kernels *axes
        const fc_norms_kernels *norms
        const fc_activations_kernels *activations
        const fc_losses_kernels *losses
        const fc_resample_kernels *resample
        const fc_padding_kernels *padding
        const fc_blocks_kernels *blocks

    ctypedef struct fc_isa:
        const char *name
        const fc_kernels *f32
        const fc_kernels *f64
        double (*fma_burst)(idx n) noexcept nogil

    int fc_usable_isas(const fc_isa **isas)
    unsigned fc_flush_subnormals()
    void fc_restore_mode(unsigned mode)
    void fc_fence()
    void fc_bring(const char *source, idx bytes)


# Division that rounds up; the next multiple of b; the size of the fewest even parts that are no larger than `largest`.
cdef inline idx parts(idx a, idx b) noexcept nogil:
    return (a + b - 1) // b


cdef inline idx up(idx a, idx b) noexcept nogil:
    return (a + b - 1) // b * b


cdef inline idx even(idx total, idx largest) noexcept nogil:
    return parts(total, parts(total, largest)) if total > 0 else 1


cdef inline void store_far(const fc_kernels *kernels, char *to, const char *tile, idx bytes) noexcept nogil:
    """Copy a tile past the caches, but for the lines of 64 bytes that it shares with its neighbours; fc_fence() ends
    such copies."""
    cdef idx head = min(bytes, -<idx><uintptr_t>to & 63), lines = (bytes - head) // 64
    memcpy(to, tile, head)
    kernels.move.lines_far(to + head, 64 // kernels.itemsize, tile + head, lines)
    head += lines * 64
    memcpy(to + head, tile + head, bytes - head)
