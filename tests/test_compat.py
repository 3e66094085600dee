"""What torch programs name and a CPU has no use for: the answers of torch on a machine without a GPU."""

import copy
import os
import pickle
import warnings

import numpy as np
import pytest

import fastconv
from fastconv import _compat, as_torch, nn, optim

QUESTIONS = [
    "cuda.is_available()",
    "cuda.device_count()",
    "cuda.set_device(-1)",
    "cuda.get_arch_list()",
    "cuda.is_initialized()",
    "cuda.empty_cache()",
    "cuda.memory_allocated()",
    "cuda.max_memory_allocated()",
    "cuda.memory_reserved()",
    "cuda.manual_seed(1)",
    "cuda.manual_seed_all(1)",
    "cuda.get_rng_state_all()",
    "cuda.is_bf16_supported()",
    "isinstance(zeros(2),cuda.FloatTensor)",
    "xpu.is_available()",
    "mps.is_available()",
    "accelerator.is_available()",
    "accelerator.current_accelerator()",
    "accelerator.device_count()",
    "backends.cudnn.is_available()",
    "backends.cudnn.version()",
    "backends.cudnn.enabled",
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.mps.is_available()",
    "backends.mps.is_built()",
    "backends.cuda.is_built()",
    "backends.cuda.matmul.allow_tf32",
    "jit.is_scripting()",
    "jit.is_tracing()",
    "jit.annotate(int,3)",
    "is_autocast_enabled()",
    "get_float32_matmul_precision()",
    "version.cuda",
    "version.hip",
    "distributed.is_initialized()",
    "isinstance(zeros(2),FloatTensor)",
    "isinstance(zeros(2),LongTensor)",
    "isinstance(zeros(2),autograd.Variable)",
    "FloatTensor(2,3).shape==(2,3)",
    "LongTensor([1,2]).tolist()",
    "ByteTensor([255]).tolist()",
    "FloatTensor().numel()",
    "list(nn.DataParallel(nn.Linear(2,2)).state_dict())",
    'amp.GradScaler("cuda",enabled=False).state_dict()',
    'amp.GradScaler("cuda",enabled=False).is_enabled()',
    'amp.GradScaler("cuda",enabled=False).get_scale()',
    'str(device("cuda:1"))',
    'device("cuda",1).index',
    'device("cpu").type',
    'device("mps").index',
    'repr(device("cuda:1"))',
    "str(zeros(2).device)",
    'zeros(2,device="cpu").is_cuda',
    'zeros(2).to(device("cpu")).device==device("cpu")',
    "multiprocessing.get_sharing_strategy()",
    'nn.Linear(2,2).to("cpu").weight.is_cuda',
]

REFUSALS = [
    "cuda.current_device()",
    "cuda.synchronize()",
    "cuda.get_device_name(0)",
    "cuda.get_device_properties(0)",
    "cuda.current_stream()",
    "cuda.init()",
    "cuda.mem_get_info()",
    "cuda.FloatTensor(3)",
    "zeros(2).cuda()",
    'zeros(2).to("cuda")',
    'zeros(2).to("mps")',
    'zeros(2,device="cuda")',
    'ones(2,device="xpu")',
    'randn(2,device=device("cuda:0"))',
    'tensor([1],device="cuda")',
    "nn.Linear(2,2).cuda()",
    'nn.Linear(2,2).to("cuda")',
    'nn.Linear(2,2).to(device("cuda"))',
    "nn.Linear(2,2).to(int32)",
    'device("nothing")',
    'device("cuda:x")',
    "accelerator.set_device_index(0)",
    "accelerator.synchronize()",
    "accelerator.current_device_index()",
    "nn.parallel.DistributedDataParallel(nn.Linear(2,2))",
    "amp.autocast(3)",
]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_are_torchs(torch, question):
    expected, answer = (
        eval(question, {name: getattr(library, name) for name in NAMES}) for library in (torch, fastconv)
    )
    assert answer == expected


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals_are_torchs(torch, refusal):
    messages = []
    for library in (torch, fastconv):
        with pytest.raises((AssertionError, RuntimeError, TypeError, ValueError)) as error:
            eval(refusal, {name: getattr(library, name) for name in NAMES})
        messages.append((error.type, str(error.value).partition("dtype=")[0]))
    if "autocast" not in refusal:
        assert messages[0] == messages[1]
    else:
        assert messages[0][0] is messages[1][0]


