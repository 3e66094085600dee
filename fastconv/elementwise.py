"""Element-wise layers, losses and update rules: NumPy in, NumPy out, in pairs of forward and backward.

Arrays are what the caller has checked: float32 or float64. Backward functions take the gradient of the
result first (dy) and then what the forward pass left for them.
"""

import numpy as np

from ._runtime import empty


def _like(x: np.ndarray) -> np.ndarray:
    """Memory for a result of x's shape, dtype and layout."""
    return empty(x.shape, x.dtype) if x.flags.c_contiguous else np.empty_like(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by the exponential of -|x| so that nothing overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e).astype(e.dtype, copy=False) / (1 + e)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0); NaN stays NaN."""
    return np.maximum(x, 0, out=_like(x))


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dx = dy where y > 0, else 0."""
    return np.multiply(dy, y > 0, out=_like(dy))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """x - log(sum(exp(x))) along an axis; the largest element is subtracted first."""
    y = x - np.max(x, axis=axis, keepdims=True)
    y -= np.log(np.sum(np.exp(y), axis=axis, keepdims=True))
    return y


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dx = dy - softmax * sum(dy)."""
    dx = np.exp(y)
    dx *= -np.sum(dy, axis=axis, keepdims=True)
    dx += dy
    return dx


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """exp(x) / sum(exp(x)) along an axis."""
    y = x - np.max(x, axis=axis, keepdims=True)
    np.exp(y, out=y)
    y /= np.sum(y, axis=axis, keepdims=True)
    return y


def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dx = y * (dy - sum(dy * y))."""
    dx = dy * y
    total = np.sum(dx, axis=axis, keepdims=True)
    dx -= y * total
    return dx


