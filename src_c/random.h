/* Random numbers: the Mersenne Twister's words, and what is made of them. */
#ifndef FC_RANDOM_H
#define FC_RANDOM_H

#include <math.h>
#include <string.h>

/* Words of the generator's state; elements that normal() makes of each other. */
enum { FC_STATE_WORDS = 624, FC_NORMAL_BLOCK = 16 };

/* The numbers are torch's, bit for bit, on every instruction set. So what torch's builds for AVX2 round once is a call
 * of FMA() here, which is an instruction where there is one and a function elsewhere; and nothing is left that the
 * compiler could contract. */
typedef struct {
    /* From a state of FC_STATE_WORDS to the next, in place; n words of a state as the generator gives them out. */
    void (*twist)(uint32_t *state);
    void (*temper)(uint32_t *words, const uint32_t *state, idx n);

    /* A number takes one word where it is a float and two, the high one first, where it is a double. uniform: low +
     * (high - low) * u, where u is the lowest 24 or 53 bits as a fraction; what is rounded to high becomes low. */
    void (*uniform)(void *x, const uint32_t *words, idx n, double low, double high);

    /* n_blocks blocks of FC_NORMAL_BLOCK uniform numbers in [0, 1) become normal ones, in place, by Box and Muller: of
     * elements i and i + 8, sqrt(-2 log(1 - u)) times the cosine and the sine of 2 pi v. */
    void (*normal)(void *x, idx n_blocks, double mean, double std);

    /* value where the lowest 53 bits of two words are less than `bound`, and 0 elsewhere. */
    void (*bernoulli)(void *x, const uint32_t *words, idx n, uint64_t bound, double value);
} fc_random_kernels;

/* a b + c, rounded once, where that is no instruction. (The C library's fma() is slow then, and MinGW's rounds twice.)
 * Errors of sums and products are numbers themselves (Knuth, Dekker), and if the last sum but one is rounded to an odd
 * number, the last rounding is right (Boldo and Melquiond 2008), but where products are almost subnormal. */
static inline double fc_sum_and_error(double a, double b, double *error)
{
    const double sum = a + b, of_b = sum - a;
    *error = (a - (sum - of_b)) + (b - of_b);
    return sum;
}

static inline double fc_odd_sum(double a, double b)
{
    double error, sum = fc_sum_and_error(a, b, &error);
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((error > 0 || error < 0) && bits % 2 == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
    memcpy(&sum, &bits, sizeof sum);
    return sum;
}

static inline float fc_fmaf(float a, float b, float c) { return (float)fc_odd_sum((double)a * b, c); }

static inline double fc_fma(double a, double b, double c)
{
    const double half = 0x1p27 + 1, product = a * b;
    const double a_high = a * half - (a * half - a), b_high = b * half - (b * half - b);
    const double a_low = a - a_high, b_low = b - b_high;
    const double rest = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low);
    double of_rest, of_sum;
    const double low = fc_sum_and_error(c, rest, &of_rest), sum = fc_sum_and_error(product, low, &of_sum);
    const double result = sum + fc_odd_sum(of_rest, of_sum);
    /* What is infinite, or was on the way, has no error that is a number, and zero has a sign. */
    return result - result == 0 && result != 0 ? result : fma(a, b, c);
}

#endif

#ifdef REAL

#if defined(__FMA__) || defined(__aarch64__) || defined(__FP_FAST_FMA)
#define FUSED(name) name
#else
#define FUSED(name) fc_##name
#endif
#if REAL_BYTES == 4
#define FMA FUSED(fmaf)
#else
#define FMA FUSED(fma)
#endif

/* The next state's word from two neighbours of this one's. */
INLINE uint32_t NAME(twisted)(uint32_t word, uint32_t next)
{
    return (((word & 0x80000000u) | (next & 0x7fffffffu)) >> 1) ^ (-(next & 1) & 0x9908b0dfu);
}

static void NAME(twist)(uint32_t *state)
{
    enum { LAG = 397, REST = FC_STATE_WORDS - LAG };
    for (int i = 0; i < REST; i++) state[i] = state[i + LAG] ^ NAME(twisted)(state[i], state[i + 1]);
    for (int i = REST; i < FC_STATE_WORDS - 1; i++) state[i] = state[i - REST] ^ NAME(twisted)(state[i], state[i + 1]);
    state[FC_STATE_WORDS - 1] = state[LAG - 1] ^ NAME(twisted)(state[FC_STATE_WORDS - 1], state[0]);
}

static void NAME(temper)(uint32_t *restrict words, const uint32_t *restrict state, idx n)
{
    VECTOR_FOR (idx i = 0; i < n; i++) {
        uint32_t w = state[i];
        w ^= w >> 11;
        w ^= (w << 7) & 0x9d2c5680u;
        w ^= (w << 15) & 0xefc60000u;
        words[i] = w ^ (w >> 18);
    }
}

/* The lowest 53 bits of a pair of words. */
INLINE int64_t NAME(low_bits)(const uint32_t *words)
{
    return (int64_t)(((uint64_t)words[0] << 32 | words[1]) & ((1ull << 53) - 1));
}

