"""Single passes over memory, for layers."""

cimport numpy as cnp

cpdef relu(cnp.ndarray x, cnp.ndarray y)
cpdef relu_backward(cnp.ndarray dy, cnp.ndarray y, cnp.ndarray dx)
cpdef leaky_relu(cnp.ndarray a, cnp.ndarray x, double slope, cnp.ndarray y)
cpdef add(cnp.ndarray a, cnp.ndarray b, cnp.ndarray y)
cpdef bias_gradient(cnp.ndarray dy, cnp.ndarray db)
cpdef add_row(cnp.ndarray y, cnp.ndarray b)
cpdef column_sums(cnp.ndarray y, cnp.ndarray total)
cpdef cross_entropy(cnp.ndarray x, cnp.ndarray labels, cnp.ndarray dx, long long ignored, bint mean)
