/* Memory that runs out when it is told to, for LD_PRELOAD: allocations are the C library's, but for those that
 * fail_allocations() asks to fail. */
#include <errno.h>
#include <stddef.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static __thread long before, failing, aligned_only;

/* The next `after` allocations of this thread succeed, the `count` that follow fail; only those of aligned memory, which
 * nobody but fastconv asks for, count if `aligned`. */
void fail_allocations(long after, long count, long aligned)
{
    before = after;
    failing = count;
    aligned_only = aligned;
}

/* How many are still to fail. */
long allocations_to_fail(void) { return failing; }

static int fails(int aligned)
{
    if (failing == 0 || aligned < aligned_only || before-- > 0) return 0;
    failing--;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails(0) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails(0) ? NULL : __libc_calloc(n, size); }
void *realloc(void *block, size_t size) { return fails(0) ? NULL : __libc_realloc(block, size); }
int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (fails(1)) return ENOMEM;
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}
