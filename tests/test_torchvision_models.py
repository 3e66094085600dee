"""torchvision's networks: keys and shapes, scores, and initial weights."""

import warnings

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.vision import models


@pytest.fixture(scope="module")
def torchvision():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision
    except Exception as error:  # it is not there, or was built for another torch
        pytest.skip(f"torchvision: {error}")
    return torchvision


@pytest.fixture
def quick(monkeypatch):
    """Layers are not filled, which takes the most of the time."""
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: None)
    monkeypatch.setattr(nn.Conv2d, "reset_parameters", lambda self: None)
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda *args, **kwargs: None)
    monkeypatch.setattr(nn.init, "normal_", lambda *args, **kwargs: None)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101", "vgg11", "vgg16", "vgg13_bn", "vgg19_bn"])
def test_keys_and_shapes_are_torchvisions(torchvision, quick, name):
    import torch

    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)().state_dict()
    ours = getattr(models, name)().state_dict()
    assert [(key, tuple(value.shape)) for key, value in ours.items()] == [
        (key, tuple(value.shape)) for key, value in theirs.items()
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_scores_are_torchvisions(torchvision, name):
    import torch

    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(num_classes=7).eval()
    ours = getattr(models, name)(num_classes=7).eval()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 48), np.float32)
    with torch.no_grad(), fastconv.no_grad():
        expected, y = theirs(torch.tensor(x)).numpy(), ours(fastconv.tensor(x)).numpy()
    assert np.abs(y - expected).max() < 1e-4 * np.abs(expected).max()


def test_vgg_in_parts(quick):
    features = models.vgg.make_layers([8, "M", 512], batch_norm=True)
    network = models.VGG(features, num_classes=3, init_weights=False)
    assert [type(module).__name__ for module in features] == [
        *("Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"),
        *("Conv2d", "BatchNorm2d", "ReLU"),
    ]
    assert network.classifier[6].weight.shape == (3, 4096)


def test_the_same_seed_gives_torchvisions_weights(torchvision):
    import torch

    fastconv.manual_seed(3)
    torch.manual_seed(3)
    ours, theirs = (library.resnet18(num_classes=5) for library in (models, torchvision.models))
    for x, y in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert np.allclose(x.detach().numpy(), y.detach().numpy(), rtol=0, atol=2e-6)
