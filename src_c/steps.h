/* The steps of optimisers: one pass over a parameter, its gradient and what the optimiser keeps between steps. */
#ifndef FC_STEPS_H
#define FC_STEPS_H

/* The numbers of a step, computed by the caller in double; each kernel says which it takes. */
typedef struct {
    double sign;                   /* of the gradient: -1 ascends */
    double decay;                  /* weight decay that joins the gradient: g = sign * dp + decay * p */
    double keep;                   /* share of p that is left by a decay apart from the gradient */
    double lr;                     /* size of the step */
    double first_old, first_new;   /* first moment: m = first_old * m + first_new * g */
    double second_old, second_new; /* second moment: v = second_old * v + second_new * g * g */
    double scale, eps;             /* the denominator: scale * sqrt(v) + eps */
    double lr_direct;              /* share of g itself in the step */
    int nesterov;
} fc_step;

/* Over n elements that lie side by side; p and what the rule keeps, up to three states, are changed in place. */
typedef void (*fc_step_kernel)(const fc_step *step, void *p, const void *dp, void *a, void *b, void *c, idx n);

typedef struct {
    /* States m or none: p -= lr * m; with nesterov p -= lr * (g + first_old * m); without m p -= lr * g. */
    fc_step_kernel sgd;

    /* States m, v, and the largest v so far or none, which takes v's place:
     * p = keep * p - (lr * m + lr_direct * g) / (scale * sqrt(v) + eps). */
    fc_step_kernel adam;

    /* States v, m or none, and mean or none: mean = second_old * mean + second_new * g;
     * r = g / (sqrt(v - mean * mean) + eps); m = first_old * m + r; p -= lr * m, or without m p -= lr * r. */
    fc_step_kernel rmsprop;

    /* State total: total += g * g; p -= lr * g / (sqrt(total) + eps). */
    fc_step_kernel adagrad;

    /* States v, u: d = g * sqrt(u + eps) / sqrt(v + eps); u = second_old * u + second_new * d * d; p -= lr * d. */
    fc_step_kernel adadelta;

    /* States m, u: m = first_old * m + first_new * g; u = max(second_old * u, |g| + eps); p -= lr * m / u. */
    fc_step_kernel adamax;
} fc_steps_kernels;

#endif

#ifdef REAL

/* The square root is an instruction of its own, for the kernels are compiled without errno. */
INLINE REAL NAME(root)(REAL x)
{
    return REAL_BYTES == 4 ? (REAL)__builtin_sqrtf((float)x) : (REAL)__builtin_sqrt((double)x);
}

static void NAME(sgd)(const fc_step *step, void *p_, const void *dp_, void *m_, void *none, void *nor, idx n)
{
    REAL *restrict p = p_, *restrict m = m_;
    const REAL *restrict dp = dp_;
    const REAL sign = (REAL)step->sign, decay = (REAL)step->decay, lr = (REAL)step->lr;
    const REAL old = (REAL)step->first_old, fresh = (REAL)step->first_new;
    (void)none, (void)nor;
    if (!m)
        VECTOR_FOR (idx i = 0; i < n; i++) p[i] -= lr * (sign * dp[i] + decay * p[i]);
    else if (step->nesterov)
        VECTOR_FOR (idx i = 0; i < n; i++) {
            REAL g = sign * dp[i] + decay * p[i];
            m[i] = old * m[i] + fresh * g;
            p[i] -= lr * (g + old * m[i]);
        }
    else
        VECTOR_FOR (idx i = 0; i < n; i++) {
            m[i] = old * m[i] + fresh * (sign * dp[i] + decay * p[i]);
            p[i] -= lr * m[i];
        }
}

static void NAME(adam)(const fc_step *step, void *p_, const void *dp_, void *m_, void *v_, void *largest_, idx n)
{
    REAL *restrict p = p_, *restrict m = m_, *restrict v = v_, *restrict largest = largest_;
    const REAL *restrict dp = dp_;
    const REAL sign = (REAL)step->sign, decay = (REAL)step->decay, keep = (REAL)step->keep;
    const REAL lr = (REAL)step->lr, lr_direct = (REAL)step->lr_direct;
    const REAL first_old = (REAL)step->first_old, first_new = (REAL)step->first_new;
    const REAL second_old = (REAL)step->second_old, second_new = (REAL)step->second_new;
    const REAL scale = (REAL)step->scale, eps = (REAL)step->eps;
    if (!largest)
        VECTOR_FOR (idx i = 0; i < n; i++) {
            REAL g = sign * dp[i] + decay * p[i];
            m[i] = first_old * m[i] + first_new * g;
            v[i] = second_old * v[i] + second_new * (g * g);
            p[i] = keep * p[i] - (lr * m[i] + lr_direct * g) / (scale * NAME(root)(v[i]) + eps);
        }
    else
        VECTOR_FOR (idx i = 0; i < n; i++) {
            REAL g = sign * dp[i] + decay * p[i];
            m[i] = first_old * m[i] + first_new * g;
            v[i] = second_old * v[i] + second_new * (g * g);
            /* In this order a NaN is kept. */
            largest[i] = v[i] <= largest[i] ? largest[i] : v[i];
            p[i] = keep * p[i] - (lr * m[i] + lr_direct * g) / (scale * NAME(root)(largest[i]) + eps);
        }
}

