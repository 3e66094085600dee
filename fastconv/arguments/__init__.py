"""What callers pass, brought into the common form or refused with every fact.

The compiled functions of `fastconv._native.layers` ask here for whatever is uncommon: lists for pairs, NumPy's
integers, float16, foreign byte orders, single images, signals of one dimension, 'same' padding, empty batches. What
comes back is what their kernels take: arrays of native, aligned float32 or float64 with the right number of axes, and
sizes and parameters as integers. One module a family.
"""
