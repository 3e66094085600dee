/* One element a vector: plain C for any machine, and the proof that the kernels take any width. */
#define ISA scalar
#define VECTOR_BYTES REAL_BYTES
#define REGISTERS 16
#define KEEP(v) ((void)(v))
#define STREAM(p, v) (*(p) = (v))
#include "isa.h"
