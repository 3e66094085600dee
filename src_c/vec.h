/* Vectors of any width and of either element type: what all families of kernels share.
 *
 * isa.h includes this file and the families' once for each element type. Before it does, it sets REAL, REAL_BYTES,
 * SIGNED (an integer of REAL's size) and NAME(x), which makes of a name one of this element type's own; the instruction
 * set's file has set VECTOR_BYTES. The vectors are the compilers' own (GCC's and clang's vector extensions).
 */
#ifndef FC_VEC_H
#define FC_VEC_H

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* A loop over an array of vectors is unrolled whole, because registers have no index. */
#ifdef __clang__
#define UNROLL_FOR(...) _Pragma("clang loop unroll(full)") for (__VA_ARGS__)
#else
#define UNROLL_FOR(...) _Pragma("GCC unroll 32") for (__VA_ARGS__)
#endif

/* A loop of a few steps of products, on AVX2 two at a time: what is around a single one takes a tenth of the time there
 * where others use the core. Tiles of 32 registers have more products a step, and 16 bytes are for old CPUs. */
#if VECTOR_BYTES != 32
#define PAIRS_FOR(...) for (__VA_ARGS__)
#elif defined(__clang__)
#define PAIRS_FOR(...) _Pragma("clang loop unroll_count(2)") for (__VA_ARGS__)
#else
#define PAIRS_FOR(...) _Pragma("GCC unroll 2") for (__VA_ARGS__)
#endif

/* A plain loop whose turns do not depend on each other, computed by vectors, which GCC does not by itself at -O2. */
#define VECTOR_FOR(...) _Pragma("omp simd") for (__VA_ARGS__)

/* An entry of a family's table, whose member and function have the same name; and the tables of all families. */
#define KERNEL(name) .name = NAME(name),
#define FAMILIES                                                                                                       \
    {.itemsize = REAL_BYTES,                                                                                           \
     .lanes = LANES,                                                                                                   \
     .move = &NAME(move),                                                                                              \
     .product = &NAME(product),                                                                                        \
     .correlate = &NAME(correlate),                                                                                    \
     .winograd = &NAME(winograd),                                                                                      \
     .windows = &NAME(windows),                                                                                        \
     .pool = &NAME(pool),                                                                                              \
     .passes = &NAME(passes),                                                                                          \
     .random = &NAME(random),                                                                                          \
     .steps = &NAME(steps),                                                                                            \
     .axes = &NAME(axes),                                                                                              \
     .norms = &NAME(norms),                                                                                            \
     .activations = &NAME(activations),                                                                                \
     .losses = &NAME(losses),                                                                                          \
     .resample = &NAME(resample),                                                                                      \
     .padding = &NAME(padding),                                                                                        \
     .blocks = &NAME(blocks)}

#define LANES (VECTOR_BYTES / REAL_BYTES)
#define vec NAME(vec)
#define uvec NAME(uvec)
#define mask_vec NAME(mask_vec)
#define bits_vec NAME(bits_vec)
#define load NAME(load)
#define store NAME(store)
#define splat NAME(splat)

/* SHUFFLE(a, b, PLACE, ...): lane i of the result is lane PLACE(i, ...) of a and b in a row. The compilers' one common
 * word for this, __builtin_shufflevector, wants a constant for each lane, so the macro is written out for every number
 * of lanes; GCC 11 has another word. */
#define PLACES_1(PLACE, ...) PLACE(0, __VA_ARGS__)
#define PLACES_2(PLACE, ...) PLACES_1(PLACE, __VA_ARGS__), PLACE(1, __VA_ARGS__)
#define PLACES_4(PLACE, ...) PLACES_2(PLACE, __VA_ARGS__), PLACE(2, __VA_ARGS__), PLACE(3, __VA_ARGS__)
#define PLACES_8(PLACE, ...)                                                                                           \
    PLACES_4(PLACE, __VA_ARGS__), PLACE(4, __VA_ARGS__), PLACE(5, __VA_ARGS__), PLACE(6, __VA_ARGS__),                 \
        PLACE(7, __VA_ARGS__)
#define PLACES_16(PLACE, ...)                                                                                          \
    PLACES_8(PLACE, __VA_ARGS__), PLACE(8, __VA_ARGS__), PLACE(9, __VA_ARGS__), PLACE(10, __VA_ARGS__),                \
        PLACE(11, __VA_ARGS__), PLACE(12, __VA_ARGS__), PLACE(13, __VA_ARGS__), PLACE(14, __VA_ARGS__),                \
        PLACE(15, __VA_ARGS__)
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, PLACE, ...) __builtin_shufflevector(a, b, PLACES(PLACE, __VA_ARGS__))
#else
#define SHUFFLE(a, b, PLACE, ...) __builtin_shuffle(a, b, (mask_vec){PLACES(PLACE, __VA_ARGS__)})
#endif

