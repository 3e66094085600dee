/* Activations: y = f(x), element by element, and dx = f'(x) dy. */
#ifndef FC_ACTIVATIONS_H
#define FC_ACTIVATIONS_H

/* Which f, and its parameters p[0], p[1], p[2]. */
enum {
    FC_HARDTANH,    /* from p[0] to p[1] */
    FC_HARDSIGMOID, /* min(max(x + 3, 0), 6) / 6 */
    FC_HARDSWISH,   /* x hardsigmoid(x) */
    FC_SILU,        /* x sigmoid(x) */
    FC_MISH,        /* x tanh(log(1 + exp(x))) */
    FC_ELU,         /* p[1] x where x > 0, else p[0] (exp(p[2] x) - 1); p[2] is positive */
    FC_GELU,        /* x P(X <= x), X standard normal */
    FC_GELU_TANH,   /* x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)) */
    FC_SIGMOID,     /* 1 / (1 + exp(-x)) */
    FC_TANH,        /* tanh(x) */
    FC_SOFTPLUS,    /* p[2] log(1 + exp(z)), where z = p[0] x; x where z > p[1]. log(sigmoid(x)) is one, too */
    FC_ACTIVATIONS
};

typedef struct {
    /* n elements that lie side by side; y may be x and dx may be dy. What is undefined, such as silu(-inf) = -inf * 0,
     * is NaN. The gradients of FC_SIGMOID and FC_TANH are computed from y in x's place. */
    void (*activate)(int kind, void *y, const void *x, const double *p, idx n);
    void (*activate_backward)(int kind, void *dx, const void *dy, const void *x, const double *p, idx n);

    /* x where it is positive, else slope * x, over planes of n elements with a slope each; the gradient, and
     * sum[plane] = the gradient of its slope. */
    void (*prelu)(void *y, const void *x, const double *slope, idx n_planes, idx n);
    void (*prelu_backward)(void *dx, const void *dy, const void *x, const double *slope, double *sum, idx n_planes,
                           idx n);
} fc_activations_kernels;

#endif

#ifdef REAL

INLINE vec NAME(abs)(vec x) { return NAME(select)((mask_vec)(x < 0), -x, x); }

/* exp(x) - 1 for x <= 0, without cancellation near 0. */
INLINE vec NAME(exp_less_1)(vec x)
{
    vec scale;
    const vec p = NAME(exp_parts)(NAME(select)((mask_vec)(x < LEAST), splat(LEAST), x), &scale);
    return scale * p + (scale - 1);
}

/* 1 / (1 + exp(-x)), and how much it lacks to 1. */
INLINE vec NAME(sigmoid)(vec x, vec *rest)
{
    const mask_vec low = (mask_vec)(x < LEAST);
    const vec e = NAME(exp)(-x), y = 1 / (1 + e);
    *rest = NAME(select)(low, splat(1), e * y);
    return (vec)((mask_vec)y & ~low);
}

INLINE vec NAME(tanh)(vec x)
{
    const SIGNED sign = (SIGNED)((UNSIGNED)1 << (8 * REAL_BYTES - 1));
    const vec less = NAME(exp_less_1)(-2 * NAME(abs)(x)), y = -less / (2 + less);
    return (vec)(((mask_vec)y & ~sign) | ((mask_vec)x & sign));
}

/* log(1 + exp(x)). With e = exp(-|x|) and u = e / (2 + e), log(1 + e) = 2 atanh(u), whose series in u^2 a polynomial
 * replaces, to 4e-9 and 1e-18. */
INLINE vec NAME(softplus)(vec x)
{
    static const double q_f32[] = {1, 0.333331608206888866, 0.20012297615351874, 0.139825788725986344,
                                   0.140788891815545403};
    static const double q_f64[] = {1,
                                   0.333333333333330748,
                                   0.200000000000928737,
                                   0.142857142727270573,
                                   0.111111120403738366,
                                   0.0909087041625240226,
                                   0.0769330702115200388,
                                   0.0665018701633731217,
                                   0.0605508436403460883,
                                   0.0416225325593041029,
                                   0.0852208178139069906};
    const double *q = REAL_BYTES == 4 ? q_f32 : q_f64;
    const int degree = REAL_BYTES == 4 ? 4 : 10;
    const vec e = NAME(exp)(-NAME(abs)(x)), u = e / (2 + e), square = u * u;
    vec y = splat((REAL)q[degree]);
    UNROLL_FOR (int k = degree - 1; k >= 0; k--) y = y * square + (REAL)q[k];
    return NAME(select)((mask_vec)(x < 0), splat(0), x) + 2 * u * y;
}

