"""fastconv's kernels inside PyTorch: every use of a convolution gives what torch gives alone, strides included."""

import copy
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch.library", reason="torch 2.9 and newer")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import fastconv  # noqa: E402
import fastconv.pytorch  # noqa: E402

if not hasattr(torch.library, "get_kernel"):
    pytest.skip("torch 2.9 and newer", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
BOUNDS = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(autouse=True)
def torch_as_it_was():
    threads = fastconv.get_num_threads(), torch.get_num_threads()
    yield
    fastconv.pytorch.disable()
    fastconv.set_num_threads(threads[0])
    torch.set_num_threads(threads[1])


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [] if value is None else [t for item in value for t in tensors(item)]


def strides(t):
    """But those of dimensions of one, which torch's implementations of convolution give filters in several ways."""
    return [stride for stride, size in zip(t.stride(), t.shape, strict=True) if size > 1]


def check(compute, least=1):
    """compute() with fastconv and without: the same values, shapes, dtypes and strides; so many calls went through."""
    torch.manual_seed(0)
    expected = tensors(compute())
    with fastconv.pytorch.enable():
        torch.manual_seed(0)
        got = tensors(compute())
        taken = sum(row.calls for row in fastconv.pytorch.report() if row.by == "fastconv")
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert (a.shape, a.dtype, strides(a)) == (b.shape, b.dtype, strides(b))
        if not a.is_floating_point():
            assert torch.equal(a, b)
            continue
        error = (a.double() - b.double()).norm().item()
        assert error <= BOUNDS.get(a.dtype, 0) * max(b.double().norm().item(), 1e-3)
    assert taken >= least
    return taken


def passes(f, *operands):
    """A function's value, and its gradients of what torch gives other numbers everywhere."""
    operands = [a if a is None else a.detach().requires_grad_() for a in operands]
    y = f(*operands)
    weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)
    return [y.detach(), *torch.autograd.grad(y, [a for a in operands if a is not None], weight)]


def images(*size, dtype=torch.float32, last=False):
    x = torch.randn(size, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last) if last else x


