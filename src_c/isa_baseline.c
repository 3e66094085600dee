/* What every CPU of the architecture runs: SSE2 on x86-64, whatever 16-byte vectors become elsewhere. */
#define ISA baseline
#define VECTOR_BYTES 16
#define REGISTERS 16
#if defined(__x86_64__) || defined(__i386__)
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#define STREAM(p, v) __asm__ volatile("movntps %1, %0" : "=m"(*(p)) : "x"(v))
#else
#define KEEP(v) __asm__ volatile("" : "+m"(v))
#define STREAM(p, v) (*(p) = (v))
#endif
#include "isa.h"