static void NAME(uniform)(void *x_, const uint32_t *restrict words, idx n, double low_, double high_)
{
    REAL *restrict x = x_;
    const REAL low = (REAL)low_, high = (REAL)high_, span = high - low;
    VECTOR_FOR (idx i = 0; i < n; i++) {
#if REAL_BYTES == 4
        REAL u = (REAL)(int32_t)(words[i] & 0xffffff) * 0x1p-24f;
#else
        REAL u = (REAL)NAME(low_bits)(words + 2 * i) * 0x1p-53;
#endif
        REAL v = FMA(u, span, low);
        x[i] = v == high ? low : v;
    }
}

#if REAL_BYTES == 4

/* log(x) of a normal number: x = 2^e m, with m between sqrt(1/2) and sqrt(2), and a polynomial for log(m). This and
 * sin_cos() are the approximations of the Cephes library in single precision, with torch's roundings. */
INLINE float NAME(log)(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t fraction = (bits & 0x007fffff) | 0x3f000000; /* in [1/2, 1) */
    float m;
    memcpy(&m, &fraction, 4);
    float e = (float)((int32_t)(bits >> 23) - 126);
    int low = m < 0.707106781186547524f;
    e -= low ? 1.0f : 0.0f;
    m = (m - 1.0f) + (low ? m : 0.0f);
    float square = m * m;
    float y = 7.0376836292e-2f;
    y = FMA(y, m, -1.1514610310e-1f);
    y = FMA(y, m, 1.1676998740e-1f);
    y = FMA(y, m, -1.2420140846e-1f);
    y = FMA(y, m, 1.4249322787e-1f);
    y = FMA(y, m, -1.6668057665e-1f);
    y = FMA(y, m, 2.0000714765e-1f);
    y = FMA(y, m, -2.4999993993e-1f);
    y = FMA(y, m, 3.3333331174e-1f);
    /* log(2) is the sum of two parts, of which the first times e is exact. */
    y = FMA(y * m, square, e * -2.12194440e-4f);
    y = FMA(square, -0.5f, y);
    return FMA(e, 0.693359375f, m + y);
}

/* Sine and cosine of an angle in [0, 2 pi]: a polynomial each for what is left of the nearest multiple of pi / 2. */
INLINE void NAME(sin_cos)(float angle, float *sine, float *cosine)
{
    uint32_t octant = ((uint32_t)(int32_t)(angle * 1.27323954473516f) + 1) & ~1u;
    float count = (float)(int32_t)octant;
    /* pi / 4 is the sum of three parts. */
    float x = FMA(count, -0.78515625f, angle);
    x = FMA(count, -2.4187564849853515625e-4f, x);
    x = FMA(count, -3.77489497744594108e-8f, x);
    float square = x * x;
    float c = FMA(2.443315711809948e-5f, square, -1.388731625493765e-3f);
    c = FMA(c, square, 4.166664568298827e-2f);
    c = FMA(c * square, square, square * -0.5f) + 1.0f;
    float s = FMA(-1.9515295891e-4f, square, 8.3321608736e-3f);
    s = FMA(s, square, -1.6666654611e-1f);
    s = FMA(s * square, x, x);
    uint32_t bits_s, bits_c;
    memcpy(&bits_s, &s, 4);
    memcpy(&bits_c, &c, 4);
    uint32_t swapped = -(octant >> 1 & 1);
    uint32_t new_s = (bits_s & ~swapped) | (bits_c & swapped), new_c = (bits_c & ~swapped) | (bits_s & swapped);
    new_s ^= (octant & 4) << 29;
    new_c ^= ((octant + 2) & 4) << 29;
    memcpy(sine, &new_s, 4);
    memcpy(cosine, &new_c, 4);
}

#define SQRT sqrtf
#define TWO_PI 6.28318530717958647692f
#else
INLINE double NAME(log)(double x) { return log(x); }
INLINE void NAME(sin_cos)(double angle, double *sine, double *cosine) { *sine = sin(angle), *cosine = cos(angle); }
#define SQRT sqrt
#define TWO_PI 6.28318530717958647692
#endif

static void NAME(normal)(void *x_, idx n_blocks, double mean, double std)
{
    enum { HALF = FC_NORMAL_BLOCK / 2 };
    REAL *x = x_;
    for (idx block = 0; block < n_blocks; block++, x += FC_NORMAL_BLOCK)
        for (int i = 0; i < HALF; i++) {
            REAL radius = SQRT(-2 * NAME(log)(1 - x[i])), sine, cosine;
            NAME(sin_cos)(TWO_PI * x[i + HALF], &sine, &cosine);
            x[i] = FMA(radius * cosine, (REAL)std, (REAL)mean);
            x[i + HALF] = FMA(radius * sine, (REAL)std, (REAL)mean);
        }
}

static void NAME(bernoulli)(void *x_, const uint32_t *restrict words, idx n, uint64_t bound, double value)
{
    REAL *restrict x = x_;
    VECTOR_FOR (idx i = 0; i < n; i++) x[i] = NAME(low_bits)(words + 2 * i) < (int64_t)bound ? (REAL)value : 0;
}

#undef FMA
#undef FUSED
#undef SQRT
#undef TWO_PI

/* clang-format off */
static const fc_random_kernels NAME(random) = {
    KERNEL(twist) KERNEL(temper) KERNEL(uniform) KERNEL(normal) KERNEL(bernoulli)
};
/* clang-format on */

#endif