CONVOLUTIONS = [  # channels, filters, kernel, pixels, groups, stride, padding, dilation
    (3, 8, (3, 3), (9, 9), 1, 1, 1, 1),
    (8, 8, (1, 1), (7, 5), 1, 1, 0, 1),
    (8, 8, (3, 3), (8, 8), 8, 1, 1, 1),
    (8, 16, (3, 2), (8, 9), 4, 2, 1, 1),
    (6, 5, (5, 5), (11, 11), 1, (2, 3), (2, 1), 1),
    (4, 4, (3, 3), (12, 12), 1, 1, 2, 2),
    (1, 4, (3, 3), (8, 8), 1, 1, 1, 1),
    (4, 1, (3, 3), (8, 8), 1, 1, 1, 1),
    (8, 4, (4, 4), (4, 4), 1, 1, 0, 1),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("transposed", [False, True])
def test_convolution_and_its_gradients(case, transposed, dtype):
    channels, filters, kernel, pixels, groups, stride, padding, dilation = case
    for x_last, w_last, biased in [
        (False, False, True),
        (True, True, False),
        (False, True, True),
        (True, False, False),
    ]:

        def compute(x_last=x_last, w_last=w_last, biased=biased):
            x = images(2, channels, *pixels, dtype=dtype, last=x_last)
            if transposed:
                w = images(channels, filters // groups, *kernel, dtype=dtype, last=w_last)
            else:
                w = images(filters, channels // groups, *kernel, dtype=dtype, last=w_last)
            b = torch.randn(filters, dtype=dtype) if biased else None
            if transposed:
                return passes(
                    lambda x, w, b: F.conv_transpose2d(x, w, b, stride, padding, 0, groups, dilation), x, w, b
                )
            return passes(lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups), x, w, b)

        check(compute, 2)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "window", [(2, 2, 0, 1, False), (3, 2, 1, 1, True), (3, 1, 1, 2, False), (2, None, 0, 1, False)]
)
def test_pooling(window, last):
    kernel, stride, padding, dilation, ceil_mode = window

    def largest():
        x = images(2, 5, 9, 8, last=last)
        found = passes(lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode), x)
        return found, F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode, return_indices=True)

    check(largest, 3)
    for counted, divisor in ((True, None), (False, None), (True, 3)):
        how = kernel, stride, padding, ceil_mode, counted, divisor
        check(lambda how=how: passes(lambda x: F.avg_pool2d(x, *how), images(2, 5, 9, 8, last=last)), 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_batch_norm(dtype, training, affine, tracked, last):
    def compute():
        running = (torch.randn(5, dtype=dtype), torch.rand(5, dtype=dtype) + 1) if tracked else (None, None)
        x = images(4, 5, 9, 8, dtype=dtype, last=last) * 3 + 2
        rows = torch.randn(2, 5, dtype=dtype) if affine else (None, None)
        found = passes(lambda x, w, b: F.batch_norm(x, *running, w, b, training or not tracked), x, *rows)
        return found, running

    check(compute, 2)


def test_sequences_single_images_and_what_is_left_to_torch():
    check(
        lambda: passes(lambda x, w: F.conv1d(x, w, padding=1, groups=2), torch.randn(3, 4, 20), torch.randn(6, 2, 3)), 2
    )
    check(
        lambda: passes(lambda x, w: F.conv_transpose1d(x, w, stride=2), torch.randn(3, 4, 20), torch.randn(4, 6, 4)), 2
    )
    check(lambda: F.conv2d(torch.randn(3, 8, 8), torch.randn(4, 3, 3, 3)))
    for compute in (
        lambda: F.conv3d(torch.randn(1, 2, 5, 5, 5), torch.randn(3, 2, 3, 3, 3)),
        lambda: F.conv2d(torch.randn(0, 3, 8, 8), torch.randn(4, 3, 3, 3)),
        lambda: F.conv2d(torch.randn(1, 3, 8, 8).half(), torch.randn(4, 3, 3, 3).half()),
        lambda: nn.BatchNorm1d(5)(torch.randn(7, 5)),
    ):
        assert check(compute, 0) == 0


def pool_backward(dy, x, indices, stride=(2, 2)):
    how = [2, 2], stride, [0, 0], [1, 1], False
    return torch.ops.aten.max_pool2d_with_indices_backward(dy, x, *how, indices)


def test_indices_outside_of_the_image_are_refused():
    x, dy = torch.randn(1, 3, 8, 8), torch.ones(1, 3, 4, 4)
    with fastconv.pytorch.enable():
        for index in (64, -1, 2**40):
            with pytest.raises(IndexError, match="outside the 8 x 8 pixels"):
                pool_backward(dy, x, torch.full((1, 3, 4, 4), index))


def layers_of(x):
    """Results and gradients of layers whose results have planes of one pixel, one row or one column."""
    size = tuple(x.shape[2:])
    filters = torch.ones(2, x.shape[1], *size)
    makers = [lambda x: F.conv2d(x, filters), lambda x: F.conv_transpose2d(x, filters.transpose(0, 1))]
    for window in {size, (1, 1), (size[0], 1), (1, size[1])}:
        makers.append(lambda x, window=window: F.max_pool2d_with_indices(x, window))
        makers.append(lambda x, window=window: F.avg_pool2d(x, window))
    if size != (1, 1):
        makers.append(lambda x: F.batch_norm(x, None, None, training=True))
    x = x.clone().requires_grad_()
    for make in makers:
        y = make(x)
        found = list(y) if isinstance(y, tuple) else [y]
        for last in (torch.contiguous_format, torch.channels_last):
            dy = torch.ones(found[0].shape).contiguous(memory_format=last)
            found += torch.autograd.grad(found[0], x, dy, retain_graph=True)
        yield from found


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (1, 2, 1, 3), (1, 2, 3, 2), (2, 1, 3, 3), (2, 3, 2, 1), (1, 1, 2, 2)])
def test_strides_along_axes_of_one(shape):
    """Torch asks them too whether images are channels last."""
    n, c, h, w = shape
    x = torch.randn(shape)
    for images in (x, x.contiguous(memory_format=torch.channels_last), torch.randn(h, w, n, c).permute(2, 3, 0, 1)):
        expected = [t.stride() for t in layers_of(images)]
        with fastconv.pytorch.enable():
            assert [t.stride() for t in layers_of(images)] == expected