NAMES = [
    "FloatTensor",
    "LongTensor",
    "ByteTensor",
    "accelerator",
    "amp",
    "autograd",
    "backends",
    "cuda",
    "device",
    "distributed",
    "int32",
    "jit",
    "mps",
    "multiprocessing",
    "nn",
    "ones",
    "randn",
    "set_float32_matmul_precision",
    "tensor",
    "version",
    "xpu",
    "zeros",
    "is_autocast_enabled",
    "get_float32_matmul_precision",
]


def test_there_is_no_other_name():
    for module in (fastconv, fastconv.nn, fastconv.autograd, fastconv.backends):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nothing_such'"):
            module.nothing_such
    for name in ("_typed", "_names", "_path"):
        with pytest.raises(AttributeError):
            _compat.find("fastconv", name)


def test_typed_tensors():
    x = fastconv.FloatTensor(np.arange(3))
    assert x.dtype == fastconv.float32 and x.tolist() == [0, 1, 2]
    assert fastconv.DoubleTensor([1]).dtype == fastconv.float64 and fastconv.HalfTensor(2).dtype == fastconv.float16
    assert isinstance(nn.Parameter(x), fastconv.FloatTensor) and not isinstance([1.0], fastconv.FloatTensor)
    assert fastconv.FloatTensor(x)._array is x._array
    with pytest.raises(TypeError, match=r"expected a tensor of torch\.float32, got torch\.int64"):
        fastconv.FloatTensor(fastconv.tensor([1]))
    with pytest.raises(TypeError, match="takes sizes or one sequence of numbers"):
        fastconv.FloatTensor([1], [2])


def test_variables_are_tensors():
    Variable = fastconv.autograd.Variable
    x = fastconv.zeros(3)
    assert Variable(x) is x
    y = Variable(x, requires_grad=True)
    assert y.requires_grad and not x.requires_grad and y._array is x._array
    with pytest.warns(UserWarning, match="volatile was removed"):
        Variable(x, volatile=True)
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        Variable([1])


