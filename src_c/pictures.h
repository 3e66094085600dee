/* Pictures of four bytes a pixel, resampled as Pillow resamples them, bit for bit.

   An output is the sum of some pixels times weights, integers of 22 binary places, rounded and clipped to a byte; what
   rows and columns are made of is rounded in between. Each weight is split into two parts of 11 places, so that sums of
   products with bytes are exact in single precision for up to FC_PICTURE_TAPS pixels: vectors of four floats are in
   every baseline, products of integers of 32 bits are not. A pixel is such a vector from the first to the last step. */
#ifndef FC_PICTURES_H
#define FC_PICTURES_H

#include <stdint.h>
#include <string.h>

enum { FC_PICTURE_TAPS = 32 };

typedef float fc_four __attribute__((vector_size(16)));
typedef int32_t fc_four_int __attribute__((vector_size(16)));
typedef uint8_t fc_sixteen_byte __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define FC_PICTURE_ZIP(x, zero, ...) __builtin_shufflevector(x, zero, __VA_ARGS__)
#else
#define FC_PICTURE_ZIP(x, zero, ...) __builtin_shuffle(x, zero, (fc_sixteen_byte){__VA_ARGS__})
#endif

static inline fc_four fc_picture_load(const float *pixel)
{
    fc_four x;
    memcpy(&x, pixel, sizeof x);
    return x;
}

static inline void fc_picture_store(float *pixel, fc_four x) { memcpy(pixel, &x, sizeof x); }

/* Four bytes, each in the lowest of four bytes on a little-endian machine, as numbers. */
static inline fc_four fc_picture_number(fc_sixteen_byte spread)
{
    fc_four_int whole;
    memcpy(&whole, &spread, sizeof whole);
    return __builtin_convertvector(whole, fc_four);
}

/* The bytes of `pixels` pixels as numbers. */
static inline void fc_picture_numbers(const uint8_t *bytes, int pixels, float *out)
{
    int i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const fc_sixteen_byte zero = {0};
    for (; i + 4 <= pixels; i += 4) {
        fc_sixteen_byte x;
        memcpy(&x, bytes + 4 * (int64_t)i, sizeof x);
        fc_sixteen_byte low = FC_PICTURE_ZIP(x, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        fc_sixteen_byte high = FC_PICTURE_ZIP(x, zero, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        float *at = out + 4 * (int64_t)i;
        fc_picture_store(
            at, fc_picture_number(FC_PICTURE_ZIP(low, zero, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23)));
        fc_picture_store(at + 4, fc_picture_number(FC_PICTURE_ZIP(low, zero, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28,
                                                                  29, 14, 15, 30, 31)));
        fc_picture_store(at + 8, fc_picture_number(FC_PICTURE_ZIP(high, zero, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21,
                                                                  6, 7, 22, 23)));
        fc_picture_store(at + 12, fc_picture_number(FC_PICTURE_ZIP(high, zero, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28,
                                                                   29, 14, 15, 30, 31)));
    }
#endif
    for (int64_t k = 4 * (int64_t)i; k < 4 * (int64_t)pixels; k++) out[k] = bytes[k];
}

/* The byte, as an integer, that sums of the weights' upper and lower parts stand for. */
static inline fc_four_int fc_picture_settle(fc_four upper, fc_four lower)
{
    fc_four_int sum =
        __builtin_convertvector(upper, fc_four_int) * (1 << 11) + __builtin_convertvector(lower, fc_four_int);
    sum = (sum + (1 << 21)) >> 22;
    sum &= ~(sum >> 31);
    fc_four_int over = sum > 255;
    return (sum & ~over) | (over & 255);
}

/* `count` pixels `step` floats apart, times their weights: upper[taps], then lower[taps]. */
static inline fc_four_int fc_picture_sum(const float *pixels, int64_t step, int count, const float *weight, int taps)
{
    fc_four upper = {0}, lower = {0};
    for (int k = 0; k < count; k++) {
        fc_four x = fc_picture_load(pixels + k * step);
        upper += x * weight[k];
        lower += x * weight[taps + k];
    }
    return fc_picture_settle(upper, lower);
}

/* One row: output i is made of counts[i] pixels from first[i] on. */
static inline void fc_picture_across(const float *row, const int *first, const int *counts, const float *weights,
                                     int taps, int outputs, float *out)
{
    for (int i = 0; i < outputs; i++) {
        fc_four_int sum =
            fc_picture_sum(row + 4 * (int64_t)first[i], 4, counts[i], weights + 2 * (int64_t)taps * i, taps);
        fc_picture_store(out + 4 * (int64_t)i, __builtin_convertvector(sum, fc_four));
    }
}

/* One output row of `width` pixels from `count` rows, `stride` floats apart. */
static inline void fc_picture_down(const float *rows, int64_t stride, int count, const float *weight, int taps,
                                   int width, float *out)
{
    for (int i = 0; i < width; i++) {
        fc_four_int sum = fc_picture_sum(rows + 4 * (int64_t)i, stride, count, weight, taps);
        fc_picture_store(out + 4 * (int64_t)i, __builtin_convertvector(sum, fc_four));
    }
}

/* A row's red, green and blue by their tables, into three planes; backwards if `flip`. */
static inline void fc_picture_planes(const float *row, int width, int flip, const float *tables, int64_t plane,
                                     float *out)
{
    const float *red = tables, *green = tables + 256, *blue = tables + 512;
    int step = flip ? -1 : 1;
    float *at = flip ? out + width - 1 : out;
    for (int i = 0; i < width; i++, at += step) {
        fc_four_int pixel = __builtin_convertvector(fc_picture_load(row + 4 * (int64_t)i), fc_four_int);
        at[0] = red[pixel[0]];
        at[plane] = green[pixel[1]];
        at[2 * plane] = blue[pixel[2]];
    }
}

#endif
