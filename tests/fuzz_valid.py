"""Drawn valid arguments: every operation beside the reference, over shapes, strides, layouts, dtypes and threads.

One function an operation: it draws its arguments from the generator that it is given, and asserts. ``fuzz.py`` runs
them.
"""

import numpy as np
from cases import LAYOUTS, draw_case, draw_strided_case, parameters, w_shape, x_shape
from checks import AS_GIVEN, TOLERANCE, Passes, Unchanged, assert_near, passes_of, spread
from numerics import FORMS, draw_scaled, forced, pass_ratios

import fastconv
from fastconv import backends, elementwise, nn, ops, reference
from fastconv._native import runtime
from fastconv._native.layers import pointwise
from fastconv.nn import functional as F

# A case of so many multiplications is worth a second thread, and of more than this waits for the reference.
LARGE = 2_500_000
SMALL = 60_000


def between(rng, low, high):
    return int(rng.integers(low, high + 1))


def chance(rng, p):
    return bool(rng.random() < p)


def pair(rng, low, high):
    """Mostly a pair, else the one integer that stands for both."""
    h, w = between(rng, low, high), between(rng, low, high)
    return (h, w) if chance(rng, 0.7) else h


def norm(array):
    """Of the elements in float64: those of float16 would overflow."""
    return float(np.linalg.norm(array.astype(np.float64).ravel()))


def tolerance(dtype, a, b):
    """Of sums in this dtype of products of elements of a and b.

    Equal products, as of arrays that repeat, are rounded the same way each time: their errors add up, where those of
    random ones mostly cancel. Winograd's transforms multiply what float32 rounds; where run_case() does not force them,
    it switches them off.
    """
    repeated = any(step == 0 and n > 1 for array in (a, b) for n, step in zip(array.shape, array.strides, strict=True))
    return TOLERANCE[dtype] * (5 if repeated else 1) * (2.5 if backends.winograd.enabled else 1)


def near_sum(actual, expected, a, b, terms):
    """`actual` is made of sums of products of elements of a and b, `terms` in all."""
    assert_near(actual, expected, spread(a, b, terms), tolerance(actual.dtype, a, b))


def check_passes(passes, run=lambda function: function()):
    """The three passes on operands as they are; `run` calls each."""
    functions = [lambda *operands, f=f: run(lambda: f(*operands)) for f in passes_of(ops, passes.kind)]
    x, w, dy = passes.operands
    dtype = np.result_type(x, np.float32)  # that of the results: float16 is computed in float32
    passes.check(AS_GIVEN, functions, [tolerance(dtype, a, b) for a, b in ((x, w), (w, dy), (x, dy))])


def as_pair(value):
    return value if isinstance(value, tuple) else (value, value)


def draw_dtype(rng):
    return rng.choice([np.float32, np.float64, np.float16], p=[0.55, 0.4, 0.05])


def draw_array(rng, shape, dtype, layouts=True):
    """Normal random numbers in a random layout; some repeat along axes of stride 0."""
    shape = tuple(shape)
    if layouts and shape and chance(rng, 0.06):
        kept = tuple(n if chance(rng, 0.5) else min(n, 1) for n in shape)
        return np.broadcast_to(rng.standard_normal(kept).astype(dtype), shape)
    array = rng.standard_normal(shape).astype(dtype)
    if chance(rng, 0.05):
        array *= dtype(10.0 ** between(rng, -3, 3))
    if not layouts or len(shape) < 3 or chance(rng, 0.25):
        return array
    return LAYOUTS[str(rng.choice(list(LAYOUTS)))](array)


def same_on_any_threads(rng, function):
    """The result, the same bits for every number of threads."""
    y = function()
    before = runtime.get_num_threads()
    for number in (1, 2, 3):
        if number != before:
            runtime.set_num_threads(number)
            assert np.array_equal(function(), y, equal_nan=True), f"{number} threads differ from {before}"
    runtime.set_num_threads(before)
    return y


def _small_case(rng):
    while True:
        strided = backends.winograd.enabled and chance(rng, 0.2)
        case = draw_strided_case(rng) if strided else draw_case(rng)
        work = case["C"] // case["groups"] * case["K"] * case["R"] * case["S"] * case["H"] * case["W"]
        work *= max(case["N"], 1)
        most = LARGE * 3 if chance(rng, 0.02) else LARGE if strided else SMALL
        if work <= most:
            return case, work


