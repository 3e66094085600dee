"""Geometry and colours of images, grids, files, images of noise: against torchvision where it is installed."""

import warnings

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv.vision import datasets, io, transforms, utils
from fastconv.vision.transforms import functional as F


@pytest.fixture(scope="module")
def torchvision():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision
    except Exception as error:  # it is not there, or was built for another torch
        pytest.skip(f"torchvision: {error}")
    return torchvision


def noise(mode="RGB", height=31, width=23, seed=0):
    bands = len(mode) if mode != "L" else 1
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode if mode != "L" else None)


CALLS = {
    "pad": lambda f: [f.pad(noise(mode), 3, fill=fill) for mode, fill in (("L", 7), ("RGB", 7), ("RGB", (1, 2, 3)))],
    "pad sides": lambda f: [
        f.pad(noise(), p, padding_mode=m) for p in ([1, 2], [1, 2, 3, 4]) for m in ("edge", "reflect")
    ],
    "resized_crop": lambda f: [f.resized_crop(noise(), 3, 5, 17, 11, size) for size in ([8, 8], [32, 20])],
    "rotate": lambda f: [
        f.rotate(noise(mode), 33.25, fill=fill) for mode, fill in (("L", [9]), ("RGB", [0]), ("RGB", [1, 2, 3]))
    ],
    "rotate expand": lambda f: [f.rotate(noise(), -20.0, f.InterpolationMode.BILINEAR, expand=True, center=[2, 3])],
    "flips": lambda f: [f.hflip(noise()), f.vflip(noise())],
    "brightness": lambda f: [f.adjust_brightness(noise(), x) for x in (0.0, 0.3, 1.7)],
    "contrast": lambda f: [f.adjust_contrast(noise(), x) for x in (0.0, 0.3, 1.7)],
    "saturation": lambda f: [f.adjust_saturation(noise(), x) for x in (0.0, 0.3, 1.7)],
    "hue": lambda f: (
        [f.adjust_hue(noise(), x) for x in (-0.5, -0.13, 0.0, 0.21, 0.5)] + [f.adjust_hue(noise("L"), 0.2)]
    ),
    "grey": lambda f: [f.to_grayscale(noise(), 1), f.to_grayscale(noise(), 3), f.center_crop(noise(), [40, 9])],
}


@pytest.mark.parametrize("name", CALLS)
def test_pixels_are_torchvisions(torchvision, name):
    for ours, theirs in zip(CALLS[name](F), CALLS[name](torchvision.transforms.functional), strict=True):
        assert ours.mode == theirs.mode and np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("shape", [(1, 5, 4), (2, 5, 4), (3, 5, 4), (4, 5, 4), (5, 4)])
def test_to_pil_image(shape):
    x = fastconv.rand(*shape)
    image = transforms.ToPILImage()(x)
    expected = (x.numpy() * 255).astype(np.uint8)
    assert np.array_equal(
        np.asarray(image),
        expected[0] if shape[0] == 1 else np.moveaxis(expected, 0, -1) if len(shape) == 3 else expected,
    )
    assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA", 5: "L"}[shape[0]]
    again = transforms.ToTensor()(image)
    assert abs(again - x.reshape(again.shape)).max() < 1 / 255


def test_to_pil_image_of_arrays():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(np.asarray(transforms.ToPILImage()(pixels)), pixels)
    assert transforms.ToPILImage("HSV")(pixels).mode == "HSV"
    assert transforms.ToPILImage()(pixels[..., 0].astype(np.float32)).mode == "F"
    assert transforms.ToPILImage()(pixels[..., 0].astype(np.int32)).mode == "I"
    with pytest.raises(ValueError, match="should not have > 4 channels"):
        transforms.ToPILImage()(np.zeros((2, 2, 5), np.uint8))
    with pytest.raises(ValueError, match="Only modes RGB, YCbCr, HSV are supported"):
        transforms.ToPILImage("L")(pixels)
    with pytest.raises(TypeError, match="pic should be Tensor or ndarray"):
        transforms.ToPILImage()([1])
    with pytest.raises(TypeError, match="int64"):
        transforms.ToPILImage()(pixels.astype(np.int64))


def test_random_resized_crop():
    image = Image.fromarray(np.mgrid[:40, :60].transpose(1, 2, 0).astype(np.uint8).repeat(2, 2)[..., :3], "RGB")
    fastconv.manual_seed(0)
    for _ in range(50):
        top, left, height, width = transforms.RandomResizedCrop.get_params(image, (0.2, 0.5), (0.5, 2.0))
        assert 0 <= top <= 40 - height and 0 <= left <= 60 - width
        assert 0.15 < height * width / 2400 < 0.55 and 0.45 < width / height < 2.2
    assert transforms.RandomResizedCrop((8, 9))(image).size == (9, 8)
    # What fits never is the largest window in the middle.
    assert transforms.RandomResizedCrop.get_params(image, (5.0, 5.0), (1.0, 1.0)) == (0, 10, 40, 40)
    assert transforms.RandomResizedCrop(8)(fastconv.zeros(3, 9, 9)).shape == (3, 8, 8)


def test_random_rotation():
    image = noise()
    assert np.array_equal(transforms.RandomRotation((90, 90), expand=True)(image), np.rot90(np.asarray(image)))
    assert transforms.RandomRotation(10).degrees == [-10.0, 10.0]
    with pytest.raises(ValueError, match="must be positive"):
        transforms.RandomRotation(-1)
    with pytest.raises(ValueError, match="fill has 2 values, the image 3 channels"):
        transforms.RandomRotation(1, fill=(1, 2))(image)


