"""Networks whose images lie in blocks of channels: the steps of a plan, on memory that is planned beforehand.

Between its layers a network's images stay in the layout in which the next layer reads them: a block is a plane of
pixels, each a vector of channels; what is missing to whole vectors is zero. Around the planes lie as many zeros as the
padding of those who read them, so that no layer knows of borders. What follows a convolution is done before its result
is stored, or while that is near (src_c/blocks.h). Filters are packed, or transformed, once.

Every result is summed in an order that follows from the sizes alone, so that it does not depend on the threads, nor on
the other images of a batch.
"""

cimport cython
cimport numpy as cnp
from libc.string cimport memset

from fastconv._native.checks cimport READ, check_array, check_axis
from fastconv._native.kernels cimport FC_ACTIVATIONS, fc_kernels, fc_taps_of_blocks, idx, parts
from fastconv._native.memory cimport LINE, Workspace, give, new_array, no_memory, take
from fastconv._native.runtime cimport Task, kernels_of, run_tasks, threads_for, together

cnp.import_array()

cdef enum:
    MOST_LANES = 16        # of any vector


# ---- images --------------------------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Images:
    """A batch of images (n, c, h, w) in blocks of channels, or with `narrow` ones of few channels, which are neighbours
    then, in planes with `halo` (top, left, bottom, right) rows and columns of zeros around them.

    `offset` is where they begin in the plan's memory, in bytes, and `size` how many bytes they take; whoever plans
    writes the former. `part()` gives some blocks of them.
    """

    def __init__(self, shape, halo=(0, 0, 0, 0), bint narrow=False, idx itemsize=4):
        cdef Planes *x = &self.planes
        x.n, self.c, x.h, x.w = shape
        x.top, x.left, x.bottom, x.right = halo
        if (min(min(x.n, self.c), min(x.h, x.w)) < 1 or min(min(x.top, x.left), min(x.bottom, x.right)) < 0
                or itemsize not in (4, 8)):
            raise ValueError(f"images of shape {tuple(shape)} with {tuple(halo)} zeros around them cannot be")
        cdef idx lanes = kernels_of(itemsize).lanes
        self.narrow, self.itemsize = narrow, itemsize
        x.width = self.c if narrow else lanes
        x.blocks = parts(self.c, x.width)
        # The last vectors of a row may reach beyond it.
        cdef double size = (<double>x.n * x.blocks * (<double>x.h + x.top + x.bottom)
                            * (<double>x.w + x.left + x.right) * x.width + 2 * lanes) * itemsize
        if size > 2.0**48:
            raise MemoryError(f"images of shape {tuple(shape)} are too large")
        self.size = <idx>size
        x.row = (x.w + x.left + x.right) * x.width
        x.plane = (x.h + x.top + x.bottom) * x.row
        x.image = x.blocks * x.plane
        if x.plane == x.width:
            # Images of one pixel are the pixels of a row.
            x.image, x.plane = x.width, x.n * x.width
        self.offset, self.first, self.whole = 0, 0, None

    @property
    def blocks(self) -> int:
        """How many there are of an image."""
        return self.planes.blocks

    def part(self, idx first, idx channels) -> "Images":
        """The blocks from `first` on that hold so many channels."""
        if self.narrow or self.whole is not None or first < 0 or channels < 1 or (
                first + parts(channels, self.planes.width) > self.planes.blocks):
            raise ValueError(f"{channels} channels from block {first} on are not in {self.planes.blocks} blocks")
        cdef Images part = Images.__new__(Images)
        part.planes, part.c, part.itemsize, part.narrow = self.planes, channels, self.itemsize, False
        part.planes.blocks = parts(channels, self.planes.width)
        part.size, part.offset, part.first, part.whole = 0, 0, first, self
        return part

    cdef Planes locate(self, Memory memory) except *:
        """The images in a plan's memory."""
        cdef Planes x = self.planes
        cdef Images whole = self.whole if self.whole is not None else self
        cdef idx offset = whole.offset
        if offset < 0 or offset > memory.size - whole.size:
            raise ValueError(f"{whole.size} bytes of images at byte {offset} are not within {memory.size} bytes")
        x.data = memory.block + offset + (self.first * x.plane + x.top * x.row + x.left * x.width) * self.itemsize
        return x


