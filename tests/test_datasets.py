"""Data sets in every form they come in, and files that are none."""

import contextlib
import gzip
import hashlib
import http.client
import io
import os
import pickle
import struct
import sys
import tarfile
import tracemalloc
import urllib.error
import urllib.request

import numpy as np
import pytest

from fastconv.utils.data import Columns, DataLoader, Subset
from fastconv.vision import datasets, transforms
from fastconv.vision.datasets import _files, cifar, mnist
from fastconv.vision.datasets._pickle import as_array, read_pickle

TO_TENSOR = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])


def drawn(seed, count, *shape):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.integers(0, 10, count).tolist()


# What all of them share


class Drawn(datasets.ArrayDataset):
    classes = ("a", "b")

    def __init__(self, *shape, transform=None, target_transform=None):
        super().__init__(None, True, transform, target_transform)
        self.data, self.targets = drawn(0, 20, *shape)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_samples_are_pillow_images(shape):
    image_module = pytest.importorskip("PIL.Image")
    data = Drawn(*shape)
    image, target = data[3]
    assert isinstance(image, image_module.Image)
    assert image.mode == ("RGB" if len(shape) == 3 else "L")
    assert np.array_equal(np.asarray(image), data.data[3])
    assert (target, type(target)) == (data.targets[3], int)
    assert np.array_equal(np.asarray(data[-1][0]), data.data[19])
    with pytest.raises(IndexError):
        data[20]
    batch = data.__getitems__([4, 2])
    assert np.array_equal(np.asarray(batch[1][0]), data.data[2])
    with pytest.raises(TypeError, match="default_collate"):
        next(iter(DataLoader(data, 2)))


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_a_batch_is_the_samples_one_by_one(shape):
    data = Drawn(*shape, transform=TO_TENSOR, target_transform=lambda target: -target)
    indices = [7, 0, 19, 7]
    batch = data.__getitems__(indices)
    assert isinstance(batch, Columns)
    images, targets = next(iter(DataLoader(data, batch_sampler=[indices])))
    for i, index in enumerate(indices):
        image, target = data[index]
        assert np.array_equal(images.numpy()[i], image.numpy())
        assert np.array_equal(batch[i][0].numpy(), image.numpy())
        assert targets.numpy()[i] == target == batch[i][1] == -data.targets[index]


def test_arrays_need_no_pillow_and_images_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert Drawn(8, 9, transform=TO_TENSOR)[0][0].shape == (1, 8, 9)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[train\]"'):
        Drawn(8, 9)[0]


def test_transforms_that_work_image_by_image():
    pytest.importorskip("PIL.Image")
    data = Drawn(8, 9, transform=transforms.Lambda(lambda image: np.asarray(image).max()))
    (highest, _), *_ = DataLoader(data, 20)
    assert np.array_equal(highest.numpy(), data.data.max((1, 2)))


def test_subclasses_and_new_targets_are_obeyed():
    class WithIndex(Drawn):
        def __getitem__(self, index):
            return (*super().__getitem__(index), index)

    assert next(iter(DataLoader(WithIndex(8, 9, transform=TO_TENSOR), 3)))[2].numpy().tolist() == [0, 1, 2]
    data = Drawn(8, 9, transform=TO_TENSOR)
    data.data, data.targets = data.data[:4], np.array([1, 0, 1, 0])
    assert next(iter(DataLoader(Subset(data, [2, 3]), 2)))[1].numpy().tolist() == [1, 0]


def test_repr_is_torchvisions():
    data = Drawn(8, 9, transform=TO_TENSOR, target_transform=transforms.Lambda(abs))
    data.root = "there"
    assert repr(data) == (
        "Dataset Drawn\n"
        "    Number of datapoints: 20\n"
        "    Root location: there\n"
        "    Split: Train\n"
        "    StandardTransform\n"
        "    Transform: Compose(\n"
        "                   ToTensor()\n"
        "                   Normalize(mean=(0.5,), std=(0.5,))\n"
        "               )\n"
        "    Target transform: Lambda()"
    )
    assert repr(Drawn(8, 9)) == "Dataset Drawn\n    Number of datapoints: 20\n    Split: Train"
    assert Drawn(8, 9).class_to_idx == {"a": 0, "b": 1}


