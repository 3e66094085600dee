/*
 * Threads that stay together for many jobs.
 *
 * OpenMP starts its threads for one parallel region and waits for all of them at its end. A thread that sleeps needs up to
 * milliseconds until it runs, so where regions are short the caller would wait longer than it works. Within
 * fc_with_team() the other threads stay awake between jobs, and whoever has not come in time is not waited for: a job
 * ends when its tasks are done by those who are there.
 *
 * The leader posts a job and opens it; others enter while it is open, which they are counted for, take tasks, and leave.
 * The leader closes the job when no task is left, and waits for those inside.
 */
#ifndef FASTCONV_TEAM_H
#define FASTCONV_TEAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "fastconv.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <sched.h>
#include <time.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

typedef void (*fc_task)(const void *job, ptrdiff_t task, char *scratch);

typedef struct {
    fc_task run;
    const void *job;
    ptrdiff_t count, chunk;
    char *scratch; /* of the leader; that of thread i lies i * each bytes behind it */
    size_t each;
    int threads; /* that have scratch */
    int flushes; /* subnormal numbers count as zero */
} fc_job;

enum { FC_OVER = 1, FC_OPEN = 2, FC_INSIDE = 4, FC_NEXT_JOB = 1 << 16 };

typedef struct {
    _Alignas(64) atomic_ullong state; /* FC_OVER, FC_OPEN, how many are inside, the number of the job */
    fc_job job;
    _Alignas(64) _Atomic ptrdiff_t next; /* task */
} fc_team;

/* The team that this thread leads. */
static _Thread_local fc_team *fc_team_led;

/* Tries of a thread that waits: first it pauses, then others may run instead, in the end it sleeps. */
enum { FC_PAUSES = 64, FC_YIELDS = 4096, FC_SLEEP_NS = 50000 };

static inline void fc_wait(unsigned *tries, int may_sleep)
{
    if (*tries < FC_PAUSES) {
        ++*tries;
#if defined(__x86_64__)
        __asm__ volatile("pause");
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
        return;
    }
#ifdef _WIN32
    if (*tries < FC_YIELDS || !may_sleep) {
        ++*tries;
        SwitchToThread();
    } else
        Sleep(1);
#else
    if (*tries < FC_YIELDS || !may_sleep) {
        ++*tries;
        sched_yield();
    } else
        nanosleep(&(struct timespec){0, FC_SLEEP_NS}, NULL);
#endif
}

static inline void fc_take_tasks(fc_team *team, int thread)
{
    const fc_job *job = &team->job;
    char *scratch = job->scratch + thread * job->each;
    unsigned mode = job->flushes ? fc_flush_subnormals() : 0;
    ptrdiff_t i;
    while ((i = atomic_fetch_add_explicit(&team->next, job->chunk, memory_order_relaxed)) < job->count) {
        ptrdiff_t end = i + job->chunk < job->count ? i + job->chunk : job->count;
        for (; i < end; i++) job->run(job->job, i, scratch);
    }
    if (job->flushes) fc_restore_mode(mode);
}

/* What a thread does that is not the leader. */
static inline void fc_follow(fc_team *team, int thread)
{
    unsigned long long last = 0; /* job */
    unsigned tries = 0;
    for (;;) {
        unsigned long long state = atomic_load_explicit(&team->state, memory_order_acquire);
        if (state & FC_OVER) return;
        if (!(state & FC_OPEN) || state / FC_NEXT_JOB == last) {
            fc_wait(&tries, 1);
            continue;
        }
        if (!atomic_compare_exchange_strong_explicit(&team->state, &state, state + FC_INSIDE, memory_order_acq_rel,
                                                     memory_order_relaxed))
            continue;
        last = state / FC_NEXT_JOB;
        if (thread < team->job.threads) fc_take_tasks(team, thread);
        atomic_fetch_sub_explicit(&team->state, FC_INSIDE, memory_order_release);
        tries = 0;
    }
}

static inline int fc_leads_team(void) { return fc_team_led != NULL; }

/* Run a job on the team that this thread leads; 0 if it leads none. */
static inline int fc_run_in_team(const fc_job *job)
{
    fc_team *team = fc_team_led;
    if (!team) return 0;
    team->job = *job;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&team->state, FC_NEXT_JOB + FC_OPEN, memory_order_release);
    fc_take_tasks(team, 0);
    unsigned long long state = atomic_fetch_sub_explicit(&team->state, FC_OPEN, memory_order_acq_rel);
    for (unsigned tries = 0; state % FC_NEXT_JOB / FC_INSIDE != 0;
         state = atomic_load_explicit(&team->state, memory_order_acquire))
        fc_wait(&tries, 0);
    return 1;
}

/* Call lead(argument) with a team of so many threads, or with the one that this thread leads already. */
static inline void fc_with_team(int threads, void (*lead)(void *), void *argument)
{
#ifdef _OPENMP
    if (threads > 1 && !fc_team_led) {
        fc_team team = {0};
#pragma omp parallel num_threads(threads)
        if (omp_get_thread_num() != 0)
            fc_follow(&team, omp_get_thread_num());
        else {
            fc_team_led = &team;
            lead(argument);
            fc_team_led = NULL;
            atomic_fetch_or_explicit(&team.state, FC_OVER, memory_order_release);
        }
        return;
    }
#else
    (void)threads;
#endif
    lead(argument);
}

#endif