cdef void clear_margins(const Planes *x, idx itemsize) noexcept nogil:
    """Write the zeros around all planes."""
    cdef idx n, block, h
    if x.top + x.left + x.bottom + x.right == 0:
        return
    for n in range(x.n):
        for block in range(x.blocks):
            memset(at(x, itemsize, n, block, -x.top, -x.left), 0, (x.top * x.row + x.left * x.width) * itemsize)
            for h in range(x.h - 1):
                memset(at(x, itemsize, n, block, h, x.w), 0, (x.right + x.left) * x.width * itemsize)
            memset(at(x, itemsize, n, block, x.h - 1, x.w), 0, (x.right * x.width + x.bottom * x.row) * itemsize)


def lanes(idx itemsize) -> int:
    """Channels in a block of images whose elements are of so many bytes."""
    return kernels_of(itemsize).lanes


# ---- steps ---------------------------------------------------------------------------------------------------------

@cython.auto_pickle(False)
cdef class Step:
    """Something that a plan does with its memory and its arrays."""

    cdef int run(self, Memory memory, list arrays) except -1:
        raise NotImplementedError


@cython.auto_pickle(False)
cdef class Layer(Step):
    """A step that makes images y of images x, with `added` images, or None, added to them, and then what `after` says:
    (low, high, kind, parameters), the limits of results and an activation, or -1."""

    def __init__(self, Images x not None, Images y not None, Images added, tuple after):
        cdef Common *c = &self.common
        low, high, kind, parameters = after
        if x.itemsize != y.itemsize or y.narrow or x.planes.n != y.planes.n:
            raise ValueError("x and y must be as many images of one type, and y in blocks")
        if added is not None and (added.itemsize != y.itemsize or added.narrow or added.c != y.c or (
                added.planes.n, added.planes.h, added.planes.w) != (y.planes.n, y.planes.h, y.planes.w)):
            raise ValueError("what is added must have the result's shape")
        if not -1 <= kind < FC_ACTIVATIONS or len(parameters) > 3:
            raise ValueError(f"there is no activation {kind} of {len(parameters)} parameters")
        self.x, self.y, self.added = x, y, added
        c.kernels, c.adds = kernels_of(x.itemsize), added is not None
        c.x, c.y = x.planes, y.planes
        if c.adds:
            c.added = added.planes
        c.low, c.high, c.kind = low, high, kind
        for i in range(3):
            c.p[i] = parameters[i] if i < len(parameters) else 0

    cdef int locate(self, Memory memory, Common *c) except -1:
        """Write what tasks read. It lies on the caller's stack: several threads may run one plan."""
        c[0] = self.common
        c.x, c.y = self.x.locate(memory), self.y.locate(memory)
        if c.adds:
            c.added = self.added.locate(memory)
        clear_margins(&c.y, c.kernels.itemsize)
        return 0


cdef void run_on_threads(Task task, const void *job, idx tasks, int threads) noexcept:
    cdef Workspace workspace = no_memory(threads, False)
    with nogil:
        run_tasks(task, job, tasks, 1, &workspace)


# ---- sums, products ------------------------------------------------------------------------------------------------

