"""A convolution to be computed, as everything that is asked about it and done for it sees it. It is never rewritten."""

cimport numpy as cnp

from fastconv._native.kernels cimport fc_kernels, idx
from fastconv._native.memory cimport LINE
from fastconv._native.tuning cimport Tuning

cdef enum:   # the passes, in the order of tuning.py
    FORWARD
    INPUT_GRADIENT
    WEIGHT_GRADIENT

ctypedef int Pass

cdef enum:
    CONFLICT_BYTES = 512   # pixels that are a multiple of them apart fall into few sets of the caches near


cdef struct Image:
    # A 4-D array (N, C, H, W), or of filters (K, C, R, S); strides in elements.
    char *data
    char *end      # just past its highest byte
    idx n, c, h, w
    idx s_n, s_c, s_h, s_w


cdef enum:
    # Forms that add in different orders are weighed for so many: an image's bits shall not depend on its batch.
    NOMINAL_IMAGES = 8


cdef struct Problem:
    # Images x, filters w and outputs y, or their gradients: `which` says which of them is computed from the two others.
    Pass which
    const fc_kernels *kernels
    const Tuning *tuning
    int forced           # a form that is taken wherever it is possible, or -1
    bint winograd        # whether minimal filtering may be taken
    Image x, w, y
    const char *bias     # dense, or NULL
    idx groups
    idx stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w


cdef inline void as_image(cnp.ndarray a, Image *image) noexcept:
    cdef idx itemsize = cnp.PyArray_ITEMSIZE(a)
    cdef int i
    image.data = image.end = <char *>cnp.PyArray_DATA(a)
    image.n, image.c, image.h, image.w = a.shape[0], a.shape[1], a.shape[2], a.shape[3]
    image.s_n, image.s_c, image.s_h, image.s_w = (
        a.strides[0] // itemsize, a.strides[1] // itemsize, a.strides[2] // itemsize, a.strides[3] // itemsize)
    for i in range(4):
        if a.strides[i] > 0:
            image.end += (a.shape[i] - 1) * a.strides[i]
    image.end += itemsize


cdef inline bint channels_last(const Image *image) noexcept nogil:
    """Whether channels are neighbours in memory and pixels are not."""
    return image.s_c == 1 and image.s_w != 1


cdef inline double line_share(const Image *image, idx channels, idx itemsize) noexcept nogil:
    """How many elements move for one that a group of so many channels asks for: with channels last whole lines do, and
    more than once where the pixels of a row fall into few sets of the caches."""
    cdef idx line = LINE // itemsize
    if channels >= min(line, image.c) or not channels_last(image):
        return 1
    return (2.0 if image.s_w * itemsize % CONFLICT_BYTES == 0 else 1.0) * line / channels


cdef inline double far_elements(const Image *image, idx channels, double near_bytes, idx itemsize) noexcept nogil:
    """Elements that move for groups of so many channels if an image takes more than so many bytes, and a batch leaves
    the caches near; else 0."""
    cdef double size = <double>image.c * image.h * image.w
    return image.n * size * line_share(image, channels, itemsize) if size * itemsize > near_bytes else 0


cdef inline char *at(const Image *image, idx itemsize, idx n, idx c, idx h, idx w) noexcept nogil:
    """The address of an element, which may lie outside of the image where nobody reads it."""
    return image.data + (n * image.s_n + c * image.s_c + h * image.s_h + w * image.s_w) * itemsize


cdef inline bint keeps_channels_last(cnp.ndarray a) noexcept:
    """Whether results made of an array of images have their channels last: the array is dense so, and no other order
    says the same."""
    cdef idx itemsize = cnp.PyArray_ITEMSIZE(a)
    return (cnp.PyArray_NDIM(a) == 4 and a.shape[1] > 1 and a.shape[2] * a.shape[3] > 1 and a.strides[1] == itemsize
            and a.strides[3] == a.shape[1] * itemsize and a.strides[2] == a.shape[3] * a.strides[3]
            and a.strides[0] == a.shape[2] * a.strides[2])
