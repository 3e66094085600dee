/* What this CPU can do, asked once at import. */
#include "fastconv.h"

extern const fc_isa fc_isa_baseline;
#if defined(__x86_64__)
#include <cpuid.h>

extern const fc_isa fc_isa_avx2, fc_isa_avx512;

/* What the CPU has is worth nothing unless the operating system saves its registers when it switches threads: bits 1
 * and 2 of XCR0 say so of AVX's, bits 5 to 7 of those that AVX-512 adds. (The compilers' __builtin_cpu_supports asks
 * the same, but it wants their run-time library, which not every linker knows.) */
enum { AVX_STATE = 0x06, AVX512_STATE = 0xE6 };

static int has_avx2(unsigned *state, unsigned *features)
{
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE) || !(ecx & bit_FMA)) return 0;
    __asm__("xgetbv" : "=a"(*state), "=d"(edx) : "c"(0));
    if (!__get_cpuid_count(7, 0, &eax, features, &ecx, &edx)) return 0;
    return (*state & AVX_STATE) == AVX_STATE && (*features & bit_AVX2);
}

static int has_avx512(unsigned state, unsigned features)
{
    const unsigned wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    return (state & AVX512_STATE) == AVX512_STATE && (features & wanted) == wanted;
}
#elif defined(__aarch64__)
extern const fc_isa fc_isa_neon;
#endif

int fc_usable_isas(const fc_isa *isas[8])
{
    int n = 0;
    isas[n++] = &fc_isa_baseline;
#if defined(__x86_64__)
    unsigned state, features;
    if (has_avx2(&state, &features)) {
        isas[n++] = &fc_isa_avx2;
        if (has_avx512(state, features)) isas[n++] = &fc_isa_avx512;
    }
#elif defined(__aarch64__)
    isas[n++] = &fc_isa_neon;
#endif
    return n;
}
