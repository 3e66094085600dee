/* Pictures of four bytes a pixel, resampled as Pillow resamples them, bit for bit.

   An output is the sum of some pixels times weights, integers of 22 binary places, rounded and clipped to a byte; what
   rows and columns are made of is a byte in between. Each weight is split into two parts of 11 places, for vectors of
   16 bytes, which are in every baseline, multiply integers of 16 bits, and add neighbouring products: so pixels are taken
   two by two. The weights of two pixels are 16 numbers: the upper part of the first and of the second, four times, for a
   pixel has four bytes; then the lower parts. Of an odd number of pixels the last second one has no weight. */
#ifndef FC_PICTURES_H
#define FC_PICTURES_H

#include <stdint.h>
#include <string.h>

/* The module that calls these is compiled for size, by which GCC leaves the sums in memory: resampling would take three
   times as long. Clang inlines all the same. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O2")
#endif

enum { FC_PICTURE_TAPS = 32, FC_PICTURE_WEIGHTS = 16 };

typedef uint8_t fc_bytes __attribute__((vector_size(16)));
typedef int16_t fc_shorts __attribute__((vector_size(16)));
typedef int32_t fc_ints __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define FC_PICTURE_ZIP(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define FC_PICTURE_ZIP(x, y, ...) __builtin_shuffle(x, y, (fc_bytes){__VA_ARGS__})
#endif

/* The bytes of two vectors by turns: of their first halves, and of their second. */
static inline fc_bytes fc_picture_low(fc_bytes x, fc_bytes y)
{
    return FC_PICTURE_ZIP(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

static inline fc_bytes fc_picture_high(fc_bytes x, fc_bytes y)
{
    return FC_PICTURE_ZIP(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/* A vector's first eight bytes, or its last, as numbers of 16 bits. */
static inline fc_shorts fc_picture_numbers(fc_bytes x, int last)
{
    const fc_bytes zero = {0};
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (fc_shorts)(last ? fc_picture_high(x, zero) : fc_picture_low(x, zero));
#else
    return (fc_shorts)(last ? fc_picture_high(zero, x) : fc_picture_low(zero, x));
#endif
}

/* Products of numbers, the first added to the second, the third to the fourth, and so on. */
static inline fc_ints fc_picture_products(fc_shorts x, fc_shorts y)
{
#ifdef __SSE2__
    return (fc_ints)__builtin_ia32_pmaddwd128(x, y);
#else
    fc_ints a = (fc_ints)x, b = (fc_ints)y;
    return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

/* Sums of the weights' upper and lower parts; in the lower one is what rounds. */
typedef struct {
    fc_ints upper, lower;
} fc_picture_sums;

static inline fc_picture_sums fc_picture_nothing(void)
{
    return (fc_picture_sums){{0}, {1 << 21, 1 << 21, 1 << 21, 1 << 21}};
}

static inline void fc_picture_add(fc_picture_sums *sums, fc_shorts pixels, const int16_t *weights)
{
    fc_shorts upper, lower;
    memcpy(&upper, weights, sizeof upper);
    memcpy(&lower, weights + 8, sizeof lower);
    sums->upper += fc_picture_products(pixels, upper);
    sums->lower += fc_picture_products(pixels, lower);
}

/* A pixel, before it is clipped to bytes. */
static inline fc_ints fc_picture_settle(fc_picture_sums sums) { return (sums.upper * (1 << 11) + sums.lower) >> 22; }

/* Four pixels, as bytes. */
static inline fc_bytes fc_picture_clip(fc_ints a, fc_ints b, fc_ints c, fc_ints d)
{
#ifdef __SSE2__
    fc_shorts first = (fc_shorts)__builtin_ia32_packssdw128(a, b);
    fc_shorts second = (fc_shorts)__builtin_ia32_packssdw128(c, d);
    return (fc_bytes)__builtin_ia32_packuswb128(first, second);
#else
    const fc_ints whole[4] = {a, b, c, d};
    fc_bytes bytes;
    for (int i = 0; i < 16; i++) {
        int value = whole[i / 4][i % 4];
        bytes[i] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
    return bytes;
#endif
}

/* The sum of 2 * `pairs` pixels of a row times their weights. */
static inline fc_ints fc_picture_sum(const uint8_t *pixels, const int16_t *weights, int pairs)
{
    fc_picture_sums sums = fc_picture_nothing();
    for (const uint8_t *end = pixels + 8 * pairs; pixels != end; pixels += 8, weights += FC_PICTURE_WEIGHTS) {
        fc_ints first = {0}, second = {0};
        memcpy(&first, pixels, 4);
        memcpy(&second, pixels + 4, 4);
        fc_bytes both = fc_picture_low((fc_bytes)first, (fc_bytes)second);
        fc_picture_add(&sums, fc_picture_numbers(both, 0), weights);
    }
    return fc_picture_settle(sums);
}

/* One row, and what lies behind it up to a multiple of four: output i is made of 2 * `pairs` pixels from first[i] on,
   which may lie behind the row's end if they have no weight. There must be memory for both. */
static inline void fc_picture_across(const uint8_t *row, const int *first, const int16_t *weights, int pairs,
                                     int outputs, uint8_t *out)
{
    const int64_t step = (int64_t)FC_PICTURE_WEIGHTS * pairs;
    for (int i = 0; i < outputs; i += 4, first += 4, weights += 4 * step, out += 16) {
        fc_ints a = fc_picture_sum(row + 4 * (int64_t)first[0], weights, pairs);
        fc_ints b = fc_picture_sum(row + 4 * (int64_t)first[1], weights + step, pairs);
        fc_ints c = fc_picture_sum(row + 4 * (int64_t)first[2], weights + 2 * step, pairs);
        fc_ints d = fc_picture_sum(row + 4 * (int64_t)first[3], weights + 3 * step, pairs);
        fc_bytes bytes = fc_picture_clip(a, b, c, d);
        memcpy(out, &bytes, sizeof bytes);
    }
}

/* Up to four pixels, of `size` bytes in all, from `count` rows. */
static inline fc_bytes fc_picture_column(const uint8_t *rows, int64_t stride, int count, const int16_t *weights,
                                         size_t size)
{
    fc_picture_sums a = fc_picture_nothing(), b = a, c = a, d = a;
    for (int k = 0; k < count; k += 2, weights += FC_PICTURE_WEIGHTS) {
        fc_bytes x = {0}, y = {0};
        memcpy(&x, rows + k * stride, size);
        if (k + 1 < count) memcpy(&y, rows + (k + 1) * stride, size);
        fc_bytes low = fc_picture_low(x, y), high = fc_picture_high(x, y);
        fc_picture_add(&a, fc_picture_numbers(low, 0), weights);
        fc_picture_add(&b, fc_picture_numbers(low, 1), weights);
        fc_picture_add(&c, fc_picture_numbers(high, 0), weights);
        fc_picture_add(&d, fc_picture_numbers(high, 1), weights);
    }
    return fc_picture_clip(fc_picture_settle(a), fc_picture_settle(b), fc_picture_settle(c), fc_picture_settle(d));
}

/* One output row of `width` pixels from `count` rows, `stride` bytes apart. */
static inline void fc_picture_down(const uint8_t *rows, int64_t stride, int count, const int16_t *weights, int width,
                                   uint8_t *out)
{
    int64_t i = 0, size = 4 * (int64_t)width;
    for (; i + 16 <= size; i += 16) {
        fc_bytes bytes = fc_picture_column(rows + i, stride, count, weights, 16);
        memcpy(out + i, &bytes, 16);
    }
    if (i < size) {
        fc_bytes bytes = fc_picture_column(rows + i, stride, count, weights, (size_t)(size - i));
        memcpy(out + i, &bytes, (size_t)(size - i));
    }
}

/* A row's red, green and blue by their tables, into three planes; backwards if `flip`. */
static inline void fc_picture_planes(const uint8_t *row, int width, int flip, const float *tables, int64_t plane,
                                     float *out)
{
    const float *red = tables, *green = tables + 256, *blue = tables + 512;
    int step = flip ? -1 : 1;
    float *at = flip ? out + width - 1 : out;
    for (int i = 0; i < width; i++, at += step, row += 4) {
        at[0] = red[row[0]];
        at[plane] = green[row[1]];
        at[2 * plane] = blue[row[2]];
    }
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

#endif