def test_vision_datasets_define_their_length():
    with pytest.raises(NotImplementedError, match=r"VisionDataset.*__len__"):
        len(datasets.VisionDataset("there"))


# CIFAR-10

COUNT = 4  # images in each of the tiny files
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
PLANES = {name: drawn(i, COUNT, 3, 32, 32) for i, name in enumerate(NAMES)}


def python2_pickle(planes, labels):
    """The opcodes that Python 2 wrote, as in the published files."""

    def string(text):
        return b"T" + struct.pack("<i", len(text)) + text if len(text) > 255 else b"U" + bytes([len(text)]) + text

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87R"
        b"(K\x01M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89" + string(planes.tobytes()) + b"tb"
    )
    listed = b"]q\x03(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"]q\x04(" + b"".join(string(b"photo_%d.png" % i) for i in range(len(labels))) + b"e"
    title = string(b"batch_label") + string(b"training batch 1 of 5")
    entries = title + string(b"labels") + listed + string(b"data") + array + string(b"filenames") + names
    return b"\x80\x02}q\x01(" + entries + b"u."


def python3_pickle(protocol):
    def dump(planes, labels):
        data = planes.reshape(len(labels), -1)
        names = [b"photo_%d.png" % i for i in range(len(labels))]
        batch = {b"batch_label": b"training", b"labels": labels, b"data": data, b"filenames": names}
        return pickle.dumps(batch, protocol)

    return dump


def binary(planes, labels):
    return np.column_stack([np.array(labels, np.uint8), planes.reshape(len(labels), -1)]).tobytes()


FORMS = {
    "python 2": ("cifar-10-batches-py", "", python2_pickle),
    **{f"protocol {n}": ("cifar-10-batches-py", "", python3_pickle(n)) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)},
    "in root": ("", "", python2_pickle),
    "binary": ("cifar-10-batches-bin", ".bin", binary),
    "binary in root": ("", ".bin", binary),
}


def write_cifar(root, form="binary"):
    folder, suffix, dump = FORMS[form]
    for name, content in PLANES.items():
        path = root / folder / f"{name}{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dump(*content))
    return path.parent


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("train", [True, False])
def test_cifar10_in_every_form(tmp_path, form, train):
    write_cifar(tmp_path, form)
    data = datasets.CIFAR10(root=str(tmp_path), train=train, transform=TO_TENSOR, download=True)
    names = NAMES[:5] if train else NAMES[5:]
    planes = np.concatenate([PLANES[name][0] for name in names])
    assert data.data.dtype == np.uint8
    assert np.array_equal(data.data, planes.transpose(0, 2, 3, 1))
    assert data.targets == [label for name in names for label in PLANES[name][1]]
    assert len(data) == len(planes)
    images, _ = next(iter(DataLoader(data, len(data))))
    assert np.array_equal(images.numpy(), (planes / np.float32(255) - np.float32(0.5)) / np.float32(0.5))
    assert data.classes[3] == "cat"
    assert data.class_to_idx["truck"] == 9
    assert f"Split: {'Train' if train else 'Test'}" in repr(data)


def test_cifar10_not_there(tmp_path):
    with pytest.raises(RuntimeError) as caught:
        datasets.CIFAR10(tmp_path)
    message = str(caught.value)
    assert "download=True" in message
    assert str(tmp_path / "cifar-10-batches-py" / "data_batch_1") in message
    folder = write_cifar(tmp_path)
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(RuntimeError, match=r"no .*data_batch_3\.bin"):
        datasets.CIFAR10(tmp_path)
    datasets.CIFAR10(tmp_path, train=False)


