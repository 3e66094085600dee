"""Transforms, image by image and a batch at once."""

import numpy as np
import pytest

from fastconv import Tensor, from_numpy
from fastconv.random import default_generator, manual_seed
from fastconv.vision import transforms
from fastconv.vision.transforms.transforms import batched

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def seed():
    manual_seed(0)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_array(image):
    return image.numpy() if isinstance(image, Tensor) else np.asarray(image)


# From images to tensors


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_to_tensor(shape):
    array = pixels(*shape)
    expected = array.reshape(5, 7, -1).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    x = transforms.ToTensor()(array)
    assert x.numpy().dtype == np.float32
    assert x.numpy().flags.c_contiguous
    assert np.array_equal(x.numpy(), expected)
    if shape != (5, 7, 1):
        assert np.array_equal(transforms.ToTensor()(Image.fromarray(array)).numpy(), expected)


def test_to_tensor_scales_by_exactly_255():
    x = transforms.ToTensor()(np.arange(256, dtype=np.uint8).reshape(16, 16)).numpy().ravel()
    assert np.array_equal(x, np.arange(256, dtype=np.float32) / np.float32(255))
    assert (x[0], x[255]) == (0, 1)


@pytest.mark.parametrize(
    ("mode", "dtype"), [("1", "float32"), ("LA", "float32"), ("I", "int32"), ("F", "float32"), ("CMYK", "float32")]
)
def test_to_tensor_of_other_modes(mode, dtype):
    image = Image.fromarray(pixels(4, 6, 3)).convert(mode)
    x = transforms.ToTensor()(image).numpy()
    expected = np.array(image).reshape(4, 6, -1).transpose(2, 0, 1)
    assert x.dtype == dtype
    assert np.array_equal(x, expected / np.float32(255) if mode in ("LA", "CMYK") else expected)


def test_to_tensor_of_16_bits():
    image = Image.fromarray(np.array([[0, 40_000]], np.uint16))
    assert transforms.ToTensor()(image).numpy().tolist() == [[[0, 40_000]]]


def test_to_tensor_keeps_other_types():
    array = np.arange(6, dtype=">f8").reshape(1, 2, 3)
    x = transforms.ToTensor()(array).numpy()
    assert x.dtype == np.float64
    assert np.array_equal(x, array.transpose(2, 0, 1))


def test_to_tensor_copies():
    array = pixels(2, 2).astype(np.float32)
    x = transforms.ToTensor()(array)
    array[:] = -1
    assert x.numpy().min() >= 0


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        ([[1, 2]], TypeError, "pic should be PIL Image or ndarray. Got <class 'list'>"),
        (np.zeros(3), ValueError, "pic should be 2/3 dimensional. Got 1 dimensions"),
        (np.zeros((1, 2, 3, 4)), ValueError, "Got 4 dimensions"),
    ],
)
def test_to_tensor_refuses(picture, error, message):
    with pytest.raises(error) as caught:
        transforms.ToTensor()(picture)
    assert message in str(caught.value)


# Normalisation


def test_normalize_is_torchs_arithmetic_bit_for_bit():
    torch = pytest.importorskip("torch")
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    array = np.tile(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), (1, 1, 3))
    chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    x = torch.from_numpy(array.transpose(2, 0, 1).copy()).to(torch.float32).div(255)
    expected = x.sub(torch.tensor(mean).view(-1, 1, 1)).div(torch.tensor(std).view(-1, 1, 1)).numpy()
    assert np.array_equal(chain(array).numpy(), expected)
    assert np.array_equal(batched(chain)(array[None]).numpy()[0], expected)


def test_normalize_shapes_and_types():
    x = np.arange(24, dtype=np.float64).reshape(2, 3, 2, 2)
    y = transforms.Normalize((1, 2, 3), (4,))(from_numpy(x)).numpy()
    assert y.dtype == np.float64
    assert np.array_equal(y, (x - np.array([1, 2, 3]).reshape(3, 1, 1)) / 4)
    assert np.array_equal(x, np.arange(24).reshape(2, 3, 2, 2)), "the image is left as it was"


