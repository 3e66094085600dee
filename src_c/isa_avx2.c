#define ISA avx2
#define VECTOR_BYTES 32
#define REGISTERS 16
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#include "isa.h"
