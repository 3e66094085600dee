"""Random numbers: torch's generator, and what it fills arrays with, number by number as torch does.

An array that is filled is dense, and its elements are drawn one after the other. Everything runs with the GIL held,
so that a generator may be shared by threads.
"""

cimport cython
cimport numpy as cnp
from libc.math cimport ceil, cos, exp, fabs, floor, fma, lgamma, log, log1p, sin, sqrt, tan
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastconv._native.checks cimport DENSE, DENSE_RESULT, check_array, check_real
from fastconv._native.kernels cimport FC_NORMAL_BLOCK, FC_STATE_WORDS, fc_random_kernels, idx
from fastconv._native.runtime cimport kernels_of

cnp.import_array()

cdef enum:
    PIECE = 1024    # elements whose words are made at a time: a multiple of FC_NORMAL_BLOCK

cdef extern from *:
    """
    #define PI 3.14159265358979323846
    #define LOW_BITS ((1ull << 53) - 1)
    #define FRACTION 0x1p-53
    #define WIDE (1u << 28)
    #define FEW 214748364
    """
    const double PI
    const uint64_t LOW_BITS     # of two words, what a fraction in float64 is made of
    const double FRACTION
    const uint64_t WIDE         # a span from which an integer takes two words
    const idx FEW               # a permutation of as many takes two words an element


cdef struct State:
    # The layout of torch's states. Of its many parts only four say anything: the seed, the words, which of them is
    # next, and the second of two normal numbers. `left` follows from `next`.
    uint64_t seed
    int32_t left
    int32_t seeded
    uint64_t next
    uint64_t words[FC_STATE_WORDS]
    double unused_x
    double normal
    double unused_rho
    int32_t has_normal
    int32_t padding
    uint64_t unused_float


STATE_BYTES = sizeof(State)


