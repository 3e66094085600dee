"""Element-wise layers, losses, sums and updates as single passes over memory, on threads where it pays.

Arrays are dense (C order) and of one float dtype, unless said otherwise. Results do not depend on the number of
threads: an element belongs to one task, and sums of planes are added in the order of images.
"""

cimport numpy as cnp
from libc.math cimport NAN, log
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastconv._native.checks cimport (
    DENSE, DENSE_RESULT, READ, check_array, check_axis, check_real, check_size, shape_of,
)
from fastconv._native.kernels cimport fc_bring, fc_fence, fc_kernels, idx, parts, store_far
from fastconv._native.memory cimport Arena, Workspace, carve, get, no_memory, put, release, reserve
from fastconv._native.runtime cimport Task, kernels_of, run_without_gil, threads_for, tuning_in_use

cnp.import_array()

cdef enum:
    PIECE = 32768    # elements that a thread takes at a time
    BLOCK = 16384    # elements of planes that it takes at a time, unless a single plane has more
    TILE = 4096      # bytes of a result that stay in L1 until they go past the caches


cdef inline char *data(cnp.ndarray a) noexcept nogil:
    return <char *>cnp.PyArray_DATA(a)


cdef inline const fc_kernels *kernels_for(cnp.ndarray a) noexcept:
    return kernels_of(cnp.PyArray_ITEMSIZE(a))


cdef inline bint goes_far(cnp.ndarray y, const char *a, const char *b) noexcept:
    """Whether a result has no room in the caches, which would read it first, and is not written over what is read."""
    return cnp.PyArray_NBYTES(y) >= tuning_in_use().blocks.pass_far_bytes and data(y) != a and data(y) != b


cdef int check_alike(cnp.ndarray y, str name, cnp.ndarray a, str a_name, cnp.ndarray b, str b_name) except -1:
    """Arrays of one size and type, the first to be written; b may be a."""
    cdef int kind = check_real(y, name)
    check_array(y, name, -1, kind, DENSE_RESULT)
    check_array(a, a_name, -1, kind, DENSE)
    check_size(a, a_name, y)
    if b is not a:
        check_array(b, b_name, -1, kind, DENSE)
        check_size(b, b_name, y)
    return 0


cdef int check_row(cnp.ndarray a, str name, int flags, cnp.ndarray row, str row_name, int row_flags) except -1:
    """(N, C) beside (C,), of one type."""
    cdef int kind = check_real(a, name)
    check_array(a, name, 2, kind, flags)
    check_array(row, row_name, 1, kind, row_flags)
    return check_axis(row, row_name, 0, a.shape[1])


cdef double *new_doubles(Workspace *workspace, double count) except NULL:
    """A table of so many numbers: all the memory that a pass needs. Whoever asks for it releases the workspace."""
    cdef Arena table = [NULL, 0], scratch = [NULL, 0]
    count = max(count, 1)
    carve(&table, count, sizeof(double))
    reserve(workspace, &table, &scratch, 1)
    return <double *>carve(&table, count, sizeof(double))


cdef void run_pass(Task task, const void *job, idx count, double work, bint keeps_subnormals) noexcept:
    """Run tasks that need no memory but their arrays."""
    cdef Workspace workspace = no_memory(threads_for(work, count), keeps_subnormals)
    run_without_gil(task, job, count, parts(count, workspace.n_threads), &workspace, work)


# ---- element by element -------------------------------------------------------------------------------------------

ctypedef void (*OfOne)(void *, const void *, idx) noexcept nogil
ctypedef void (*OfTwo)(void *, const void *, const void *, idx) noexcept nogil
ctypedef void (*Scaled)(void *, const void *, const void *, double, idx) noexcept nogil


cdef struct Elements:
    # y from a, from a and b, or from these and a number, by one of three kernels.
    OfOne of_one
    OfTwo of_two
    Scaled scaled
    double scale
    char *y
    const char *a
    const char *b
    idx count
    const fc_kernels *kernels
    bint streamed