def test_autocast_computes_in_float32_and_says_so_once():
    from fastconv import amp

    amp._said = False
    with pytest.warns(UserWarning, match="computes in float32"):
        context = fastconv.autocast("cpu", dtype=fastconv.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with context, fastconv.autocast("cpu"), fastconv.autocast("cuda", enabled=False):
            assert nn.Linear(2, 2)(fastconv.ones(1, 2)).dtype == fastconv.float32
    with pytest.warns(UserWarning, match=r"CUDA is not available\. Disabling"):
        fastconv.cuda.amp.autocast()

    @fastconv.autocast("cpu")
    def double(x):
        return x * 2

    assert double(fastconv.ones(1)).item() == 2


def test_a_disabled_scaler_steps():
    parameter = nn.Parameter(fastconv.ones(2))
    optimizer = optim.SGD([parameter], lr=0.5)
    with pytest.warns(UserWarning, match=r"gradients are computed in float32\. Disabling"):
        scaler = fastconv.cuda.amp.GradScaler()
    scaler.scale(parameter.sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert parameter.tolist() == [0.5, 0.5]
    scaler.load_state_dict(scaler.state_dict())


def test_what_returns_what_it_is_given():
    def function(x):
        return x

    jit = fastconv.jit
    decorated = (jit.script, jit.unused, jit.export, jit.ignore, jit.ignore(drop=True), jit.script_method)
    assert all(decorator(function) is function for decorator in decorated)
    assert jit.trace(function, fastconv.zeros(1)) is function and issubclass(jit.ScriptModule, nn.Module)
    model = nn.Linear(2, 2)
    assert fastconv.compile(model) is model and fastconv.compile(mode="max-autotune")(function) is function
    assert fastconv.fx.wrap(function) is function
    with fastconv.profiler.record_function("step"):
        pass
    amp = fastconv.amp
    assert amp.custom_fwd(function) is function and amp.custom_bwd(device_type="cpu")(function) is function


def test_data_parallel_calls_its_module():
    model = nn.DataParallel(nn.Linear(2, 3), device_ids=[0])
    assert model(fastconv.zeros(4, 2)).shape == (4, 3)
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert list(again.state_dict()) == ["module.weight", "module.bias"]


def test_defaults_stay():
    fastconv.set_default_device("cpu")
    fastconv.set_default_dtype(fastconv.float32)
    fastconv.set_default_tensor_type("torch.FloatTensor")
    fastconv.set_default_tensor_type(fastconv.FloatTensor)
    fastconv.use_deterministic_algorithms(True)
    assert fastconv.are_deterministic_algorithms_enabled()
    fastconv.set_float32_matmul_precision("high")
    assert fastconv.get_float32_matmul_precision() == "high"
    fastconv.set_float32_matmul_precision("highest")
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        fastconv.set_default_device("cuda")
    with pytest.raises(NotImplementedError, match=r"the default dtype is float32 and stays so, got torch\.float64"):
        fastconv.set_default_dtype(fastconv.float64)
    with pytest.raises(NotImplementedError, match=r"torch\.FloatTensor and stays so, got torch\.cuda\.FloatTensor"):
        fastconv.set_default_tensor_type("torch.cuda.FloatTensor")


def _fail(rank):
    raise SystemExit(rank * 3)


def _pass(rank, queue):
    queue.put(rank)


def test_spawn():
    mp = fastconv.multiprocessing
    queue = mp.get_context("fork").SimpleQueue()
    assert mp.spawn(_pass, (queue,), nprocs=2, start_method="fork") is None
    assert sorted([queue.get(), queue.get()]) == [0, 1]
    with pytest.raises(RuntimeError, match="process 1 of 2 ended with exit code 3"):
        mp.spawn(_fail, nprocs=2, start_method="fork")
    (process,) = mp.spawn(_pass, (queue,), nprocs=1, join=False, start_method="fork")
    process.join()
    assert process.exitcode == 0
    mp.set_sharing_strategy("file_system")
    with pytest.raises(AssertionError, match="got 'carrier pigeon'"):
        mp.set_sharing_strategy("carrier pigeon")


def test_module_conversions():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    assert model.half()[0].weight.dtype == fastconv.float16 and model[1].num_batches_tracked.dtype == fastconv.int64
    assert model.to("cpu", fastconv.float64)[1].running_mean.dtype == fastconv.float64
    assert model.float()[0].bias.dtype == fastconv.float32


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64"])
def test_limits_of_dtypes_are_torchs(torch, name):
    kind = "finfo" if name.startswith("float") else "iinfo"
    ours, theirs = (getattr(library, kind)(getattr(library, name)) for library in (fastconv, torch))
    for attribute in ("bits", "max", "min", "dtype", *(("eps", "tiny", "smallest_normal") if kind == "finfo" else ())):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert f"max={ours.max}" in repr(ours)
    with pytest.raises(TypeError, match="has no answer"):
        getattr(fastconv, "iinfo" if kind == "finfo" else "finfo")(getattr(fastconv, name))


def test_names_for_comparisons():
    x = fastconv.zeros(2, 3)
    assert isinstance(x.dtype, fastconv.dtype) and x.dtype not in (fastconv.complex64, fastconv.complex128)
    assert fastconv.FloatTensor(x.shape).shape == x.shape
    with pytest.raises(TypeError, match="complex64"):
        x.to(fastconv.complex64)


def test_old_names_of_initialisers():
    from fastconv._compat.nn import init

    x = fastconv.zeros(3, 2, 2, 2)
    with pytest.warns(FutureWarning, match="`nn.init.constant` is now deprecated in favor of `nn.init.constant_`"):
        assert init.constant(x, 2.0) is x and x.sum().item() == 48
    for old in (init.kaiming_normal, init.kaiming_uniform, init.normal, init.uniform, init.xavier_normal):
        with pytest.warns(FutureWarning, match=old.__name__):
            old(x)
    assert init._calculate_fan_in_and_fan_out(x) == (8, 12)
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init._calculate_fan_in_and_fan_out(fastconv.zeros(3))


def test_what_libraries_take_from_the_hub():
    from fastconv._compat import hub

    assert hub.urlparse("https://a/b").path == "/b"
    assert hub._get_torch_home() == os.path.dirname(hub.get_dir())


def test_what_layers_of_a_kind_have_in_common():
    from fastconv._compat.nn import modules

    for base, layers in (
        ("_BatchNorm", (nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.BatchNorm3d(2))),
        ("_NormBase", (nn.BatchNorm2d(2), nn.InstanceNorm2d(2))),
        ("_InstanceNorm", (nn.InstanceNorm1d(2),)),
        ("_ConvNd", (nn.Conv2d(1, 1, 1), nn.Conv1d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1))),
        ("_ConvTransposeNd", (nn.ConvTranspose2d(1, 1, 1),)),
        ("_Loss", (nn.MSELoss(), nn.CrossEntropyLoss())),
        ("_WeightedLoss", (nn.NLLLoss(),)),
        ("_MaxPoolNd", (nn.MaxPool1d(2), nn.MaxPool2d(2))),
        ("_AdaptiveAvgPoolNd", (nn.AdaptiveAvgPool2d(1),)),
        ("_AdaptiveMaxPoolNd", (nn.AdaptiveMaxPool2d(1),)),
    ):
        assert all(isinstance(layer, getattr(modules, base)) for layer in layers), base
    assert not isinstance(nn.BatchNorm1d(2), nn.BatchNorm2d)


def test_batch_norm_over_several_processes_is_batch_norm_in_one():
    from fastconv._compat.nn import SyncBatchNorm

    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.BatchNorm2d(2)))
    x = fastconv.randn(3, 1, 4, 4)
    net(x)
    expected, plain = net.eval()(x), copy.deepcopy(net).train()
    converted = SyncBatchNorm.convert_sync_batchnorm(net)
    assert isinstance(converted[1][0], SyncBatchNorm) and fastconv.equal(converted(x), expected)
    assert fastconv.equal(converted.train()(x), plain(x))


