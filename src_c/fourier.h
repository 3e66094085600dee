/* Convolution by discrete Fourier transforms of tiles of 16 x 16 pixels, with channels along the lanes: the kernels
 * that winograd.h has for minimal filtering, for filters of any number of taps.
 *
 * A tile of x and a filter, which zeros fill up to 16 x 16, have the transforms X and W. The inverse transform of
 * X conj(W) is their circular correlation, of which the first 17 - r outputs along a side, where the filter has r taps,
 * are those of the convolution. The gradient of the filter is likewise the inverse of X conj(Z), with Z of dy.
 *
 * Transforms of real numbers have 4 real points and 126 pairs of conjugate ones, of which one is kept. A product
 * (c + i d) (a - i b) takes three real ones (Gauss):
 *     p = a (c + d), q = (a + b) c, r = (b - a) d;    its real part is p + r, its imaginary part p - q,
 * so that a tile has 3 * 126 + 4 points at which sums of real products over channels are made, as everywhere.
 *
 * Two rows of a tile are the real and the imaginary part of one transform of 16 complex numbers, and are told apart
 * by its symmetry; so are the columns 0 and 8, which are real. Halves are left out: complex points are twice what they
 * should be in X and in W, the real ones are not, and the inverse makes up for it. (Zlateski, Jia, Li and Durand 2018
 * compare the three products with minimal filtering; Frigo and Johnson 2005 tell of transforms.)
 */
#ifndef FC_FOURIER_H
#define FC_FOURIER_H

enum { FC_SIDE = 16, FC_HALF = FC_SIDE / 2, FC_FOURIER_POINTS = 382 };

#endif

#ifdef REAL

/* cos and sin of j / 16 of a turn, and how much too large a result is that neither inverse nor halves have divided. */
static const REAL NAME(cosines)[10] = {
    1,  (REAL)0.92387953251128675613,  (REAL)0.70710678118654752440,  (REAL)0.38268343236508977173,
    0,  (REAL)-0.38268343236508977173, (REAL)-0.70710678118654752440, (REAL)-0.92387953251128675613,
    -1, (REAL)-0.92387953251128675613};
static const REAL NAME(sines)[10] = {
    0, (REAL)0.38268343236508977173, (REAL)0.70710678118654752440, (REAL)0.92387953251128675613,
    1, (REAL)0.92387953251128675613, (REAL)0.70710678118654752440, (REAL)0.38268343236508977173,
    0, (REAL)-0.38268343236508977173};
#define UNDIVIDED ((REAL)(1.0 / 1024))

/* A function that is long, and does much each time: it is there once. */
#define OUTSIDE __attribute__((noinline))

/* The transform of a tile: columns 1 to 7 as [column][row], and in column 0 the real columns 0 and 8 as one of complex
 * numbers. */
typedef struct {
    vec re[FC_HALF][FC_SIDE], im[FC_HALF][FC_SIDE];
} NAME(spectrum);

/* z_k = sum_n z_n exp(-2 pi i n k / 4) of z = re + i im. */
INLINE void NAME(transform_4)(vec re[4], vec im[4])
{
    const vec a = re[0] + re[2], b = re[0] - re[2], c = re[1] + re[3], d = re[1] - re[3];
    const vec e = im[0] + im[2], f = im[0] - im[2], g = im[1] + im[3], h = im[1] - im[3];
    re[0] = a + c, re[1] = b + h, re[2] = a - c, re[3] = b - h;
    im[0] = e + g, im[1] = f - d, im[2] = e - g, im[3] = f + d;
}

