/* Subnormal numbers cost a hundred times what others do; nobody trains on them. */
#include "fastconv.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

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