cdef void elements_task(const void *job, idx piece, char *_scratch) noexcept nogil:
    cdef const Elements *e = <const Elements *>job
    cdef idx itemsize = e.kernels.itemsize, at = piece * PIECE * itemsize, bytes, count
    cdef idx end = min(at + PIECE * itemsize, e.count * itemsize)
    cdef char[TILE] tile
    cdef char *y = tile
    while at < end:
        bytes = min(<idx>TILE if e.streamed else end, end - at)
        count = bytes // itemsize
        if not e.streamed:
            y = e.y + at
        else:
            fc_bring(e.a + at + TILE, TILE)
            if e.b != e.a:
                fc_bring(e.b + at + TILE, TILE)
        if e.of_one != NULL:
            e.of_one(y, e.a + at, count)
        elif e.of_two != NULL:
            e.of_two(y, e.a + at, e.b + at, count)
        else:
            e.scaled(y, e.a + at, e.b + at, e.scale, count)
        if e.streamed:
            store_far(e.kernels, e.y + at, tile, bytes)
        at += bytes
    if e.streamed:
        fc_fence()


cdef void pass_over(OfOne of_one, OfTwo of_two, cnp.ndarray a, cnp.ndarray b, cnp.ndarray y, Scaled scaled=NULL,
                    double scale=0) noexcept:
    cdef Elements e = [of_one, of_two, scaled, scale, data(y), data(a), data(b), cnp.PyArray_SIZE(y), kernels_for(y),
                       goes_far(y, data(a), data(b))]
    # Nothing here is slow for subnormal numbers.
    run_pass(elements_task, &e, parts(e.count, PIECE), 10.0 * e.count, True)


cpdef relu(cnp.ndarray x, cnp.ndarray y):
    """y = max(x, 0); NaN stays NaN."""
    check_alike(y, "y", x, "x", x, "x")
    pass_over(kernels_for(y).passes.relu, NULL, x, x, y)


cpdef relu_backward(cnp.ndarray dy, cnp.ndarray y, cnp.ndarray dx):
    """dx = dy where y > 0, else 0; dx may be dy."""
    check_alike(dx, "dx", dy, "dy", y, "y")
    pass_over(NULL, kernels_for(y).passes.relu_backward, dy, y, dx)


cpdef leaky_relu(cnp.ndarray a, cnp.ndarray x, double slope, cnp.ndarray y):
    """y = a where x > 0, else slope a; y may be a."""
    check_alike(y, "y", a, "a", x, "x")
    pass_over(NULL, NULL, a, x, y, kernels_for(y).passes.leaky_relu, slope)


cpdef add(cnp.ndarray a, cnp.ndarray b, cnp.ndarray y):
    """y = a + b; y may be either."""
    check_alike(y, "y", a, "a", b, "b")
    pass_over(NULL, kernels_for(y).passes.add, a, b, y)


# ---- rows of channels: linear layers and losses -------------------------------------------------------------------

cpdef add_row(cnp.ndarray y, cnp.ndarray b):
    """y[n] += b for every row n of y (N, C)."""
    check_row(y, "y", DENSE_RESULT, b, "b", DENSE)
    cdef const fc_kernels *kernels = kernels_for(y)
    cdef idx channels = y.shape[1], size = channels * kernels.itemsize
    cdef char *row = data(y)
    for _ in range(y.shape[0]):
        kernels.passes.add(row, row, data(b), channels)
        row += size


cpdef column_sums(cnp.ndarray y, cnp.ndarray total):
    """total[c] = sum of y[:, c], row after row in float64, for y (N, C)."""
    check_row(y, "y", DENSE, total, "total", DENSE_RESULT)
    cdef const fc_kernels *kernels = kernels_for(y)
    cdef idx channels = y.shape[1], size = channels * kernels.itemsize, c
    cdef char *row = data(y)
    cdef Workspace workspace
    cdef double *sums = new_doubles(&workspace, channels)
    memset(sums, 0, channels * sizeof(double))
    for _ in range(y.shape[0]):
        kernels.passes.add_to_doubles(sums, row, channels)
        row += size
    for c in range(channels):
        put(data(total), c, sums[c], kernels.itemsize)
    release(&workspace)


