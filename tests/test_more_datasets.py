"""Data sets by torchvision's names, from small files in their published formats."""

import gzip
import hashlib
import io
import lzma
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

import fastconv
from fastconv.vision import datasets
from fastconv.vision.datasets import _files, imagenet
from fastconv.vision.datasets._pickle import Call

Image = pytest.importorskip("PIL.Image")


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(array, code=8):
    array = np.asarray(array, {8: np.uint8, 12: ">i4"}[code])
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def picture(path, height=6, width=5, seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn(height, width, 3, seed=seed)).convert(mode).save(path)


@pytest.fixture
def online(monkeypatch):
    """What :func:`fetch` finds at which address, and what was asked for."""

    class Online(dict):
        asked: list[str]

    online = Online()
    online.asked = []

    def fetch(url, path, md5, size=None):
        online.asked.append(url)
        content = online[url]
        assert hashlib.md5(content).hexdigest() == md5
        with _files.atomic_write(path) as file:
            file.write(content)

    import fastconv.vision.datasets.cifar as cifar
    import fastconv.vision.datasets.mnist as mnist
    import fastconv.vision.datasets.svhn as svhn

    for module in (_files, cifar, mnist, svhn):
        monkeypatch.setattr(module, "fetch", fetch)
    return online


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# CIFAR


def cifar100(images, fine, coarse):
    names = [b"x.png"] * len(fine)
    return pickle.dumps(
        {b"filenames": names, b"fine_labels": fine, b"coarse_labels": coarse, b"data": images.reshape(len(fine), -1)}, 2
    )


@pytest.mark.parametrize("form", ["python", "binary"])
def test_cifar100(tmp_path, form):
    folder = tmp_path / f"cifar-100-{form}"
    folder.mkdir()
    for name, seed in (("train", 1), ("test", 2)):
        images, fine = drawn(3, 3, 32, 32, seed=seed), [99, 0, seed]
        if form == "python":
            (folder / name).write_bytes(cifar100(images, fine, [19, 0, 1]))
        else:
            labels = np.array([[19, 0, 1], fine], np.uint8).T
            (folder / f"{name}.bin").write_bytes(np.hstack([labels, images.reshape(3, -1)]).tobytes())
    data = datasets.CIFAR100(tmp_path, train=False)
    assert np.array_equal(data.data, images.transpose(0, 2, 3, 1)) and data.targets == fine == [99, 0, 2]
    data = datasets.CIFAR100(tmp_path)
    assert data.targets == [99, 0, 1] and data[0][1] == 99 and data[0][0].size == (32, 32)
    assert data.classes[0] == "apple" and data.classes[99] == "worm" and len(data.classes) == 100
    assert data.class_to_idx["orchid"] == 54


def test_labels_of_cifar_may_be_arrays_and_numpys_integers(tmp_path):
    images = drawn(3, 3072)
    forms = [[3, 9, 0], np.array([3, 9, 0]), np.array([3, 9, 0], np.uint8), np.array([3, 9, 0], ">i4")]
    forms.append(list(np.array([3, 9, 0])))
    for labels in forms:
        for protocol in (2, 5):
            for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
                (tmp_path / name).write_bytes(pickle.dumps({b"data": images, b"labels": labels}, protocol))
            assert datasets.CIFAR10(tmp_path, train=False).targets == [3, 9, 0]
    for labels, message in (
        (np.array([[3, 9, 0]]), r"its 'labels' has the shape \(1, 3\)"),
        (np.array([3.0, 9, 0]), "its 'labels' is not an array of integers"),
        ([3, 9, np.float64(0)], "label 2 is not an integer"),
        (np.array([3, 9, -1]), "label 2 is not an integer from 0 to 9"),
    ):
        (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": images, b"labels": labels}))
        with pytest.raises(RuntimeError, match=message):
            datasets.CIFAR10(tmp_path, train=False)
    assert Call("x", ()).state is None


# MNIST's kin


def write_mnist(folder, prefix=("train", "t10k"), form=lambda name: name, pack=bytes):
    folder.mkdir(parents=True, exist_ok=True)
    for i, split in enumerate(prefix):
        for name, content in (("images-idx3", drawn(4, 28, 28, seed=i)), ("labels-idx1", [1, 2, 3, 9])):
            (folder / form(f"{split}-{name}-ubyte")).write_bytes(pack(idx(content)))


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.KMNIST, datasets.FashionMNIST])
@pytest.mark.parametrize(
    ("form", "pack"),
    [
        (lambda name: name, gzip.compress),
        (lambda name: f"{name}.gz", bytes),
        (lambda name: f"{name}.gz", gzip.compress),
        (lambda name: name.replace("-idx", ".idx"), bytes),
        (lambda name: f"{name}.xz", lzma.compress),
    ],
    ids=["gzip under a plain name", "plain under .gz", "gz", "with a dot", "xz"],
)
def test_files_are_read_whatever_their_names_say(tmp_path, kind, form, pack):
    write_mnist(tmp_path, form=form, pack=pack)
    for train, seed in ((True, 0), (False, 1)):
        data = kind(tmp_path, train)
        assert np.array_equal(data.data.numpy(), drawn(4, 28, 28, seed=seed))
        assert data.targets.tolist() == [1, 2, 3, 9] and len(data.classes) == 10


