"""The functions of layers that are built on those of :mod:`fastconv.nn.functional`, a family a file.

A differentiable operation is ``op(needs, *arrays, **options) -> (y, vjp, saved, *extra)``, forward and backward in one
function; :func:`fastconv.nn.functions.arguments.apply` makes it one on tensors. ``functional`` offers all of them.
"""
