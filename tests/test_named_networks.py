"""Networks by torchvision's names, beside torchvision's where it is installed: keys, shapes, seeds, outputs."""

import functools
import importlib
import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv.vision import models

# The least size of images, where 64 is not enough; an auxiliary classifier would take 299.
SIZES = {"inception_v3": 75}
SMALL = [
    "squeezenet1_0",
    "squeezenet1_1",
    "resnet18",
    "densenet121",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "efficientnet_b0",
    "regnet_y_400mf",
    "regnet_x_400mf",
    "googlenet",
    "inception_v3",
]


DEFINED: list = []  # libraries of operators, which end with their object


@functools.cache
def torchvision():
    """torchvision, imported beside a version of torch that it was not compiled for: its own operators are declared."""
    torch = pytest.importorskip("torch")
    try:
        return importlib.import_module("torchvision")
    except ImportError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor a) -> Tensor")
        DEFINED.append(library)
        return importlib.import_module("torchvision")


def test_every_network_can_be_made_by_name():
    assert "resnet50" in models.list_models()
    assert {"fcn_resnet50", "deeplabv3_mobilenet_v3_large"} <= set(models.list_models())
    network = models.get_model("alexnet", num_classes=3)
    assert network.classifier[6].weight.shape == (3, 4096)
    with pytest.raises(ValueError, match=r"Unknown model alexnet2; did you mean alexnet\?"):
        models.get_model("alexnet2")
    with pytest.raises(ValueError, match=r"Unknown model vit_b_16; list_models\(\) says"):
        models.get_model("vit_b_16")
    with pytest.raises(TypeError, match="expected the name of a network, got 18"):
        models.get_model(18)
    with pytest.raises(ValueError, match="should be None or a 3-element tuple, got True"):
        models.resnet50(replace_stride_with_dilation=True)


@pytest.fixture
def undrawn(monkeypatch):
    """Weights are left as the memory is: drawing hundreds of millions would take minutes."""
    for name in ("uniform_", "normal_", "fill_", "zero_"):
        monkeypatch.setattr(fc.Tensor, name, lambda self, *args, **kwargs: self)
    monkeypatch.setattr(fc.nn.init, "trunc_normal_", lambda tensor, *args, **kwargs: tensor)
    torch = pytest.importorskip("torch")
    for name in ("kaiming_uniform_", "kaiming_normal_", "uniform_", "normal_", "trunc_normal_", "constant_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


def module_of(library, name):
    return library.models.segmentation if name.startswith(("fcn", "deeplab")) else library.models


@pytest.mark.parametrize("name", models.list_models())
def test_keys_and_shapes_are_torchvisions(name, undrawn):
    theirs = torchvision()
    options = {"weights_backbone": None} if name.startswith(("fcn", "deeplab")) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(module_of(theirs, name), name)(**options).state_dict()
        state = models.get_model(name, **options).state_dict()
    assert list(state) == list(expected)
    assert [tuple(v.shape) for v in state.values()] == [tuple(v.shape) for v in expected.values()]


def twins(name, **options):
    """Both libraries' network, with the same weights."""
    torch = pytest.importorskip("torch")
    fc.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = models.get_model(name, num_classes=5, **options)
        theirs = getattr(module_of(torchvision(), name), name)(num_classes=5, **options)
    for value, p in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        p.copy_(torch.tensor(value.numpy()))
    return ours.double(), theirs.double()


def tensors_of(y):
    return [y] if hasattr(y, "shape") else list(y.values()) if isinstance(y, dict) else list(y)


@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_gradients_are_torchvisions(name):
    torch = pytest.importorskip("torch")
    ours, theirs = twins(name, **({"aux_logits": False} if name in SIZES else {}))
    for network in (ours, theirs):
        for module in network.modules():
            if type(module).__name__ in ("Dropout", "StochasticDepth"):
                module.p = 0.0
    size = SIZES.get(name, 64)
    # Of two images alone, whose last features are one pixel each, batch normalisation would be badly conditioned.
    x = np.random.default_rng(3).standard_normal((6, 3, size, size))
    for training in (False, True):
        ours.train(training)
        theirs.train(training)
        y, z = tensors_of(ours(fc.tensor(x))), tensors_of(theirs(torch.tensor(x)))
        assert len(y) == len(z)
        for a, b in zip(y, z, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-7, atol=1e-9)
    sum((a * a).sum() for a in y).backward()
    sum((b * b).sum() for b in z).backward()
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if q.grad is None:
            assert p.grad is None, key
        else:
            largest = float(q.grad.abs().max())
            np.testing.assert_allclose(
                p.grad.numpy(), q.grad.numpy(), rtol=1e-6, atol=1e-7 * largest + 1e-9, err_msg=key
            )
