#define ISA avx2
#define VECTOR_BYTES 32
#define REGISTERS 16
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#define STREAM(p, v) __asm__ volatile("vmovntps %1, %0" : "=m"(*(p)) : "x"(v))
#define LIMIT(instruction, x, bound) __asm__(instruction " %1, %2, %0" : "=x"(x) : "x"(x), "x"(bound))
#include "isa.h"