def _one_image(rng, *arrays):
    """Now and then a batch of one comes without its batch axis."""
    if arrays[0].shape[0] == 1 and chance(rng, 0.5):
        return [array[0] for array in arrays]
    return arrays


def conv2d(rng):
    case, work = _small_case(rng)
    dtype = draw_dtype(rng)
    arguments = parameters(case)
    x = draw_array(rng, x_shape(case), dtype)
    w = draw_array(rng, w_shape(case), dtype)
    b = draw_array(rng, (case["K"],), dtype) if chance(rng, 0.5) else None
    (x,) = _one_image(rng, x)
    passes = Passes(x, w, b, lambda shape: draw_array(rng, shape, dtype), *arguments)
    check_passes(passes, (lambda f: same_on_any_threads(rng, f)) if work > LARGE else (lambda f: f()))


def scaled_conv2d(rng):
    """On data whose scales are far apart, errors element by element."""
    case, _ = _small_case(rng)
    arrays = draw_scaled(rng, case, rng.choice([np.float32, np.float64]))
    layouts = [LAYOUTS[str(name)] for name in rng.choice(list(LAYOUTS), 3)]
    ratios = pass_ratios(*arrays, parameters(case), str(rng.choice(FORMS)), layouts)
    assert max(ratios.values()) <= 1, f"{case}: errors by their bounds {ratios}"