/* The same of 16 numbers, in place. With re and im exchanged it is the inverse, times 16. */
static OUTSIDE void NAME(transform_16)(vec *re, vec *im)
{
    vec half_re[FC_SIDE], half_im[FC_SIDE];
    UNROLL_FOR (int i = 0; i < 4; i++) {
        vec a[4], b[4];
        UNROLL_FOR (int n = 0; n < 4; n++) a[n] = re[4 * n + i], b[n] = im[4 * n + i];
        NAME(transform_4)(a, b);
        UNROLL_FOR (int k = 0; k < 4; k++) {
            const REAL c = NAME(cosines)[i * k], s = NAME(sines)[i * k];
            half_re[4 * k + i] = i * k == 0 ? a[k] : i * k == 4 ? b[k] : c * a[k] + s * b[k];
            half_im[4 * k + i] = i * k == 0 ? b[k] : i * k == 4 ? -a[k] : c * b[k] - s * a[k];
        }
    }
    UNROLL_FOR (int k = 0; k < 4; k++) {
        vec a[4], b[4];
        UNROLL_FOR (int i = 0; i < 4; i++) a[i] = half_re[4 * k + i], b[i] = half_im[4 * k + i];
        NAME(transform_4)(a, b);
        UNROLL_FOR (int n = 0; n < 4; n++) re[k + 4 * n] = a[n], im[k + 4 * n] = b[n];
    }
}

/* Rows i and i + 1 of a tile, which are transformed in place. */
static OUTSIDE void NAME(put_rows)(NAME(spectrum) * s, int i, vec *first, vec *second)
{
    NAME(transform_16)(first, second);
    s->re[0][i] = first[0], s->im[0][i] = first[FC_HALF];
    s->re[0][i + 1] = second[0], s->im[0][i + 1] = second[FC_HALF];
    for (int k = 1; k < FC_HALF; k++) {
        const vec a = first[k], b = second[k], c = first[FC_SIDE - k], d = second[FC_SIDE - k];
        s->re[k][i] = a + c, s->im[k][i] = b - d;
        s->re[k][i + 1] = b + d, s->im[k][i + 1] = c - a;
    }
}

static void NAME(put_zeros)(NAME(spectrum) * s, int i)
{
    for (int k = 0; k < FC_HALF; k++) s->re[k][i] = s->re[k][i + 1] = s->im[k][i] = s->im[k][i + 1] = (vec){0};
}

/* The three numbers of a complex point: of x, or of what is multiplied by it. */
INLINE void NAME(put_point)(int of_x, REAL *to, idx point, vec re, vec im)
{
    store(to, of_x ? re + im : re);
    store(to + point, of_x ? re : re + im);
    store(to + 2 * point, of_x ? im : im - re);
}

/* All points of a tile whose rows are there. */
static OUTSIDE void NAME(put_points)(int of_x, NAME(spectrum) * s, REAL *to, idx point)
{
    for (int k = 0; k < FC_HALF; k++) NAME(transform_16)(s->re[k], s->im[k]);
    for (int k = 1; k < FC_HALF; k++)
        for (int i = 0; i < FC_SIDE; i++, to += 3 * point) NAME(put_point)(of_x, to, point, s->re[k][i], s->im[k][i]);
    for (int i = 1; i < FC_HALF; i++, to += 6 * point) {
        const vec a = s->re[0][i], b = s->im[0][i], c = s->re[0][FC_SIDE - i], d = s->im[0][FC_SIDE - i];
        NAME(put_point)(of_x, to, point, a + c, b - d);
        NAME(put_point)(of_x, to + 3 * point, point, b + d, c - a);
    }
    store(to, s->re[0][0]);
    store(to + point, s->im[0][0]);
    store(to + 2 * point, s->re[0][FC_HALF]);
    store(to + 3 * point, s->im[0][FC_HALF]);
}

/* A number that slices have parts of. */
INLINE vec NAME(take)(const REAL *from, idx slice, idx n_slices)
{
    vec sum = load(from);
    for (idx n = 1; n < n_slices; n++) sum += load(from + n * slice);
    return sum;
}

INLINE void NAME(take_point)(const REAL *from, idx point, idx slice, idx n_slices, vec *re, vec *im)
{
    const vec p = NAME(take)(from, slice, n_slices);
    *re = p + NAME(take)(from + 2 * point, slice, n_slices);
    *im = p - NAME(take)(from + point, slice, n_slices);
}