cdef void add_plane(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Common *c = <const Common *>job
    cdef idx itemsize = c.kernels.itemsize, n = task // c.y.blocks, block = task % c.y.blocks, h
    for h in range(c.y.h):
        finish(c, at(&c.y, itemsize, n, block, h, 0), at(&c.x, itemsize, n, block, h, 0),
               at(&c.added, itemsize, n, block, h, 0) if c.adds else NULL, c.y.w)


@cython.final
@cython.auto_pickle(False)
cdef class Addition(Layer):
    """y = after(x + added); without `added` an activation, or a copy."""

    def __init__(self, x, y, added, after):
        super().__init__(x, y, added, after)
        if self.x.narrow or self.x.c != self.y.c or (self.common.x.h, self.common.x.w) != (
                self.common.y.h, self.common.y.w):
            raise ValueError("x and y must be of one shape")
        self.work = work_of(&self.common.y, 20 if self.common.kind >= 0 else 4)
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        cdef Common job
        cdef Planes *y = &self.common.y
        self.locate(memory, &job)
        cdef idx tasks = y.n * y.blocks
        run_on_threads(add_plane, &job, tasks, threads_for(self.work, tasks))
        return 0


cdef void scale_plane(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Common *c = <const Common *>job
    cdef idx itemsize = c.kernels.itemsize, n = task // c.y.blocks, block = task % c.y.blocks, h
    for h in range(c.y.h):
        c.kernels.blocks.scale(at(&c.y, itemsize, n, block, h, 0), at(&c.x, itemsize, n, block, h, 0),
                               at(&c.added, itemsize, n, block, 0, 0), c.y.w)


@cython.final
@cython.auto_pickle(False)
cdef class Scaling(Step):
    """y[n, c] = x[n, c] * factors[n, c, 0, 0]."""
    cdef Common common
    cdef Images x, y, factors

    def __init__(self, Images x not None, Images y not None, Images factors not None):
        cdef Planes *px = &x.planes
        cdef Planes *py = &y.planes
        cdef Planes *by = &factors.planes
        if (x.narrow or y.narrow or factors.narrow or not x.itemsize == y.itemsize == factors.itemsize
                or not x.c == y.c == factors.c or not px.n == py.n == by.n or px.h != py.h or px.w != py.w
                or by.h * by.w != 1):
            raise ValueError("x and y must be of one shape, with a factor for each channel")
        self.x, self.y, self.factors = x, y, factors
        self.common.kernels = kernels_of(x.itemsize)
        self.work = work_of(py, 4)
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        cdef Common job = self.common
        cdef Common *c = &job
        c.x, c.y, c.added = self.x.locate(memory), self.y.locate(memory), self.factors.locate(memory)
        clear_margins(&c.y, c.kernels.itemsize)
        cdef idx tasks = c.y.n * c.y.blocks
        run_on_threads(scale_plane, c, tasks, threads_for(self.work, tasks))
        return 0


# ---- pooling -------------------------------------------------------------------------------------------------------

cdef struct Pooled:
    Common common
    idx R, S, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    bint mean, counts_padding
    double divisor             # or 0


cpdef bint all_meet(idx size, idx windows, idx taps, idx stride, idx pad, idx dilation) noexcept nogil:
    """Whether each of the windows along an axis has a tap within its `size` pixels."""
    cdef idx p, first
    if min(min(taps, stride), dilation) < 1:
        return False
    for p in range(windows):
        first = p * stride - pad
        if first < 0:  # the first tap that is not before the image
            first += parts(-first, dilation) * dilation
        if first >= size or first > p * stride - pad + (taps - 1) * dilation:
            return False
    return True


cdef void pool_plane(const void *job, idx task, char *_scratch) noexcept nogil:
    """A block of an image."""
    cdef const Pooled *s = <const Pooled *>job
    cdef const Common *c = &s.common
    cdef idx itemsize = c.kernels.itemsize, n = task // c.y.blocks, block = task % c.y.blocks
    cdef idx p, q, top, left, first_h, end_h, first_w, end_w, count, height
    cdef fc_taps_of_blocks taps
    cdef double area
    cdef char *y
    memset(&taps, 0, sizeof(taps))
    taps.row, taps.col, taps.step = s.dilation_h * c.x.row, s.dilation_w * c.x.width, s.stride_w * c.x.width
    for p in range(c.y.h):
        top = p * s.stride_h - s.pad_h
        first_h = parts(-top, s.dilation_h) if top < 0 else 0
        end_h = min(s.R, parts(c.x.h - top, s.dilation_h))
        taps.rows = end_h - first_h
        height = min(top + s.R, c.x.h + s.pad_h) - top
        q = 0
        while q < c.y.w:
            left = q * s.stride_w - s.pad_w
            first_w = parts(-left, s.dilation_w) if left < 0 else 0
            end_w = min(s.S, parts(c.x.w - left, s.dilation_w))
            count = 1
            if first_w == 0 and end_w == s.S:
                # All windows from here on that lie within the image.
                count = max(<idx>1, min(c.y.w - q, (c.x.w - 1 - left - (s.S - 1) * s.dilation_w) // s.stride_w + 1))
            taps.cols = end_w - first_w
            if s.mean:
                area = s.divisor
                if area == 0:
                    area = taps.rows * taps.cols
                    if s.counts_padding:
                        area = height * (min(left + s.S, c.x.w + s.pad_w) - left)
                c.kernels.blocks.mean(
                    at(&c.y, itemsize, n, block, p, q),
                    at(&c.x, itemsize, n, block, top + first_h * s.dilation_h, left + first_w * s.dilation_w), &taps,
                    1 / area, count)
            else:
                c.kernels.blocks.max(
                    at(&c.y, itemsize, n, block, p, q),
                    at(&c.x, itemsize, n, block, top + first_h * s.dilation_h, left + first_w * s.dilation_w), &taps,
                    count)
            q += count
        y = at(&c.y, itemsize, n, block, p, 0)
        finish(c, y, y, NULL, c.y.w)


@cython.final
@cython.auto_pickle(False)
cdef class Pooling(Layer):
    """The largest, or with `mean` the mean, of windows; those without a pixel of the images are refused."""
    cdef Pooled pooled

    def __init__(self, x, y, after, tuple kernel, tuple stride, tuple pad, tuple dilation, bint mean,
                 bint counts_padding, double divisor):
        super().__init__(x, y, None, after)
        cdef Pooled *s = &self.pooled
        cdef Planes *px = &self.common.x
        cdef Planes *py = &self.common.y
        if self.x.narrow or self.x.c != self.y.c:
            raise ValueError("x and y must have the same blocks")
        (s.R, s.S), (s.stride_h, s.stride_w), (s.pad_h, s.pad_w), (s.dilation_h, s.dilation_w) = (
            kernel, stride, pad, dilation)
        s.mean, s.counts_padding, s.divisor = mean, counts_padding, divisor
        if (min(s.pad_h, s.pad_w) < 0 or mean and (s.dilation_h != 1 or s.dilation_w != 1)
                or max(max(s.R, s.S), max(s.dilation_h, s.dilation_w)) > 1 << 30
                or max(max(s.stride_h, s.stride_w), max(s.pad_h, s.pad_w)) > 1 << 30
                or not all_meet(px.h, py.h, s.R, s.stride_h, s.pad_h, s.dilation_h)
                or not all_meet(px.w, py.w, s.S, s.stride_w, s.pad_w, s.dilation_w)):
            raise ValueError(f"windows of {kernel}, stride {stride}, padding {pad} and dilation {dilation} cannot be "
                             f"pooled from {px.h} x {px.w} to {py.h} x {py.w} pixels")
        self.work = work_of(py, s.R * s.S + 4)
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        cdef Pooled job = self.pooled
        cdef Planes *y = &self.common.y
        self.locate(memory, &job.common)
        cdef idx tasks = y.n * y.blocks
        run_on_threads(pool_plane, &job, tasks, threads_for(self.work, tasks))
        return 0


# ---- in and out ----------------------------------------------------------------------------------------------------

cdef struct Border:
    const fc_kernels *kernels
    Planes x
    idx c
    char *data
    idx s_n, s_c, s_h, s_w


cdef void enter_plane(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Border *b = <const Border *>job
    cdef idx itemsize = b.kernels.itemsize, n = task // b.x.blocks, block = task % b.x.blocks, h
    cdef const char *from_ = b.data + (n * b.s_n + block * b.x.width * b.s_c) * itemsize
    cdef idx channels = min(b.x.width, b.c - block * b.x.width), c
    cdef const char *planes[MOST_LANES]
    if b.x.width == b.c and b.s_w == 1 and b.c <= MOST_LANES:
        for h in range(b.x.h):
            for c in range(channels):
                planes[c] = from_ + (c * b.s_c + h * b.s_h) * itemsize
            b.kernels.move.interleave(at(&b.x, itemsize, n, block, h, 0), <const void **>planes, b.c, b.x.w * b.c)
        return
    if is_dense(&b.x) and b.s_h == b.x.w * b.s_w:
        b.kernels.move.transpose(at(&b.x, itemsize, n, block, 0, 0), b.x.width, from_, b.s_c, b.s_w, channels,
                                 b.x.h * b.x.w)
        return
    for h in range(b.x.h):
        b.kernels.move.transpose(at(&b.x, itemsize, n, block, h, 0), b.x.width, from_ + h * b.s_h * itemsize, b.s_c,
                                 b.s_w, channels, b.x.w)


cdef void leave_plane(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Border *b = <const Border *>job
    cdef idx itemsize = b.kernels.itemsize, n = task // b.x.blocks, block = task % b.x.blocks, h
    cdef char *to = b.data + (n * b.s_n + block * b.x.width * b.s_c) * itemsize
    cdef idx channels = min(b.x.width, b.c - block * b.x.width)
    if is_dense(&b.x):
        b.kernels.move.untranspose(to, b.s_c, at(&b.x, itemsize, n, block, 0, 0), b.x.width, channels, b.x.h * b.x.w)
        return
    for h in range(b.x.h):
        b.kernels.move.untranspose(to + h * b.s_h * itemsize, b.s_c, at(&b.x, itemsize, n, block, h, 0), b.x.width,
                                   channels, b.x.w)


@cython.final
@cython.auto_pickle(False)
cdef class Entry(Step):
    """Images out of the plan's array of that number, (n, c, h, w) of any strides."""
    cdef Images y
    cdef int number

    def __init__(self, int number, Images y not None):
        if number < 0:
            raise ValueError(f"the number of an array must not be negative, got {number}")
        self.y, self.number = y, number
        self.work = work_of(&y.planes, 4)
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        if self.number >= len(arrays):
            raise ValueError(f"there is no array {self.number} among {len(arrays)}")
        cdef cnp.ndarray a = arrays[self.number]
        cdef Border job
        cdef Border *b = &job
        cdef idx itemsize = self.y.itemsize, axis
        b.x, b.c, b.kernels = self.y.locate(memory), self.y.c, kernels_of(itemsize)
        check_array(a, "images", 4, cnp.NPY_FLOAT32 if itemsize == 4 else cnp.NPY_FLOAT64, READ)
        for axis, length in enumerate((b.x.n, b.c, b.x.h, b.x.w)):
            check_axis(a, "images", axis, length)
        if a.strides[0] % itemsize or a.strides[1] % itemsize or a.strides[2] % itemsize or a.strides[3] % itemsize:
            a = a.copy()
        b.data = <char *>cnp.PyArray_DATA(a)
        b.s_n, b.s_c, b.s_h, b.s_w = (a.strides[0] // itemsize, a.strides[1] // itemsize, a.strides[2] // itemsize,
                                      a.strides[3] // itemsize)
        clear_margins(&b.x, itemsize)
        cdef idx tasks = b.x.n * b.x.blocks
        run_on_threads(enter_plane, b, tasks, threads_for(self.work, tasks))
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class Exit(Step):
    """The plan's array of that number out of images: (n, c, h, w) in C order."""
    cdef Images x
    cdef int number

    def __init__(self, Images x not None, int number):
        if number < 0 or x.narrow:
            raise ValueError("the number of an array must not be negative, and images must be in blocks")
        self.x, self.number = x, number
        self.work = work_of(&x.planes, 4)
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        cdef Border job
        cdef Border *b = &job
        cdef idx itemsize = self.x.itemsize
        if self.number >= len(arrays):
            raise ValueError(f"there is no array {self.number} among {len(arrays)}")
        b.x, b.c, b.kernels = self.x.locate(memory), self.x.c, kernels_of(itemsize)
        cdef cnp.npy_intp[4] shape = [b.x.n, b.c, b.x.h, b.x.w]
        cdef cnp.ndarray a = new_array(4, shape, cnp.NPY_FLOAT32 if itemsize == 4 else cnp.NPY_FLOAT64)
        b.data = <char *>cnp.PyArray_DATA(a)
        b.s_w, b.s_h, b.s_c, b.s_n = 1, b.x.w, b.x.h * b.x.w, b.c * b.x.h * b.x.w
        cdef idx tasks = b.x.n * b.x.blocks
        run_on_threads(leave_plane, b, tasks, threads_for(self.work, tasks))
        arrays[self.number] = a
        return 0


# ---- the plan ------------------------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Run:
    """Steps on their way."""
    cdef list steps, arrays
    cdef Memory memory
    cdef object error

    cdef int run(self) except -1:
        for step in self.steps:
            if not isinstance(step, Step):
                step(self.arrays)
            elif (<Step>step).ready:
                (<Step>step).run(self.memory, self.arrays)
            else:
                raise ValueError(f"{step!r} is no step that a plan can run")
        return 0


cdef void run_all(void *argument) noexcept with gil:
    cdef Run run = <Run>argument
    try:
        run.run()
    except BaseException as error:
        run.error = error


def run_steps(list steps not None, idx size, list arrays not None) -> None:
    """Run the steps one after the other on `size` bytes of memory, which they share, and on the arrays; what is no Step
    is called with the arrays."""
    cdef Run run = Run.__new__(Run)
    cdef double work = 0
    if not 0 <= size <= <idx>1 << 48:
        raise ValueError(f"a plan's memory must be from 0 to 2**48 bytes, got {size}")
    for step in steps:
        if isinstance(step, Step):
            work += (<Step>step).work
    run.steps, run.arrays = steps, arrays
    run.memory.block, run.memory.size = <char *>take(size + LINE), size
    try:
        with nogil:
            together(run_all, <void *>run, work)
    finally:
        give(run.memory.block, size + LINE)
    error, run.error = run.error, None
    if error is not None:
        raise error