def test_strides_of_images_that_are_repeated():
    x, w = torch.randn(1, 3, 1, 1).expand(2, 3, 8, 8), torch.randn(4, 1, 3, 3).expand(4, 3, 3, 3)
    check(lambda: passes(F.conv2d, x, w), 2)
    check(lambda: [F.max_pool2d(x, 2, return_indices=True), F.avg_pool2d(x, 2)])
    rows = torch.randn(1, 3, 1, 8).expand(2, 3, 8, 8)  # of planes of one number batch norm makes what rounding leaves
    check(lambda: F.batch_norm(rows, None, None, training=True))
    x = torch.randn(1, 2, 6, 3).transpose(2, 3)
    assert F.max_pool2d(x, (3, 2), (2, 1), return_indices=True)[1].stride() == strides_with_fastconv(x)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("x_order", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("w_order", [(0, 1, 2), (0, 2, 1)])
def test_strides_of_sequences(x_order, w_order, transposed):
    """Torch lays sequences with channels last anew, but not filters."""

    def laid(shape, order):
        return torch.randn([shape[axis] for axis in order]).permute(*map(order.index, range(3)))

    convolve = F.conv_transpose1d if transposed else F.conv1d
    check(lambda: passes(convolve, laid((2, 4, 9), x_order), laid((4, 4, 3), w_order)), 2)


def strides_with_fastconv(x):
    with fastconv.pytorch.enable():
        return F.max_pool2d(x, (3, 2), (2, 1), return_indices=True)[1].stride()


def test_errors_are_torchs_own():
    x = torch.randn(1, 3, 8, 8)
    for call in (
        lambda: F.conv2d(x, torch.randn(4, 2, 3, 3)),
        lambda: F.conv2d(torch.randn(1, 3, 2, 2), torch.randn(4, 3, 3, 3)),
        lambda: F.conv2d(x, torch.randn(4, 3, 3, 3), torch.randn(3)),
        lambda: F.conv2d(x, torch.randn(4, 3, 3, 3), padding=-1),
        lambda: F.conv2d(x, torch.randn(4, 3, 3, 3), stride=0),
        lambda: F.conv2d(x, torch.randn(4, 3, 3, 3).double()),
        lambda: F.max_pool2d(x, 2, padding=2),
        lambda: F.max_pool2d(x, []),
        lambda: F.max_pool2d(x, (2, 3, 2)),
        lambda: F.max_pool2d(x, 2, 2**40),
        lambda: F.avg_pool2d(x, 2, (2, 1, 1, 2)),
        lambda: F.avg_pool2d(x, 2, padding=[]),
        lambda: pool_backward(torch.ones(1, 3, 4, 4), x, torch.zeros(1, 3, 4, 4, dtype=torch.int64), [0, 0]),
        lambda: nn.BatchNorm2d(4)(x),
        lambda: F.batch_norm(x, torch.zeros(3), None, training=True),
        lambda: pool_backward(torch.ones(1, 3, 2, 4), x, torch.zeros(1, 3, 2, 4, dtype=torch.int64)),
        lambda: pool_backward(torch.ones(1, 3, 4, 4), x, torch.zeros(1, 3, 4, 4, dtype=torch.int32)),
    ):
        errors = []
        for enabled in (False, True):
            if enabled:
                fastconv.pytorch.enable()
            with pytest.raises(Exception) as caught:
                call()
            errors.append((caught.type, str(caught.value)))
            fastconv.pytorch.disable()
        assert errors[0] == errors[1]


def network(last=False, dtype=torch.float32):
    layers = (
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3),
    )
    model = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 5)).to(dtype)
    x = images(4, 3, 16, 16, dtype=dtype, last=last)
    return (model.to(memory_format=torch.channels_last) if last else model), x


