/* What this CPU can do, asked once at import. */
#include "fastconv.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
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

#if X86
/* Bit 15 of MXCSR flushes results, bit 6 reads operands as zero. */
unsigned fc_flush_subnormals(void)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    return mode;
}
void fc_restore_mode(unsigned mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
/* Bit 24 of FPCR. */
unsigned fc_flush_subnormals(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1u << 24)));
    return (unsigned)mode;
}
void fc_restore_mode(unsigned mode) { __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode)); }
#else
unsigned fc_flush_subnormals(void) { return 0; }
void fc_restore_mode(unsigned mode) { (void)mode; }
#endif
