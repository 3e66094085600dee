#define ISA avx512
#define VECTOR_BYTES 64
#define REGISTERS 32
#define KEEP(v) __asm__ volatile("" : "+v"(v))
#define STREAM(p, v) __asm__ volatile("vmovntps %1, %0" : "=m"(*(p)) : "v"(v))
#include "isa.h"
