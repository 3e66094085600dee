"""The networks: shapes, names, parameters and a first step of training."""

import numpy as np
import pytest

from fastconv import from_numpy, manual_seed, nn, no_grad, optim
from fastconv.vision.models import small as models

NETWORKS = {
    "ConvNet": (models.ConvNet, (3, 32, 32)),
    "DigitsNet": (models.DigitsNet, (1, 8, 8)),
    "LeNet": (models.LeNet, (1, 28, 28)),
    "vgg11": (models.vgg11, (3, 32, 32)),
    "vgg11_bn": (models.vgg11_bn, (3, 32, 32)),
    "resnet18": (models.resnet18, (3, 32, 32)),
}
# Weights and biases of each layer, by hand.
PARAMETERS = {
    "ConvNet": 3 * 75 + 3 + 16 * 75 + 16 + 400 * 120 + 120 + 120 * 10 + 10,
    "DigitsNet": 16 * 9 + 16 + 32 * 144 + 32 + 64 * 288 + 64 + 256 * 10 + 10,
    "LeNet": 16 * 25 + 16 + 32 * 400 + 32 + 800 * 120 + 120 + 120 * 10 + 10,
    "vgg11": 9_225_610,
    "vgg11_bn": 9_225_610 + 2 * (64 + 128 + 2 * 256 + 4 * 512),
    "resnet18": 11_173_962,
}


def images(number, *shape):
    return np.random.default_rng(0).standard_normal((number, *shape)).astype(np.float32)


@pytest.fixture(autouse=True)
def seed():
    manual_seed(0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_lowers_the_loss(name):
    make, shape = NETWORKS[name]
    network = make()
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    x, labels = from_numpy(images(4, *shape)), from_numpy(np.array([0, 1, 2, 9]))
    criterion = nn.CrossEntropyLoss()
    # A step along the gradient lowers the loss if it is short enough.
    optimizer = optim.SGD(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        manual_seed(1)  # the same units are dropped in both steps
        scores = network(x)
        assert tuple(scores.shape) == (4, 10)
        loss = criterion(scores, labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_other_numbers_of_channels_and_classes(name):
    make, (_, height, width) = NETWORKS[name]
    network = make(in_channels=2, num_classes=7).eval()
    with no_grad():
        assert tuple(network(from_numpy(images(3, 2, height, width))).shape) == (3, 7)


@pytest.mark.parametrize("size", [16, 28, 33, (20, 47)])
def test_convnet_takes_other_sizes(size):
    network = models.ConvNet(image_size=size)
    shape = (size, size) if isinstance(size, int) else size
    assert tuple(network(from_numpy(images(2, 3, *shape))).shape) == (2, 10)


def test_convnet_refuses_images_too_small():
    with pytest.raises(ValueError, match="at least 16x16 pixels, got image_size=15"):
        models.ConvNet(image_size=15)


def test_convnet_is_the_textbooks():
    """The same weights give the same scores in the network of section 12.4, written with torch."""
    torch = pytest.importorskip("torch")
    network = models.ConvNet()
    state = {name: torch.from_numpy(value.numpy().copy()) for name, value in network.state_dict().items()}
    assert list(state) == [
        f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc1", "fc2") for kind in ("weight", "bias")
    ]
    conv, functional = torch.nn.functional.conv2d, torch.nn.functional
    x = images(5, 3, 32, 32)
    y = functional.max_pool2d(conv(torch.from_numpy(x), state["conv1.weight"], state["conv1.bias"]).relu(), 2)
    y = functional.avg_pool2d(conv(y, state["conv2.weight"], state["conv2.bias"]).relu(), 2)
    y = functional.linear(y.reshape(-1, 16 * 5 * 5), state["fc1.weight"], state["fc1.bias"]).relu()
    expected = functional.linear(y, state["fc2.weight"], state["fc2.bias"]).numpy()
    # Sums of up to 400 products in float32, in another order.
    assert np.abs(network(from_numpy(x)).detach().numpy() - expected).max() < 1e-5 * np.abs(expected).max()


def batch_norm(name):
    return [f"{name}.{kind}" for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


def test_resnet18_has_torchvisions_names():
    expected = ["conv1.weight", *batch_norm("bn1")]
    for stage in range(1, 5):
        for block in range(2):
            prefix = f"layer{stage}.{block}"
            for i in (1, 2):
                expected += [f"{prefix}.conv{i}.weight", *batch_norm(f"{prefix}.bn{i}")]
            if stage > 1 and block == 0:
                expected += [f"{prefix}.downsample.0.weight", *batch_norm(f"{prefix}.downsample.1")]
    assert list(models.resnet18().state_dict()) == [*expected, "fc.weight", "fc.bias"]


def test_vgg_has_torchvisions_names():
    plain = [f"features.{i}.{kind}" for i in (0, 3, 6, 8, 11, 13, 16, 18) for kind in ("weight", "bias")]
    classifier = ["classifier.weight", "classifier.bias"]
    assert list(models.vgg11().state_dict()) == plain + classifier
    normalised = []
    for i in (0, 4, 8, 11, 15, 18, 22, 25):
        normalised += [f"features.{i}.weight", f"features.{i}.bias", *batch_norm(f"features.{i + 1}")]
    assert list(models.vgg11_bn().state_dict()) == normalised + classifier


def test_deep_networks_keep_the_scale_of_their_input():
    network = models.vgg11().eval()
    with no_grad():
        scores = network.features(from_numpy(images(8, 3, 32, 32))).numpy()
    assert 0.05 < scores.std() < 20


def test_networks_are_drawn_from_the_seed():
    manual_seed(5)
    first = models.resnet18().state_dict()
    manual_seed(5)
    second = models.resnet18().state_dict()
    assert all(np.array_equal(value.numpy(), second[name].numpy()) for name, value in first.items())