def cross_entropy(
    x: np.ndarray, target: np.ndarray, counted: np.ndarray, weight: np.ndarray | None, label_smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cross entropy of each row of logits with the class that it should be.

    Parameters
    ----------
    x : (M, C) array
        Logits.
    target : (M,) array of int64
        Classes in [0, C); any in rows that are not counted.
    counted : (M,) array of bool
        The other rows get loss 0.
    weight : (C,) array or None
        Weights of the classes.
    label_smoothing : float
        Share e of the target spread over all classes.

    Returns
    -------
    loss : (M,) array
        ``(1 - e) w[t] * -log p[t] + e / C * sum_c w[c] * -log p[c]``
    p : (M, C) array
        The softmax, for the backward pass.
    """
    rows = np.arange(len(x))
    log_p = log_softmax(x, 1)
    loss = -log_p[rows, target]
    if weight is not None:
        loss *= weight[target]
    if label_smoothing:
        smooth = log_p.sum(axis=1) if weight is None else log_p @ weight
        loss *= 1 - label_smoothing
        loss -= smooth * (label_smoothing / x.shape[1])
    loss[~counted] = 0
    return loss, np.exp(log_p, out=log_p)


def cross_entropy_backward(
    dloss: np.ndarray,
    p: np.ndarray,
    target: np.ndarray,
    counted: np.ndarray,
    weight: np.ndarray | None,
    label_smoothing: float,
) -> np.ndarray:
    """dx = dloss * (softmax - target distribution), weighted and smoothed as the loss is; dloss is (M,)."""
    rows = np.arange(len(p))
    dloss = np.where(counted, dloss, 0).astype(p.dtype, copy=False)
    hard = dloss if weight is None else dloss * weight[target]
    hard = hard * (1 - label_smoothing) if label_smoothing else hard
    if not label_smoothing:
        dx = p * hard[:, None]
    else:
        spread = dloss * (label_smoothing / p.shape[1])
        total = p.shape[1] if weight is None else weight.sum()
        dx = p * (hard + spread * total)[:, None]
        dx -= spread[:, None] * (1 if weight is None else weight)
    dx[rows, target] -= hard
    return dx


def _per_channel(values: np.ndarray | None, x: np.ndarray) -> np.ndarray | None:
    """(C,) values in x's dtype, shaped to broadcast along axis 1."""
    return None if values is None else np.reshape(values, (-1,) + (1,) * (x.ndim - 2)).astype(x.dtype)


def _channel_sum(x: np.ndarray) -> np.ndarray:
    """(C,) sums over all axes but axis 1, in float64."""
    return np.add.reduce(x, axis=(0, *range(2, x.ndim)), dtype=np.float64)


def batch_norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel (axis 1).

    Two passes: the variance is that of x less its rounded mean, corrected for what the rounding left, so that
    neither a mean far from zero nor a small variance loses digits.

    Returns
    -------
    shift, offset, variance : (C,) arrays of x's dtype, float64 and float64
        The mean is shift + offset, where shift is exact in x's dtype.
    """
    n = max(x.size // x.shape[1], 1)
    shift = (_channel_sum(x) / n).astype(x.dtype)
    centred = np.subtract(x, _per_channel(shift, x), out=_like(x))
    offset = _channel_sum(centred) / n
    np.square(centred, out=centred)
    return shift, offset, np.maximum(_channel_sum(centred) / n - offset * offset, 0)


def batch_norm(
    x: np.ndarray,
    shift: np.ndarray,
    offset: np.ndarray,
    inverse_std: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
) -> np.ndarray:
    """y = weight * (x - shift - offset) * inverse_std + bias, per channel (axis 1)."""
    scale = inverse_std if weight is None else inverse_std * weight
    y = np.subtract(x, _per_channel(shift, x), out=_like(x))
    y *= _per_channel(scale, x)
    y += _per_channel((0 if bias is None else bias) - offset * scale, x)
    return y


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    shift: np.ndarray,
    offset: np.ndarray,
    inverse_std: np.ndarray,
    weight: np.ndarray | None,
    batch_statistics: bool,
    need_dx: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of :func:`batch_norm`.

    With n elements per channel and z the normalised x::

        dbias = sum dy,    dweight = sum dy z,
        dx = weight * inverse_std * (dy - (dbias + z * dweight) / n)

    where the mean and variance are the batch's own; else ``dx = weight * inverse_std * dy``.

    Returns
    -------
    dx, dweight, dbias
    """
    n = max(x.size // x.shape[1], 1)
    centred = np.subtract(x, _per_channel(shift, x), out=_like(x))
    db = _channel_sum(dy)
    dw = (_channel_sum(dy * centred) - offset * db) * inverse_std
    dx = None
    if need_dx:
        scale = inverse_std if weight is None else inverse_std * weight
        if batch_statistics:
            # dx = scale dy + a (x - shift) + b
            a = -scale * inverse_std * dw / n
            dx = centred
            dx *= _per_channel(a, x)
            dx += _per_channel(-scale * db / n - a * offset, x)
            dx += dy * _per_channel(scale, x)
        else:
            dx = dy * _per_channel(scale, x)
    return dx, dw.astype(x.dtype), db.astype(x.dtype)


def sgd_step(
    p: np.ndarray,
    dp: np.ndarray,
    buffer: np.ndarray | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> np.ndarray | None:
    """One step of stochastic gradient descent on p, in place; returns the momentum buffer, also changed in place.

    ``g = dp + weight_decay * p; buffer = momentum * buffer + (1 - dampening) * g``, at first ``buffer = g``;
    ``p -= lr * buffer``, or with nesterov ``p -= lr * (g + momentum * buffer)``. The gradient dp is left as it is.
    """
    g = -dp if maximize else dp
    if weight_decay:
        g = g + weight_decay * p
    if momentum:
        if buffer is None:
            buffer = g.copy() if g is dp else g
        else:
            buffer *= momentum
            buffer += g if dampening == 0 else (1 - dampening) * g
        g = g + momentum * buffer if nesterov else buffer
    p -= lr * g
    return buffer