/* The places that kernels of several families take from. */
#define ZIPPED(i, from) (((from) + (i)) / 2 + ((from) + (i)) % 2 * LANES) /* a[0], b[0], a[1], b[1], ... */
#define SECONDS(i, odd) (2 * (i) + (odd))                                 /* every second lane of a and b in a row */
#define TURNED(i, by) (((i) + (by)) % LANES)                              /* a's lanes, turned */
#define REVERSED(i, last) ((last) - (i))                                  /* a's lanes, the last one first */
#define HALVES(i, other) (2 * (i) < LANES ? (i) : (i) + (other))          /* a's first half, the other's second */
#define OF_GROUP(i, mix, c) (((i) / (mix) * (mix) + (c)) % LANES)         /* channel c of each group of lanes */

/* AVX2 moves 16 bytes as a whole, or elements within 16 bytes, in one step each, and takes more steps for anything
 * else. So there the shuffles go in two steps: first the blocks, all first ones or all second ones, and then every
 * second element, or elements zipped, within each block. */
#define BLOCKS_OF_16(i, second) ((i) + (i) / (LANES / 2) * (LANES / 2) + (second) * (LANES / 2))
#define SECONDS_IN_16(i, odd)                                                                                          \
    ((i) / (LANES / 2) * (LANES / 2) + (i) % (LANES / 4) * 2 + (i) / (LANES / 4) % 2 * LANES + (odd))
#define ZIPPED_IN(block, i, from) ((i) / (block) * (block) + (i) % (block) / 2 + (i) % 2 * LANES + (from))

#endif

#undef PLACES
#if LANES == 1
#define PLACES PLACES_1
#elif LANES == 2
#define PLACES PLACES_2
#elif LANES == 4
#define PLACES PLACES_4
#elif LANES == 8
#define PLACES PLACES_8
#else
#define PLACES PLACES_16
#endif

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL uvec __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias));
typedef SIGNED mask_vec __attribute__((vector_size(VECTOR_BYTES)));
typedef UNSIGNED bits_vec __attribute__((vector_size(VECTOR_BYTES)));

INLINE vec load(const REAL *p) { return *(const uvec *)p; }
INLINE void store(REAL *p, vec v) { *(uvec *)p = v; }
INLINE vec splat(REAL a) { return a - (vec){0}; }