def step(model, x, run=None):
    y = (run or model)(x)
    y.square().sum().backward()
    return y.detach(), [p.grad for p in model.parameters()]


@pytest.mark.parametrize("last", [False, True])
def test_training_steps(last):
    check(lambda: step(*network(last)), 8)
    check(lambda: step(*network(last, torch.float64)), 8)


@pytest.mark.parametrize("last", [False, True])
def test_compiled_without_a_code_generator(last):
    def compute():
        torch._dynamo.reset()
        model, x = network(last)
        return step(model, x, torch.compile(model, backend="aot_eager"))

    check(compute, 8)


def test_inference_autocast_jit_fx_and_export():
    def compute(run):
        model, x = network()
        model.eval()
        with torch.inference_mode():
            return run(model, x).clone()

    check(lambda: compute(lambda model, x: model(x)), 5)
    check(lambda: compute(lambda model, x: torch.jit.trace(model, x)(x)), 5)
    check(lambda: compute(lambda model, x: torch.jit.script(model)(x)), 5)
    check(lambda: compute(lambda model, x: torch.fx.symbolic_trace(model)(x)), 5)
    check(lambda: compute(lambda model, x: torch.export.export(model, (x,)).module()(x)), 5)
    check(lambda: compute(lambda model, x: nn.DataParallel(model)(x)), 5)
    check(lambda: compute(lambda model, x: copy.deepcopy(model)(x)), 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert check(lambda: compute(lambda model, x: model(x)), 0) == 0


def test_vmap_and_forward_mode():
    w = torch.randn(4, 3, 3, 3)
    check(lambda: torch.func.vmap(lambda x: F.conv2d(x, w, padding=1))(torch.randn(5, 2, 3, 8, 8)))
    check(lambda: torch.func.jvp(lambda w: F.conv2d(torch.randn(2, 3, 8, 8), w), (w,), (torch.ones_like(w),)), 2)


def test_gradcheck_and_gradgradcheck():
    x, w = torch.randn(2, 3, 6, 5, dtype=torch.float64), torch.randn(4, 3, 3, 2, dtype=torch.float64)
    b = torch.randn(4, dtype=torch.float64)
    operands = [a.requires_grad_() for a in (x, w, b)]
    with fastconv.pytorch.enable():
        for f in (
            lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
            lambda x, w, b: F.conv_transpose2d(F.conv2d(x, w, b), w),
            lambda x, w, b: F.avg_pool2d(F.conv2d(x, w, b), 2),
            lambda x, w, b: F.batch_norm(F.conv2d(x, w, b).tanh(), None, None, training=True),
        ):
            assert torch.autograd.gradcheck(f, operands)
            assert torch.autograd.gradgradcheck(f, operands)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_what_torch_tests_its_own_operators_with():
    pytest.importorskip("expecttest", reason="torch's own tests need it")
    import torch_operators

    parts = (
        "functional.conv2d",
        "conv_transpose2d",
        "functional.avg_pool2d",
        "native_batch_norm",
        "d.Conv2d",
        "BatchNorm2d",
    )
    counts, bad = torch_operators.compare(parts, (torch.float32, torch.float64), most=8)
    assert not bad
    assert counts.total() > 40
    assert all(count < 20 for (_, outcome), count in counts.items() if outcome == "fail")


def test_memory_that_is_copied_when_it_is_written_to():
    x, w, b = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3), torch.randn(4)
    expected = F.conv2d(x[:, :, 1:], w, b)
    lazy = [torch._lazy_clone(t) for t in (x, w, b)]
    running = [torch._lazy_clone(t) for t in (b, b.square())]
    with fastconv.pytorch.enable():
        y = F.conv2d(lazy[0][:, :, 1:], *lazy[1:])
        F.batch_norm(y, *running, training=True)
        F.batch_norm(y, b, b.square())
    assert torch.allclose(y, expected, atol=1e-5)
    assert all(torch._C._is_cow_tensor(t) for t in lazy)
    assert not any(torch.equal(t, kept) for t, kept in zip(running, (b, b.square()), strict=True))


