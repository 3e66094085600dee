#include "kernels.h"

#ifdef _WIN32
/* MinGW's library rounds twice. Whether these do not, AVX2's instructions tell there, and other libraries elsewhere. */
#define fmaf fc_fmaf
#define fma fc_fma
#endif

/* A state as the generator's inventors seed it, and its next words by their definition. */
static void seed_state(uint32_t *state, uint32_t seed)
{
    state[0] = seed;
    for (uint32_t i = 1; i < FC_STATE_WORDS; i++) state[i] = 1812433253u * (state[i - 1] ^ (state[i - 1] >> 30)) + i;
}

static uint32_t tempered(uint32_t w)
{
    w ^= w >> 11;
    w ^= (w << 7) & 0x9d2c5680u;
    w ^= (w << 15) & 0xefc60000u;
    return w ^ (w >> 18);
}

static uint32_t *some_words(idx n)
{
    uint32_t *words = new_buffer(n, sizeof *words, 0);
    for (idx i = 0; i < n; i++) words[i] = (uint32_t)below((idx)1 << 31) ^ (uint32_t)below((idx)1 << 31) << 1;
    return words;
}

static void check_twister(void)
{
    uint32_t *state = new_buffer(FC_STATE_WORDS, sizeof *state, 1), plain[FC_STATE_WORDS], last = 0;
    seed_state(state, 5489);
    memcpy(plain, state, sizeof plain);
    SAY("seed 5489");
    /* The standard of C++ knows the ten thousandth word of this seed. */
    for (int done = 0; done < 10000; done += FC_STATE_WORDS) {
        kern->random->twist(state);
        for (int i = 0; i < FC_STATE_WORDS; i++) {
            uint32_t next = plain[(i + 1) % FC_STATE_WORDS];
            uint32_t joined = (plain[i] & 0x80000000u) | (next & 0x7fffffffu);
            plain[i] = plain[(i + 397) % FC_STATE_WORDS] ^ joined >> 1 ^ (next & 1 ? 0x9908b0dfu : 0);
            if (done + i == 9999) last = tempered(state[i]);
        }
        if (memcmp(plain, state, sizeof plain)) fail("wrong state");
    }
    if (last != 4123659995u) fail("wrong ten thousandth word");
    release();
    for (idx n = 0; n < 40; n++) {
        const uint32_t *from = some_words(n);
        uint32_t *words = new_buffer(n, sizeof *words, 1);
        SAY("n %td", n);
        kern->random->temper(words, from, n);
        for (idx i = 0; i < n; i++)
            if (words[i] != tempered(from[i])) fail("wrong word");
        release();
    }
}

static uint64_t bits_of(const uint32_t *words, idx i)
{
    return ((uint64_t)words[2 * i] << 32 | words[2 * i + 1]) & (((uint64_t)1 << 53) - 1);
}

static double fraction(const uint32_t *words, idx i)
{
    return kern->itemsize == 4 ? (words[i] & 0xffffff) * 0x1p-24 : (double)bits_of(words, i) * 0x1p-53;
}

static void check_uniform(void)
{
    static const double bounds[][2] = {{0, 1}, {-0.25, 0.75}, {1000, 1001.7}, {3, 3}, {1e6, 1e6 + 0.0625}};
    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++)
        for (idx n = 0; n < 40; n++) {
            const uint32_t *words = some_words(2 * n);
            void *x = output(n);
            double low = bounds[k][0], high = bounds[k][1];
            if (kern->itemsize == 4) low = (float)low, high = (float)high;
            SAY("n %td from %g to %g", n, low, high);
            kern->random->uniform(x, words, n, low, high);
            for (idx i = 0; i < n; i++) {
                double u = fraction(words, i);
                double v = kern->itemsize == 4 ? (double)fmaf((float)u, (float)high - (float)low, (float)low)
                                               : fma(u, high - low, low);
                if (get(x, i) != (v == high ? low : v)) fail("wrong number");
            }
            release();
        }
}

static void check_normal(void)
{
    /* In float, the angle is up to 2 pi and rounded by 2.4e-7, which counts times a radius of up to 5.8 and std: 2.8e-6;
     * logarithm, sine and cosine add 2.6e-6, and the last rounding of 12 adds 5e-7. */
    const double mean = 0.5, std = 2, most = kern->itemsize == 4 ? 6e-6 : 1e-14;
    for (idx n_blocks = 0; n_blocks < 200; n_blocks += n_blocks < 9 ? 1 : 37) {
        const idx n = n_blocks * FC_NORMAL_BLOCK;
        uint32_t *words = some_words(2 * n);
        /* The borders of what is drawn, and of the parts of the approximations. */
        static const uint32_t edges[] = {0, 1, 0xffffff, 0x800000, 0x7fffff, 0x4afb0d, 0x4afb0e, 0x200000, 0xe00000};
        for (idx i = 0; i < n && i < 9; i++) words[i] = edges[i];
        void *u = output(n);
        kern->random->uniform(u, words, n, 0, 1);
        void *x = copy_of(u, n);
        SAY("%td blocks", n_blocks);
        kern->random->normal(x, n_blocks, mean, std);
        for (idx i = 0; i < n; i++) {
            const idx first = i / FC_NORMAL_BLOCK * FC_NORMAL_BLOCK + i % 8;
            const double radius = sqrt(-2 * log(1 - get(u, first))), angle = 6.283185307179586 * get(u, first + 8);
            const double expected = radius * (i % FC_NORMAL_BLOCK < 8 ? cos(angle) : sin(angle)) * std + mean;
            if (!(fabs(get(x, i) - expected) <= most)) fail("wrong number");
        }
        release();
    }
}

static void check_bernoulli(void)
{
    static const uint64_t bounds[] = {0, 1, (uint64_t)1 << 52, ((uint64_t)1 << 53) / 3, (uint64_t)1 << 53};
    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++)
        for (idx n = 0; n < 40; n++) {
            uint32_t *words = some_words(2 * n);
            if (n) words[0] = (uint32_t)(bounds[k] >> 32), words[1] = (uint32_t)bounds[k];
            void *x = output(n);
            SAY("n %td below %llu", n, (unsigned long long)bounds[k]);
            kern->random->bernoulli(x, words, n, bounds[k], 1.25);
            for (idx i = 0; i < n; i++)
                if (get(x, i) != (bits_of(words, i) < bounds[k] ? 1.25 : 0)) fail("wrong choice");
            release();
        }
}

const kernel_check random_checks[] = {{"twist temper", check_twister},
                                      {"uniform", check_uniform},
                                      {"normal", check_normal},
                                      {"bernoulli", check_bernoulli},
                                      {NULL, NULL}};
