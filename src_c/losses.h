/* Losses of predictions and targets, element by element: each alone, their sum, and the gradient of the prediction. */
#ifndef FC_LOSSES_H
#define FC_LOSSES_H

/* Which loss of a prediction x and a target t, with d = x - t and a parameter p. */
enum {
    FC_SQUARED,   /* d^2 */
    FC_ABSOLUTE,  /* |d| */
    FC_SMOOTH_L1, /* d^2 / (2 p) where |d| < p, else |d| - p / 2 */
    FC_HUBER,     /* d^2 / 2 where |d| <= p, else p (|d| - p / 2) */
    FC_LOGISTIC,  /* log(1 + exp(x)) - t x: binary cross entropy of x as a logit */
    FC_LOSSES
};

typedef struct {
    /* n elements that lie side by side. */
    void (*each_loss)(int kind, void *y, const void *x, const void *t, double p, idx n);
    double (*sum_of_losses)(int kind, const void *x, const void *t, double p, idx n);
    /* dx = scale times the slope, or, unless dy is NULL, dy times it; dx may be dy. */
    void (*loss_backward)(int kind, void *dx, const void *dy, const void *x, const void *t, double p, double scale,
                          idx n);
} fc_losses_kernels;

#endif

#ifdef REAL

INLINE vec NAME(loss_of)(const int kind, vec x, vec t, const vec p)
{
    const vec d = x - t, size = NAME(abs)(d);
    switch (kind) {
    case FC_SQUARED:
        return d * d;
    case FC_ABSOLUTE:
        return size;
    case FC_SMOOTH_L1:
        return NAME(select)((mask_vec)(size < p), (REAL)0.5 * d * d / p, size - (REAL)0.5 * p);
    case FC_HUBER:
        return NAME(select)((mask_vec)(size <= p), (REAL)0.5 * d * d, p * (size - (REAL)0.5 * p));
    default:
        return NAME(softplus)(x) - t * x;
    }
}

INLINE vec NAME(slope_of_loss)(const int kind, vec x, vec t, const vec p)
{
    const vec d = x - t, one = splat(1);
    vec rest;
    const vec sign = NAME(select)((mask_vec)(d > 0), one, NAME(select)((mask_vec)(d < 0), -one, d - d));
    switch (kind) {
    case FC_SQUARED:
        return 2 * d;
    case FC_ABSOLUTE:
        /* NaN has the sign 0 */
        return NAME(select)((mask_vec)(d != d), splat(0), sign);
    case FC_SMOOTH_L1:
        return NAME(select)((mask_vec)(NAME(abs)(d) < p), d / p, sign);
    case FC_HUBER:
        return NAME(select)((mask_vec)(NAME(abs)(d) <= p), d, p * sign);
    default:
        return NAME(sigmoid)(x, &rest) - t;
    }
}

INLINE void NAME(each_loss_of)(const int kind, REAL *y, const REAL *x, const REAL *t, const vec p, idx n)
{
    for (idx i = 0; i < n; i += LANES) {
        const idx some = n - i < LANES ? n - i : LANES;
        NAME(store_up_to)(y + i, NAME(loss_of)(kind, NAME(load_up_to)(x + i, some), NAME(load_up_to)(t + i, some), p),
                          some);
    }
}

INLINE void NAME(sum_losses_of)(const int kind, double *total, const REAL *x, const REAL *t, const vec p, idx n)
{
    idx i = 0;
    while (i + LANES <= n) {
        const idx stop = n - i < NAME(BLOCK) ? n : i + NAME(BLOCK);
        vec s = {0};
        for (; i + LANES <= stop; i += LANES) {
            NAME(ask_ahead)(x + i, x + i, t + i);
            s += NAME(loss_of)(kind, load(x + i), load(t + i), p);
        }
        *total += NAME(sum)(s);
    }
    if (i < n) {
        const vec last = NAME(loss_of)(kind, NAME(load_few)(x + i, n - i), NAME(load_few)(t + i, n - i), p);
        for (idx k = 0; k < n - i; k++) *total += last[k];
    }
}

INLINE void NAME(loss_backward_of)(const int kind, REAL *dx, const REAL *dy, const REAL *x, const REAL *t, const vec p,
                                   const REAL scale, idx n)
{
    for (idx i = 0; i < n; i += LANES) {
        const idx some = n - i < LANES ? n - i : LANES;
        NAME(ask_ahead)(dx + i, x + i, t + i);
        const vec slope = NAME(slope_of_loss)(kind, NAME(load_up_to)(x + i, some), NAME(load_up_to)(t + i, some), p);
        NAME(store_up_to)(dx + i, slope * (dy ? NAME(load_up_to)(dy + i, some) : splat(scale)), some);
    }
}

/* One loop for each kind, which is known within it. */
#define EACH_LOSS(LOOP, ...)                                                                                           \
    switch (kind) {                                                                                                    \
    case FC_SQUARED:                                                                                                   \
        LOOP(FC_SQUARED, __VA_ARGS__);                                                                                 \
        break;                                                                                                         \
    case FC_ABSOLUTE:                                                                                                  \
        LOOP(FC_ABSOLUTE, __VA_ARGS__);                                                                                \
        break;                                                                                                         \
    case FC_SMOOTH_L1:                                                                                                 \
        LOOP(FC_SMOOTH_L1, __VA_ARGS__);                                                                               \
        break;                                                                                                         \
    case FC_HUBER:                                                                                                     \
        LOOP(FC_HUBER, __VA_ARGS__);                                                                                   \
        break;                                                                                                         \
    case FC_LOGISTIC:                                                                                                  \
        LOOP(FC_LOGISTIC, __VA_ARGS__);                                                                                \
        break;                                                                                                         \
    }

static void NAME(each_loss)(int kind, void *y, const void *x, const void *t, double p, idx n)
{
    const vec of = splat((REAL)p);
    EACH_LOSS(NAME(each_loss_of), y, x, t, of, n)
}

static double NAME(sum_of_losses)(int kind, const void *x, const void *t, double p, idx n)
{
    const vec of = splat((REAL)p);
    double total = 0;
    EACH_LOSS(NAME(sum_losses_of), &total, x, t, of, n)
    return total;
}

static void NAME(loss_backward)(int kind, void *dx, const void *dy, const void *x, const void *t, double p,
                                double scale, idx n)
{
    const vec of = splat((REAL)p);
    EACH_LOSS(NAME(loss_backward_of), dx, dy, x, t, of, (REAL)scale, n)
}

#undef EACH_LOSS

static const fc_losses_kernels NAME(losses) = {KERNEL(each_loss) KERNEL(sum_of_losses) KERNEL(loss_backward)};

#endif