/* The columns of a tile from its points: the inverse of put_points(). */
static OUTSIDE void NAME(take_points)(NAME(spectrum) * s, const REAL *from, idx point, idx slice, idx n_slices)
{
    for (int k = 1; k < FC_HALF; k++)
        for (int i = 0; i < FC_SIDE; i++, from += 3 * point)
            NAME(take_point)(from, point, slice, n_slices, &s->re[k][i], &s->im[k][i]);
    for (int i = 1; i < FC_HALF; i++, from += 6 * point) {
        vec a, b, c, d;
        NAME(take_point)(from, point, slice, n_slices, &a, &b);
        NAME(take_point)(from + 3 * point, point, slice, n_slices, &c, &d);
        s->re[0][i] = a - d, s->im[0][i] = b + c;
        s->re[0][FC_SIDE - i] = a + d, s->im[0][FC_SIDE - i] = c - b;
    }
    s->re[0][0] = 4 * NAME(take)(from, slice, n_slices);
    s->im[0][0] = 4 * NAME(take)(from + point, slice, n_slices);
    s->re[0][FC_HALF] = 4 * NAME(take)(from + 2 * point, slice, n_slices);
    s->im[0][FC_HALF] = 4 * NAME(take)(from + 3 * point, slice, n_slices);
    for (int k = 0; k < FC_HALF; k++) NAME(transform_16)(s->im[k], s->re[k]);
}

/* Rows i and i + 1 of a tile from its columns. */
static OUTSIDE void NAME(take_rows)(const NAME(spectrum) * s, int i, vec *first, vec *second)
{
    first[0] = s->re[0][i], second[0] = s->re[0][i + 1];
    first[FC_HALF] = s->im[0][i], second[FC_HALF] = s->im[0][i + 1];
    for (int k = 1; k < FC_HALF; k++) {
        const vec a = s->re[k][i], b = s->im[k][i], c = s->re[k][i + 1], d = s->im[k][i + 1];
        first[k] = a - d, second[k] = b + c;
        first[FC_SIDE - k] = a + d, second[FC_SIDE - k] = c - b;
    }
    NAME(transform_16)(second, first);
}

/* Tiles of rows x cols pixels, zeros around. */
static OUTSIDE void NAME(fourier_pixels)(int of_x, int rows, int cols, REAL *to, idx point, idx tile, const REAL *x,
                                         const fc_plane *plane, idx h0, idx w0, idx count)
{
    int top, bottom, left, right;
    NAME(clip)(h0, plane->dilation_h, plane->h, rows, &top, &bottom);
    for (idx n = 0; n < count; n++, to += tile, w0 += plane->step_w) {
        NAME(spectrum) s;
        NAME(clip)(w0, plane->dilation_w, plane->w, cols, &left, &right);
        for (int i = 0; i < FC_SIDE; i += 2) {
            vec pair[2][FC_SIDE];
            if (i + 1 < top || i >= bottom) {
                NAME(put_zeros)(&s, i);
                continue;
            }
            for (int h = i; h < i + 2; h++) {
                const idx at = (h0 + h * plane->dilation_h) * plane->row + w0 * plane->col;
                const int inside = h >= top && h < bottom;
                for (int j = 0; j < FC_SIDE; j++)
                    pair[h - i][j] = inside && j >= left && j < right
                                         ? load(x + (at + j * plane->dilation_w * plane->col))
                                         : (vec){0};
            }
            NAME(put_rows)(&s, i, pair[0], pair[1]);
        }
        NAME(put_points)(of_x, &s, to, point);
    }
}

static void NAME(fourier_input)(void *v, idx v_point, idx v_tile, const void *x, const fc_plane *plane, idx h0, idx w0,
                                idx count)
{
    NAME(fourier_pixels)(1, FC_SIDE, FC_SIDE, v, v_point, v_tile, x, plane, h0, w0, count);
}

