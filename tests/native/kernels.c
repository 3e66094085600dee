/* Every entry of every kernel table that this machine can run, against plain loops.
 *
 * Sizes are ragged: below, at and above a vector and a tile. Values are small integers, so that sums are exact in any
 * order. What a kernel reads ends at an unreadable page, or begins after one, in turns; what it writes is poisoned and
 * fenced. Where a family's contract allows a kernel to read or write up to a vector more, that vector is there, and no
 * more.
 *
 * To check another kernel: write a function in check_<family>.c and put it into the list there.
 */
#ifdef _WIN32
#include <io.h>
#include <windows.h>
#else
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
/* In <windows.h> these two are macros of nothing, and no header here may name anything so. */
#define far
#define near
#endif
#include <signal.h>

#include "kernels.h"

/* No package holds the scalar kernels: they show that the sources take any width. GCC 12 for aarch64 computes
 * ~((a == b) | (a == c)) of one-element vectors wrong, so there they are left out. */
extern const fc_isa fc_isa_scalar;
#if defined(__aarch64__) && !defined(__clang__)
enum { SCALAR = 0 };
#else
enum { SCALAR = 1 };
#endif

static const fc_isa *isa;
const fc_kernels *kern;
static const char *checking = "nothing";
char what[200] = "";
static long n_cases;

void fail(const char *why)
{
    printf("FAILED: %s %s float%d: %s (%s)\n", isa ? isa->name : "-", checking, kern ? (int)kern->itemsize * 8 : 0, why,
           what);
    exit(1);
}

