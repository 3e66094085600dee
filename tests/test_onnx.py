"""Models to ONNX files, held against ONNX Runtime, and back."""

import cProfile
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.nn import functional as F
from fastconv.vision import models

onnx = pytest.importorskip("onnx")

from onnx_cases import Function  # noqa: E402
from onnx_peers import distance, exported, in_runtime, outputs_of  # noqa: E402


def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(8 * 8 * 8, 10),
    )


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_network_is_written_and_computed_alike(tmp_path):
    fastconv.manual_seed(0)
    net = small_net()
    path = tmp_path / "m.onnx"
    proto = fastconv.onnx.export(net, (None, 3, 16, 16), path, input_names=["images"], output_names=["scores"])
    assert [value.name for value in proto.graph.input] == ["images"]
    assert [value.name for value in proto.graph.output] == ["scores"]
    assert {t.name for t in proto.graph.initializer} == set(net.state_dict()) - {"1.num_batches_tracked"}
    assert [node.op_type for node in proto.graph.node] == [
        *("Conv", "BatchNormalization", "Relu", "MaxPool", "Flatten", "Gemm")
    ]
    assert net.training and onnx.load(path) == proto
    net.eval()
    for batch in (1, 5):
        x = images(batch, 3, 16, 16)
        assert distance(outputs_of(net(fastconv.from_numpy(x)))[0], in_runtime(path, x)[0]) < 1e-6


def test_a_file_comes_back_as_a_module_with_the_same_names(tmp_path):
    fastconv.manual_seed(0)
    net = models.resnet18(num_classes=5).eval()
    fastconv.onnx.export(net, (None, 3, 32, 32), tmp_path / "m.onnx")
    back = fastconv.onnx.load(tmp_path / "m.onnx").eval()
    state = {name: t for name, t in net.state_dict().items() if "num_batches" not in name}
    assert back.state_dict().keys() == state.keys()
    assert {name for name, _ in back.named_parameters()} == {name for name, _ in net.named_parameters()}
    x = fastconv.from_numpy(images(2, 3, 32, 32))
    assert np.array_equal(back(x).detach().numpy(), net(x).detach().numpy())
    assert "BatchNormalization: 20" in repr(back)


def test_a_network_that_was_read_trains(tmp_path):
    fastconv.manual_seed(0)
    net = small_net()
    net[5].p = 0.0
    fastconv.onnx.export(net, (None, 3, 16, 16), tmp_path / "m.onnx")
    back = fastconv.onnx.load(tmp_path / "m.onnx")
    x, labels = fastconv.from_numpy(images(6, 3, 16, 16)), fastconv.tensor([0, 1, 2, 3, 4, 5])
    for model in (net, back):
        F.cross_entropy(model.train()(x), labels).backward()
    for (name, p), (_, q) in zip(sorted(net.named_parameters()), sorted(back.named_parameters()), strict=True):
        assert np.array_equal(p.grad.numpy(), q.grad.numpy()), name
    theirs = {name: t.numpy() for name, t in net.state_dict().items() if "running" in name}
    for name, array in theirs.items():
        assert distance(array, back.state_dict()[name].numpy()) < 1e-6, name


def test_what_has_no_operator_is_named_before_anything_is_written(tmp_path):
    path = tmp_path / "m.onnx"
    both = Function(lambda x: fastconv.quantile(x, 0.5) + fastconv.quantile(x, 0.1) + fastconv.histc(x))
    with pytest.raises(RuntimeError, match=r"fastconv\.histc has no operator\n.*fastconv\.quantile, called 2 times"):
        fastconv.onnx.export(both, (2, 3), path)
    assert not path.exists()


def test_dynamic_lengths_are_computed_from_the_inputs(tmp_path):
    def function(x):
        n, c, h, w = x.shape
        y = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)
        return F.interpolate(y[:, :1], size=(h, w)) + y.mean((2, 3), keepdim=True).expand(n, c, h, w), y.view(n * c, -1)

    x = fastconv.zeros(1, 4, 8, 6)
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    proto = fastconv.onnx.export(Function(function), x, input_names=["x"], dynamic_axes=axes)
    dims = proto.graph.output[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 4, "height", "width"]
    for shape in ((1, 4, 8, 6), (3, 4, 5, 9)):
        x = images(*shape)
        for ours, theirs in zip(function(fastconv.from_numpy(x)), in_runtime(proto, x), strict=True):
            assert distance(ours.numpy(), theirs) < 1e-6


