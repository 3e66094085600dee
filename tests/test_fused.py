"""Photographs from folders: the last transforms as one pass, whose pixels are those of the transforms one by one."""

import numpy as np
import pytest

import fastconv
from fastconv._native.pictures import MOST_TAPS, window_into
from fastconv.utils.data import DataLoader
from fastconv.vision import datasets, transforms
from fastconv.vision.transforms.fused import down_first, fused

Image = pytest.importorskip("PIL.Image")

if not hasattr(Image.Image, "__arrow_c_array__"):
    pytest.skip("Pillow without Arrow's interface", allow_module_level=True)

FIRST = down_first() or (lambda *_: False)
EVERY = np.arange(256, dtype=np.float32)[None].repeat(3, 0)


def drawn(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def window(image, top, left, rows, columns, size, cubic=False, flip=False):
    out = np.full((3, *size), np.nan, np.float32)
    window_into(
        image.__arrow_c_array__()[1],
        image.height,
        image.width,
        top,
        left,
        rows,
        columns,
        cubic,
        flip,
        FIRST(rows, columns, *size),
        EVERY,
        out,
    )
    return out.transpose(1, 2, 0)


def test_the_order_of_this_pillow_is_known():
    assert down_first() is not None


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_windows_are_pillows(cubic, flip):
    rng = np.random.default_rng(0)
    resampling = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    pixels = drawn(61, 83)
    pixels[20:40] = np.where(pixels[20:40] > 127, 255, 0)  # where a cubic overshoots
    image = Image.fromarray(pixels)
    for _ in range(150):
        rows, columns = (int(rng.integers(1, n + 1)) for n in (61, 83))
        top, left = int(rng.integers(0, 62 - rows)), int(rng.integers(0, 84 - columns))
        size = tuple(int(rng.integers(n // (7 if cubic else 14) + 1, 90)) for n in (rows, columns))
        expected = np.asarray(image.crop((left, top, left + columns, top + rows)).resize(size[::-1], resampling))
        found = window(image, top, left, rows, columns, size, cubic, flip)
        assert np.array_equal(found[:, ::-1] if flip else found, expected), (top, left, rows, columns, size)


def test_what_a_window_refuses():
    image = Image.fromarray(drawn(40, 50))
    for arguments, message in (
        ((0, 0, 41, 50, (8, 8)), "is not in 40 x 50 pixels"),
        ((0, 3, 40, 48, (8, 8)), "is not in 40 x 50 pixels"),
        ((-1, 0, 4, 4, (8, 8)), "at least one pixel"),
        ((0, 0, 0, 4, (8, 8)), "at least one pixel"),
        ((0, 0, 40, 50, (1, 8)), f"at most {MOST_TAPS}"),
    ):
        with pytest.raises(ValueError, match=message):
            window(image, *arguments)
    capsule = image.__arrow_c_array__()[1]
    with pytest.raises(ValueError, match="expected an array of 2050 pixels, got 2000"):
        window_into(capsule, 41, 50, 0, 0, 4, 4, False, False, False, EVERY, np.empty((3, 4, 4), np.float32))
    with pytest.raises(ValueError, match="parts"):
        grey = Image.fromarray(drawn(40, 50)[..., 0]).__arrow_c_array__()[1]
        window_into(grey, 40, 50, 0, 0, 4, 4, False, False, False, EVERY, np.empty((3, 4, 4), np.float32))
    with pytest.raises(ValueError, match="expected tables"):
        window_into(capsule, 40, 50, 0, 0, 4, 4, False, False, False, EVERY[:2], np.empty((3, 4, 4), np.float32))
    with pytest.raises(ValueError):
        window_into(object(), 40, 50, 0, 0, 4, 4, False, False, False, EVERY, np.empty((3, 4, 4), np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    for i in range(7):
        path = root / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(drawn(30, 40, i) // 4 + np.arange(40)[:, None].astype(np.uint8) * 4, 0, 255)).save(
            path, quality=95
        )
    return root


class OneByOne(datasets.ImageFolder):
    def __getitem__(self, index):
        return super().__getitem__(index)


NORM = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CHAINS = {
    "crop, flip, normalize": (
        transforms.RandomResizedCrop(16),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        NORM,
    ),
    "cubic": (
        transforms.RandomResizedCrop((9, 20), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
    ),
    "nearest": (
        transforms.RandomResizedCrop(9, interpolation=transforms.InterpolationMode.NEAREST),
        transforms.ToTensor(),
        NORM,
    ),
    "evaluation": (transforms.Resize(20), transforms.CenterCrop(16), transforms.ToTensor(), NORM),
    "colours first": (
        transforms.ColorJitter(0.4, 0.4),
        transforms.Resize((12, 13)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ),
    "flip first": (transforms.RandomHorizontalFlip(), transforms.RandomResizedCrop(16), transforms.ToTensor()),
    "nothing": (transforms.ToTensor(),),
    "grey": (
        transforms.Grayscale(),
        transforms.RandomResizedCrop(16),
        transforms.ToTensor(),
        transforms.Normalize((0.5,), (0.5,)),
    ),
    "one value": (
        transforms.Compose([transforms.RandomCrop(9)]),
        transforms.ToTensor(),
        transforms.Normalize((0.5,), (0.5,)),
    ),
    "very small": (transforms.Resize((1, 1)), transforms.ToTensor()),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_batch_is_the_photographs_one_by_one(folder, name):
    chain = transforms.Compose(CHAINS[name])
    assert fused(chain) is not None
    batches = []
    for kind in (datasets.ImageFolder, OneByOne):
        fastconv.manual_seed(3)
        batches.append([*DataLoader(kind(folder, chain), 4, shuffle=True)])
        state = fastconv.get_rng_state().tolist()
    assert fastconv.get_rng_state().tolist() == state
    for (x, targets), (expected, expected_targets) in zip(*batches, strict=True):
        assert np.array_equal(x, expected) and np.array_equal(targets, expected_targets)


def test_photographs_of_several_sizes(folder, tmp_path):
    (tmp_path / "a").mkdir()
    for i, size in enumerate(((30, 40), (30, 40), (20, 40))):
        Image.fromarray(drawn(*size)).save(tmp_path / "a" / f"{i}.png")
    chain = transforms.Compose([transforms.ToTensor()])
    data = datasets.ImageFolder(tmp_path, chain)
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        next(iter(DataLoader(data, 3)))
    shapes = next(iter(DataLoader(data, 3, collate_fn=lambda batch: [tuple(x.shape) for x, _ in batch])))
    assert shapes == [(3, 30, 40), (3, 30, 40), (3, 20, 40)]
    assert datasets.ImageFolder(tmp_path, chain).__getitems__([]) == []


def test_what_is_not_fused():
    to_tensor = transforms.ToTensor()
    for chain in (
        None,
        transforms.Resize(3),
        transforms.Compose([to_tensor, transforms.RandomErasing()]),
        transforms.Compose([to_tensor, NORM, NORM]),
    ):
        assert fused(chain) is None
    hooked = transforms.Resize(3)
    hooked.register_forward_hook(lambda *_: None)
    assert fused(transforms.Compose([hooked, to_tensor])) is None


def test_targets_are_transformed(folder):
    data = datasets.ImageFolder(folder, CHAINS["evaluation"][-2], target_transform=lambda target: target + 5)
    assert {int(target) for _, target in data.__getitems__([0, 6])} == {5, 6}
    few = datasets.ImageFolder(folder, transforms.Compose(CHAINS["evaluation"]))
    with pytest.raises(TypeError, match="pic should be PIL Image"):
        fused(transforms.Compose([transforms.Lambda(lambda image: 3), transforms.ToTensor()]))(
            [few.loader(few.samples[0][0])], 1
        )


def test_workers_give_the_same(folder):
    chain = transforms.Compose(CHAINS["evaluation"])
    alone = [*DataLoader(datasets.ImageFolder(folder, chain), 3)]
    for (x, targets), (y, others) in zip(
        alone, DataLoader(datasets.ImageFolder(folder, chain), 3, num_workers=2), strict=True
    ):
        assert np.array_equal(x, y) and np.array_equal(targets, others)