/* 0, 1, 2, ...; from memory, for GCC does not always see through a loop that fills a vector. */
INLINE mask_vec NAME(lane)(void)
{
    static const SIGNED places[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    mask_vec v;
    memcpy(&v, places, sizeof v);
    return v;
}

INLINE vec NAME(select)(mask_vec where, vec yes, vec no)
{
    return (vec)(((mask_vec)yes & where) | ((mask_vec)no & ~where));
}

/* The first, and the second, half of a[0], b[0], a[1], b[1], ... */
INLINE vec NAME(zip_low)(vec a, vec b) { return SHUFFLE(a, b, ZIPPED, 0); }
INLINE vec NAME(zip_high)(vec a, vec b) { return SHUFFLE(a, b, ZIPPED, LANES); }

/* Every second of the lanes of a and b in a row. */
INLINE vec NAME(every_second)(vec a, vec b, const int odd)
{
#if VECTOR_BYTES == 32
    const vec first = SHUFFLE(a, b, BLOCKS_OF_16, 0), second = SHUFFLE(a, b, BLOCKS_OF_16, 1);
    return odd ? SHUFFLE(first, second, SECONDS_IN_16, 1) : SHUFFLE(first, second, SECONDS_IN_16, 0);
#else
    return odd ? SHUFFLE(a, b, SECONDS, 1) : SHUFFLE(a, b, SECONDS, 0);
#endif
}

/* Lanes p[odd], p[odd + 2], p[odd + 4], ..., out of two whole vectors from p on. */
INLINE vec NAME(load_second)(const REAL *p, const int odd) { return NAME(every_second)(load(p), load(p + LANES), odd); }

/* Lanes p[0], p[stride], p[2 * stride], ... */
INLINE vec NAME(load_every)(const REAL *p, const idx stride)
{
    if (stride == 1) return load(p);
    if (stride == 2) return NAME(load_second)(p, 0);
    if (stride == 4) return SHUFFLE(NAME(load_second)(p, 0), NAME(load_second)(p + 2 * LANES, 0), SECONDS, 0);
    vec v;
    for (int i = 0; i < LANES; i++) v[i] = p[i * stride];
    return v;
}

/* Lane i is channel c of its group of `mix` lanes, which is 1, 2, 4 or 8. */
INLINE vec NAME(of_group)(const REAL *p, const int mix, const int c)
{
    if (mix == 1) return load(p);
    if (mix >= LANES) return splat(p[c]);
    const vec v = load(p);
    /* clang-format off */
#define CHANNEL(mix_, c_) if (mix == mix_ && c == c_) return SHUFFLE(v, v, OF_GROUP, mix_, c_)
    CHANNEL(2, 0); CHANNEL(2, 1);
    CHANNEL(4, 0); CHANNEL(4, 1); CHANNEL(4, 2); CHANNEL(4, 3);
    CHANNEL(8, 0); CHANNEL(8, 1); CHANNEL(8, 2); CHANNEL(8, 3); CHANNEL(8, 4); CHANNEL(8, 5); CHANNEL(8, 6);
    /* clang-format on */
#undef CHANNEL
    return SHUFFLE(v, v, OF_GROUP, 8, 7);
}

/* The sum of the lanes, by halves. This is no loop, because GCC would put the places together one by one at run
 * time. */
INLINE REAL NAME(sum)(vec v)
{
    if (LANES >= 16) v += SHUFFLE(v, v, TURNED, 8);
    if (LANES >= 8) v += SHUFFLE(v, v, TURNED, 4);
    if (LANES >= 4) v += SHUFFLE(v, v, TURNED, 2);
    if (LANES >= 2) v += SHUFFLE(v, v, TURNED, 1);
    return v[0];
}

/* Transpose LANES vectors in registers: log2(LANES) rounds, each of which zips the first half with the second. */
INLINE void NAME(transpose_block)(vec v[LANES])
{
    vec w[LANES];
#if VECTOR_BYTES == 32
    /* Whole blocks of 16 bytes trade places first, so that each round after that is one step instead of two. */
    enum { BLOCK = LANES / 2 };
    UNROLL_FOR (int i = 0; i < BLOCK; i++) {
        w[i] = SHUFFLE(v[i], v[i + BLOCK], BLOCKS_OF_16, 0);
        w[i + BLOCK] = SHUFFLE(v[i], v[i + BLOCK], BLOCKS_OF_16, 1);
    }
    UNROLL_FOR (int i = 0; i < LANES; i++) v[i] = w[i];
#else
    enum { BLOCK = LANES };
#endif
#define ZIPPED_IN_BLOCK(i, from) ZIPPED_IN(BLOCK, i, from)
    UNROLL_FOR (int round = 1; round < BLOCK; round *= 2) {
        UNROLL_FOR (int block = 0; block < LANES; block += BLOCK)
            UNROLL_FOR (int i = 0; i < BLOCK / 2; i++) {
                const vec first = v[block + i], second = v[block + i + BLOCK / 2];
                w[block + 2 * i] = SHUFFLE(first, second, ZIPPED_IN_BLOCK, 0);
                w[block + 2 * i + 1] = SHUFFLE(first, second, ZIPPED_IN_BLOCK, BLOCK / 2);
            }
        UNROLL_FOR (int i = 0; i < LANES; i++) v[i] = w[i];
    }
#undef ZIPPED_IN_BLOCK
}

INLINE void NAME(set)(REAL *dst, idx n, REAL value)
{
    for (idx i = 0; i < n; i++) dst[i] = value;
}

/* memcpy for rows too short to be worth a call: whole vectors, the last of which moves left to fit. */
INLINE void NAME(copy)(REAL *dst, const REAL *src, idx n)
{
    typedef REAL small __attribute__((vector_size(16), aligned(REAL_BYTES), may_alias));
    enum { FEW = 16 / REAL_BYTES };
    if (n >= LANES) {
        for (idx i = 0; i < n - LANES; i += LANES) store(dst + i, load(src + i));
        store(dst + n - LANES, load(src + n - LANES));
    } else if (n >= FEW) {
        for (idx i = 0; i < n - FEW; i += FEW) *(small *)(dst + i) = *(const small *)(src + i);
        *(small *)(dst + n - FEW) = *(const small *)(src + n - FEW);
    } else {
        for (idx i = 0; i < n; i++) dst[i] = src[i];
    }
}

/* Have the next `lines` lines of 64 bytes that `ahead` asks for brought near. */
INLINE void NAME(bring_near)(fc_ahead *ahead, const int lines)
{
    UNROLL_FOR (int i = 0; i < lines; i++) __builtin_prefetch((const char *)ahead->from + 64 * i, 0, 2);
    ahead->from = (const REAL *)ahead->from + ahead->step;
}

/* In a pass over memory: have what comes some lines later brought near, to be written and to be read. CPUs ask ahead by
 * themselves, but not beyond the end of a page, and later than pays where data come from the last cache. */
INLINE void NAME(ask_ahead)(const REAL *y, const REAL *a, const REAL *b)
{
    enum { FAR_AHEAD = 4096 / REAL_BYTES };
    __builtin_prefetch(a + FAR_AHEAD, 0, 2);
    if (b != a) __builtin_prefetch(b + FAR_AHEAD, 0, 2);
    if (y != a) __builtin_prefetch(y + FAR_AHEAD, 1, 2);
}

/* The first `count` elements of a vector; the others are 0. */
INLINE vec NAME(load_few)(const REAL *p, idx count)
{
    vec v = {0};
    for (idx k = 0; k < count; k++) v[k] = p[k];
    return v;
}

INLINE void NAME(store_few)(REAL *p, vec v, idx count)
{
    for (idx k = 0; k < count; k++) p[k] = v[k];
}
