/* What the checks of all families share: numbers, memory and complaints. kernels.c says how it is used. */
#ifndef KERNELS_H
#define KERNELS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"

/* The kernels under test. */
extern const fc_kernels *kern;

/* A kernel, or some, and the function that compares them with plain loops. A family's list ends with NULL. */
typedef struct {
    const char *name;
    void (*check)(void);
} kernel_check;

extern const kernel_check move_checks[], product_checks[], correlate_checks[], winograd_checks[], windows_checks[],
    pool_checks[], passes_checks[], steps_checks[], random_checks[], layers_checks[], blocks_checks[];

/* Say what failed and how it was called, and end. Each call of a kernel is announced by SAY with its arguments. */
void fail(const char *why);
extern char what[200];
#define SAY(...) snprintf(what, sizeof what, __VA_ARGS__)

/* A number drawn from 0 ... n - 1, the same in every run. */
idx below(idx n);

/* Elements of the type under test, and integers of its size. */
double get(const void *p, idx i);
void put(void *p, idx i, double v);
idx get_integer(const void *p, idx i);
void put_integer(void *p, idx i, idx v);

int same(double a, double b); /* NaN is the same as NaN */
int close_to(double a, double b);

/* Memory for n elements of this size. With `fenced` they lie between guard zones, aligned to an element and to nothing
 * more; else they end at an unreadable page, or begin after one, in turns. All hold poison. */
void *new_buffer(idx n, size_t element, int fenced);
void *input(idx n);                  /* n elements to read: small integers */
void *input_integers(idx n);         /* n integers of the element's size to read */
void *output(idx n);                 /* n elements to write, fenced */
void *copy_of(const void *p, idx n); /* n elements to read and write, fenced */
int poisoned(const void *p, idx i);  /* whether element i has not been written */
void release(void);                  /* check the guard zones and free all buffers: a case is done */

/* `count` elements from place `at` on equal those expected. */
void expect(const void *actual, idx at, const double *expected, idx count, const char *name);

static inline idx up(idx a, idx b) { return (a + b - 1) / b * b; }

#endif