def test_a_fixed_number_that_depends_on_a_dynamic_length_is_refused():
    with pytest.raises(RuntimeError, match="depends on the length of a dynamic axis"):
        fastconv.onnx.export(Function(lambda x: x.sum(0) / x.shape[0] ** 0.5), (None, 3))
    with pytest.raises(RuntimeError, match="fixed number in the operator's 'kernel_shape'"):
        fastconv.onnx.export(Function(lambda x: F.avg_pool2d(x, x.shape[2:])), (1, 3, None, 8))


def test_writing_in_place():
    def function(x):
        y = x * 2
        y.add_(1).relu_()
        z = y.clone()
        z *= y
        return F.relu(z, inplace=True), y

    _, ours, theirs = exported(Function(function), images(2, 3))
    for a, b in zip(ours, theirs, strict=True):
        assert distance(a, b) < 1e-6

    def through_a_view(x):
        y = x * 2
        y[0].zero_()
        return y

    with pytest.raises(RuntimeError, match="written to in place"):
        fastconv.onnx.export(Function(through_a_view), (2, 3))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"opset_version": 3}, "opset_version must be from 13 to"),
        ({"opset_version": "13"}, "opset_version must be from 13 to [0-9]*, got '13'"),
        ({"input_names": ["a", "b"]}, "input_names: expected at most 1"),
        ({"dynamic_axes": {"nothing": [0]}}, "dynamic_axes: there is no input 'nothing'"),
        ({"dynamic_axes": {"input": [7]}}, "has no axis 7"),
        ({"dynamic_axes": {"input": 0}}, "expected a list or a dict of the axes of 'input', got 0"),
        ({"dynamic_axes": ["input"]}, r"expected a dict of axes by the inputs' names, got \['input'\]"),
    ],
)
def test_arguments_are_checked(options, error):
    with pytest.raises(ValueError, match=error):
        fastconv.onnx.export(nn.ReLU(), (2, 3), **options)


def test_what_a_model_is_called_with_and_its_mode_are_checked():
    with pytest.raises(TypeError, match="training must be a TrainingMode or a bool, got 'eval'"):
        fastconv.onnx.export(nn.ReLU(), (2, 3), training="eval")
    with pytest.raises(TypeError, match=r"a size to call the model with, got \(\(2, 3\), \(2, 5\)\)"):
        fastconv.onnx.export(nn.ReLU(), ((2, 3), (2, 5)))
    with pytest.raises(TypeError, match="metadata: expected strings by strings, got 'epoch': 3"):
        fastconv.onnx.export(nn.ReLU(), (2, 3), metadata={"epoch": 3})


def test_a_model_that_fails_where_an_axis_is_longer_is_told_so():
    with pytest.raises(RuntimeError) as caught:
        fastconv.onnx.export(Function(lambda x: x.reshape(2, 3)), (None, 3))
    assert "in a pass with a dynamic axis longer, where the inputs' shapes are [3, 3]" in caught.value.__notes__[0]


def test_operators_that_are_not_taken_are_listed():
    nodes = [
        onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        onnx.helper.make_node("NonMaxSuppression", ["x", "x"], ["n"]),
        onnx.helper.make_node("NonMaxSuppression", ["x", "x"], ["m"]),
    ]
    x = onnx.helper.make_tensor_value_info("x", 1, [1, 2, 4])
    y = onnx.helper.make_tensor_value_info("n", 7, None)
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [y]))
    with pytest.raises(NotImplementedError, match=r"1 DynamicQuantizeLinear \(quantised\), 2 NonMaxSuppression"):
        fastconv.onnx.load(model)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07no model")
    with pytest.raises(ValueError, match=r"m\.onnx' is no valid ONNX file"):
        fastconv.onnx.load(tmp_path / "m.onnx")
    with pytest.raises(FileNotFoundError):
        fastconv.onnx.load(tmp_path / "none.onnx")
    with pytest.raises(TypeError, match=r"a path, a binary file or an onnx\.ModelProto, got int"):
        fastconv.onnx.load(987)  # no number of a file, which would be read and closed