def test_normalize_in_place():
    x = from_numpy(np.ones((1, 2, 2), np.float32))
    assert transforms.Normalize((0.5,), (0.5,), inplace=True)(x) is x
    x = from_numpy(np.full((1, 2, 2), 2, np.float32))
    transforms.Normalize((0.5,), (0.5,), inplace=True)(x)
    assert x.numpy().ravel().tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("image", "mean", "std", "error", "message"),
    [
        (np.zeros((3, 2, 2), np.float32), (0,), (1,), TypeError, "img should be Tensor Image. Got <class 'numpy.nd"),
        (from_numpy(np.zeros((3, 2, 2), np.int64)), (0,), (1,), TypeError, "should be a float tensor. Got int64"),
        (from_numpy(np.zeros((2, 2))), (0,), (1,), ValueError, "(..., C, H, W). Got tensor.size() = (2, 2)"),
        (from_numpy(np.zeros((1, 2, 2))), (0,), (0,), ValueError, "std evaluated to zero after conversion to float64"),
        (from_numpy(np.zeros((1, 2, 2))), (0,) * 3, (1,) * 3, RuntimeError, "of size (1, 2, 2) has 1 channels"),
        (from_numpy(np.zeros((3, 2, 2))), (0,) * 3, (1,) * 2, RuntimeError, "mean=(0, 0, 0) and std=(1, 1), but"),
    ],
)
def test_normalize_refuses(image, mean, std, error, message):
    with pytest.raises(error) as caught:
        transforms.Normalize(mean, std)(image)
    assert message in str(caught.value)


# Geometry


@pytest.mark.parametrize(
    ("size", "options", "height", "width"),
    [
        (10, {}, 10, 20),
        ([10], {}, 10, 20),
        ((7, 9), {}, 7, 9),
        (10, {"max_size": 15}, 7, 15),
        (20, {}, 20, 40),
        (33, {"interpolation": transforms.InterpolationMode.BICUBIC}, 33, 66),
    ],
)
@pytest.mark.parametrize("upright", [False, True])
def test_resize_is_pillows(size, options, height, width, upright):
    array = pixels(20, 40, 3)
    if upright and not isinstance(size, tuple):
        array, height, width = array.transpose(1, 0, 2).copy(), width, height
    resize = transforms.Resize(size, **options)
    image = Image.fromarray(array)
    name = options.get("interpolation", transforms.InterpolationMode.BILINEAR).name
    expected = np.asarray(image.resize((width, height), Image.Resampling[name]))
    assert expected.shape == (height, width, 3)
    assert np.array_equal(np.asarray(resize(image)), expected)
    assert np.array_equal(resize.batch(np.stack([array, array]))[1], expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 1.5}, TypeError, "Size should be int or sequence. Got <class 'float'>"),
        ({"size": (1, 2, 3)}, ValueError, "1 or 2 values. Got (1, 2, 3)"),
        ({"size": 0}, ValueError, "positive. Got 0"),
        ({"size": 8, "max_size": 8}, ValueError, "max_size=8 and size=8"),
        ({"size": (8, 8), "max_size": 9}, ValueError, "max_size=9 and size=(8, 8)"),
        ({"size": 8, "interpolation": "cubist"}, ValueError, "cubist"),
    ],
)
def test_resize_refuses(arguments, error, message):
    with pytest.raises(error) as caught:
        transforms.Resize(**arguments)
    assert message in str(caught.value)


def test_resize_and_grayscale_of_tensors():
    images = from_numpy(np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32))
    for transform, shape in ((transforms.Resize(4), (2, 3, 4, 4)), (transforms.Grayscale(), (2, 1, 8, 8))):
        assert transform(images).shape == shape
        assert np.array_equal(transform.batch(images), transform(images))
        assert np.array_equal(transform(images[1]), transform(images)[1])
    with pytest.raises(TypeError, match=r"img should be PIL Image or Tensor Image. Got <class 'numpy.ndarray'>"):
        transforms.Resize(4)(images.numpy())


def test_resize_without_antialiasing_warns_where_there_is_no_such_thing():
    image = Image.fromarray(pixels(20, 40, 3))
    with pytest.warns(UserWarning, match="Argument antialias is ignored"):
        assert np.array_equal(transforms.Resize(10, antialias=False)(image), transforms.Resize(10)(image))
    x = transforms.ToTensor()(image)
    assert not np.array_equal(transforms.Resize(10, antialias=False)(x), transforms.Resize(10)(x))


def numbered(height, width, channels=3):
    """An image in which every pixel is another."""
    assert height * width <= 256
    return np.repeat(np.arange(height * width, dtype=np.uint8).reshape(height, width, 1), channels, axis=2)