/* P(X <= x) of a standard normal X, and its density. With h = |x| / sqrt(2) the smaller side is exp(-h^2) erfcx(h) / 2,
 * where erfcx(h) = t q(t - 1/2), t = 1 / (1 + 0.3 h): the polynomial q interpolates at Chebyshev's points, to 3e-8 and
 * 5e-18. */
INLINE vec NAME(below_and_density)(vec x, vec *density)
{
    static const double q_f32[] = {0.32497992224, 0.55304723263, 0.79512495717,   0.94973607409, 0.91132335295,
                                   0.65331803322, 0.28022214325, -0.031149238517, -0.13077087727};
    static const double q_f64[] = {
        0.324979921859796872,     0.553047113512130738,    0.79512431217731263,    0.949749397671430984,
        0.911386208691047091,     0.652846301768271293,    0.278790405064467039,   -0.0232624057834597142,
        -0.123225120839728431,    -0.0547844506718792674,  0.0335177121795798068,  0.0391179432638845822,
        -0.00716601393666131821,  -0.0234245343687515784,  0.00116808850781729505, 0.0145587158013251217,
        -0.000674660275521564569, -0.00961215091409810433, 0.00150851794995077877, 0.00614387033947542576,
        -0.00226981359655809408,  -0.00273145187441743984, 0.00176394098676354699};
    const double *q = REAL_BYTES == 4 ? q_f32 : q_f64;
    const int degree = REAL_BYTES == 4 ? 8 : 22;
    const vec e = NAME(exp)(x * x * (REAL)-0.5);
    const vec t = 1 / (1 + NAME(abs)(x) * (REAL)(0.3 * 0.70710678118654752440)), s = t - (REAL)0.5;
    vec y = splat((REAL)q[degree]);
    UNROLL_FOR (int k = degree - 1; k >= 0; k--) y = y * s + (REAL)q[k];
    const vec smaller = e * y * t * (REAL)0.5;
    *density = e * (REAL)0.39894228040143267794;
    return NAME(select)((mask_vec)(x < 0), smaller, 1 - smaller);
}

/* tanh(log(1 + exp(x))), a ratio of polynomials in exp(-|x|), and how much it lacks to 1. */
INLINE vec NAME(tanh_of_softplus)(vec x, vec *rest)
{
    const vec e = NAME(exp)(-NAME(abs)(x));
    const mask_vec positive = (mask_vec)(x >= 0);
    const vec above = NAME(select)(positive, 1 + 2 * e, e * (e + 2));
    const vec lacks = NAME(select)(positive, 2 * e * e, splat(2));
    const vec below = 1 / (above + lacks);
    *rest = lacks * below;
    return above * below;
}

INLINE vec NAME(value_of)(const int kind, vec x, const vec p[3])
{
    vec rest;
    switch (kind) {
    case FC_HARDTANH:
        return NAME(select)((mask_vec)(x < p[0]), p[0], NAME(select)((mask_vec)(x > p[1]), p[1], x));
    case FC_HARDSIGMOID:
    case FC_HARDSWISH: {
        const vec up = x + 3, least = NAME(select)((mask_vec)(up < 0), splat(0), up);
        const vec share = NAME(select)((mask_vec)(least > 6), splat(6), least) / 6;
        return kind == FC_HARDSIGMOID ? share : x * share;
    }
    case FC_SILU:
        return x * NAME(sigmoid)(x, &rest);
    case FC_MISH:
        return x * NAME(tanh_of_softplus)(x, &rest);
    case FC_ELU: {
        const vec z = x * p[2];
        const mask_vec positive = (mask_vec)(z > 0);
        return NAME(select)(positive, x * p[1], p[0] * NAME(exp_less_1)(NAME(select)(positive, splat(0), z)));
    }
    case FC_GELU:
        return x * NAME(below_and_density)(x, &rest);
    case FC_SIGMOID:
        return NAME(sigmoid)(x, &rest);
    case FC_TANH:
        return NAME(tanh)(x);
    case FC_SOFTPLUS: {
        const vec z = x * p[0];
        return NAME(select)((mask_vec)(z > p[1]), x, NAME(softplus)(z) * p[2]);
    }
    default:
        return x * NAME(sigmoid)((REAL)1.59576912160573071176 * x * (1 + (REAL)0.044715 * x * x), &rest);
    }
}