cpdef cross_entropy(cnp.ndarray x, cnp.ndarray labels, cnp.ndarray dx, long long ignored, bint mean):
    """Cross entropy of the softmax of every row of x (M, C) with its class, summed or the mean of those not ignored.

    dx takes its gradient, unless it is None; labels are int64. Returns the loss, or None if a class is not from 0 to
    C - 1; nothing is written then.
    """
    cdef int kind = check_real(x, "x")
    check_array(x, "x", 2, kind, DENSE)
    check_array(labels, "labels", 1, cnp.NPY_INT64, DENSE)
    check_axis(labels, "labels", 0, x.shape[0])
    if dx is not None:
        check_array(dx, "dx", 2, kind, DENSE_RESULT)
        check_axis(dx, "dx", 0, x.shape[0])
        check_axis(dx, "dx", 1, x.shape[1])
    cdef const fc_kernels *kernels = kernels_for(x)
    cdef idx itemsize = kernels.itemsize, rows = x.shape[0], classes = x.shape[1], size = classes * itemsize
    cdef idx m, counted = 0
    cdef const int64_t *label = <const int64_t *>data(labels)
    for m in range(rows):
        if label[m] != ignored:
            if not 0 <= label[m] < classes:
                return None
            counted += 1
    cdef double loss = 0, largest, total, weight = 1.0 / max(counted, 1) if mean else 1.0
    cdef Workspace workspace
    # Without a gradient to be written every row's exponentials take the same place.
    cdef char *row = data(dx) if dx is not None else <char *>new_doubles(&workspace, classes)
    cdef const char *x_row = data(x)
    cdef idx step = size if dx is not None else 0
    with nogil:
        for m in range(rows):
            if label[m] == ignored:
                memset(row, 0, size)
            else:
                kernels.passes.softmax(row, x_row, classes, weight, &largest, &total)
                loss += log(total) + largest - get(x_row, label[m], itemsize)
                put(row, label[m], get(row, label[m], itemsize) - weight, itemsize)
            x_row += size
            row += step
    if dx is None:
        release(&workspace)
    if not mean:
        return loss
    return loss / counted if counted else NAN


# ---- planes of channels: batch norm and the gradient of a bias ----------------------------------------------------

cdef struct Planes:
    # A pass over arrays (N, C, pixels) in the order of memory, in blocks of some planes of an image; or, where channels
    # are neighbours in memory, of some pixels of all channels, which count as images then.
    const fc_kernels *kernels
    bint last, streamed    # channels are neighbours; y is stored past the caches
    idx images, channels, pixels
    idx elements           # of a channel, in all
    idx some, blocks       # planes of a block, blocks of an image
    char *y
    const char *a
    const char *b
    # Numbers of each channel
    const double *a_shift
    const double *shift
    const double *scale
    const double *slope
    const double *offset
    # Numbers of each plane
    double *sums
    double *dots
    # What is put between 0 and a ceiling (NaN: there is none), and the numbers of each channel that make it of x; the
    # results, or NULL where they are computed again; where the gradient of what is rectified goes, or NULL.
    bint rectified
    double ceiling
    const double *z_scale
    const double *z_offset
    const char *results
    char *g


cdef struct Block:
    idx first, channel, count   # planes
    idx pixels                  # of each
    idx at                      # where they begin, in bytes


cdef bint planes_last(cnp.ndarray a) noexcept:
    """Whether the channels of an array (N, C, ...) are neighbours in memory, without gaps, and no other order says the
    same."""
    cdef idx step = a.shape[1] * cnp.PyArray_ITEMSIZE(a)
    cdef int axis
    if cnp.PyArray_IS_C_CONTIGUOUS(a) or a.strides[1] != cnp.PyArray_ITEMSIZE(a):
        return False
    for axis in range(cnp.PyArray_NDIM(a) - 1, 1, -1):
        if a.shape[axis] > 1 and a.strides[axis] != step:
            return False
        step *= a.shape[axis]
    return a.shape[0] == 1 or a.strides[0] == step