def large_conv2d(rng):
    """Passes large enough for several threads: the same bits for any number of them, and adjoint to each other,
    <conv(x, w), dy> = <x, dx> = <w, dw>."""
    while True:
        groups = int(rng.choice([1, 1, 1, 1, 2, 4]))
        channels, filters = groups * int(2 ** rng.uniform(0, 6)), groups * int(2 ** rng.uniform(0, 6))
        kernel = pair(rng, 1, 7) if chance(rng, 0.8) else pair(rng, 8, 14)
        stride, padding, dilation = pair(rng, 1, 4), pair(rng, 0, 3), int(rng.choice([1, 1, 1, 2, 3]))
        sizes = zip(as_pair(kernel), as_pair(padding), strict=True)
        height, width = (max(1, (k - 1) * dilation + 1 - 2 * p) + int(2 ** rng.uniform(0, 6)) for k, p in sizes)
        x_size, w_size = (between(rng, 1, 5), channels, height, width), (filters, channels // groups, *as_pair(kernel))
        arguments = (stride, padding, dilation, groups)
        y_size = reference._Taps(x_size, w_size, *arguments).y_shape
        if 1e6 < np.prod(y_size) * np.prod(w_size[1:]) < 2e7:
            break
    dtype = rng.choice([np.float32, np.float64])
    x, w, dy = (draw_array(rng, size, dtype) for size in (x_size, w_size, y_size))
    with Unchanged(x, w, dy):
        y = same_on_any_threads(rng, lambda: ops.conv2d(x, w, None, *arguments))
        dx = same_on_any_threads(rng, lambda: ops.conv2d_input(x_size, w, dy, *arguments))
        dw = same_on_any_threads(rng, lambda: ops.conv2d_weight(x, w_size, dy, *arguments))
    products = [np.sum(np.multiply(a, b, dtype=np.float64)) for a, b in ((y, dy), (dx, x), (dw, w))]
    scale = np.linalg.norm(y.astype(np.float64)) * np.linalg.norm(dy.astype(np.float64))
    assert np.ptp(products) <= 10 * TOLERANCE[np.dtype(dtype)] * scale, f"{products} of {arguments}, {x_size}, {w_size}"


def conv1d(rng):
    dtype = draw_dtype(rng)
    groups = between(rng, 1, 3)
    images, channels, filters = between(rng, 0, 3), groups * between(rng, 1, 4), groups * between(rng, 1, 4)
    kernel, dilation, stride = between(rng, 1, 5), between(rng, 1, 3), between(rng, 1, 4)
    padding = between(rng, 0, 5)
    if chance(rng, 0.2):
        padding, stride = str(rng.choice(["same", "valid"])), 1
    pad = padding if isinstance(padding, int) else 0
    length = max(1, dilation * (kernel - 1) + 1 - 2 * pad) + between(rng, 0, 20)
    arguments = (stride, padding, dilation, groups)
    x = draw_array(rng, (images, channels, length), dtype)
    w = draw_array(rng, (filters, channels // groups, kernel), dtype)
    b = draw_array(rng, (filters,), dtype) if chance(rng, 0.5) else None
    check_passes(Passes(x, w, b, lambda shape: draw_array(rng, shape, dtype), *arguments, kind="conv1d"))


def conv_transpose2d(rng):
    dtype = draw_dtype(rng)
    groups = between(rng, 1, 3)
    channels, filters = groups * between(rng, 1, 4), groups * between(rng, 1, 4)
    kernel = (between(rng, 1, 4), between(rng, 1, 4))
    while True:
        size = (between(rng, 1, 6), between(rng, 1, 6))
        stride, dilation, padding = pair(rng, 1, 3), pair(rng, 1, 3), pair(rng, 0, 3)
        extra = tuple(between(rng, 0, max(s, d) - 1) for s, d in zip(as_pair(stride), as_pair(dilation), strict=True))
        out = [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(
                size, as_pair(stride), as_pair(padding), as_pair(dilation), kernel, extra, strict=True
            )
        ]
        if min(out) > 0:
            break
    arguments = (stride, padding, extra, groups, dilation)
    x = draw_array(rng, (between(rng, 0, 2), channels, *size), dtype)
    w = draw_array(rng, (channels, filters // groups, *kernel), dtype)
    b = draw_array(rng, (filters,), dtype) if chance(rng, 0.5) else None
    check_passes(Passes(x, w, b, lambda shape: draw_array(rng, shape, dtype), *arguments, kind="conv_transpose2d"))


def _pooling(rng, dilated):
    kernel, stride = pair(rng, 1, 5), None if chance(rng, 0.3) else pair(rng, 1, 5)
    dilation = pair(rng, 1, 3) if dilated and chance(rng, 0.4) else 1
    padding = tuple(between(rng, 0, k // 2) for k in as_pair(kernel))
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + between(rng, 0, 12)
        for k, d, p in zip(as_pair(kernel), as_pair(dilation), padding, strict=True)
    ]
    return (between(rng, 0, 2), between(rng, 1, 3), *size), kernel, stride, padding, dilation, chance(rng, 0.4)


def _with_odd_values(rng, x):
    """Some NaN, infinities, negative zeros or many equal values; a fresh array."""
    x = np.array(x)
    kind = between(rng, 0, 6)
    if kind == 0:
        x[rng.random(x.shape) < 0.1] = np.nan
    elif kind == 1:
        x[rng.random(x.shape) < 0.5] = -np.inf
    elif kind == 2:
        x[rng.random(x.shape) < 0.1] = np.inf
    elif kind == 3:
        x = np.round(x)
    elif kind == 4:
        x[rng.random(x.shape) < 0.3] = -0.0
    return x


def max_pool2d(rng):
    dtype = draw_dtype(rng)
    shape, *arguments = _pooling(rng, True)
    x = _with_odd_values(rng, draw_array(rng, shape, dtype))
    x = LAYOUTS[str(rng.choice(list(LAYOUTS)))](x)
    (x,) = _one_image(rng, x)
    with Unchanged(x):
        y, indices = ops.max_pool2d(x, *arguments)
    y64, places = reference.max_pool2d(x, *arguments)
    assert np.array_equal(y, y64, equal_nan=True), "another maximum"
    assert np.array_equal(indices, places), "another place"
    dy = draw_array(rng, y.shape, dtype)
    with Unchanged(dy, indices):
        dx = ops.max_pool2d_backward(dy, indices, x.shape)
    assert_near(dx, reference.max_pool2d_backward(dy, places, x.shape), norm(dy))


def avg_pool2d(rng):
    dtype = draw_dtype(rng)
    shape, kernel, stride, padding, _, ceil_mode = _pooling(rng, False)
    override = int(rng.choice([-3, 1, 2, 7])) if chance(rng, 0.3) else None
    arguments = (kernel, stride, padding, ceil_mode, chance(rng, 0.5), override)
    x = draw_array(rng, shape, dtype)
    (x,) = _one_image(rng, x)
    y64 = reference.avg_pool2d(x, *arguments)
    dy = draw_array(rng, y64.shape, dtype)
    with Unchanged(x, dy):
        assert_near(ops.avg_pool2d(x, *arguments), y64, norm(x))
        dx = ops.avg_pool2d_backward(dy, x.shape, *arguments)
    assert_near(dx, reference.avg_pool2d_backward(dy, x.shape, *arguments), norm(dy))


def adaptive_avg_pool2d(rng):
    dtype = draw_dtype(rng)
    x = draw_array(rng, (between(rng, 0, 2), between(rng, 1, 3), between(rng, 1, 12), between(rng, 1, 12)), dtype)
    (x,) = _one_image(rng, x)
    output_size = tuple(None if chance(rng, 0.1) else between(rng, 0, 9) for _ in range(2))
    y64 = reference.adaptive_avg_pool2d(x, output_size)
    dy = draw_array(rng, y64.shape, dtype)
    with Unchanged(x, dy):
        assert_near(ops.adaptive_avg_pool2d(x, output_size), y64, norm(x))
        dx = ops.adaptive_avg_pool2d_backward(dy, x.shape)
    assert_near(dx, reference.adaptive_avg_pool2d_backward(dy, x.shape), norm(dy))


def pad2d(rng):
    dtype = draw_dtype(rng)
    height, width = between(rng, 1, 7), between(rng, 1, 7)
    x = draw_array(rng, (between(rng, 0, 2), between(rng, 0, 3), height, width), dtype)
    mode = str(rng.choice(["zeros", "reflect", "replicate", "circular"]))
    most_h, most_w = {"reflect": (height - 1, width - 1), "circular": (height, width)}.get(mode, (6, 6))
    pads = tuple(between(rng, 0, most) for most in (most_w, most_w, most_h, most_h))
    y64 = reference.pad2d(x, pads, mode)
    dy = draw_array(rng, y64.shape, dtype)
    with Unchanged(x, dy):
        assert np.array_equal(ops.pad2d(x, pads, mode), y64)
        dx = ops.pad2d_backward(dy, pads, mode)
    assert_near(dx, reference.pad2d_backward(dy, pads, mode), norm(dy))


def linear(rng):
    dtype = draw_dtype(rng)
    n, c, k = between(rng, 0, 9), between(rng, 0, 40), between(rng, 0, 40)
    x, w, dy = (draw_array(rng, shape, dtype) for shape in ((n, c), (k, c), (n, k)))
    x, w, dy = (a[::-1, ::-1] if chance(rng, 0.2) else a.T.copy().T if chance(rng, 0.2) else a for a in (x, w, dy))
    x64, w64, dy64 = (a.astype(np.float64) for a in (x, w, dy))
    with Unchanged(x, w, dy):
        near_sum(ops.linear(x, w), x64 @ w64.T, x, w, n * c * k)
        near_sum(ops.linear_input(w, dy), dy64 @ w64, dy, w, n * c * k)
        near_sum(ops.linear_weight(x, dy), dy64.T @ x64, dy, x, n * c * k)


def bias_gradient(rng):
    dtype = draw_dtype(rng)
    dims = between(rng, 1, 2)
    shape = [between(rng, 0, 4) for _ in range(dims + 2)][chance(rng, 0.3) :]
    dy = draw_array(rng, shape, dtype)
    with Unchanged(dy):
        assert_near(ops.bias_gradient(dy, dims), reference.bias_gradient(dy, dims), norm(dy))


def relu(rng):
    dtype = rng.choice([np.float32, np.float64])
    shape = tuple(between(rng, 0, 6) for _ in range(between(rng, 0, 4)))
    x = _with_odd_values(rng, draw_array(rng, shape, dtype))
    if x.ndim > 2:
        x = LAYOUTS[str(rng.choice(list(LAYOUTS)))](x)
    dy = draw_array(rng, shape, dtype)
    with Unchanged(x, dy):
        y = elementwise.relu(x)
        dx = elementwise.relu_backward(dy, y)
        slope = float(rng.choice([0.0, 0.25, -0.5, 2.0]))
        leaky, leaky_dx = pointwise.leaky_relu(x, slope), pointwise.leaky_relu_backward(dy, x, slope)
    assert np.array_equal(y, reference.relu(x), equal_nan=True)
    assert np.array_equal(dx, reference.relu_backward(dy, x))
    with np.errstate(invalid="ignore"):
        assert np.array_equal(leaky, reference.leaky_relu(x, slope), equal_nan=True)
    assert np.array_equal(leaky_dx, reference.leaky_relu_backward(dy, x, slope))


def cross_entropy(rng):
    dtype = rng.choice([np.float32, np.float64])
    n, classes = between(rng, 1, 7), between(rng, 1, 12)
    scores = draw_array(rng, (n, classes), dtype)
    labels = rng.integers(classes, size=n)
    x = fastconv.from_numpy(np.ascontiguousarray(scores)).requires_grad_()
    loss = F.cross_entropy(x, fastconv.from_numpy(labels))
    loss.backward()
    value, gradient = reference.cross_entropy(scores, labels)
    # Of a certain answer the loss is the rounding error of the largest score.
    tolerance = TOLERANCE[np.dtype(dtype)]
    assert abs(loss.item() - value) <= tolerance * (value + np.abs(scores).max())
    assert_near(x.grad.numpy(), gradient, 1.0)


def batch_norm(rng):
    dtype = rng.choice([np.float32, np.float64])
    channels = between(rng, 1, 4)
    shape = (between(rng, 1, 4), channels, between(rng, 1, 5), between(rng, 2, 5))
    far = 10.0 ** between(rng, 0, 3) if chance(rng, 0.2) else 0.0
    x = (draw_array(rng, shape, np.float64, layouts=False) + far).astype(dtype)
    x = LAYOUTS[str(rng.choice([name for name in LAYOUTS if name != "foreign"]))](x)
    weight, bias = rng.standard_normal((2, channels)).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    tensors = [fastconv.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    mean, var = (fastconv.zeros(channels, dtype=dtype) for _ in range(2))
    y = F.batch_norm(tensors[0], mean, var, tensors[1], tensors[2], training=True, momentum=1.0)
    y.backward(fastconv.from_numpy(dy))
    y64, mean64, var64 = reference.batch_norm2d(x, weight, bias)
    scale = np.abs(weight).max() / np.sqrt(var64.min() + 1e-5)
    # The reference itself rounds means in float64.
    rounding = far * scale * np.sqrt(x.size) if dtype is np.float64 else 0.0
    assert_near(y.detach().numpy(), y64, norm(bias) + rounding)
    assert_near(mean.numpy(), mean64, float(np.sqrt(var64.max())))
    n = x.size // channels
    assert_near(var.numpy(), var64 * n / (n - 1), 1e-5)
    # A small variance magnifies the rounding of what is nearly cancelled.
    for tensor, expected in zip(tensors, reference.batch_norm2d_backward(dy, x, weight), strict=True):
        floor = norm(dy) * max(scale, 1.0) * (4 + rounding)
        assert_near(tensor.grad.numpy(), expected, floor)


def sgd(rng):
    dtype = rng.choice([np.float32, np.float64])
    shape = tuple(between(rng, 0, 5) for _ in range(between(rng, 0, 3)))
    p, g = (draw_array(rng, shape, dtype, layouts=False) for _ in range(2))
    lr, momentum, decay = rng.random(3)
    momentum = 0.0 if chance(rng, 0.3) else momentum
    nesterov, maximize = momentum > 0 and chance(rng, 0.4), chance(rng, 0.3)
    dampening = 0.0 if nesterov else float(rng.random())
    held = fastconv.from_numpy(p.copy()).requires_grad_()
    optimizer = fastconv.optim.SGD([held], lr, momentum, dampening, decay, nesterov, maximize=maximize)
    p64, buffer = p.astype(np.float64), None
    for _ in range(3):
        held.grad = fastconv.from_numpy(g.copy())
        optimizer.step()
        step = (-1 if maximize else 1) * g.astype(np.float64) + decay * p64
        if momentum:
            buffer = step if buffer is None else momentum * buffer + (1 - dampening) * step
            step = step + momentum * buffer if nesterov else buffer
        p64 = p64 - lr * step
    assert_near(held.detach().numpy(), p64, norm(p) + norm(g), 4 * TOLERANCE[np.dtype(dtype)])


def conv_layer(rng):
    """A layer with any padding mode, its three gradients through the tape."""
    dtype = rng.choice([np.float32, np.float64])
    mode = str(rng.choice(["zeros", "reflect", "replicate", "circular"]))
    groups = between(rng, 1, 2)
    channels, filters = groups * between(rng, 1, 3), groups * between(rng, 1, 3)
    kernel, stride, dilation = between(rng, 1, 3), between(rng, 1, 2), between(rng, 1, 2)
    pad = between(rng, 0, 2)
    least = max(pad + 1, dilation * (kernel - 1) + 1)
    size = least + between(rng, 0, 5), least + between(rng, 0, 5)
    layer = nn.Conv2d(
        channels, filters, kernel, stride, pad, dilation, groups, bias=chance(rng, 0.5), padding_mode=mode
    )
    layer = layer.double() if dtype is np.float64 else layer
    x = draw_array(rng, (between(rng, 1, 3), channels, *size), dtype).astype(dtype)
    tensor = fastconv.from_numpy(x).requires_grad_()
    y = layer(tensor)
    w = layer.weight.detach().numpy()
    b = None if layer.bias is None else layer.bias.detach().numpy()
    padded = reference.pad2d(x, (pad,) * 4, mode)
    arguments = (stride, 0, dilation, groups)
    y64 = reference.conv2d(padded, w, b, *arguments)
    terms = y64.size * kernel * kernel * channels // groups
    near_sum(y.detach().numpy(), y64, x, w, terms)
    dy = draw_array(rng, y.shape, dtype).astype(dtype)
    y.backward(fastconv.from_numpy(dy))
    dx64 = reference.pad2d_backward(reference.conv2d_input(padded.shape, w, dy, *arguments), (pad,) * 4, mode)
    near_sum(tensor.grad.numpy(), dx64, w, dy, 4 * terms)
    dw64 = reference.conv2d_weight(padded, w.shape, dy, *arguments)
    near_sum(layer.weight.grad.numpy(), dw64, padded, dy, terms)
    if b is not None:
        assert_near(layer.bias.grad.numpy(), reference.bias_gradient(dy), norm(dy))


# How often each is drawn.
OPERATIONS = {
    conv2d: 10,
    scaled_conv2d: 4,
    large_conv2d: 1,
    conv1d: 2,
    conv_transpose2d: 3,
    max_pool2d: 3,
    avg_pool2d: 2,
    adaptive_avg_pool2d: 1,
    pad2d: 2,
    linear: 2,
    bias_gradient: 1,
    relu: 1,
    cross_entropy: 1,
    batch_norm: 1,
    sgd: 1,
    conv_layer: 2,
}
NAMES = list(OPERATIONS)
WEIGHTS = np.array(list(OPERATIONS.values())) / sum(OPERATIONS.values())


def run_case(seed: int, index: int) -> str:
    """Case `index` of the run with this seed; returns its name, raises if it fails."""
    rng = np.random.default_rng([seed, index])
    isa = str(rng.choice(runtime.available_isas()))
    threads = between(rng, 1, 3)
    operation = NAMES[int(rng.choice(len(NAMES), p=WEIGHTS))]
    # Drawn cases are too small for some forms to be chosen: half of the cases take one wherever it is possible, half of
    # these Winograd's filtering. Its errors are larger, and the other cases do without it.
    wishes = np.random.default_rng([seed, index, 1])
    form = str(wishes.choice(["direct", "winograd", str(wishes.choice(backends.FORMS))], p=[0.5, 0.25, 0.25]))
    name = f"{operation.__name__} on {isa} with {threads} threads, {form} wherever possible"
    before = runtime.get_isa(), runtime.get_num_threads()
    runtime.set_isa(isa)
    runtime.set_num_threads(threads)
    fastconv.manual_seed(index)
    try:
        with forced(form):
            operation(rng)
    except Exception as error:
        error.add_note(f"in {name}, seed {seed}, case {index}")
        raise
    finally:
        runtime.set_isa(before[0])
        runtime.set_num_threads(before[1])
    return name