INLINE vec NAME(gradient_of)(const int kind, vec x, vec dy, const vec p[3])
{
    const vec none = splat(0);
    vec rest;
    switch (kind) {
    case FC_HARDTANH:
        return NAME(select)((mask_vec)(x <= p[0]) | (mask_vec)(x >= p[1]), none, dy);
    case FC_HARDSIGMOID:
        return NAME(select)((mask_vec)(x > -3) & (mask_vec)(x < 3), dy / 6, none);
    case FC_HARDSWISH: {
        const vec inside = dy * (x / 3 + (REAL)0.5);
        return NAME(select)((mask_vec)(x <= -3), none, NAME(select)((mask_vec)(x >= 3), dy, inside));
    }
    case FC_SILU: {
        const vec s = NAME(sigmoid)(x, &rest);
        return dy * s * (1 + x * rest);
    }
    case FC_MISH: {
        vec far;
        const vec t = NAME(tanh_of_softplus)(x, &far), s = NAME(sigmoid)(x, &rest);
        return dy * (t + x * s * far * (1 + t));
    }
    case FC_ELU: {
        const vec z = x * p[2];
        const mask_vec positive = (mask_vec)(x > 0);
        const vec slope = p[0] * p[2] * NAME(exp)(NAME(select)(positive, none, z));
        return dy * NAME(select)(positive | (mask_vec)(x != x), p[1], slope);
    }
    case FC_GELU: {
        vec density;
        const vec share = NAME(below_and_density)(x, &density);
        return dy * (share + x * density);
    }
    case FC_SIGMOID:
        return dy * (x * (1 - x));
    case FC_TANH:
        return dy * (1 - x * x);
    case FC_SOFTPLUS: {
        const vec z = x * p[0];
        return NAME(select)((mask_vec)(z > p[1]), dy, dy * NAME(sigmoid)(z, &rest));
    }
    default: {
        const vec square = x * x,
                  s = NAME(sigmoid)((REAL)1.59576912160573071176 * x * (1 + (REAL)0.044715 * square), &rest);
        const vec slope = (REAL)1.59576912160573071176 * (1 + (REAL)0.134145 * square);
        return dy * (s + x * s * rest * slope);
    }
    }
}

INLINE void NAME(activate_all)(const int kind, REAL *y, const REAL *x, const vec p[3], idx n)
{
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        NAME(ask_ahead)(y + i, x + i, x + i);
        store(y + i, NAME(value_of)(kind, load(x + i), p));
    }
    if (i < n) NAME(store_few)(y + i, NAME(value_of)(kind, NAME(load_few)(x + i, n - i), p), n - i);
}

INLINE void NAME(activate_all_backward)(const int kind, REAL *dx, const REAL *dy, const REAL *x, const vec p[3], idx n)
{
    idx i = 0;
    for (; i + LANES <= n; i += LANES) {
        NAME(ask_ahead)(dx + i, dy + i, x + i);
        store(dx + i, NAME(gradient_of)(kind, load(x + i), load(dy + i), p));
    }
    if (i < n) {
        const vec few = NAME(load_few)(x + i, n - i), few_dy = NAME(load_few)(dy + i, n - i);
        NAME(store_few)(dx + i, NAME(gradient_of)(kind, few, few_dy, p), n - i);
    }
}