def test_what_is_there_is_enough(tmp_path, online):
    write_mnist(tmp_path, prefix=("train",))
    assert len(datasets.MNIST(tmp_path, download=True)) == 4
    assert online.asked == [], "the test images' files are not wanted"
    assert datasets.KMNIST.classes[0] == "o" and datasets.KMNIST.home.startswith("https://")


def test_emnist(tmp_path, online, monkeypatch):
    folder = tmp_path / "EMNIST" / "raw"
    labels = {"letters": [1, 26], "byclass": [0, 61], "bymerge": [0, 46], "balanced": [3, 46], "digits": [0, 9]}
    labels["mnist"] = [9, 8]
    files = {}
    for split, values in labels.items():
        for i, part in enumerate(("train", "test")):
            start = f"gzip/emnist-{split}-{part}"
            files[f"{start}-images-idx3-ubyte.gz"] = gzip.compress(idx(drawn(2, 28, 28, seed=i)))
            files[f"{start}-labels-idx1-ubyte.gz"] = gzip.compress(idx(values))
    content = zipped(files)
    monkeypatch.setattr(datasets.EMNIST, "md5", hashlib.md5(content).hexdigest())
    online[datasets.EMNIST.url] = content
    with pytest.raises(RuntimeError, match="EMNIST needs emnist-letters-train-images-idx3-ubyte"):
        datasets.EMNIST(tmp_path, "letters")
    for split, values in labels.items():
        data = datasets.EMNIST(tmp_path, split, train=False, download=True)
        assert data.targets.tolist() == values
        assert np.array_equal(np.asarray(data[1][0]), drawn(2, 28, 28, seed=1)[1]), "rows are columns, as in the files"
        assert data.classes[values[1]] == {26: "z", 61: "z", 46: "t", 9: "9", 8: "8"}[values[1]]
        assert len(data.classes) == {"letters": 27, "byclass": 62, "bymerge": 47, "balanced": 47}.get(split, 10)
    assert len(online.asked) == 1
    assert len(datasets.EMNIST(tmp_path, split="letters", transform=np.asarray)) == 2
    with pytest.raises(ValueError, match=r"Unknown value 'capitals' for argument split. Valid values are"):
        datasets.EMNIST(tmp_path, "capitals")
    (folder / "emnist-digits-train-labels-idx1-ubyte.gz").write_bytes(idx([1, 10]))
    with pytest.raises(RuntimeError, match="no EMNIST file: it has the label 10"):
        datasets.EMNIST(tmp_path, "digits")


