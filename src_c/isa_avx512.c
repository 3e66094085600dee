#define ISA avx512
#define VECTOR_BYTES 64
#define REGISTERS 32
#define KEEP(v) __asm__ volatile("" : "+v"(v))
#include "isa.h"
