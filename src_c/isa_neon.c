#define ISA neon
#define VECTOR_BYTES 16
#define REGISTERS 32
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#define STREAM(p, v) (*(p) = (v))
#include "isa.h"