def test_qmnist(tmp_path, online, monkeypatch):
    folder = tmp_path / "QMNIST" / "raw"
    folder.mkdir(parents=True)
    labels = np.arange(10_002 * 8, dtype=np.int32).reshape(10_002, 8)
    labels[:, 0] %= 10
    images = np.zeros((10_002, 28, 28), np.uint8)
    images[:, 3, 4] = np.arange(10_002) % 251
    (folder / "qmnist-test-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "qmnist-test-labels-idx2-int.gz").write_bytes(gzip.compress(idx(labels, 12), 1))
    test, ten, fifty = (datasets.QMNIST(tmp_path, what) for what in ("test", "test10k", "test50k"))
    assert [len(data) for data in (test, ten, fifty)] == [10_002, 10_000, 2]
    assert np.array_equal(fifty.targets.numpy(), labels[10_000:]) and fifty[1][1] == labels[10_001, 0]
    assert np.asarray(fifty[1][0])[3, 4] == 10_001 % 251
    whole = datasets.QMNIST(tmp_path, train=False, compat=False)
    assert whole.what == "test" and whole[5][1].dtype == fastconv.int64 and whole[5][1].tolist() == labels[5].tolist()
    assert "Split: test50k" in repr(fifty)
    with pytest.raises(RuntimeError, match="QMNIST needs qmnist-train-images-idx3-ubyte"):
        datasets.QMNIST(tmp_path)
    with pytest.raises(ValueError, match="Unknown value 'all' for argument what"):
        datasets.QMNIST(tmp_path, "all")
    resources = {}
    for name, content in (("images-idx3-ubyte", idx(images[:3])), ("labels-idx2-int", idx(labels[:3], 12))):
        packed = lzma.compress(content)
        resources[f"xnist-{name}.xz"] = hashlib.md5(packed).hexdigest(), None
        online[f"{datasets.QMNIST.home}xnist-{name}.xz"] = packed
    monkeypatch.setattr(datasets.QMNIST, "resources", resources)
    assert len(datasets.QMNIST(tmp_path, "nist", download=True)) == 3
    labels[0, 0] = 12
    (folder / "qmnist-test-labels-idx2-int.gz").write_bytes(idx(labels, 12))
    with pytest.raises(RuntimeError, match="no QMNIST file: it has the labels 0 to 12"):
        datasets.QMNIST(tmp_path, "test")


# MATLAB's


def test_svhn(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    for count in (4, 1):
        images = drawn(32, 32, 3, count)
        savemat(tmp_path / "test_32x32.mat", {"X": images, "y": np.array([10, 1, 9, 3][:count], np.uint8)[:, None]})
        data = datasets.SVHN(tmp_path, "test", download=True)
        assert np.array_equal(data.data, images.transpose(3, 2, 0, 1))
        assert data.labels.dtype == np.int64 and data.labels.tolist() == [0, 1, 9, 3][:count]
        assert np.array_equal(np.asarray(data[count - 1][0]), images[..., count - 1]) and data[0][1] == 0
    assert "Split: test" in repr(data)
    with pytest.raises(RuntimeError, match=r"there is no .*train_32x32.mat"):
        datasets.SVHN(tmp_path)
    for content, message in (
        ({"X": drawn(32, 32, 3, 4)}, "no images 'X' with labels 'y'"),
        ({"X": drawn(32, 32, 3, 4), "y": [1, 2]}, r"shape \(32, 32, 3, 4\) of uint8.* it has 2"),
        ({"X": drawn(32, 32, 3, 2), "y": [1, 11]}, "its labels are from 1 to 11"),
    ):
        savemat(tmp_path / "test_32x32.mat", content)
        with pytest.raises(RuntimeError, match=message):
            datasets.SVHN(tmp_path, "test")
    for content in (b"", b"MATLAB 5.0 MAT-file", drawn(500).tobytes()):
        (tmp_path / "test_32x32.mat").write_bytes(content)
        with pytest.raises(RuntimeError, match="damaged or no MATLAB file"):
            datasets.SVHN(tmp_path, "test")
    with pytest.raises(ValueError, match="Unknown value 'val'"):
        datasets.SVHN(tmp_path, "val")


def test_flowers(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    folder = tmp_path / "flowers-102"
    with pytest.raises(RuntimeError, match=r"Flowers102 needs .*jpg, .*imagelabels.mat, .*setid.mat"):
        datasets.Flowers102(tmp_path)
    for number in range(1, 6):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", seed=number)
    savemat(folder / "imagelabels.mat", {"labels": np.array([[1, 102, 7, 7, 2]], np.uint8)})
    savemat(folder / "setid.mat", {"trnid": [[5, 2]], "valid": [[3]], "tstid": [[1, 4]]})
    data = datasets.Flowers102(tmp_path, transform=lambda image: image.size)
    assert [data[i] for i in range(len(data))] == [((5, 6), 1), ((5, 6), 101)]
    assert datasets.Flowers102(tmp_path, "val")[0][1] == 6 and len(datasets.Flowers102(tmp_path, "test")) == 2
    assert len(data.classes) == 102 and (data.classes[0], data.classes[101]) == ("pink primrose", "blackberry lily")
    assert datasets.Flowers102(tmp_path, loader=os.path.basename)[0][0] == "image_00005.jpg"
    savemat(folder / "setid.mat", {"trnid": [[6]], "valid": [[3]], "tstid": [[1, 4]]})
    with pytest.raises(RuntimeError, match="names images that are not among the 5 with labels"):
        datasets.Flowers102(tmp_path)


def test_caltech(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    root = tmp_path / "caltech101"
    for category, annotation, mode in (("airplanes", "Airplanes_Side_2", "RGB"), ("yin_yang", "yin_yang", "L")):
        for number in (1, 2):
            picture(root / "101_ObjectCategories" / category / f"image_{number:04d}.jpg", mode=mode)
            path = root / "Annotations" / annotation / f"annotation_{number:04d}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"obj_contour": np.arange(6.0).reshape(2, 3) + number})
    picture(root / "101_ObjectCategories" / "BACKGROUND_Google" / "image_0001.jpg")
    data = datasets.Caltech101(tmp_path)
    assert data.categories == ["airplanes", "yin_yang"] and len(data) == 4
    assert [data[i][1] for i in range(4)] == [0, 0, 1, 1]
    assert (data[0][0].mode, data[3][0].mode) == ("RGB", "L")
    both = datasets.Caltech101(tmp_path, ["annotation", "category"])[1][1]
    assert np.array_equal(both[0], np.arange(6.0).reshape(2, 3) + 2) and both[1] == 0
    with pytest.raises(RuntimeError, match=r"there is no .*101_ObjectCategories"):
        datasets.Caltech101(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="Unknown value 'outline' for argument target_type"):
        datasets.Caltech101(tmp_path, "outline")


# Binary files and folders


def test_stl10(tmp_path):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    files = {"train": drawn(4, 3, 96, 96, seed=1), "test": drawn(2, 3, 96, 96), "unlabeled": drawn(1, 3, 96, 96)}
    for part, images in files.items():
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(range(1, len(images) + 1)))
    (folder / "unlabeled_y.bin").unlink()
    (folder / "fold_indices.txt").write_text("0 2 \n" + "3 1 \n" * 9)
    data = datasets.STL10(tmp_path)
    assert np.array_equal(data.data, files["train"]) and data.labels.tolist() == [0, 1, 2, 3]
    assert np.array_equal(np.asarray(data[3][0]), files["train"][3].transpose(1, 2, 0)) and data[3][1] == 3
    assert datasets.STL10(tmp_path, folds=1).labels.tolist() == [3, 1]
    assert datasets.STL10(tmp_path, "unlabeled")[0][1] == -1
    joined = datasets.STL10(tmp_path, "train+unlabeled", folds=0)
    assert joined.labels.tolist() == [0, 2, -1] and len(joined) == 3
    assert np.array_equal(datasets.STL10(tmp_path, "test").data, files["test"])
    assert data.classes[7] == "monkey" and "Split: test" in repr(datasets.STL10(tmp_path, "test"))
    for wrong, message in ((10, r"in the range \[0, 10\), but got 10"), ("1", "Expected type None or int")):
        with pytest.raises(ValueError, match=message):
            datasets.STL10(tmp_path, folds=wrong)
    (folder / "test_y.bin").write_bytes(b"\x01\x0b")
    with pytest.raises(RuntimeError, match="2 labels, where 2 from 1 to 10"):
        datasets.STL10(tmp_path, "test")
    (folder / "test_X.bin").write_bytes(b"\x01\x0b")
    with pytest.raises(RuntimeError, match="it has 2 bytes"):
        datasets.STL10(tmp_path, "test")
    with pytest.raises(RuntimeError, match=r"STL10 needs .*train_X.bin, .*train_y.bin"):
        datasets.STL10(tmp_path / "elsewhere")


def test_pets(tmp_path):
    base = tmp_path / "oxford-iiit-pet"
    rows = ["Maine_Coon_2 1 1 1", "american_bulldog_10 2 2 1", "Maine_Coon_1 1 1 1"]
    for row in rows:
        name = row.split()[0]
        picture(base / "images" / f"{name}.jpg")
        picture(base / "annotations" / "trimaps" / f"{name}.png", mode="L")
    for split in ("trainval", "test"):
        (base / "annotations" / f"{split}.txt").write_text("\n".join(rows) + "\n")
    data = datasets.OxfordIIITPet(tmp_path)
    assert data.classes == ["Maine Coon", "American Bulldog"] and data.class_to_idx == {
        name: i for i, name in enumerate(data.classes)
    }
    assert [data[i][1] for i in range(3)] == [0, 1, 0]
    every = datasets.OxfordIIITPet(tmp_path, "test", ["category", "binary-category", "segmentation"])[1][1]
    assert every[:2] == (1, 1) and every[2].mode == "L"
    assert datasets.OxfordIIITPet(tmp_path, target_types=[])[0][1] is None
    both = datasets.OxfordIIITPet(tmp_path, transforms=lambda image, target: (image.size, target + 5))
    assert both[1] == ((5, 6), 6)
    assert datasets.OxfordIIITPet(tmp_path, target_transform=str)[1][1] == "1"
    with pytest.raises(ValueError, match="Only transforms or transform/target_transform"):
        datasets.OxfordIIITPet(tmp_path, transforms=abs, transform=abs)
    with pytest.raises(RuntimeError, match=r"there is no folder .*images"):
        datasets.OxfordIIITPet(tmp_path / "elsewhere")


def test_imagenette(tmp_path, online, monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(drawn(6, 5, 3)).save(buffer, "JPEG")
    files = {
        f"imagenette2-160/{split}/{wnid}/a.JPEG": buffer.getvalue()
        for split in ("train", "val")
        for wnid in ("n03000684", "n01440764")
    }
    content = tarred(files)
    (_, url, _) = archive = datasets.Imagenette._ARCHIVES[2]
    online[url] = content
    monkeypatch.setattr(datasets.Imagenette, "_ARCHIVES", ((*archive[:2], hashlib.md5(content).hexdigest()),))
    with pytest.raises(RuntimeError, match=r"there is no folder .*imagenette2-160"):
        datasets.Imagenette(tmp_path, size="160px")
    for split in ("train", "val"):
        data = datasets.Imagenette(tmp_path, split, "160px", download=True, target_transform=str)
        assert len(data) == 2 and data[1][1] == "1" and data[0][0].size == (5, 6)
    assert data.wnids == ["n01440764", "n03000684"] and data.classes == [
        ("tench", "Tinca tinca"),
        ("chain saw", "chainsaw"),
    ]
    assert data.class_to_idx == {"tench": 0, "Tinca tinca": 0, "chain saw": 1, "chainsaw": 1}
    assert len(online.asked) == 1


def test_imagenet(tmp_path, monkeypatch):
    savemat = pytest.importorskip("scipy.io").savemat
    kinds = [
        ("ILSVRC2012_ID", object),
        ("WNID", object),
        ("words", object),
        ("gloss", object),
        ("num_children", object),
    ]
    synsets = np.array(
        [(1, "n02", "cat, true cat", "purrs", 0), (2, "n01", "kit fox", "runs", 0), (3, "n03", "animal", "is", 2)],
        kinds,
    )
    savemat(tmp_path / "meta.mat", {"synsets": synsets[:, None]})
    devkit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": (tmp_path / "meta.mat").read_bytes(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": b"2\n1\n2\n",
    }
    buffer = io.BytesIO()
    Image.fromarray(drawn(6, 5, 3)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    archives = {
        "train": tarred({f"{wnid}.tar": tarred({f"{wnid}_7.JPEG": jpeg}, "w:") for wnid in ("n01", "n02")}, "w:"),
        "val": tarred({f"ILSVRC2012_val_0000000{i}.JPEG": jpeg for i in (1, 2, 3)}, "w:"),
        "devkit": tarred(devkit),
    }
    with pytest.raises(RuntimeError, match=r"The archive .*devkit_t12.tar.gz is not present in the root directory"):
        datasets.ImageNet(tmp_path)
    for kind, content in archives.items():
        (tmp_path / imagenet.ARCHIVE_META[kind][0]).write_bytes(content)
    with pytest.raises(RuntimeError, match=r"or is corrupted. You need to download it externally"):
        datasets.ImageNet(tmp_path)
    meta = {
        kind: (imagenet.ARCHIVE_META[kind][0], hashlib.md5(content).hexdigest()) for kind, content in archives.items()
    }
    monkeypatch.setattr(imagenet, "ARCHIVE_META", meta)
    data = datasets.ImageNet(tmp_path)
    assert data.wnids == ["n01", "n02"] and data.classes == [("kit fox",), ("cat", "true cat")]
    assert data.class_to_idx == {"kit fox": 0, "cat": 1, "true cat": 1} and data.wnid_to_idx == {"n01": 0, "n02": 1}
    assert [os.path.relpath(path, tmp_path) for path, _ in data.imgs] == [
        "train/n01/n01_7.JPEG",
        "train/n02/n02_7.JPEG",
    ]
    validation = datasets.ImageNet(tmp_path, split="val")
    assert [(os.path.basename(path)[-6:-5], target) for path, target in validation.samples] == [
        ("1", 0),
        ("3", 0),
        ("2", 1),
    ]
    assert "Split: val" in repr(validation) and validation[0][0].mode == "RGB"
    # torchvision reads the file that stands for the development kit, and the other way round.
    torch = pytest.importorskip("torch")
    classes, wnids = torch.load(tmp_path / "meta.bin", weights_only=True)
    assert classes == {"n01": ("kit fox",), "n02": ("cat", "true cat")} and wnids == ["n01", "n02", "n01"]
    torch.save((classes, wnids), tmp_path / "meta.bin")
    for kind in archives:
        (tmp_path / imagenet.ARCHIVE_META[kind][0]).unlink()
    assert datasets.ImageNet(tmp_path).classes == data.classes


def test_archives_stay_in_their_folder(tmp_path):
    files = {"../out": b"x", "/absolute": b"x", "a/../../out": b"x", "fine/file": b"x", "c:\\x": b"x"}
    for name, content in (("a.tar.gz", tarred(files)), ("a.zip", zipped(files)), ("a.tar", tarred(files, "w:"))):
        (tmp_path / name).write_bytes(content)
        _files.unpack(tmp_path / name, tmp_path / "deep" / name)
        found = [path.relative_to(tmp_path / "deep").as_posix() for path in (tmp_path / "deep").rglob("*")]
        assert f"{name}/fine/file" in found and not any("out" in path or "absolute" in path for path in found)
        if name == "a.tar":  # which may end anywhere
            continue
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(RuntimeError, match="cannot be unpacked"):
            _files.unpack(tmp_path / name, tmp_path / "again" / name)


# Folders


def test_folders_of_anything(tmp_path):
    for name in ("b/2.npy", "b/1.NPY", "a/x/3.npy", "a/4.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "empty").mkdir()

    def read(path):
        with open(path) as file:
            return file.read()

    with pytest.raises(FileNotFoundError, match=r"classes empty. Supported extensions are: .npy"):
        datasets.DatasetFolder(tmp_path, read, (".npy",))
    data = datasets.DatasetFolder(tmp_path, read, (".npy",), transform=str.upper, allow_empty=True)
    assert data.classes == ["a", "b", "empty"]
    assert [data[i] for i in range(len(data))] == [("A/X/3.NPY", 0), ("B/1.NPY", 1), ("B/2.NPY", 1)]
    assert data.extensions == (".npy",) and data.targets == [0, 1, 1]
    for options in ({}, {"extensions": (".npy",), "is_valid_file": os.path.isfile}):
        with pytest.raises(ValueError, match="Both extensions and is_valid_file cannot be None or not None"):
            datasets.DatasetFolder(tmp_path, read, **options)

    class Few(datasets.DatasetFolder):
        def find_classes(self, directory):
            return ["b"], {"b": 5}

    assert Few(tmp_path, read, is_valid_file=lambda path: path.endswith("npy")).samples == [
        (os.path.join(tmp_path, "b", "2.npy"), 5)
    ]
    assert datasets.folder.make_dataset(tmp_path, extensions=".txt", allow_empty=True) == [
        (os.path.join(tmp_path, "a", "4.txt"), 0)
    ]
    with pytest.raises(ValueError, match="must have at least one entry"):
        datasets.folder.make_dataset(tmp_path, {}, ".npy")
    picture(tmp_path / "a" / "5.png")
    with pytest.raises(FileNotFoundError, match="classes b, empty"):
        datasets.ImageFolder(tmp_path)
    assert len(datasets.ImageFolder(tmp_path, allow_empty=True)) == 1


def test_a_damaged_image_raises_what_pillow_raises(tmp_path):
    from PIL import UnidentifiedImageError

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "html.jpg").write_text("<html>")
    data = datasets.ImageFolder(tmp_path)
    for kind in (UnidentifiedImageError, OSError, RuntimeError):
        with pytest.raises(kind, match=r"html.jpg is damaged or no image") as caught:
            data[0]
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), UnidentifiedImageError)


def test_the_modules_functions_are_torchvisions(tmp_path):
    folder = datasets.folder
    assert folder.is_image_file("A.TIFF") and not folder.is_image_file("a.gif") and len(folder.IMG_EXTENSIONS) == 9
    assert folder.has_file_allowed_extension("a.Txt", ".txt") and folder.default_loader is folder.pil_loader
    for name in ("load_meta_file", "parse_devkit_archive", "parse_train_archive", "parse_val_archive"):
        with pytest.raises(RuntimeError, match="is not present in the root directory or is corrupted"):
            getattr(imagenet, name)(tmp_path)


# Pictures as they come


def pictures_of_every_kind(folder):
    """Small files of every kind that folders hold: name and path."""
    folder.mkdir()
    pixels = drawn(16, 24, 3)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    grey = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 170
    alpha = Image.fromarray(np.dstack([pixels, pixels[..., :1]]))
    kinds = {
        "turned.jpg": lambda path: image.save(path, exif=exif),
        "grey.png": lambda path: image.convert("L").save(path),
        "gray16.png": lambda path: Image.fromarray(grey).save(path),
        "gray16.tif": lambda path: Image.fromarray(grey).save(path),
        "gray16.pgm": lambda path: Image.fromarray(grey).save(path),
        "alpha.png": alpha.save,
        "grey_alpha.png": lambda path: alpha.convert("LA").save(path),
        "palette.png": lambda path: image.convert("P").save(path),
        "palette_alpha.png": lambda path: image.convert("P").save(path, transparency=3),
        "two_colours.png": lambda path: image.convert("1").save(path),
        "cmyk.jpg": lambda path: image.convert("CMYK").save(path),
        "lossless.webp": lambda path: image.save(path, lossless=True),
    }
    for name, save in kinds.items():
        save(folder / name)
    return {name: folder / name for name in kinds}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_pictures_of_every_kind_load_as_torchvisions(tmp_path):
    """ImageFolder does what torchvision's does: `fastconv train` and `predict` look at pictures otherwise."""
    try:
        from torchvision.datasets.folder import pil_loader
    except Exception:  # it is not there, or was built for another torch

        def pil_loader(path):
            with open(path, "rb") as file:
                return Image.open(file).convert("RGB")

    chain = fastconv.vision.transforms.ToTensor()
    data = datasets.ImageFolder(tmp_path, chain) if pictures_of_every_kind(tmp_path / "a") else None
    for i, (path, _) in enumerate(data.samples):
        expected = pil_loader(path)
        found = data.loader(path)
        assert (found.mode, type(found)) == ("RGB", Image.Image) and np.array_equal(found, expected), path
        assert np.array_equal(data.__getitems__([i])[0][0], chain(expected)), path
        if "turned" in path:
            assert found.size == (24, 16), "as it lies in the file"
        if "gray16" in path:
            assert np.asarray(found).max() == 255


@pytest.mark.parametrize("content", ["truncated", "html", "empty", "side file"])
def test_files_that_are_no_pictures_are_named(tmp_path, content):
    picture(tmp_path / "a" / "whole.jpg", 40, 40)
    whole = (tmp_path / "a" / "whole.jpg").read_bytes()
    damaged = {"truncated": whole[: len(whole) // 2], "html": b"<html></html>", "empty": b""}
    (tmp_path / "a" / "x.jpg").write_bytes(damaged.get(content, b"\0\5\x16\7\0\2\0\0Mac OS X        "))
    data = datasets.ImageFolder(tmp_path, fastconv.vision.transforms.ToTensor())
    for load in (lambda: data[1], lambda: data.__getitems__([0, 1])):
        with pytest.raises(OSError, match=r"x\.jpg is damaged or no image"):
            load()
