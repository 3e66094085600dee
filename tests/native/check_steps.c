#include "kernels.h"

/* Numbers that are exact in binary, so that only roots and divisions round. */
static const fc_step numbers = {.sign = -1,
                                .decay = 2,
                                .keep = 0.5,
                                .lr = 0.25,
                                .first_old = 0.5,
                                .first_new = 0.25,
                                .second_old = 0.75,
                                .second_new = 0.5,
                                .scale = 2,
                                .eps = 0.125,
                                .lr_direct = 0.5};

/* Small integers that are not negative, as sums of squares are. */
static void *squares(idx n)
{
    void *x = input(n);
    for (idx i = 0; i < n; i++) put(x, i, fabs(get(x, i)));
    return x;
}

static void expect_at(const void *actual, idx i, double expected, const char *name)
{
    if (!close_to(get(actual, i), expected)) fail(name);
}

static void check_sgd(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++)
        for (int kind = 0; kind < 3; kind++) {
            fc_step s = numbers;
            void *p0 = input(n), *dp = input(n), *m0 = input(n), *p = copy_of(p0, n), *m = copy_of(m0, n);
            s.nesterov = kind == 2;
            SAY("n %td kind %d", n, kind);
            kern->steps->sgd(&s, p, dp, kind ? m : NULL, NULL, NULL, n);
            for (idx i = 0; i < n; i++) {
                double g = s.decay * get(p0, i) - get(dp, i), first = s.first_old * get(m0, i) + s.first_new * g;
                double d = kind == 0 ? g : kind == 1 ? first : g + s.first_old * first;
                if (get(p, i) != get(p0, i) - s.lr * d) fail("wrong parameter");
                if (get(m, i) != (kind ? first : get(m0, i))) fail("wrong moment");
            }
            release();
        }
}

static void check_adam(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++)
        for (int kind = 0; kind < 2; kind++) {
            const fc_step s = numbers;
            void *p0 = input(n), *dp = input(n), *m0 = input(n), *v0 = squares(n), *most0 = squares(n);
            void *p = copy_of(p0, n), *m = copy_of(m0, n), *v = copy_of(v0, n), *most = copy_of(most0, n);
            if (kind && n > 1) put(v, 1, NAN);
            SAY("n %td kind %d", n, kind);
            kern->steps->adam(&s, p, dp, m, v, kind ? most : NULL, n);
            for (idx i = 0; i < n; i++) {
                double g = s.decay * get(p0, i) - get(dp, i), first = s.first_old * get(m0, i) + s.first_new * g;
                double second = s.second_old * get(v0, i) + s.second_new * g * g, under = second;
                if (kind && i == 1) {
                    if (get(most, i) == get(most, i)) fail("NaN is lost");
                    continue;
                }
                if (kind) under = fmax(second, get(most0, i));
                if (get(m, i) != first || get(v, i) != second) fail("wrong moment");
                if (get(most, i) != (kind ? under : get(most0, i))) fail("wrong largest moment");
                expect_at(p, i,
                          s.keep * get(p0, i) - (s.lr * first + s.lr_direct * g) / (s.scale * sqrt(under) + s.eps),
                          "wrong parameter");
            }
            release();
        }
}

static void check_rmsprop(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++)
        for (int kind = 0; kind < 4; kind++) {
            fc_step s = numbers;
            void *p0 = input(n), *dp = input(n), *v0 = squares(n), *m0 = input(n), *mean0 = input(n);
            void *p = copy_of(p0, n), *v = copy_of(v0, n), *m = copy_of(m0, n), *mean = copy_of(mean0, n);
            /* The variance about a mean is positive, as long as the mean is of what the squares are of. */
            for (idx i = 0; i < n; i++) put(mean0, i, 0), put(mean, i, 0);
            SAY("n %td kind %d", n, kind);
            kern->steps->rmsprop(&s, p, dp, v, kind & 1 ? m : NULL, kind & 2 ? mean : NULL, n);
            for (idx i = 0; i < n; i++) {
                double g = s.decay * get(p0, i) - get(dp, i), second = s.second_old * get(v0, i) + s.second_new * g * g;
                double first = s.second_new * g, d = g / (sqrt(second - (kind & 2 ? first * first : 0)) + s.eps);
                if (kind & 1) d += s.first_old * get(m0, i);
                if (get(v, i) != second) fail("wrong square");
                if (get(mean, i) != (kind & 2 ? first : 0)) fail("wrong mean");
                expect_at(m, i, kind & 1 ? d : get(m0, i), "wrong moment");
                expect_at(p, i, get(p0, i) - s.lr * d, "wrong parameter");
            }
            release();
        }
}

static void check_adagrad(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++) {
        const fc_step s = numbers;
        void *p0 = input(n), *dp = input(n), *v0 = squares(n), *p = copy_of(p0, n), *v = copy_of(v0, n);
        SAY("n %td", n);
        kern->steps->adagrad(&s, p, dp, v, NULL, NULL, n);
        for (idx i = 0; i < n; i++) {
            double g = s.decay * get(p0, i) - get(dp, i), total = get(v0, i) + g * g;
            if (get(v, i) != total) fail("wrong total");
            expect_at(p, i, get(p0, i) - s.lr * g / (sqrt(total) + s.eps), "wrong parameter");
        }
        release();
    }
}

static void check_adadelta(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++) {
        const fc_step s = numbers;
        void *p0 = input(n), *dp = input(n), *v0 = squares(n), *u0 = squares(n);
        void *p = copy_of(p0, n), *v = copy_of(v0, n), *u = copy_of(u0, n);
        SAY("n %td", n);
        kern->steps->adadelta(&s, p, dp, v, u, NULL, n);
        for (idx i = 0; i < n; i++) {
            double g = s.decay * get(p0, i) - get(dp, i), second = s.second_old * get(v0, i) + s.second_new * g * g;
            double d = g * sqrt(get(u0, i) + s.eps) / sqrt(second + s.eps);
            if (get(v, i) != second) fail("wrong square");
            expect_at(u, i, s.second_old * get(u0, i) + s.second_new * d * d, "wrong square of steps");
            expect_at(p, i, get(p0, i) - s.lr * d, "wrong parameter");
        }
        release();
    }
}

static void check_adamax(void)
{
    for (idx n = 0; n < 6 * kern->lanes; n++) {
        const fc_step s = numbers;
        void *p0 = input(n), *dp = input(n), *m0 = input(n), *u0 = squares(n);
        void *p = copy_of(p0, n), *m = copy_of(m0, n), *u = copy_of(u0, n);
        if (n > 1) put(u, 1, NAN);
        if (n > 2) put(dp, 2, NAN);
        SAY("n %td", n);
        kern->steps->adamax(&s, p, dp, m, u, NULL, n);
        for (idx i = 0; i < n; i++) {
            double g = s.decay * get(p0, i) - get(dp, i), first = s.first_old * get(m0, i) + s.first_new * g;
            double most = fmax(s.second_old * get(u0, i), fabs(g) + s.eps);
            if (i == 1 || i == 2) {
                if (get(u, i) == get(u, i)) fail("NaN is lost");
                continue;
            }
            if (get(m, i) != first) fail("wrong moment");
            if (get(u, i) != most) fail("wrong largest gradient");
            expect_at(p, i, get(p0, i) - s.lr * first / most, "wrong parameter");
        }
        release();
    }
}

const kernel_check steps_checks[] = {
    {"sgd", check_sgd},
    {"adam", check_adam},
    {"rmsprop", check_rmsprop},
    {"adagrad", check_adagrad},
    {"adadelta", check_adadelta},
    {"adamax", check_adamax},
    {NULL, NULL},
};