@pytest.mark.parametrize(
    ("transform", "changed"),
    [
        (lambda p: transforms.RandomVerticalFlip(p), lambda image: np.asarray(image)[::-1]),
        (lambda p: transforms.RandomGrayscale(p), lambda image: np.asarray(image.convert("L").convert("RGB"))),
        (
            lambda p: transforms.RandomApply([transforms.Pad(1)], p),
            lambda image: np.pad(image, [(1, 1), (1, 1), (0, 0)]),
        ),
    ],
)
def test_random_or_not(transform, changed):
    image = noise()
    assert np.array_equal(transform(0.0)(image), image)
    assert np.array_equal(transform(1.0)(image), changed(image))


def test_color_jitter():
    image = noise()
    assert np.array_equal(transforms.ColorJitter()(image), image)
    assert transforms.ColorJitter(brightness=0.4).brightness == (0.6, 1.4)
    assert np.array_equal(transforms.ColorJitter(brightness=(0.5, 0.5))(image), F.adjust_brightness(image, 0.5))
    assert transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)(image).size == image.size
    with pytest.raises(ValueError, match="hue values should be between"):
        transforms.ColorJitter(hue=0.7)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nrow": 3, "padding": 1, "pad_value": 0.5},
        {"normalize": True},
        {"normalize": True, "scale_each": True},
        {"normalize": True, "value_range": (0.2, 0.6)},
    ],
)
@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (5, 1, 4, 6), (1, 3, 4, 6), (3, 4, 6), (4, 6)])
def test_make_grid_is_torchvisions(torchvision, shape, options):
    import torch

    x = np.random.default_rng(0).random(shape, np.float32)
    ours, theirs = (
        utils.make_grid(fastconv.tensor(x), **options),
        torchvision.utils.make_grid(torch.tensor(x), **options),
    )
    assert ours.shape == tuple(theirs.shape)
    assert np.allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=1e-6)


def test_make_grid():
    x = fastconv.rand(5, 3, 4, 6)
    grid = utils.make_grid(x, nrow=2, padding=1, pad_value=9.0)
    assert grid.shape == (3, 16, 15)
    assert bool((grid[:, 1:5, 8:14] == x[1]).all()) and bool((grid[:, 11:15, 8:14] == 9).all())
    assert bool((utils.make_grid(list(x), nrow=2, padding=1, pad_value=9.0) == grid).all())
    with pytest.raises(TypeError, match="tensor or list of tensors expected"):
        utils.make_grid([1, 2])
    with pytest.raises(ValueError, match="2 to 4 dimensions"):
        utils.make_grid(fastconv.zeros(3))


def test_save_image(tmp_path):
    x = fastconv.tensor([[0.0, 0.5], [1.0, 2.0]])
    utils.save_image(x, tmp_path / "x.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png"))[..., 0], [[0, 128], [255, 255]])
    utils.save_image([x[None], x[None]], str(tmp_path / "grid.png"), nrow=1, padding=0)
    assert Image.open(tmp_path / "grid.png").size == (2, 4)


def test_fake_data():
    data = datasets.FakeData(5, (3, 8, 9), 4)
    image, target = data[2]
    assert image.size == (9, 8) and 0 <= target < 4 and len(data) == 5
    assert np.array_equal(data[2][0], image) and not np.array_equal(data[3][0], image)
    assert np.array_equal(datasets.FakeData(5, (3, 8, 9), 4, random_offset=1)[1][0], image)
    assert datasets.FakeData(5, (3, 8, 9), transform=transforms.ToTensor())[0][0].shape == (3, 8, 9)
    with pytest.raises(IndexError):
        data[5]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_read_image(tmp_path, mode):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8), "RGBA").convert(mode)
    image.save(tmp_path / "x.png")
    pixels = io.read_image(tmp_path / "x.png")
    expected = np.asarray(image)
    assert np.array_equal(pixels.numpy(), expected[None] if mode == "L" else expected.transpose(2, 0, 1))
    assert io.read_image(str(tmp_path / "x.png"), io.ImageReadMode.RGB).shape == (3, 5, 7)
    assert io.read_image(tmp_path / "x.png", "gray").shape == (1, 5, 7)


def test_written_pictures_are_read_again(tmp_path):
    x = fastconv.randint(0, 256, (3, 5, 7)).to(fastconv.uint8)
    io.write_png(x, tmp_path / "x.png")
    assert fastconv.equal(io.read_image(tmp_path / "x.png"), x)
    io.write_jpeg(x[:1], tmp_path / "x.jpg", quality=90)
    assert io.read_image(tmp_path / "x.jpg").shape == (1, 5, 7)
    with pytest.raises(ValueError, match=r"expected a uint8 tensor \(1 or 3, H, W\), got float32"):
        io.write_png(fastconv.zeros(3, 2, 2), tmp_path / "y.png")


DRAWN = (
    "RandomResizedCrop(16)",
    "RandomRotation(30)",
    "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "RandomVerticalFlip()",
    "RandomGrayscale(0.5)",
    "RandomApply([RandomRotation(9)], 0.5)",
)


@pytest.mark.parametrize("text", DRAWN)
def test_the_same_seed_draws_what_torchvision_draws(torchvision, text):
    import torch

    ours, theirs = (eval(text, dict(vars(library))) for library in (transforms, torchvision.transforms))
    fastconv.manual_seed(5)
    torch.manual_seed(5)
    image = noise(height=40, width=50)
    for _ in range(6):
        assert np.array_equal(np.asarray(ours(image)), np.asarray(theirs(image)))


def test_images_of_noise_are_torchvisions(torchvision):
    ours, theirs = (library.FakeData(3, (3, 8, 9), 10) for library in (datasets, torchvision.datasets))
    for (x, target), (y, expected) in zip((ours[i] for i in range(3)), (theirs[i] for i in range(3)), strict=True):
        assert np.array_equal(np.asarray(x), np.asarray(y)) and target == expected
