"""Whole networks beside ONNX Runtime: ``python -m tests.onnx_networks KIND [NAME ...]`` prints how far they are apart.

KIND is "export", our networks of fastconv.vision.models as exported; "light", those in the onnx package, with weights
drawn at random; or "torch", torchvision's as torch exports them (with "dynamo" by its newer exporter). Without a name
all of them. Inputs are random, and a photograph where FASTCONV_PHOTO names one.
"""

import os
import sys
from pathlib import Path

import numpy as np

import fastconv
from fastconv.vision import models

try:
    from onnx_peers import in_runtime, outputs_of
except ImportError:  # as a module of the package of tests
    from tests.onnx_peers import in_runtime, outputs_of


def sides(name: str) -> int:
    """Height and width of the images that a network is tried on: small, but enough for it."""
    return 299 if name == "inception_v3" else 128 if name.startswith(("alexnet", "squeezenet")) else 64


def inputs(*shape: int) -> list[np.ndarray]:
    """Images at random, and a photograph if there is one."""
    found = [np.random.default_rng(0).standard_normal(shape).astype(np.float32)]
    if "FASTCONV_PHOTO" in os.environ:
        from PIL import Image

        photo = Image.open(os.environ["FASTCONV_PHOTO"]).convert("RGB").resize((shape[3], shape[2]))
        image = (np.asarray(photo, np.float32).transpose(2, 0, 1)[None] / 255 - 0.45) / 0.225
        found.append(np.concatenate([image, image[..., ::-1]] * shape[0])[: shape[0]].astype(np.float32))
    return found


def far(module, model, x: np.ndarray) -> float:
    """How far a module's outputs are from those of ONNX Runtime for a model, by their norms."""
    module.eval()
    with fastconv.no_grad():
        ours = outputs_of(module(fastconv.from_numpy(x.copy())))
    theirs = in_runtime(model, x)
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(ours, theirs, strict=True))


def settle(module) -> None:
    """Running statistics other than those of a new network."""
    rng = np.random.default_rng(1)
    for name, buffer in module.named_buffers():
        if "running" in name:
            low, high = (0.5, 1.5) if "var" in name else (-0.1, 0.1)
            buffer.copy_(fastconv.from_numpy(rng.uniform(low, high, tuple(buffer.shape)).astype(np.float32)))


def exported(name: str) -> list[float]:
    """One of our networks, exported for batches of any size."""
    fastconv.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith(("fcn", "deeplab")):
        options = {"weights": None, "weights_backbone": None}
    net = models.get_model(name, **options)
    settle(net)
    side = sides(name)
    path = Path("onnx-network.onnx")
    try:
        fastconv.onnx.export(net, (None, 3, side, side), path)
        return [far(net, path, x) for x in inputs(2, 3, side, side)]
    finally:
        for file in (path, Path(f"{path}.data")):
            file.unlink(missing_ok=True)


def light(name: str) -> list[float]:
    """A network of the onnx package, whose weights are repeated numbers, with others drawn for them."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx")
    graph, rng = model.graph, np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    uses = {name: (node.op_type, place) for node in graph.node for place, name in enumerate(node.input)}
    drawn, kept = [], []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape, (kind, place) = tuple(shapes[node.input[0]]), uses.get(node.output[0], ("", 0))
        if kind in ("Conv", "Gemm") and place == 1:
            array = rng.standard_normal(shape, np.float32) * np.float32((2 / np.prod(shape[1:])) ** 0.5)
        elif (kind, place) in (("BatchNormalization", 1), ("BatchNormalization", 4), ("Unsqueeze", 0)):
            array = rng.uniform(0.5, 1.5, shape)
        else:
            array = rng.normal(0, 0.1, shape)
        drawn.append(numpy_helper.from_array(np.asarray(array, np.float32), node.output[0]))
    used = {name for node in kept for name in node.input}
    initial = [*drawn, *(tensor for tensor in graph.initializer if tensor.name in used)]
    given = [value for value in graph.input if value.name in used and value.name not in shapes]
    for field, items in ((graph.node, kept), (graph.initializer, initial), (graph.input, given)):
        items = [type(item).FromString(item.SerializeToString()) for item in items]
        del field[:]
        field.extend(items)
    # What the softmax at the end takes is compared as well, for that may be 1 for one class.
    scores = onnx.helper.make_tensor_value_info(graph.node[-1].input[0], onnx.TensorProto.FLOAT, None)
    if graph.node[-1].op_type == "Softmax":
        graph.output.append(scores)
    model.ir_version = 4  # in which initialisers need not be inputs
    net = fastconv.onnx.load(model)
    shape = [d.dim_value or 1 for d in given[0].type.tensor_type.shape.dim]
    return [far(net, model, x) for x in inputs(*shape)]


LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")
LIGHT += ("vgg19", "zfnet512")


def of_torch(name: str, dynamo: bool = False) -> list[float]:
    """A network of torchvision's, exported by torch, read here."""
    import io

    import onnx
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", "qnms(Tensor a) -> Tensor"):
        try:
            library.define(operator)
        except RuntimeError:  # torchvision of this torch has its own
            break
    from torchvision import models as theirs

    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith(("fcn", "deeplab")):
        options = {"weights": None, "weights_backbone": None}
    net = theirs.get_model(name, **options)
    # The older exporter takes adaptive pooling only to sizes that divide the input's.
    side = 224 if name.startswith(("alexnet", "vgg")) and not dynamo else sides(name)
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(2, 3, side, side))
    net.eval()
    if dynamo:
        model = torch.onnx.export(net, (torch.zeros(2, 3, side, side),), dynamo=True, verbose=False).model_proto
    else:
        file = io.BytesIO()
        axes = {"images": {0: "batch"}}
        example = torch.zeros(2, 3, side, side)
        torch.onnx.export(net, example, file, dynamo=False, input_names=["images"], dynamic_axes=axes)
        model = onnx.load_model_from_string(file.getvalue())
    return [far(fastconv.onnx.load(model), model, x) for x in inputs(2, 3, side, side)]


KINDS = {
    "export": (exported, models.list_models),
    "light": (light, lambda: LIGHT),
    "torch": (of_torch, models.list_models),
    "dynamo": (lambda name: of_torch(name, True), models.list_models),
}


if __name__ == "__main__":
    run, names = KINDS[sys.argv[1]]
    for chosen in sys.argv[2:] or names():
        try:
            print(chosen, *(f"{distance:.1e}" for distance in run(chosen)), flush=True)
        except Exception as error:
            print(chosen, f"{type(error).__name__}: {str(error)[:300]}", flush=True)