@cython.final
@cython.auto_pickle(False)
cdef class MersenneTwister:
    """MT19937 as torch uses it: a stream of words of 32 bits, and one normal number kept for the next call."""

    cdef uint64_t first_seed
    cdef uint32_t state[FC_STATE_WORDS]
    cdef int next   # the word of the state that is given out next; 0 only before the first
    cdef bint has_normal
    cdef double normal

    def __cinit__(self, uint64_t seed):
        self.seed(seed)

    cpdef seed(self, uint64_t seed):
        """Start anew; only the lowest 32 bits make a difference to the numbers."""
        cdef uint32_t word = <uint32_t>seed
        cdef int i
        self.first_seed = seed
        self.state[0] = word
        for i in range(1, FC_STATE_WORDS):
            word = 1812433253u * (word ^ (word >> 30)) + <uint32_t>i
            self.state[i] = word
        self.next = 0
        self.has_normal = False
        self.normal = 0

    @property
    def initial_seed(self):
        """What it was started with."""
        return self.first_seed

    # ---- the state ----

    cpdef get_state(self, cnp.ndarray out):
        """Write the state to STATE_BYTES bytes."""
        cdef State s
        cdef int i
        check_array(out, "out", 1, cnp.NPY_UINT8, DENSE_RESULT)
        check_length(out, sizeof(State))
        memset(&s, 0, sizeof(State))
        s.seed, s.seeded, s.next = self.first_seed, 1, self.next
        s.left = FC_STATE_WORDS + 1 - self.next if self.next else 1
        for i in range(FC_STATE_WORDS):
            s.words[i] = self.state[i]
        if self.has_normal:
            s.normal, s.has_normal = self.normal, 1
        memcpy(cnp.PyArray_DATA(out), &s, sizeof(State))

    cpdef set_state(self, cnp.ndarray state):
        """Go on from a state of get_state(), or of torch; ValueError if it is none."""
        cdef State s
        cdef int i
        check_array(state, "state", 1, cnp.NPY_UINT8, DENSE)
        check_length(state, sizeof(State))
        memcpy(&s, cnp.PyArray_DATA(state), sizeof(State))
        if s.seeded != 1 or s.next > FC_STATE_WORDS or s.left != (FC_STATE_WORDS + 1 - <int>s.next if s.next else 1):
            raise ValueError(f"Invalid mt19937 state: it says seeded={s.seeded}, left={s.left} and next={s.next}")
        self.first_seed, self.next = s.seed, <int>s.next
        for i in range(FC_STATE_WORDS):
            self.state[i] = <uint32_t>s.words[i]
        self.normal, self.has_normal = s.normal, s.has_normal != 0

    # ---- words ----

    cdef void take(self, uint32_t *words, idx n) noexcept:
        """The next n words."""
        cdef const fc_random_kernels *kernels = kernels_of(4).random
        cdef idx count
        while n > 0:
            if self.next == 0 or self.next == FC_STATE_WORDS:
                kernels.twist(self.state)
                self.next = 0
            count = min(n, <idx>(FC_STATE_WORDS - self.next))
            kernels.temper(words, self.state + self.next, count)
            self.next += <int>count
            words += count
            n -= count

    cdef uint64_t long_word(self) noexcept:
        cdef uint32_t pair[2]
        self.take(pair, 2)
        return <uint64_t>pair[0] << 32 | pair[1]

    cdef double fraction(self) noexcept:
        """Uniform in [0, 1), with 53 bits."""
        return <double>(self.long_word() & LOW_BITS) * FRACTION

    cpdef int64_t integer(self, uint64_t span):
        """One number from 0 up to but not including `span`, which is not 0."""
        cdef uint32_t w
        if span == 0:
            raise ValueError("span must not be 0")
        if span >= WIDE:
            return <int64_t>(self.long_word() % span)
        self.take(&w, 1)
        return w % <uint32_t>span

    # ---- arrays of float32 or float64 ----

    cpdef uniform(self, cnp.ndarray x, double low, double high):
        """Uniform in [low, high), with 24 bits (float32) or 53."""
        cdef idx itemsize = check_numbers(x), n = cnp.PyArray_SIZE(x), done = 0, count
        cdef char *to = <char *>cnp.PyArray_DATA(x)
        cdef uint32_t words[2 * PIECE]
        while done < n:
            count = min(<idx>PIECE, n - done)
            self.take(words, count * (itemsize // 4))
            kernels_of(itemsize).random.uniform(to + done * itemsize, words, count, low, high)
            done += count

    cpdef bernoulli(self, cnp.ndarray x, double p, double value):
        """`value` with probability p, and else 0; p is from 0 to 1."""
        cdef idx itemsize = check_numbers(x), n = cnp.PyArray_SIZE(x), done = 0, count
        cdef char *to = <char *>cnp.PyArray_DATA(x)
        cdef uint32_t words[2 * PIECE]
        if not 0 <= p <= 1:
            raise ValueError(f"p must be from 0 to 1, got {p}")
        # A fraction is less than p if its bits, as an integer, are less than p times 2**53, where nothing is rounded.
        cdef uint64_t bound = <uint64_t>ceil(p / FRACTION)
        while done < n:
            count = min(<idx>PIECE, n - done)
            self.take(words, 2 * count)
            kernels_of(itemsize).random.bernoulli(to + done * itemsize, words, count, bound, value)
            done += count

    cpdef normal_blocks(self, cnp.ndarray x, double mean, double std):
        """Normal numbers as torch draws 16 and more: by blocks, the last of which is drawn anew where it overlaps."""
        cdef idx itemsize = check_numbers(x), n = cnp.PyArray_SIZE(x), done = 0, count
        cdef char *to = <char *>cnp.PyArray_DATA(x)
        cdef uint32_t words[2 * PIECE]
        cdef const fc_random_kernels *kernels = kernels_of(itemsize).random
        if n < FC_NORMAL_BLOCK:
            raise ValueError(f"x must have at least {FC_NORMAL_BLOCK} elements, got {n}")
        while done < n:
            count = min(<idx>PIECE, n - done)
            self.take(words, count * (itemsize // 4))
            kernels.uniform(to + done * itemsize, words, count, 0, 1)
            kernels.normal(to + done * itemsize, count // FC_NORMAL_BLOCK, mean, std)
            done += count
        if n % FC_NORMAL_BLOCK:
            to += (n - FC_NORMAL_BLOCK) * itemsize
            self.take(words, FC_NORMAL_BLOCK * (itemsize // 4))
            kernels.uniform(to, words, FC_NORMAL_BLOCK, 0, 1)
            kernels.normal(to, 1, mean, std)

    # ---- arrays of float64 ----

    cdef double one_normal(self) noexcept:
        """One normal number of a pair; the other is kept for the next call."""
        cdef double angle, radius
        if self.has_normal:
            self.has_normal = False
            return self.normal
        angle = 2 * PI * self.fraction()
        radius = sqrt(-2 * log1p(-self.fraction()))
        self.normal, self.has_normal = radius * sin(angle), True
        return radius * cos(angle)

    cpdef normal_pairs(self, cnp.ndarray x, double mean, double std):
        """Normal numbers as torch draws fewer than 16, or those that do not lie side by side."""
        cdef double *to = doubles(x)
        cdef idx i
        for i in range(<idx>cnp.PyArray_SIZE(x)):
            to[i] = fma(self.one_normal(), std, mean)

    cpdef log_normal(self, cnp.ndarray x, double mean, double std):
        """exp of normal numbers."""
        cdef double *to = doubles(x)
        cdef idx i
        for i in range(<idx>cnp.PyArray_SIZE(x)):
            to[i] = exp(fma(self.one_normal(), std, mean))

    cpdef exponential(self, cnp.ndarray x, double rate):
        """-log(1 - u) / rate."""
        cdef double *to = doubles(x)
        cdef idx i
        cdef double scale = -1 / rate
        self.uniform(x, 0, 1)
        for i in range(<idx>cnp.PyArray_SIZE(x)):
            to[i] = scale * log1p(-to[i])

    cpdef cauchy(self, cnp.ndarray x, double median, double sigma):
        """median + sigma tan(pi (u - 1/2))."""
        cdef double *to = doubles(x)
        cdef idx i
        self.uniform(x, 0, 1)
        for i in range(<idx>cnp.PyArray_SIZE(x)):
            to[i] = fma(sigma, tan(PI * (to[i] - 0.5)), median)

    cpdef geometric(self, cnp.ndarray x, double p):
        """How many trials of probability p the first success takes: log(u) / log(1 - p), rounded up."""
        cdef double *to = doubles(x)
        cdef idx i
        cdef double scale = log1p(-p)
        self.uniform(x, 0, 1)
        for i in range(<idx>cnp.PyArray_SIZE(x)):
            to[i] = ceil(log(to[i]) / scale)

    cpdef poisson(self, cnp.ndarray x):
        """Each rate, which is not negative, becomes a count of what occurs at this rate."""
        cdef double *to = doubles(x)
        cdef idx i
        for i in range(<idx>cnp.PyArray_SIZE(x)):
            to[i] = self.one_poisson(to[i])

    cdef double one_poisson(self, double rate) noexcept:
        """A count: of waiting times while they fit in a unit of time, or by rejection where there would be many.

        The rejection is the method PTRS of W. Hoermann (1993), "The transformed rejection method for generating Poisson
        random variables".
        """
        cdef double bound, product, u, v, us, a, b, log_a, squeeze, log_rate, count
        if rate == 0:
            return 0
        if rate < 10:
            bound, product, count = exp(-rate), self.fraction(), 0
            while product > bound:
                product *= self.fraction()
                count += 1
            return count
        log_rate = log(rate)
        b = 0.931 + 2.53 * sqrt(rate)
        a = -0.059 + 0.02483 * b
        log_a = log(1.1239 + 1.1328 / (b - 3.4))
        squeeze = 0.9277 - 3.6224 / (b - 2)
        while True:
            u = self.fraction() - 0.5
            v = self.fraction()
            us = 0.5 - fabs(u)
            count = floor((2 * a / us + b) * u + rate + 0.43)
            if us >= 0.07 and v <= squeeze:
                return count
            if count < 0 or us < 0.013 and v > us:
                continue
            if log(v) + log_a - log(a / (us * us) + b) <= -rate + count * log_rate - lgamma(count + 1):
                return count

    # ---- arrays of int64 ----

    cpdef integers(self, cnp.ndarray x, int64_t low, uint64_t span, bint wide):
        """`low` plus the rest of a word by `span`, or of two if `wide`, in 64 bits; by 0 the two words themselves."""
        cdef uint32_t words[2 * PIECE]
        cdef idx n = cnp.PyArray_SIZE(x), done = 0, count, i
        cdef int64_t *to = int64s(x)
        cdef uint64_t pair
        if span == 0 and not wide or span > 1ull << 32 and not wide:
            raise ValueError(f"a word has no rest by {span}")
        while done < n:
            count = min(<idx>PIECE, n - done)
            self.take(words, count * (2 if wide else 1))
            if wide:
                for i in range(count):
                    pair = <uint64_t>words[2 * i] << 32 | words[2 * i + 1]
                    to[done + i] = <int64_t>(<uint64_t>low + (pair % span if span else pair))
            elif span >> 32:
                for i in range(count):
                    to[done + i] = <int64_t>(<uint64_t>low + words[i])
            else:
                for i in range(count):
                    to[done + i] = <int64_t>(<uint64_t>low + words[i] % <uint32_t>span)
            done += count

    cpdef permutation(self, cnp.ndarray x):
        """0 ... n - 1 in random order."""
        cdef uint32_t words[PIECE]
        cdef idx n = cnp.PyArray_SIZE(x), i, k
        cdef int64_t *to = int64s(x)
        if n >= FEW:
            for i in range(n):
                k = <idx>(self.long_word() % <uint64_t>(i + 1))
                to[i] = to[k]
                to[k] = i
            return
        for i in range(n):
            to[i] = i
        for i in range(n - 1):
            if i % PIECE == 0:
                self.take(words, min(<idx>PIECE, n - 1 - i))
            k = i + words[i % PIECE] % <uint32_t>(n - i)
            to[i], to[k] = to[k], to[i]


cdef int check_length(cnp.ndarray a, idx length) except -1:
    if cnp.PyArray_SIZE(a) != length:
        raise ValueError(f"expected {length} bytes, got {cnp.PyArray_SIZE(a)}")
    return 0


cdef idx check_numbers(cnp.ndarray x) except -1:
    """The size of an element of what is to be filled."""
    check_array(x, "x", -1, check_real(x, "x"), DENSE_RESULT)
    return cnp.PyArray_ITEMSIZE(x)


cdef double *doubles(cnp.ndarray x) except NULL:
    check_array(x, "x", -1, cnp.NPY_FLOAT64, DENSE_RESULT)
    return <double *>cnp.PyArray_DATA(x)


cdef int64_t *int64s(cnp.ndarray x) except NULL:
    check_array(x, "x", -1, cnp.NPY_INT64, DENSE_RESULT)
    return <int64_t *>cnp.PyArray_DATA(x)