def damaged(tmp_path, form, name, change):
    """The message about a file that `change` was applied to; it names the file."""
    path = write_cifar(tmp_path, form) / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RuntimeError) as caught:
        datasets.CIFAR10(tmp_path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_truncated_and_oversized_binary_files(tmp_path):
    for change in (lambda content: content[:-1], lambda content: b"", lambda content: content + b"\0"):
        assert "records of 3,073" in damaged(tmp_path, "binary", "data_batch_2.bin", change)
    assert "one of these is truncated" in damaged(tmp_path, "binary", "data_batch_2.bin", lambda data: data[:-3073])
    assert "label 0 is not" in damaged(tmp_path, "binary", "data_batch_5.bin", lambda data: b"\x0a" + data[1:])
    with open(tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin", "wb") as file:
        file.truncate(10**12)  # sparse
    with pytest.raises(RuntimeError, match=r"data_batch_1\.bin .* 1,000,000,000,000 bytes"):
        datasets.CIFAR10(tmp_path)


@pytest.mark.parametrize("form", ["python 2", "protocol 2", "protocol 5"])
def test_truncated_pickles(tmp_path, form):
    write_cifar(tmp_path, form)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_4"
    content = path.read_bytes()
    for length in [*range(0, 200, 7), 1000, len(content) - 200, len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(RuntimeError, match=r"data_batch_4 is truncated or no CIFAR10 file"):
            datasets.CIFAR10(tmp_path)


def test_an_oversized_pickle_is_not_read(tmp_path):
    path = write_cifar(tmp_path, "protocol 2") / "data_batch_1"
    with open(path, "wb") as file:
        file.truncate(10**12)
    with pytest.raises(RuntimeError, match=r"data_batch_1 .* 1,000,000,000,000 bytes, more than 61,440,000"):
        datasets.CIFAR10(tmp_path)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "it holds a list, not a dict"),
        ({b"labels": [1]}, "no 'data'"),
        ({b"data": np.zeros((1, 3072), np.uint8)}, "list of 'labels'"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": b"1"}, "list of 'labels'"),
        ({b"data": b"123", b"labels": [1]}, "'data' is a bytes, not an array"),
        ({b"data": np.zeros((1, 3072)), b"labels": [1]}, "'data' is not an array of integers"),
        ({b"data": np.zeros((3072, 1), np.uint8).T[:, ::-1].T, b"labels": [1]}, "the shape (3072, 1)"),
        ({b"data": np.zeros(3072, np.uint8), b"labels": [1]}, "'data' has the shape (3072,) of uint8"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "it has 1 labels"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, "label 0 is not an integer from 0 to 9"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["a"]}, "label 0 is not an integer from 0 to 9"),
        ({(1, 2): 3}, "it has a key of type tuple"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_of_something_else(tmp_path, batch, message, protocol):
    assert message in damaged(tmp_path, "protocol 2", "data_batch_1", lambda _: pickle.dumps(batch, protocol))


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Evaluates:
    def __reduce__(self):
        return eval, ("open('executed', 'w')",)


HOSTILE = {
    "os.system": pickle.dumps(RunsCode(), 2),
    "eval in a dict": pickle.dumps({b"data": Evaluates(), b"labels": [1]}, 4),
    "os.system in protocol 0": b"cos\nsystem\n(S'touch executed'\ntR.",
    "a class": b"(S'touch executed'\nios\nsystem\n.",
    "new object": b"\x80\x02cos\nsystem\nU\x03abc\x85\x81.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent name": b"\x80\x02U\x03abcQ.",
    "a name by attribute": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x10touch executed\x85R.",
    "a name within a known module": b"\x80\x04\x8c\x05numpy\x8c\x0estate.__init__\x93.",
    "a call of text": b"\x80\x02U\x03abcU\x03abc\x85R.",
    "another encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    "a state for a list": b"\x80\x02]U\x03abcb.",
    "a memo of 2^32 entries": b"\x80\x02K\x01r\xff\xff\xff\xff0.",
    "bytes of 2^62": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"abc.",
    "a frame of 2^62": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"abc.",
    "an empty stack": b"\x80\x02R.",
    "an unknown memo": b"\x80\x02h\x07.",
    "no end": b"\x80\x02K\x01",
    "no pickle": b"\xff\xd8\xff\xe0 JFIF",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles_execute_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    damaged(tmp_path, "protocol 2", "data_batch_1", lambda _: content)
    assert not (tmp_path / "executed").exists()


def test_an_array_that_lies_about_its_size():
    def claimed(rows, columns):
        content = python2_pickle(np.zeros((1, 3072), np.uint8), [0])
        shape = b"M\x01\x00M\x00\x0c\x86"
        assert content.count(shape) == 1
        return content.replace(shape, b"J%bJ%b\x86" % (struct.pack("<i", rows), struct.pack("<i", columns)))

    assert as_array(read_pickle(claimed(1, 3072))[b"data"]).shape == (1, 3072)
    for rows, columns in ((2**31 - 1, 2**31 - 1), (-1, -3072), (2, 3072), (0, 0)):
        with pytest.raises(ValueError, match="has the shape"):
            as_array(read_pickle(claimed(rows, columns))[b"data"])


# MNIST and Fashion-MNIST

FAMILY = [datasets.MNIST, datasets.FashionMNIST]
SPLITS = {"train": drawn(10, 6, 28, 28), "t10k": drawn(11, 5, 28, 28)}


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files():
    for split, (images, labels) in SPLITS.items():
        yield f"{split}-images-idx3-ubyte", idx(images)
        yield f"{split}-labels-idx1-ubyte", idx(labels)


def write_mnist(folder, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in idx_files():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", ["raw", "root"])
def test_mnist_in_every_form(tmp_path, kind, suffix, place):
    write_mnist(tmp_path / kind.__name__ / "raw" if place == "raw" else tmp_path, suffix)
    for train, split in ((True, "train"), (False, "t10k")):
        data = kind(tmp_path, train, transform=TO_TENSOR, download=True)
        images, labels = SPLITS[split]
        assert data.data.dtype == np.uint8
        assert np.array_equal(data.data, images)
        assert data.targets.tolist() == labels
        assert data[1][0].shape == (1, 28, 28)
    assert len(kind.classes) == 10
    assert kind.__name__ in repr(data)


def test_mnist_not_there(tmp_path):
    with pytest.raises(RuntimeError, match=r"FashionMNIST needs train-images-idx3-ubyte .*download=True"):
        datasets.FashionMNIST(tmp_path)
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(RuntimeError, match="train-labels-idx1-ubyte"):
        datasets.MNIST(tmp_path)


def header(*numbers):
    return bytes([0, 0, 8, len(numbers)]) + struct.pack(f">{len(numbers)}I", *numbers)


FOREIGN = {
    "empty": (b"", "begins with nothing"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "begins with 89 50 4e 47, expected 00 00 08 03"),
    "labels": (idx([1, 2, 3]), "begins with 00 00 08 01"),
    "floats": (b"\0\0\x0d\x03" + header(1, 28, 28)[4:], "begins with 00 00 0d 03"),
    "half a header": (header(1, 28, 28)[:9], "ends within its header"),
    "another size": (idx(np.zeros((2, 32, 32))), "header says 2 x 32 x 32, expected 1 to 1,000,000 x 28 x 28"),
    "no image": (header(0, 28, 28), "header says 0 x 28 x 28"),
    "4 * 10^9 images": (header(2**32 - 1, 28, 28), "header says 4,294,967,295 x 28 x 28"),
    "10^28 pixels": (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "4,294,967,295 x 4,294,967,295 x 4,294,967,295"),
    "10^6 images": (
        header(10**6, 28, 28) + bytes(784),
        "truncated: its header says 784,000,000 bytes of data, it has 784",
    ),
    "one pixel less": (idx(np.zeros((6, 28, 28)))[:-1], "truncated: its header says 4,704 bytes of data, it has 4,703"),
    "one pixel more": (
        idx(np.zeros((6, 28, 28))) + b"\0",
        "too long: its header says 4,704 bytes of data, it has more",
    ),
}


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_truncated_and_foreign_idx_files(tmp_path, content, message, suffix):
    write_mnist(tmp_path, suffix)
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(RuntimeError) as caught:
        datasets.MNIST(tmp_path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_damaged_gzip_files(tmp_path):
    write_mnist(tmp_path, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for wrong in (content[:-1], content[: len(content) // 2], b"not gzip at all", bytes(flipped), content + b"tail"):
        path.write_bytes(wrong)
        with pytest.raises(RuntimeError) as caught:
            datasets.MNIST(tmp_path)
        assert str(path) in str(caught.value)


def test_a_file_that_unpacks_to_more_than_it_claims_is_not_unpacked(tmp_path):
    write_mnist(tmp_path, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header(6, 28, 28))
        for _ in range(64):
            file.write(bytes(1 << 20))
    read = []
    original = gzip.GzipFile.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gzip.GzipFile, "read", lambda self, size=-1: (read.append(size), original(self, size))[1])
        with pytest.raises(RuntimeError, match="too long"):
            datasets.MNIST(tmp_path)
    assert sum(read) < 10_000


def test_images_and_labels_have_to_match(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(idx([1, 2, 3]))
    with pytest.raises(RuntimeError, match=r"has 6 images, but .*train-labels-idx1-ubyte has 3 labels"):
        datasets.MNIST(tmp_path)
    path.write_bytes(idx([1, 2, 3, 4, 5, 10]))
    with pytest.raises(RuntimeError, match=r"train-labels-idx1-ubyte is no MNIST file: it has the label 10"):
        datasets.MNIST(tmp_path)


# Downloads, from a stand-in for the network


class Response(io.BytesIO):
    def __init__(self, url, content):
        super().__init__(content)
        self.url = url


class Network:
    """What `urlopen` finds at which address, and what was asked for."""

    def __init__(self):
        self.content = {}
        self.asked = []
        self.redirect = lambda url: url

    def urlopen(self, request, timeout):
        assert timeout
        self.asked.append(request.full_url)
        content = self.content.get(request.full_url)
        if content is None:
            raise urllib.error.URLError("no route to host")
        return Response(self.redirect(request.full_url), content)


@pytest.fixture
def network(monkeypatch):
    network = Network()
    monkeypatch.setattr(urllib.request, "urlopen", network.urlopen)
    return network


@pytest.fixture
def mnist_online(network, monkeypatch):
    resources = {}
    for name, content in idx_files():
        packed = gzip.compress(content)
        network.content[f"{datasets.MNIST.home}{name}.gz"] = packed
        resources[f"{name}.gz"] = hashlib.md5(packed).hexdigest(), len(packed)
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    return network


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_homes_are_https_and_the_checksums_whole():
    assert datasets.CIFAR10.url.startswith("https://")
    for md5, size in [
        (datasets.CIFAR10.md5, datasets.CIFAR10.size),
        *(resource for kind in FAMILY for resource in kind.resources.values()),
    ]:
        assert len(bytes.fromhex(md5)) == 16
        assert 4_000 < size < 200_000_000
    assert all(kind.home.startswith("https://") and kind.home.endswith("/") for kind in FAMILY)
    assert all(set(kind.resources) == {f"{name}.gz" for name, _ in idx_files()} for kind in FAMILY)


def test_mnist_download(tmp_path, mnist_online):
    data = datasets.MNIST(tmp_path / "new", download=True)
    assert np.array_equal(data.data, SPLITS["train"][0])
    assert len(mnist_online.asked) == 4, "the test files too, for whoever opens them next"
    assert len(files_in(tmp_path)) == 8, "compressed and not; no temporary file is left"
    datasets.MNIST(tmp_path / "new", train=False)
    datasets.MNIST(tmp_path / "new", train=False, download=True)
    assert len(mnist_online.asked) == 4, "what is there is not fetched again"
    data.download()
    assert len(mnist_online.asked) == 8, "but for whoever asks"


def test_malformed_files_are_fetched_anew(tmp_path, mnist_online):
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"foreign")
    with pytest.raises(RuntimeError, match="begins with"):
        datasets.MNIST(tmp_path)
    data = datasets.MNIST(tmp_path, download=True)
    assert np.array_equal(data.data, SPLITS["train"][0])
    assert (tmp_path / "train-images-idx3-ubyte").read_bytes() == b"foreign", "files of others stay"
    assert np.array_equal(datasets.MNIST(tmp_path).data, SPLITS["train"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "broke off after"),
        (lambda content: content + b"more", "sends more than the"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "another MD5 checksum"),
        (lambda content: None, "could not download .*no route to host"),
    ],
)
def test_failed_downloads_leave_nothing(tmp_path, mnist_online, change, message):
    url = f"{datasets.MNIST.home}train-images-idx3-ubyte.gz"
    mnist_online.content[url] = change(mnist_online.content[url])
    with pytest.raises(RuntimeError, match=message) as caught:
        datasets.MNIST(tmp_path, download=True)
    assert "train-images-idx3-ubyte.gz" in str(caught.value)
    assert files_in(tmp_path) == []


def test_a_redirection_away_from_https_is_refused(tmp_path, mnist_online):
    mnist_online.redirect = lambda url: url.replace("https:", "http:")
    with pytest.raises(RuntimeError, match=r"leads to http://.*not HTTPS"):
        datasets.MNIST(tmp_path, download=True)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("error", [TimeoutError("timed out"), http.client.IncompleteRead(b"half")], ids=repr)
def test_a_connection_that_breaks_leaves_nothing(tmp_path, mnist_online, monkeypatch, error):
    def broken(self, size):
        raise error

    monkeypatch.setattr(Response, "read", broken)
    with pytest.raises(RuntimeError, match=r"could not download https://.*train-images-idx3-ubyte\.gz"):
        datasets.MNIST(tmp_path, download=True)
    assert files_in(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(tmp_path, mnist_online, monkeypatch):
    def interrupted(self, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(Response, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        datasets.MNIST(tmp_path, download=True)
    assert files_in(tmp_path) == []


def test_download_without_tqdm(tmp_path, mnist_online, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    datasets.MNIST(tmp_path, download=True)
    assert "Downloading train-images-idx3-ubyte.gz" in capsys.readouterr().err


def archive(members):
    """A .tar.gz of (TarInfo or path, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, content in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def cifar_members():
    for name, content in PLANES.items():
        yield f"cifar-10-batches-py/{name}", python2_pickle(*content)
    yield "cifar-10-batches-py/batches.meta", b"meta"
    yield "cifar-10-batches-py/readme.html", b"unused"


def put_online(network, monkeypatch, content):
    network.content[datasets.CIFAR10.url] = content
    monkeypatch.setattr(datasets.CIFAR10, "md5", hashlib.md5(content).hexdigest())
    monkeypatch.setattr(datasets.CIFAR10, "size", len(content))


def test_cifar10_download(tmp_path, network, monkeypatch):
    put_online(network, monkeypatch, archive(cifar_members()))
    data = datasets.CIFAR10(tmp_path, download=True)
    assert len(data) == 5 * COUNT
    assert len(datasets.CIFAR10(tmp_path, train=False)) == COUNT
    kept = [f"cifar-10-batches-py/{name}" for name in ("batches.meta", *NAMES)]
    assert files_in(tmp_path) == [*kept, "cifar-10-python.tar.gz"]
    datasets.CIFAR10(tmp_path, download=True)
    assert len(network.asked) == 1
    # A damaged file comes back out of the archive, which is there and whole.
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"")
    assert len(datasets.CIFAR10(tmp_path, download=True)) == 5 * COUNT
    assert len(network.asked) == 1


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def test_an_archive_cannot_leave_its_folder(tmp_path, network, monkeypatch):
    root = tmp_path / "root"
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    hostile = [
        ("../secret", b"overwritten"),
        (str(secret), b"overwritten"),
        link("cifar-10-batches-py/data_batch_1", str(secret)),
        link("cifar-10-batches-py/data_batch_2", "../../secret", tarfile.LNKTYPE),
        link("cifar-10-batches-py", str(tmp_path)),
    ]
    put_online(network, monkeypatch, archive([*hostile, *cifar_members()]))
    assert len(datasets.CIFAR10(root, download=True)) == 5 * COUNT
    assert secret.read_text() == "untouched"
    assert files_in(tmp_path)[-1] == "secret"
    assert not any(path.is_symlink() for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive([("cifar-10-batches-py/data_batch_1", b"alone")]), "lacks cifar-10-batches-py/data_batch_2"),
        (archive([("cifar-10-batches-py/data_batch_1", bytes(1000))]), "has 1,000 bytes, more than 999"),
        (archive(cifar_members())[:-100], "cannot be unpacked"),
        (b"no archive", "cannot be unpacked"),
    ],
    ids=("lacks a file", "a large file", "cut short", "no archive"),
)
def test_damaged_archives(tmp_path, network, monkeypatch, content, message):
    if "999" in message:
        monkeypatch.setattr(cifar, "PICKLE_LIMIT", 999)
    put_online(network, monkeypatch, content)
    with pytest.raises(RuntimeError, match=message) as caught:
        datasets.CIFAR10(tmp_path, download=True)
    assert "cifar-10-python.tar.gz" in str(caught.value)
    assert not any(name.endswith(".part") for name in files_in(tmp_path))


def test_atomic_write(tmp_path):
    path = tmp_path / "folder" / "file"
    with _files.atomic_write(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    with contextlib.suppress(ZeroDivisionError), _files.atomic_write(path) as file:
        file.write(b"half")
        1 / 0
    assert path.read_bytes() == b"whole"
    assert files_in(tmp_path) == ["folder/file"]


def test_memory_is_taken_as_data_is_read(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(header(10**6, 28, 28) + bytes(784))
    tracemalloc.start()
    with pytest.raises(RuntimeError, match="truncated"):
        mnist.read_idx(path, (28, 28))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# Digits


def test_digits():
    pytest.importorskip("sklearn")
    train, test = datasets.Digits(train=True), datasets.Digits(root="unused", train=False)
    assert (len(train), len(test)) == (1442, 355)
    for data in (train, test):
        assert data.data.dtype == np.uint8
        assert data.data.shape[1:] == (8, 8)
        assert (data.data.min(), data.data.max()) == (0, 255)
        counts = np.bincount(data.targets)
        assert counts.min() / counts.max() > 0.9, "the classes are alike in size in both parts"
    from sklearn.datasets import load_digits

    scans = load_digits().images
    joined = np.concatenate([train.data, test.data])
    assert np.unique(joined, axis=0).shape == np.unique(scans, axis=0).shape
    assert {image.tobytes() for image in joined} == {np.rint(i * 255 / 16).astype(np.uint8).tobytes() for i in scans}
    assert np.array_equal(datasets.Digits().data, train.data)
    assert train.classes == list("0123456789")


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "fastconv\[train\]"'):
        datasets.Digits()


# Folders of images


@pytest.fixture
def folder(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    for name, file, shape in (
        ("dog", "b.png", (4, 5, 3)),
        ("dog", "a.PNG", (4, 5)),
        ("cat", "deep/er/c.bmp", (4, 5, 3)),
        ("cat", "notes.txt", (4, 5)),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.endswith("txt"):
            path.write_text("no image")
        else:
            image_module.fromarray(drawn(5, 1, *shape)[0][0]).save(path)
    (tmp_path / "stray.png").write_bytes(b"")
    return tmp_path


def test_image_folder(folder):
    data = datasets.ImageFolder(folder, transform=transforms.ToTensor(), target_transform=lambda target: target + 10)
    assert data.classes == ["cat", "dog"]
    assert data.class_to_idx == {"cat": 0, "dog": 1}
    assert [(os.path.relpath(path, folder), target) for path, target in data.samples] == [
        (os.path.join("cat", "deep", "er", "c.bmp"), 0),
        (os.path.join("dog", "a.PNG"), 1),
        (os.path.join("dog", "b.png"), 1),
    ]
    assert data.imgs == data.samples
    assert data.targets == [0, 1, 1]
    images, targets = next(iter(DataLoader(data, 3)))
    assert images.shape == (3, 3, 4, 5), "grey pictures become RGB"
    assert targets.numpy().tolist() == [10, 11, 11]
    assert "Number of datapoints: 3" in repr(data)
    assert datasets.ImageFolder(folder)[2][0].mode == "RGB"


def test_image_folder_options(folder):
    data = datasets.ImageFolder(
        folder, loader=os.path.basename, is_valid_file=lambda path: path.endswith(("txt", "png"))
    )
    assert [data[i][0] for i in range(len(data))] == ["notes.txt", "b.png"]


def test_image_folder_errors(folder, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        datasets.ImageFolder(folder / "nowhere")
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(FileNotFoundError, match=r"Couldn't find any class folder in .*empty"):
        datasets.ImageFolder(empty)
    (folder / "bird").mkdir()
    with pytest.raises(FileNotFoundError, match=r"for the classes bird\. Supported extensions are: \.jpg"):
        datasets.ImageFolder(folder)


def test_damaged_images_are_named(folder):
    data = datasets.ImageFolder(folder)
    path, _ = data.samples[2]
    with open(path, "rb") as file:
        whole = file.read()
    for content in (b"", b"no image", whole[:40], whole[: len(whole) // 2]):
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(RuntimeError, match=r"b\.png is damaged or no image"):
            data[2]


def test_mnist_under_its_old_names(tmp_path):
    write_mnist(tmp_path)
    data = datasets.MNIST(tmp_path)
    for old, new in (("data", "data"), ("labels", "targets")):
        for split in ("train", "test"):
            with pytest.warns(UserWarning, match=f"{split}_{old} has been renamed {new}"):
                assert getattr(data, f"{split}_{old}") is getattr(data, new)
    assert not any(hasattr(data, name) for name in ("train_images", "test_targets"))