static void NAME(fourier_output_gradient)(void *z, idx z_point, idx z_tile, const void *dy, const fc_plane *plane,
                                          idx h0, idx w0, idx count)
{
    NAME(fourier_pixels)(0, (int)plane->tall, (int)plane->wide, z, z_point, z_tile, dy, plane, h0, w0, count);
}

static void NAME(fourier_output)(void *y_, const fc_plane *plane, idx h0, idx w0, idx count, const void *m_,
                                 idx m_point, idx m_tile, const void *bias)
{
    REAL *y = y_;
    const REAL *m = m_;
    const vec start = bias ? load(bias) : (vec){0};
    int top, bottom, left, right;
    NAME(clip)(h0, plane->dilation_h, plane->h, (int)plane->tall, &top, &bottom);
    for (idx n = 0; n < count; n++, m += m_tile, w0 += plane->step_w) {
        NAME(spectrum) s;
        NAME(clip)(w0, plane->dilation_w, plane->w, (int)plane->wide, &left, &right);
        NAME(take_points)(&s, m, m_point, 0, 1);
        for (int i = top / 2 * 2; i < bottom; i += 2) {
            vec pair[2][FC_SIDE];
            NAME(take_rows)(&s, i, pair[0], pair[1]);
            for (int h = i; h < i + 2; h++) {
                if (h < top || h >= bottom) continue;
                REAL *to = y + (h0 + h * plane->dilation_h) * plane->row;
                for (int j = left; j < right; j++)
                    store(to + (w0 + j * plane->dilation_w) * plane->col, pair[h - i][j] + start);
            }
        }
    }
}

static void NAME(fourier_filters)(void *u_, idx u_point, idx u_depth, const void *w_, idx w_filter, idx w_depth,
                                  idx filters, idx depth, int flip, const void *end, idx tall, idx wide)
{
    REAL *u = u_;
    const REAL *w = w_;
    (void)end;
    for (idx c = 0; c < depth; c++, u += u_depth, w += w_depth) {
        NAME(spectrum) s;
        for (int i = 0; i < FC_SIDE; i += 2) {
            vec pair[2][FC_SIDE];
            if (i >= tall) {
                NAME(put_zeros)(&s, i);
                continue;
            }
            memset(pair, 0, sizeof pair);
            for (int h = i; h < i + 2 && h < tall; h++)
                for (int j = 0; j < wide; j++) {
                    const idx t = flip ? tall * wide - 1 - (h * wide + j) : h * wide + j;
                    REAL taps[LANES] = {0};
                    for (idx k = 0; k < filters; k++) taps[k] = w[k * w_filter + t] * UNDIVIDED;
                    pair[h - i][j] = load(taps);
                }
            NAME(put_rows)(&s, i, pair[0], pair[1]);
        }
        NAME(put_points)(0, &s, u, u_point);
    }
}

static void NAME(fourier_filter_gradient)(void *dw_, const void *s_, idx s_point, idx s_slice, idx n_slices,
                                          idx channels, idx tall, idx wide)
{
    REAL *dw = dw_;
    const REAL *sums = s_;
    for (idx c = 0; c < channels; c += LANES, sums += LANES, dw += LANES * tall * wide) {
        NAME(spectrum) s;
        NAME(take_points)(&s, sums, s_point, s_slice, n_slices);
        for (int i = 0; i < tall; i += 2) {
            vec pair[2][FC_SIDE];
            NAME(take_rows)(&s, i, pair[0], pair[1]);
            for (int h = i; h < i + 2 && h < tall; h++)
                for (int j = 0; j < wide; j++)
                    for (idx k = 0; k < LANES && c + k < channels; k++)
                        dw[(k * tall + h) * wide + j] = pair[h - i][j][k] * UNDIVIDED;
        }
    }
}

#undef UNDIVIDED
#undef OUTSIDE

#endif