def test_without_torch_the_import_says_what_to_do(tmp_path):
    program = "import sys; sys.modules['torch'] = None; import fastconv.pytorch"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "ImportError: fastconv.pytorch needs torch 2.9 or newer" in done.stderr


def test_threads_follow_torchs():
    x, w = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    with fastconv.pytorch.enable():
        for threads in (2, 1):
            torch.set_num_threads(threads)
            F.conv2d(x, w)
            assert fastconv.get_num_threads() == threads
    with fastconv.pytorch.enable(threads=2):
        F.conv2d(x, w)
        assert fastconv.get_num_threads() == 2
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        fastconv.pytorch.enable(threads=0)
    with pytest.raises(TypeError, match="not 'many'"):
        fastconv.pytorch.enable(threads="many")
    assert not fastconv.pytorch.is_enabled()


def test_enabling_and_disabling():
    x, w = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    assert fastconv.pytorch.report() == []
    fastconv.pytorch.enable(pooling=False, normalisation=False)
    fastconv.pytorch.enable(pooling=False)
    F.max_pool2d(F.conv2d(x, w), 2)
    assert fastconv.pytorch.report() == [("convolution", 1, "fastconv")]
    assert "convolution" in str(fastconv.pytorch.report())
    fastconv.pytorch.disable()
    fastconv.pytorch.disable()
    own = torch.library.get_kernel("aten::convolution", "CPU")
    assert "RegisterCompositeExplicitAutograd" in repr(own)
    F.conv2d(x, w)
    assert fastconv.pytorch.report() == []


def test_contexts_within_contexts_leave_what_was_there():
    x, w = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    fastconv.set_num_threads(3)
    with fastconv.pytorch.enable():
        F.conv2d(x, w)
        with pytest.raises(KeyError), fastconv.pytorch.enable(pooling=False, threads=2):
            assert fastconv.get_num_threads() == 2
            F.max_pool2d(F.conv2d(x, w), 2)
            raise KeyError
        F.max_pool2d(F.conv2d(x, w), 2)
        assert sorted(fastconv.pytorch.report()) == [
            ("convolution", 2, "fastconv"),
            ("max_pool2d_with_indices", 1, "fastconv"),
        ]
        with fastconv.pytorch.enable():
            fastconv.pytorch.disable()
        assert not fastconv.pytorch.is_enabled()
    assert not fastconv.pytorch.is_enabled()
    assert fastconv.get_num_threads() == 3
    assert "fastconv" not in repr(torch.library.get_kernel("aten::convolution", "CPU"))


def test_threads_of_python_at_once():
    model, x = network()
    model.eval()
    expected = model(x)
    wrong = []

    def run():
        for _ in range(20):
            if not torch.allclose(model(x), expected, atol=1e-5):
                wrong.append(1)

    with fastconv.pytorch.enable():
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


FORKS = """
import os
import torch
import fastconv.pytorch

fastconv.pytorch.enable()
torch.set_num_threads(2)
layer, x = torch.nn.Conv2d(3, 8, 3), torch.randn(4, 3, 32, 32)


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        with torch.no_grad():
            return layer(x * i)[0]


expected = layer(x).sum()
for batch in torch.utils.data.DataLoader(Data(), 4, num_workers=2, multiprocessing_context="fork"):
    layer(x).sum().backward()
assert torch.allclose(batch[-1], layer(x * 7)[0], atol=1e-4)
child = os.fork()
if child == 0:
    os._exit(0 if torch.allclose(layer(x).sum(), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
print("well")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="where processes fork")
def test_processes_that_fork(tmp_path):
    done = subprocess.run([sys.executable, "-c", FORKS], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "well\n", done.stderr


def test_results_outlive_the_array_that_holds_them():
    with fastconv.pytorch.enable():
        y = F.conv2d(torch.ones(1, 1, 64, 64), torch.ones(1, 1, 3, 3))
        kept = y.numpy()
        del y
        for _ in range(10):
            F.conv2d(torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 3, 3))
    assert np.all(kept == 9)