/* One loop for each kind, which is known within it. */
#define EACH_KIND(LOOP, ...)                                                                                           \
    switch (kind) {                                                                                                    \
    case FC_HARDTANH:                                                                                                  \
        LOOP(FC_HARDTANH, __VA_ARGS__);                                                                                \
        break;                                                                                                         \
    case FC_HARDSIGMOID:                                                                                               \
        LOOP(FC_HARDSIGMOID, __VA_ARGS__);                                                                             \
        break;                                                                                                         \
    case FC_HARDSWISH:                                                                                                 \
        LOOP(FC_HARDSWISH, __VA_ARGS__);                                                                               \
        break;                                                                                                         \
    case FC_SILU:                                                                                                      \
        LOOP(FC_SILU, __VA_ARGS__);                                                                                    \
        break;                                                                                                         \
    case FC_MISH:                                                                                                      \
        LOOP(FC_MISH, __VA_ARGS__);                                                                                    \
        break;                                                                                                         \
    case FC_ELU:                                                                                                       \
        LOOP(FC_ELU, __VA_ARGS__);                                                                                     \
        break;                                                                                                         \
    case FC_GELU:                                                                                                      \
        LOOP(FC_GELU, __VA_ARGS__);                                                                                    \
        break;                                                                                                         \
    case FC_GELU_TANH:                                                                                                 \
        LOOP(FC_GELU_TANH, __VA_ARGS__);                                                                               \
        break;                                                                                                         \
    case FC_SIGMOID:                                                                                                   \
        LOOP(FC_SIGMOID, __VA_ARGS__);                                                                                 \
        break;                                                                                                         \
    case FC_TANH:                                                                                                      \
        LOOP(FC_TANH, __VA_ARGS__);                                                                                    \
        break;                                                                                                         \
    case FC_SOFTPLUS:                                                                                                  \
        LOOP(FC_SOFTPLUS, __VA_ARGS__);                                                                                \
        break;                                                                                                         \
    }

static void NAME(activate)(int kind, void *y, const void *x, const double *parameters, idx n)
{
    const vec p[3] = {splat((REAL)parameters[0]), splat((REAL)parameters[1]), splat((REAL)parameters[2])};
    EACH_KIND(NAME(activate_all), y, x, p, n)
}

static void NAME(activate_backward)(int kind, void *dx, const void *dy, const void *x, const double *parameters, idx n)
{
    const vec p[3] = {splat((REAL)parameters[0]), splat((REAL)parameters[1]), splat((REAL)parameters[2])};
    EACH_KIND(NAME(activate_all_backward), dx, dy, x, p, n)
}

#undef EACH_KIND

static void NAME(prelu)(void *y_, const void *x_, const double *slope, idx n_planes, idx n)
{
    REAL *y = y_;
    const REAL *x = x_;
    for (idx p = 0; p < n_planes; p++, y += n, x += n) {
        const REAL a = (REAL)slope[p];
        idx i = 0;
        for (; i + LANES <= n; i += LANES) {
            const vec v = load(x + i);
            NAME(ask_ahead)(y + i, x + i, x + i);
            store(y + i, NAME(select)((mask_vec)(v > 0), v, a * v));
        }
        for (; i < n; i++) y[i] = x[i] > 0 ? x[i] : a * x[i];
    }
}

static void NAME(prelu_backward)(void *dx_, const void *dy_, const void *x_, const double *slope, double *sum,
                                 idx n_planes, idx n)
{
    REAL *dx = dx_;
    const REAL *dy = dy_, *x = x_;
    for (idx p = 0; p < n_planes; p++, dx += n, dy += n, x += n) {
        const REAL a = (REAL)slope[p];
        double total = 0;
        idx i = 0;
        while (i + LANES <= n) {
            const idx end = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
            vec s = {0};
            for (; i + LANES <= end; i += LANES) {
                const vec v = load(x + i), g = load(dy + i);
                const mask_vec positive = (mask_vec)(v > 0);
                NAME(ask_ahead)(dx + i, dy + i, x + i);
                store(dx + i, NAME(select)(positive, g, a * g));
                s += NAME(select)(positive, splat(0), v * g);
            }
            total += NAME(sum)(s);
        }
        for (; i < n; i++) {
            if (!(x[i] > 0)) total += (double)x[i] * dy[i];
            dx[i] = x[i] > 0 ? dy[i] : a * dy[i];
        }
        sum[p] = total;
    }
}

/* clang-format off */
static const fc_activations_kernels NAME(activations) = {
    KERNEL(activate) KERNEL(activate_backward) KERNEL(prelu) KERNEL(prelu_backward)
};
/* clang-format on */

#endif