def test_the_command_exports_a_run(tmp_path, capsys):
    from fastconv.app import checkpoint, cli
    from fastconv.vision.models import small

    fastconv.manual_seed(0)
    net = small.DigitsNet(in_channels=1, num_classes=10)
    about = {"model": "digitsnet", "data": "digits", "classes": list("0123456789"), "mean": [0.3], "std": [0.4]}
    checkpoint.save(tmp_path / "model.safetensors", net.state_dict(), about)
    assert cli.main(["export", str(tmp_path), str(tmp_path / "m.onnx")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'm.onnx'}\n"
    assert cli.main(["export", str(tmp_path), str(tmp_path)]) == 1
    assert "is a folder; name the file" in capsys.readouterr().err
    x = images(3, 1, 8, 8)
    net.eval()
    assert distance(net(fastconv.from_numpy(x)).detach().numpy(), in_runtime(tmp_path / "m.onnx", x)[0]) < 1e-6
    metadata = fastconv.onnx.load(tmp_path / "m.onnx").metadata
    assert json.loads(metadata["classes"]) == about["classes"]
    transform = {"size": [8, 8], "squeezed": True, "scale": 255, "mean": [0.3], "std": [0.4]}
    assert json.loads(metadata["transform"]) == transform
    checkpoint.save(tmp_path / "model.safetensors", net.state_dict(), about | {"model": "vgg11"})
    assert cli.main(["export", str(tmp_path), str(tmp_path / "n.onnx")]) == 1
    assert "does not fit vgg11" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path / "none"), str(tmp_path / "n.onnx")]) == 1
    assert "no such folder" in capsys.readouterr().err and not (tmp_path / "n.onnx").exists()


def test_programs_for_torch_export(tmp_path):
    program = (
        "import torch\n"
        "net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())\n"
        "torch.onnx.export(net, torch.zeros(1, 3), 'm.onnx', export_params=True, opset_version=17,\n"
        "    do_constant_folding=True, input_names=['input'], output_names=['output'],\n"
        "    dynamic_axes={'input': {0: 'batch'}, 'output': {0: 'batch'}}, dynamo=False)\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-m", "fastconv", "run", "program.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 17


def test_damaged_and_forged_files_crash_nothing():
    import fuzz_onnx

    rng, content = np.random.default_rng(0), fuzz_onnx.sample()
    ends = {fuzz_onnx.try_one(change(content, rng)) for change in (fuzz_onnx.mutated, fuzz_onnx.forged) * 60}
    assert {"ValueError", "computed"} <= ends <= {"computed", *(kind.__name__ for kind in fuzz_onnx.REFUSED)}


def test_weights_beside_the_file(tmp_path, monkeypatch):
    net = small_net().eval()
    for _ in range(2):  # the second time in place of the first
        proto = fastconv.onnx.export(net, (None, 3, 16, 16), tmp_path / "m.onnx", external_data=True)
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", "m.onnx.data"}
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)
    inside = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert np.array_equal(inside["6.weight"], net.state_dict()["6.weight"].numpy())
    assert (tmp_path / "m.onnx").stat().st_size < 3000
    x = images(2, 3, 16, 16)
    ours = net(fastconv.from_numpy(x)).detach().numpy()
    assert distance(ours, in_runtime(tmp_path / "m.onnx", x)[0]) < 1e-6
    assert distance(ours, fastconv.onnx.load(tmp_path / "m.onnx").eval()(fastconv.from_numpy(x)).detach().numpy()) == 0
    monkeypatch.chdir(tmp_path)  # where a file of the same name might be of another model
    with pytest.raises(ValueError, match=r"the tensor '.*' is in another file; load the model by its path"):
        fastconv.onnx.load(io.BytesIO((tmp_path / "m.onnx").read_bytes()))


def test_under_a_profiler():
    profile = cProfile.Profile()
    profile.enable()
    try:
        fastconv.onnx.export(nn.ReLU(), (2, 3))
        after = sys.getprofile()
    finally:
        profile.disable()
    assert after in (None, profile)  # None where it is no hook, as from Python 3.12 on