def test_random_crop_cuts_all_windows_equally_often():
    image = Image.fromarray(numbered(5, 6))
    crop = transforms.RandomCrop((4, 4))
    corners = []
    for _ in range(1200):
        window = np.asarray(crop(image))
        corners.append(int(window[0, 0, 0]))
        assert np.array_equal(window, numbered(5, 6)[corners[-1] // 6 :, corners[-1] % 6 :][:4, :4])
    counts = np.bincount(corners)
    assert np.flatnonzero(counts).tolist() == [0, 1, 2, 6, 7, 8]
    assert counts.max() < 270, "200 each on average; the standard deviation is 13"


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("kind", ["RGB", "L", "tensor"])
def test_padding(mode, kind):
    array = numbered(5, 6) if kind != "L" else numbered(5, 6, 1)[..., 0]
    image = transforms.ToTensor()(array) if kind == "tensor" else Image.fromarray(array)
    height_width = [(0, 0)] if array.ndim == 3 else []
    expected = np.pad(array, [(2, 4), (1, 3), *height_width], mode=mode)
    padded = transforms.RandomCrop((11, 10), (1, 2, 3, 4), padding_mode=mode)(image)
    if kind == "tensor":
        assert np.array_equal(padded.numpy(), transforms.ToTensor()(expected).numpy())
    else:
        assert padded.mode == kind
        assert np.array_equal(np.asarray(padded), expected)


@pytest.mark.parametrize(
    ("padding", "shape"), [(2, (9, 10)), ([2], (9, 10)), ((1, 3), (11, 8)), ((1, 2, 3, 4), (11, 10)), (None, (5, 6))]
)
def test_padding_arguments(padding, shape):
    image = Image.fromarray(numbered(5, 6))
    assert np.asarray(transforms.RandomCrop(shape, padding)(image)).shape[:2] == shape


def test_padding_values():
    image = Image.fromarray(np.zeros((2, 2, 3), np.uint8))
    for fill, colour in ((7, [7, 7, 7]), ((1, 2, 3), [1, 2, 3])):
        crop = transforms.RandomCrop((4, 4), 1, fill=fill)
        assert np.asarray(crop(image))[0, 0].tolist() == colour
        assert crop.batch(np.zeros((1, 2, 2, 3), np.uint8))[0, 0, 0].tolist() == colour


def test_pad_if_needed():
    crop = transforms.RandomCrop((9, 4), pad_if_needed=True)
    window = np.asarray(crop(Image.fromarray(numbered(5, 6))))
    assert window.shape == (9, 4, 3)
    assert crop.batch(numbered(5, 6)[None]).shape == (1, 9, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": (1, 2, 3)}, ValueError, "(h, w) for size. Got (1, 2, 3)"),
        ({"size": 0}, ValueError, "positive. Got 0"),
        ({"size": 2, "padding": (1, 2, 3)}, ValueError, "not a 3 element tuple: (1, 2, 3)"),
        ({"size": 2, "padding": 1.5}, TypeError, "padding arg: expected an int or a sequence, got <class 'float'>"),
        ({"size": 2, "padding": -1}, ValueError, "non-negative. Got -1"),
        ({"size": 2, "padding_mode": "circular"}, ValueError, "Got 'circular'"),
    ],
)
def test_random_crop_refuses(arguments, error, message):
    with pytest.raises(error) as caught:
        transforms.RandomCrop(**arguments)
    assert message in str(caught.value)


def test_a_window_larger_than_the_image_is_refused():
    crop = transforms.RandomCrop((9, 4))
    for call, image in ((crop, Image.fromarray(numbered(5, 6))), (crop.batch, numbered(5, 6)[None])):
        with pytest.raises(ValueError) as caught:
            call(image)
        assert "Required crop size (9, 4) is larger than input image size (5, 6)" in str(caught.value)


def test_flip():
    array = numbered(3, 4)
    images = Image.fromarray(array), transforms.ToTensor()(array)
    for image, mirrored in zip(images, (array[:, ::-1], transforms.ToTensor()(array[:, ::-1]).numpy()), strict=True):
        assert np.array_equal(as_array(transforms.RandomHorizontalFlip(1)(image)), mirrored)
        assert np.array_equal(as_array(transforms.RandomHorizontalFlip(0)(image)), as_array(image))
    flipped = transforms.RandomHorizontalFlip(0.3).batch(np.stack([array] * 2000))[:, 0, 0, 0] != 0
    assert abs(flipped.mean() - 0.3) < 0.05, "five standard deviations"
    with pytest.raises(ValueError, match=r"1\.5"):
        transforms.RandomHorizontalFlip(1.5)
    with pytest.raises(TypeError, match=r"img should be PIL Image or Tensor Image. Got <class 'numpy.ndarray'>"):
        transforms.RandomHorizontalFlip(1)(array)


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [(2, (1, 3), (2, 4)), ((3, 5), (0, 3), (0, 5)), ((4, 6), (0, 4), (0, 6))]
)
def test_center_crop(size, rows, columns):
    array = numbered(4, 6)
    expected = array[slice(*rows), slice(*columns)]
    crop = transforms.CenterCrop(size)
    assert np.array_equal(np.asarray(crop(Image.fromarray(array))), expected)
    assert np.array_equal(crop.batch(array[None])[0], expected)