cdef void set_sizes(Planes *planes, cnp.ndarray a, idx pixels) noexcept:
    planes.kernels, planes.last, planes.rectified = kernels_for(a), planes_last(a), False
    planes.channels, planes.pixels = a.shape[1], pixels
    # Of planes without pixels there may be more than memory holds numbers for.
    planes.images = a.shape[0] if pixels > 0 and planes.channels > 0 else 0
    planes.elements = planes.images * pixels
    if planes.last:
        as_one_image(planes)
    else:
        planes.some = max(1, min(planes.channels, BLOCK // max(pixels, 1)))
        planes.blocks = parts(planes.channels, planes.some)


cdef void as_one_image(Planes *planes) noexcept:
    """Pixels of all images, in each of which the channels are neighbours."""
    planes.last, planes.some, planes.blocks = True, planes.channels, 1
    planes.pixels = max(1, BLOCK // max(1, planes.channels))
    planes.images = parts(planes.elements, planes.pixels)


cdef int check_planes(cnp.ndarray x) except -1:
    check_real(x, "x")
    if cnp.PyArray_NDIM(x) < 2:
        raise ValueError(f"x must have 2 axes or more, got size {shape_of(x)}")
    return 0


cdef int begin(Planes *planes, cnp.ndarray x) except -1:
    """Begin a pass over x and arrays of its size, type and order."""
    cdef idx pixels = 1
    cdef int axis
    check_planes(x)
    check_array(x, "x", -1, cnp.PyArray_TYPE(x), READ if planes_last(x) else DENSE)
    for axis in range(2, cnp.PyArray_NDIM(x)):
        pixels *= x.shape[axis]
    set_sizes(planes, x, pixels)
    if pixels == 1 and not planes.last:  # as neighbours in memory the channels are added up faster
        as_one_image(planes)
    return 0


cdef char *planes_of(cnp.ndarray a, str name, int flags, cnp.ndarray x) except? NULL:
    """The data of an array that must be of the size, type and order of x, which has been checked."""
    cdef bint last = planes_last(x)
    cdef int axis
    check_array(a, name, cnp.PyArray_NDIM(x), cnp.PyArray_TYPE(x), READ if last else flags)
    for axis in range(cnp.PyArray_NDIM(x)):
        check_axis(a, name, axis, x.shape[axis])
    if last and not (planes_last(a) and (flags == DENSE or cnp.PyArray_ISWRITEABLE(a))):
        raise ValueError(f"{name} must have its channels last, as x has"
                         f"{'' if flags == DENSE else ', and be writeable'}, got {a.flags}")
    return data(a)


cdef double *channels_of(cnp.ndarray a, str name, int flags, cnp.ndarray x) except? NULL:
    """The data of an array that must hold a float64 for each channel of x."""
    check_planes(x)
    check_array(a, name, 1, cnp.NPY_FLOAT64, flags)
    check_axis(a, name, 0, x.shape[1])
    return <double *>data(a)


cdef inline Block block_of(const Planes *planes, idx task) noexcept nogil:
    cdef Block block
    block.channel = task % planes.blocks * planes.some
    block.first = task // planes.blocks * planes.channels + block.channel
    block.count = min(planes.some, planes.channels - block.channel)
    block.pixels = planes.pixels
    if planes.last:
        block.pixels = min(block.pixels, planes.elements - task * block.pixels)
    block.at = block.first * planes.pixels * planes.kernels.itemsize
    return block


cdef void run_blocks(Task task, const Planes *planes, double cost, bint keeps_subnormals) noexcept:
    run_pass(task, planes, planes.images * planes.blocks, cost * planes.images * planes.channels * planes.pixels,
             keeps_subnormals)


cdef void add_images(const Planes *planes, const double *of_planes, double *total) noexcept:
    """The sums of every channel's planes, in the order of images."""
    cdef idx n, c
    memset(total, 0, planes.channels * sizeof(double))
    for n in range(planes.images):
        for c in range(planes.channels):
            total[c] += of_planes[n * planes.channels + c]


cdef void sums_task(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Planes *planes = <const Planes *>job
    cdef Block block = block_of(planes, task)
    cdef idx i, c = block.channel, size = planes.pixels * planes.kernels.itemsize
    cdef const char *a = planes.a + block.at
    cdef const char *b = planes.b + block.at if planes.b != NULL else NULL
    cdef const double *a_shift = planes.a_shift + c if planes.a_shift != NULL else NULL
    cdef const double *b_shift = planes.shift + c if b != NULL else NULL
    cdef double *dots = planes.dots + block.first if b != NULL else NULL
    if planes.rectified:
        (planes.kernels.passes.rectified_sums_last if planes.last else planes.kernels.passes.rectified_sums)(
            planes.g + block.at if planes.g != NULL else NULL, a,
            planes.results + block.at if planes.results != NULL else NULL, b, b_shift, planes.z_scale + c,
            planes.z_offset + c, planes.ceiling, block.count, block.pixels, planes.sums + block.first, dots)
    elif planes.last:
        planes.kernels.passes.sums_last(a, a_shift, b, b_shift, block.count, block.pixels, planes.sums + block.first,
                                        dots)
    elif b != NULL:
        planes.kernels.passes.sums(a, a_shift, b, b_shift, block.count, block.pixels, planes.sums + block.first, dots)
    else:
        for i in range(block.count):
            planes.sums[block.first + i] = planes.kernels.passes.total(a + i * size, planes.pixels)


cpdef bias_gradient(cnp.ndarray dy, cnp.ndarray db):
    """db[c] = sum of dy[:, c], in C order or with channels last.

    Every plane, or some pixels of every channel, are summed by themselves, in float64 over short runs, and then these
    sums in order.
    """
    cdef int kind = check_real(dy, "dy")
    check_array(dy, "dy", 4, kind, READ)
    if not planes_last(dy):
        check_array(dy, "dy", 4, kind, DENSE)
    check_array(db, "db", 1, kind, DENSE_RESULT)
    check_axis(db, "db", 0, dy.shape[1])
    cdef Planes planes
    cdef Workspace workspace
    cdef idx c
    set_sizes(&planes, dy, dy.shape[2] * dy.shape[3])
    cdef double *total = new_doubles(&workspace, (planes.images + 1.0) * planes.channels)
    planes.a, planes.a_shift, planes.b, planes.sums = data(dy), NULL, NULL, total + planes.channels
    run_blocks(sums_task, &planes, 5.0, True)
    add_images(&planes, planes.sums, total)
    for c in range(planes.channels):
        put(data(db), c, total[c], planes.kernels.itemsize)
    release(&workspace)


cdef void sum_channels(const Planes *planes, double *total, double *dot) noexcept:
    """Sums of a - a_shift (unless NULL) and of its products with b - shift over each channel."""
    run_blocks(sums_task, planes, 10.0, False)
    add_images(planes, planes.sums, total)
    add_images(planes, planes.dots, dot)


cdef int sum_dots(Planes *planes, double *total, double *dot) except -1:
    cdef Workspace workspace
    planes.sums = new_doubles(&workspace, 2.0 * planes.images * planes.channels)
    planes.dots = planes.sums + planes.images * planes.channels
    sum_channels(planes, total, dot)
    release(&workspace)
    return 0


def channel_statistics(cnp.ndarray x, cnp.ndarray shift, cnp.ndarray offset, cnp.ndarray variance):
    """The mean of x[:, c], which is shift[c] + offset[c], the former as exact as x, and its biased variance.

    x is (N, C, ...), in C order or with channels last; the others are (C,) of float64.
    """
    statistics_of(x, channels_of(shift, "shift", DENSE_RESULT, x), channels_of(offset, "offset", DENSE_RESULT, x),
                  channels_of(variance, "variance", DENSE_RESULT, x))


cdef int statistics_of(cnp.ndarray x, double *shift, double *offset, double *variance) except -1:
    """One pass sums x less the mean of an eighth of the images, and corrects for what that lacks. Where it lacks more
    than the deviation, digits of the variance were lost, and there is another pass, with the mean itself."""
    cdef Planes planes
    begin(&planes, x)
    cdef idx images = planes.images, c
    cdef double n = max(planes.elements, 1)
    cdef Workspace workspace
    cdef int _attempt
    cdef bint far
    planes.sums = new_doubles(&workspace, 2.0 * images * planes.channels)
    planes.dots = planes.sums + images * planes.channels
    planes.a = planes.b = data(x)
    planes.a_shift, planes.shift, planes.images = NULL, shift, parts(images, 8)
    memset(shift, 0, planes.channels * sizeof(double))
    sum_channels(&planes, offset, variance)
    for c in range(planes.channels):
        offset[c] /= max(min(planes.images * planes.pixels, planes.elements), 1)
    planes.a_shift, planes.images = shift, images
    for _attempt in range(2):
        for c in range(planes.channels):
            shift[c] = <float>(shift[c] + offset[c]) if planes.kernels.itemsize == 4 else shift[c] + offset[c]
        sum_channels(&planes, offset, variance)
        far = False
        for c in range(planes.channels):
            offset[c] /= n
            variance[c] /= n
            far |= offset[c] * offset[c] > variance[c] / 2
        if not far:
            break
    for c in range(planes.channels):
        variance[c] -= offset[c] * offset[c]
        if variance[c] < 0:
            variance[c] = 0
    release(&workspace)
    return 0


def channel_dots(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray shift, cnp.ndarray total, cnp.ndarray dot):
    """total[c] = sum of dy[:, c], dot[c] = sum of dy[:, c] (x[:, c] - shift[c]); arrays as in channel_statistics."""
    dots_of(dy, x, channels_of(shift, "shift", DENSE, x), channels_of(total, "total", DENSE_RESULT, x),
            channels_of(dot, "dot", DENSE_RESULT, x))


cdef int dots_of(cnp.ndarray dy, cnp.ndarray x, const double *shift, double *total, double *dot) except -1:
    cdef Planes planes
    begin(&planes, x)
    planes.a, planes.a_shift = planes_of(dy, "dy", DENSE, x), NULL
    planes.b, planes.shift = data(x), shift
    return sum_dots(&planes, total, dot)


cdef void affine_at(const Planes *planes, idx c, idx count, idx pixels, char *y, idx at) noexcept nogil:
    """So many planes from channel c on, the data of which begin at so many bytes."""
    cdef const char *a = planes.a + at if planes.a != NULL else NULL
    cdef const char *x = planes.b + at
    if not planes.rectified:
        (planes.kernels.passes.affine_last if planes.last else planes.kernels.passes.affine)(
            y, a, x, planes.shift + c, planes.scale + c if a != NULL else NULL, planes.slope + c, planes.offset + c,
            count, pixels)
    elif planes.scale == NULL:
        (planes.kernels.passes.rectified_last if planes.last else planes.kernels.passes.rectified)(
            y, a, x, planes.shift + c, planes.z_scale + c, planes.z_offset + c, planes.ceiling, count, pixels)
    else:
        (planes.kernels.passes.rectified_affine_last if planes.last else planes.kernels.passes.rectified_affine)(
            y, a, x, planes.shift + c, planes.z_scale + c, planes.z_offset + c, planes.ceiling, planes.scale + c,
            planes.slope + c, planes.offset + c, count, pixels)


cdef void affine_task(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Planes *planes = <const Planes *>job
    cdef Block block = block_of(planes, task)
    cdef idx itemsize = planes.kernels.itemsize, at = block.at, i, end, bytes
    cdef char[TILE] tile
    if not planes.streamed:
        affine_at(planes, block.channel, block.count, block.pixels, planes.y + at, at)
        return
    for i in range(block.count):
        end = at + block.pixels * itemsize
        while at < end:
            bytes = min(<idx>TILE, end - at)
            fc_bring(planes.b + at + TILE, TILE)
            if planes.a != NULL:
                fc_bring(planes.a + at + TILE, TILE)
            affine_at(planes, block.channel + i, 1, bytes // itemsize, tile, at)
            store_far(planes.kernels, planes.y + at, tile, bytes)
            at += bytes
    fc_fence()


cdef void run_affine(Planes *planes, cnp.ndarray y) noexcept:
    # Numbers of neighbouring channels would be brought into vectors for each tile again.
    planes.streamed = not planes.last and goes_far(y, planes.a, planes.b)
    run_blocks(affine_task, planes, 10.0, False)


def affine(cnp.ndarray x, cnp.ndarray y, cnp.ndarray shift, cnp.ndarray scale, cnp.ndarray offset):
    """y[:, c] = scale[c] (x[:, c] - shift[c]) + offset[c]; arrays as in channel_statistics."""
    affine_of(None, x, y, channels_of(shift, "shift", DENSE, x), NULL, channels_of(scale, "scale", DENSE, x),
              channels_of(offset, "offset", DENSE, x))


def affine_pair(cnp.ndarray dy not None, cnp.ndarray x, cnp.ndarray y, cnp.ndarray shift, cnp.ndarray scale,
                cnp.ndarray slope, cnp.ndarray offset):
    """y[:, c] = scale[c] dy[:, c] + slope[c] (x[:, c] - shift[c]) + offset[c]; arrays as in channel_statistics."""
    affine_of(dy, x, y, channels_of(shift, "shift", DENSE, x), channels_of(scale, "scale", DENSE, x),
              channels_of(slope, "slope", DENSE, x), channels_of(offset, "offset", DENSE, x))


cdef int affine_of(cnp.ndarray a, cnp.ndarray x, cnp.ndarray y, const double *shift, const double *scale,
                   const double *slope, const double *offset) except -1:
    """y = scale a + slope (x - shift) + offset, without the first term if a is None; y may be a."""
    cdef Planes planes
    begin(&planes, x)
    planes.a = planes_of(a, "dy", DENSE, x) if a is not None else NULL
    planes.b, planes.y = data(x), planes_of(y, "y", DENSE_RESULT, x)
    planes.shift, planes.scale, planes.slope, planes.offset = shift, scale, slope, offset
    run_affine(&planes, y)
    return 0


# The same with what is put between 0 and a ceiling, which is NaN if there is none: z = scale (x - shift) + offset, and
# a residual. Where gradients are given no results, z without a residual tells which of them pass.

cdef void rectify(Planes *planes, const double *shift, const double *scale, const double *offset,
                  double ceiling) noexcept:
    planes.rectified, planes.shift, planes.z_scale, planes.z_offset = True, shift, scale, offset
    planes.ceiling, planes.results, planes.g = ceiling, NULL, NULL


cdef int rectified_of(cnp.ndarray x, cnp.ndarray residual, cnp.ndarray y, const double *shift, const double *scale,
                      const double *offset, double ceiling) except -1:
    """y = min(max(z, 0), ceiling); the residual may be None."""
    cdef Planes planes
    begin(&planes, x)
    rectify(&planes, shift, scale, offset, ceiling)
    planes.a = planes_of(residual, "residual", DENSE, x) if residual is not None else NULL
    planes.b, planes.y, planes.scale = data(x), planes_of(y, "y", DENSE_RESULT, x), NULL
    run_affine(&planes, y)
    return 0


cdef int rectified_dots_of(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray y, cnp.ndarray g, const double *shift,
                           const double *scale, const double *offset, double ceiling, double *total,
                           double *dot) except -1:
    """dots_of g = dy where 0 < y < ceiling, else 0, which is written unless it is None and may be dy."""
    cdef Planes planes
    begin(&planes, x)
    rectify(&planes, shift, scale, offset, ceiling)
    planes.a, planes.a_shift, planes.b = planes_of(dy, "dy", DENSE, x), NULL, data(x)
    planes.results = planes_of(y, "y", DENSE, x) if y is not None else NULL
    planes.g = planes_of(g, "g", DENSE_RESULT, x) if g is not None else NULL
    return sum_dots(&planes, total, dot)


cdef int rectified_pair_of(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dx, const double *shift, const double *scale,
                           const double *offset, double ceiling, const double *of_g, const double *of_x,
                           const double *rest) except -1:
    """affine_of g = dy where z passes, else 0; dx may be dy."""
    cdef Planes planes
    begin(&planes, x)
    rectify(&planes, shift, scale, offset, ceiling)
    planes.a, planes.b, planes.y = planes_of(dy, "dy", DENSE, x), data(x), planes_of(dx, "dx", DENSE_RESULT, x)
    planes.scale, planes.slope, planes.offset = of_g, of_x, rest
    run_affine(&planes, dx)
    return 0