def test_old_names_of_functions():
    lookup = as_torch.lookup
    x = nn.Parameter(fastconv.ones(4))
    x.grad = fastconv.full((4,), 3.0)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert lookup("torch.nn.utils", "clip_grad_norm")([x], 1.0) == 6
    assert fastconv.allclose(x.grad, fastconv.full((4,), 0.5))
    assert lookup("torch.utils.model_zoo", "load_url") is fastconv.hub.load_state_dict_from_url
    assert issubclass(fastconv.optim.lr_scheduler.StepLR, lookup("torch.optim.lr_scheduler", "_LRScheduler"))
    assert issubclass(fastconv.cuda.OutOfMemoryError, RuntimeError)


def test_evaluation_on_several_gpus_is_refused():
    from fastconv._compat.nn import parallel

    with pytest.raises(RuntimeError, match="no available devices were found"):
        parallel.data_parallel(nn.ReLU(), fastconv.ones(2))


def test_what_models_ask_of_compilers():
    from fastconv._compat import compiler

    assert compiler.is_compiling() is False and compiler.is_dynamo_compiling() is False
    assert compiler.disable(abs) is abs and compiler.disable(recursive=False)(abs) is abs
    assert compiler.allow_in_graph(abs) is abs and compiler.reset() is None
    compiler.config.suppress_errors = True
    assert as_torch.lookup("torch.onnx", "is_in_onnx_export")() is False


def test_backward_hooks_by_their_old_name():
    layer, seen = nn.Conv2d(1, 2, 3), []
    handle = layer.register_backward_hook(lambda *arguments: seen.append(arguments))
    x = fastconv.randn(1, 1, 4, 4, requires_grad=True)
    layer(x).sum().backward()
    ((module, into, out),) = seen
    assert module is layer and np.array_equal(into[0], x.grad) and out[0].shape == (1, 2, 2, 2)
    handle.remove()
    layer(x).sum().backward()
    assert len(seen) == 1


def test_contexts_that_select_no_gpu_can_be_entered():
    cuda = fastconv.cuda
    with cuda.device(-1), cuda.device_of(fastconv.ones(1)), cuda.stream(None):
        assert cuda.max_memory_cached() == 0
    for index in (0, "cuda:0"):
        with pytest.raises(RuntimeError, match="PyTorch was compiled without CUDA support"), cuda.device(index):
            pass
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        cuda.set_device(0)