/* One element of RMSprop; `m` and `mean` say whether there are these. */
INLINE void NAME(rmsprop_element)(const fc_step *step, REAL *restrict p, const REAL *restrict dp, REAL *restrict v,
                                  REAL *restrict m, REAL *restrict mean, idx n)
{
    const REAL sign = (REAL)step->sign, decay = (REAL)step->decay, lr = (REAL)step->lr, eps = (REAL)step->eps;
    const REAL momentum = (REAL)step->first_old, old = (REAL)step->second_old, fresh = (REAL)step->second_new;
    VECTOR_FOR (idx i = 0; i < n; i++) {
        REAL g = sign * dp[i] + decay * p[i], square;
        square = v[i] = old * v[i] + fresh * (g * g);
        if (mean) {
            mean[i] = old * mean[i] + fresh * g;
            square -= mean[i] * mean[i];
        }
        REAL r = g / (NAME(root)(square) + eps);
        if (m) r = m[i] = momentum * m[i] + r;
        p[i] -= lr * r;
    }
}

static void NAME(rmsprop)(const fc_step *step, void *p, const void *dp, void *v, void *m, void *mean, idx n)
{
    /* The four loops that the compiler makes of one have no branches within. */
    if (m && mean)
        NAME(rmsprop_element)(step, p, dp, v, m, mean, n);
    else if (m)
        NAME(rmsprop_element)(step, p, dp, v, m, NULL, n);
    else if (mean)
        NAME(rmsprop_element)(step, p, dp, v, NULL, mean, n);
    else
        NAME(rmsprop_element)(step, p, dp, v, NULL, NULL, n);
}

static void NAME(adagrad)(const fc_step *step, void *p_, const void *dp_, void *total_, void *none, void *nor, idx n)
{
    REAL *restrict p = p_, *restrict total = total_;
    const REAL *restrict dp = dp_;
    const REAL sign = (REAL)step->sign, decay = (REAL)step->decay, lr = (REAL)step->lr, eps = (REAL)step->eps;
    (void)none, (void)nor;
    VECTOR_FOR (idx i = 0; i < n; i++) {
        REAL g = sign * dp[i] + decay * p[i];
        total[i] += g * g;
        p[i] -= lr * g / (NAME(root)(total[i]) + eps);
    }
}

static void NAME(adadelta)(const fc_step *step, void *p_, const void *dp_, void *v_, void *u_, void *none, idx n)
{
    REAL *restrict p = p_, *restrict v = v_, *restrict u = u_;
    const REAL *restrict dp = dp_;
    const REAL sign = (REAL)step->sign, decay = (REAL)step->decay, lr = (REAL)step->lr, eps = (REAL)step->eps;
    const REAL old = (REAL)step->second_old, fresh = (REAL)step->second_new;
    (void)none;
    VECTOR_FOR (idx i = 0; i < n; i++) {
        REAL g = sign * dp[i] + decay * p[i];
        v[i] = old * v[i] + fresh * (g * g);
        REAL d = g * (NAME(root)(u[i] + eps) / NAME(root)(v[i] + eps));
        u[i] = old * u[i] + fresh * (d * d);
        p[i] -= lr * d;
    }
}

static void NAME(adamax)(const fc_step *step, void *p_, const void *dp_, void *m_, void *u_, void *none, idx n)
{
    REAL *restrict p = p_, *restrict m = m_, *restrict u = u_;
    const REAL *restrict dp = dp_;
    const REAL sign = (REAL)step->sign, decay = (REAL)step->decay, lr = (REAL)step->lr, eps = (REAL)step->eps;
    const REAL first_old = (REAL)step->first_old, first_new = (REAL)step->first_new;
    const REAL second_old = (REAL)step->second_old;
    (void)none;
    VECTOR_FOR (idx i = 0; i < n; i++) {
        REAL g = sign * dp[i] + decay * p[i], size = (g < 0 ? -g : g) + eps, before = second_old * u[i];
        m[i] = first_old * m[i] + first_new * g;
        /* In this order a NaN is kept. */
        u[i] = before >= size || before != before ? before : size;
        p[i] -= lr * m[i] / u[i];
    }
}

/* clang-format off */
static const fc_steps_kernels NAME(steps) = {
    KERNEL(sgd) KERNEL(adam) KERNEL(rmsprop) KERNEL(adagrad) KERNEL(adadelta) KERNEL(adamax)
};
/* clang-format on */

#endif