def test_center_crop_pads():
    array = numbered(2, 3)
    expected = np.pad(array, [(1, 1), (1, 1), (0, 0)])
    assert np.array_equal(np.asarray(transforms.CenterCrop((4, 5))(Image.fromarray(array))), expected)
    assert np.array_equal(transforms.CenterCrop((4, 5)).batch(array[None])[0], expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_grayscale_is_pillows(channels):
    array = pixels(64, 64, 3)
    grey = np.asarray(Image.fromarray(array).convert("L"))
    expected = grey if channels == 1 else np.stack([grey] * 3, axis=-1)
    transform = transforms.Grayscale(channels)
    assert np.array_equal(np.asarray(transform(Image.fromarray(array))), expected)
    assert np.array_equal(transform.batch(array[None])[0], expected)
    assert np.array_equal(transform.batch(grey[None])[0], expected)


def test_other_constructors_refuse():
    with pytest.raises(ValueError, match=r"num_output_channels should be either 1 or 3. Got 2"):
        transforms.Grayscale(2)
    with pytest.raises(TypeError, match="lambd should be callable, got <class 'int'>"):
        transforms.Lambda(3)


# Chains


def chains():
    norm = transforms.Normalize((0.5,), (0.25,))
    to_tensor = transforms.ToTensor()
    return [
        transforms.ToTensor(),
        transforms.Compose([to_tensor, norm]),
        transforms.Compose([transforms.Resize((9, 6)), to_tensor, norm]),
        transforms.Compose([transforms.CenterCrop(5), transforms.Compose([to_tensor, norm])]),
        transforms.Compose([transforms.Grayscale(), to_tensor]),
        transforms.Compose([to_tensor, transforms.CenterCrop((5, 20)), norm]),
        transforms.Compose([transforms.RandomCrop(8, padding=2), to_tensor]),
        transforms.Compose([transforms.RandomHorizontalFlip(), to_tensor, norm]),
        transforms.Compose([to_tensor, transforms.RandomCrop((7, 9), padding=1, padding_mode="reflect")]),
        transforms.Compose([to_tensor, transforms.RandomHorizontalFlip()]),
    ]


@pytest.mark.parametrize("chain", chains(), ids=lambda chain: str(chain).replace("\n", "").replace(" ", ""))
@pytest.mark.parametrize("layout", ["grey", "colour", "colour planes"])
def test_a_batch_is_the_images_one_by_one(chain, layout):
    images = pixels(6, 10, 12) if layout == "grey" else pixels(6, 10, 12, 3)
    if layout == "colour planes":
        images = images.transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1)
    before = images.copy()
    manual_seed(11)
    together = batched(chain)(images).numpy()
    state = default_generator.get_state().tolist()
    # Each of these chains has one random step at most, so both draw the same numbers in the same order.
    manual_seed(11)
    one_by_one = np.stack([chain(Image.fromarray(image)).numpy() for image in images])
    assert together.dtype == np.float32
    assert together.flags.c_contiguous
    assert np.array_equal(together, one_by_one)
    assert np.array_equal(images, before)
    assert default_generator.get_state().tolist() == state


class Halved(transforms.ToTensor):
    def __call__(self, picture):
        return super().__call__(picture) / 2


class Doubling:
    def __call__(self, x):
        return x * 2

    def batch(self, x):
        return x * 2


def test_what_runs_in_batches():
    to_tensor = transforms.ToTensor()
    assert batched(None) is None
    assert batched(transforms.Compose([])) is None
    assert batched(transforms.CenterCrop(3)) is None, "the result would be an image, and there is no batch of these"
    assert batched(transforms.Compose([to_tensor, transforms.Lambda(lambda x: x)])) is None
    assert batched(Halved()) is None, "the batch that it inherits is not what its call does"
    images = pixels(2, 3, 3)
    doubled = batched(transforms.Compose([to_tensor, Doubling()]))(images)
    assert np.array_equal(doubled.numpy(), batched(to_tensor)(images).numpy() * 2)


def test_lambda_and_compose():
    chain = transforms.Compose([transforms.Lambda(lambda x: x + 1), transforms.Lambda(lambda x: x * 2)])
    assert chain(3) == 8


def test_reprs_are_torchvisions():
    chain = transforms.Compose(
        [
            transforms.Resize(32),
            transforms.Resize((3, 4), transforms.InterpolationMode.BICUBIC),
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.CenterCrop((3, 4)),
            transforms.Grayscale(3),
            transforms.Lambda(abs),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    assert repr(chain) == (
        "Compose(\n"
        "    Resize(size=32, interpolation=bilinear, max_size=None, antialias=True)\n"
        "    Resize(size=(3, 4), interpolation=bicubic, max_size=None, antialias=True)\n"
        "    RandomCrop(size=(32, 32), padding=4)\n"
        "    RandomHorizontalFlip(p=0.5)\n"
        "    CenterCrop(size=(3, 4))\n"
        "    Grayscale(num_output_channels=3)\n"
        "    Lambda()\n"
        "    ToTensor()\n"
        "    Normalize(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))\n"
        ")"
    )
