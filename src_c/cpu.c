/* What this CPU can do, asked once at import. */
#include "fastconv.h"

#if defined(__x86_64__)
#define X86 1
#endif

extern const fc_isa fc_isa_baseline;
#if X86
extern const fc_isa fc_isa_avx2, fc_isa_avx512;
#elif defined(__aarch64__)
extern const fc_isa fc_isa_neon;
#endif

int fc_usable_isas(const fc_isa *isas[8])
{
    int n = 0;
    isas[n++] = &fc_isa_baseline;
#if X86
    /* The compiler's run-time test also asks whether the operating system saves the wide registers. */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        isas[n++] = &fc_isa_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
            isas[n++] = &fc_isa_avx512;
    }
#elif defined(__aarch64__)
    isas[n++] = &fc_isa_neon;
#endif
    return n;
}