def test_training_mode(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    proto = fastconv.onnx.export(net, (4, 3), training=fastconv.onnx.TrainingMode.TRAINING)
    assert [node.op_type for node in proto.graph.node] == ["Gemm", "BatchNormalization", "Dropout"]
    assert onnx.helper.get_node_attr_value(proto.graph.node[1], "training_mode") == 1
    proto = fastconv.onnx.export(net.eval(), (4, 3), training=fastconv.onnx.TrainingMode.PRESERVE)
    assert [node.op_type for node in proto.graph.node] == ["Gemm", "BatchNormalization"]


def test_weights_left_out_are_inputs():
    proto = fastconv.onnx.export(nn.Linear(3, 2), (None, 3), export_params=False)
    assert [value.name for value in proto.graph.input] == ["input", "weight", "bias"] and not proto.graph.initializer


def test_several_inputs_outputs_and_keywords():
    def function(x, scale, shift=None):
        y = x * scale
        return {"first": y, "second": [x, y if shift is None else y + shift]}

    x, scale, shift = (fastconv.from_numpy(images(2, 3, seed=seed)) for seed in range(3))

    class Keywords(Function):
        def forward(self, x, scale, shift=None):
            return function(x, scale, shift)

    proto = fastconv.onnx.export(Keywords(None), (x, scale), kwargs={"shift": shift}, input_names=["x", "scale"])
    assert [value.name for value in proto.graph.input] == ["x", "scale", "input"]
    theirs = in_runtime(proto, x.numpy(), scale.numpy(), shift.numpy())
    for a, b in zip(outputs_of(function(x, scale, shift)), theirs, strict=True):
        assert distance(a, b) < 1e-6


@pytest.mark.parametrize("dtype", [fastconv.float16, fastconv.bfloat16])
def test_floats_of_16_bits(dtype):
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()).eval().to(dtype)
    x = fastconv.from_numpy(images(1, 2, 5, 5)).to(dtype)
    ours = net(x)
    back = fastconv.onnx.load(fastconv.onnx.export(net, x, opset_version=22)).eval()
    assert back.state_dict()["0.weight"].dtype == dtype
    assert back(x).dtype == ours.dtype
    assert distance(ours.float().detach().numpy(), back(x).float().detach().numpy()) < 1e-2


def test_what_no_output_needs_is_left_out():
    def function(x):
        x.exp().sum()
        return x + 1

    proto = fastconv.onnx.export(Function(function), (2, 3))
    assert [node.op_type for node in proto.graph.node] == ["Add"] and len(proto.graph.initializer) == 1


def test_a_name_that_a_parameter_has_is_refused():
    with pytest.raises(ValueError, match="the model has a parameter 'weight'"):
        fastconv.onnx.export(nn.Linear(3, 2), (1, 3), input_names=["weight"])


def test_calls_that_make_no_graph_are_refused(tmp_path):
    path = tmp_path / "x.onnx"
    with pytest.raises(ValueError, match="'x' is the name of an input and of an output"):
        fastconv.onnx.export(nn.ReLU(), (1, 3), path, input_names=["x"], output_names=["x"])
    with pytest.raises(ValueError, match=r"inputs that have elements, got one of shape \[0, 3\]"):
        fastconv.onnx.export(nn.ReLU(), (0, 3), path)
    with pytest.raises(RuntimeError, match="what it returns holds no tensor"):
        fastconv.onnx.export(Function(lambda x: None), (1, 3), path)
    assert not path.exists()


def test_a_file_object_is_written_to():
    import io

    file = io.BytesIO()
    proto = fastconv.onnx.export(nn.ReLU(), (1, 3), file)
    assert file.getvalue() == proto.SerializeToString()
    file.seek(0)
    assert fastconv.onnx.load(file).input_names == ["input"]


def test_recurrent_layers_of_any_length():
    fastconv.manual_seed(0)
    net = nn.GRU(4, 5, bidirectional=True).eval()
    axes = {"x": {0: "time", 1: "batch"}}
    proto = fastconv.onnx.export(net, fastconv.zeros(6, 2, 4), input_names=["x"], dynamic_axes=axes)
    assert [node.op_type for node in proto.graph.node].count("GRU") == 2
    back = fastconv.onnx.load(proto).eval()
    assert {name for name, _ in back.named_parameters()} == {name for name, _ in net.named_parameters()}
    for shape in ((3, 1, 4), (9, 2, 4)):
        x = images(*shape)
        ours = outputs_of(net(fastconv.from_numpy(x)))
        for a, b, c in zip(ours, in_runtime(proto, x), outputs_of(back(fastconv.from_numpy(x))), strict=True):
            assert distance(a, b) < 1e-6 and distance(a, c) < 1e-6