static void on_fault(int number)
{
    char text[300];
    int n = snprintf(text, sizeof text, "FAILED: %s %s float%d: signal %d (%s)\n", isa->name, checking,
                     (int)kern->itemsize * 8, number, what);
    if (write(1, text, (unsigned)n)) _exit(2);
    _exit(2);
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

static uint64_t seed = 1;

idx below(idx n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (idx)((seed >> 33) % (uint64_t)n);
}

double get(const void *p, idx i) { return kern->itemsize == 4 ? ((const float *)p)[i] : ((const double *)p)[i]; }

void put(void *p, idx i, double v)
{
    if (kern->itemsize == 4)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

int same(double a, double b) { return a == b || (a != a && b != b); }
int close_to(double a, double b) { return same(a, b) || fabs(a - b) <= 1e-6 * (1 + fabs(b)); }

void put_integer(void *p, idx i, idx v)
{
    if (kern->itemsize == 4)
        ((int32_t *)p)[i] = (int32_t)v;
    else
        ((int64_t *)p)[i] = v;
}

idx get_integer(const void *p, idx i)
{
    return kern->itemsize == 4 ? ((const int32_t *)p)[i] : (idx)((const int64_t *)p)[i];
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static size_t page; /* bytes */

#ifdef _WIN32
static size_t page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}
static void *new_pages(size_t size) { return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
static void forbid_page(void *p)
{
    DWORD before;
    VirtualProtect(p, page, PAGE_NOACCESS, &before);
}
static void free_pages(void *p, size_t size)
{
    (void)size;
    VirtualFree(p, 0, MEM_RELEASE);
}
#else
static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }
static void *new_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static void forbid_page(void *p) { mprotect(p, page, PROT_NONE); }
static void free_pages(void *p, size_t size) { munmap(p, size); }
#endif

enum { GUARD = 512, MOST_BUFFERS = 64 };
static const unsigned char POISON = 0xA5;

typedef struct {
    char *pages, *data;
    size_t whole, size;
    int fenced;
} buffer;

static buffer buffers[MOST_BUFFERS];
static int n_buffers;

void *new_buffer(idx n, size_t element, int fenced)
{
    const size_t size = (size_t)n * element;
    if (n_buffers == MOST_BUFFERS) fail("too many buffers");
    buffer *b = &buffers[n_buffers++];
    b->size = size;
    b->fenced = fenced;
    size_t room = size + (fenced ? 2 * GUARD : 0);
    b->whole = (room + page - 1) / page * page + 2 * page;
    b->pages = new_pages(b->whole);
    if (!b->pages) fail("no memory");
    forbid_page(b->pages);
    forbid_page(b->pages + b->whole - page);
    memset(b->pages + page, POISON, b->whole - 2 * page);
    if (fenced)
        b->data = b->pages + page + GUARD + element;
    else
        b->data = n_buffers % 2 ? b->pages + b->whole - page - size : b->pages + page;
    return b->data;
}

void *input(idx n)
{
    void *p = new_buffer(n, (size_t)kern->itemsize, 0);
    for (idx i = 0; i < n; i++) put(p, i, (double)(below(9) - 4));
    return p;
}

void *input_integers(idx n) { return new_buffer(n, (size_t)kern->itemsize, 0); }

void *output(idx n) { return new_buffer(n, (size_t)kern->itemsize, 1); }

void *copy_of(const void *p, idx n) { return memcpy(output(n), p, (size_t)(n * kern->itemsize)); }

static int untouched(const char *from, const char *to)
{
    for (; from < to; from++)
        if (*(const unsigned char *)from != POISON) return 0;
    return 1;
}

int poisoned(const void *p, idx i)
{
    return untouched((const char *)p + i * kern->itemsize, (const char *)p + (i + 1) * kern->itemsize);
}

static void check_guards(void)
{
    for (int i = 0; i < n_buffers; i++) {
        buffer *b = &buffers[i];
        if (b->fenced && !untouched(b->pages + page, b->data)) fail("written before the beginning");
        if (b->fenced && !untouched(b->data + b->size, b->pages + b->whole - page)) fail("written beyond the end");
    }
}

void release(void)
{
    check_guards();
    for (int i = 0; i < n_buffers; i++) free_pages(buffers[i].pages, buffers[i].whole);
    n_buffers = 0;
    n_cases++;
}

void expect(const void *actual, idx at, const double *expected, idx count, const char *name)
{
    for (idx i = 0; i < count; i++)
        if (!close_to(get(actual, at + i), expected[i])) {
            char text[100];
            snprintf(text, sizeof text, "%s[%td] is %g, expected %g", name, at + i, get(actual, at + i), expected[i]);
            fail(text);
        }
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static void check_mode(void)
{
    volatile float tiny = 1e-40f, one = 1.0f;
    checking = "mode";
    if (tiny * one == 0) fail("subnormal numbers are zero from the start");
    unsigned mode = fc_flush_subnormals();
#if defined(__x86_64__) || defined(__aarch64__)
    if (tiny * one != 0) fail("subnormal numbers are not flushed");
#endif
    fc_restore_mode(mode);
    if (tiny * one == 0) fail("the mode is not restored");
}

static void check_burst(void)
{
    checking = "fma_burst";
    if (!(isa->fma_burst(10) >= 2 * 10 * 12)) fail("no work done");
}

static const kernel_check *const FAMILIES[] = {move_checks,    product_checks, correlate_checks, winograd_checks,
                                               windows_checks, pool_checks,    passes_checks,    steps_checks,
                                               random_checks,  layers_checks,  blocks_checks};

static void check_all(const fc_kernels *kernels)
{
    int n_kinds = 0;
    kern = kernels;
    n_cases = 0;
    for (size_t i = 0; i < sizeof FAMILIES / sizeof *FAMILIES; i++)
        for (const kernel_check *entry = FAMILIES[i]; entry->name; entry++, n_kinds++) {
            checking = entry->name;
            entry->check();
        }
    printf("%-8s float%d: %ld cases of %d kinds\n", isa->name, (int)kern->itemsize * 8, n_cases, n_kinds);
    fflush(stdout);
}

int main(int n_arguments, char **arguments)
{
    static const int faults[] = {
        SIGSEGV,
        SIGILL,
        SIGFPE,
#ifndef _WIN32
        SIGBUS,
#endif
    };
    const fc_isa *isas[9] = {&fc_isa_scalar};
    const int n = SCALAR + fc_usable_isas(isas + SCALAR);
    page = page_size();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) signal(faults[i], on_fault);
    /* memcheck knows no such mode. */
    if (n_arguments < 2 || strcmp(arguments[1], "--any-mode")) check_mode();
    for (int i = 0; i < n; i++) {
        isa = isas[i];
        check_all(isa->f32);
        check_all(isa->f64);
        check_burst();
    }
    printf("all kernels agree with plain loops\n");
    return 0;
}
