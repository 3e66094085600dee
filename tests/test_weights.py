"""Published weights: the table of them, where they are looked for, how they are downloaded, what they apply to."""

import contextlib
import copy
import hashlib
import http.server
import io
import pickle
import sys
import threading
import urllib.error
import urllib.request
import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv import hub, nn
from fastconv.vision import models
from fastconv.vision.models import weights as table
from fastconv.vision.transforms import InterpolationMode, presets

MEMBERS = [member for name in models.list_models() for member in models.get_model_weights(name)]


@pytest.fixture
def torchvision():
    from test_named_networks import torchvision

    return torchvision()


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    """FASTCONV_HOME and torch's folder are empty, and there is no network."""
    monkeypatch.setattr(hub, "_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("FASTCONV_HOME", str(tmp_path / "fastconv"))

    def urlopen(request, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


@pytest.fixture
def undrawn(monkeypatch):
    """Weights are left as they are: what is never written takes neither time nor memory."""
    for method in ("uniform_", "normal_", "fill_", "zero_"):
        monkeypatch.setattr(fc.Tensor, method, lambda self, *args, **kwargs: self)
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, *args, **kwargs: tensor)


# ---- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_torchvisions(torchvision):
    for name in models.list_models():
        ours, theirs = models.get_model_weights(name), torchvision.models.get_model_weights(name)
        assert ours.__name__ == theirs.__name__
        assert [*ours.__members__] == [*theirs.__members__]
        assert ours.DEFAULT.name == theirs.DEFAULT.name
        for member in theirs:
            weights = ours[member.name]
            assert (weights.url, repr(weights), str(weights)) == (member.url, repr(member), str(member))
            for key in ("num_params", "min_size", "_ops", "license"):
                assert weights.meta.get(key) == member.meta.get(key), (weights, key)
            classes = member.meta["categories"]
            assert (
                weights.meta["categories"] is None
                if classes is None
                else len(weights.meta["categories"]) == len(classes)
            )
            preset, expected = weights.transforms(), member.transforms()
            for key in ("crop_size", "resize_size", "mean", "std", "antialias"):
                assert getattr(preset, key) == getattr(expected, key, None), (weights, key)
            assert preset.interpolation.value == expected.interpolation.value
            assert type(preset).__name__ == type(expected).__name__


def test_names_of_files_end_with_their_checksums():
    assert len(MEMBERS) == 103
    assert len({member.url for member in MEMBERS}) == 103
    for member in MEMBERS:
        assert member.url.startswith("https://download.pytorch.org/models/") and member.url.endswith(".pth")
        assert len(hub.HASH_REGEX.search(member.url.rpartition("/")[2])[1]) >= 8


@pytest.mark.parametrize("name", models.list_models())
def test_parameters_are_as_many_as_the_table_says(name, undrawn):
    options = {"weights_backbone": None, "aux_loss": True} if name.startswith(("fcn", "deeplab")) else {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": name == "inception_v3", "init_weights": False}
    network = models.get_model(name, **options)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert {member.meta["num_params"] for member in models.get_model_weights(name)} == {count}


def test_members_by_name_and_function():
    assert models.get_weight("ResNet50_Weights.IMAGENET1K_V2") is models.ResNet50_Weights.IMAGENET1K_V2
    assert models.get_weight("FCN_ResNet50_Weights.DEFAULT") is models.segmentation.FCN_ResNet50_Weights.DEFAULT
    assert models.get_model_weights("resnet50") is models.get_model_weights(models.resnet50) is models.ResNet50_Weights
    with pytest.raises(ValueError, match="Invalid weight name provided: 'ResNet50'"):
        models.get_weight("ResNet50")
    with pytest.raises(ValueError, match="The weight enum 'ResNet51_Weights' for the specific method couldn't be"):
        models.get_weight("ResNet51_Weights.DEFAULT")
    with pytest.raises(TypeError, match=r"expected the full name of weights, as 'ResNet50_Weights\.DEFAULT', got 3"):
        models.get_weight(3)
    with pytest.raises(KeyError, match="ResNet50_Weights has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT, not 'V3'"):
        models.get_weight("ResNet50_Weights.V3")
    with pytest.raises(ValueError, match="no weights have been published for 'dict'"):
        models.get_model_weights(dict)


def test_members_are_copied_and_pickled_as_themselves():
    member = models.ResNet50_Weights.DEFAULT
    assert copy.deepcopy(member) is pickle.loads(pickle.dumps(member)) is member
    assert isinstance(member, models.WeightsEnum) and isinstance(member.value, models.Weights)
    assert models.VGG16_Weights.IMAGENET1K_FEATURES.meta["categories"] is None
    assert "SWAG" in models.RegNet_Y_128GF_Weights.DEFAULT.meta["license"]


def test_filters_of_names():
    assert models.list_models(include="vgg*", exclude="*_bn") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert models.list_models(include=["alexnet", "fcn*"], exclude=["*101"]) == ["alexnet", "fcn_resnet50"]
    assert models.list_models(models.segmentation) == models.list_models(include=["fcn*", "deeplab*"])
    with pytest.raises(TypeError, match=r"module must be a module of networks, got 'res\*'; include= takes patterns"):
        models.list_models("res*")
    assert len(models.list_models(models)) + 5 == len(models.list_models()) == 73


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_names_of_imagenets_classes_are_read_from_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    classes = table.Categories()
    assert len(classes) == 1000 and repr(classes) == "<ImageNet's 1000 classes>"
    with pytest.raises(
        RuntimeError, match=r"not part of fastconv: put a file .*there is no .*fastconv.imagenet_classes"
    ):
        classes[0]
    path = tmp_path / "torchvision" / "models" / "_meta.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"raise SystemExit\n_IMAGENET_CATEGORIES = {[f'name {i}' for i in range(1000)]}\n")
    assert classes[3] == "name 3" and classes[-2:] == ["name 998", "name 999"] and "name 7" in classes
    assert list(classes) == [f"name {i}" for i in range(1000)]
    path = tmp_path / "fastconv" / "imagenet_classes.txt"
    path.parent.mkdir()
    path.write_text("\n".join(f"class {i}" for i in range(1000)) + "\n")
    assert table.Categories()[999] == "class 999"
    path.write_text("a\nb\n")
    with pytest.raises(RuntimeError, match=r"imagenet_classes.txt has 2 names of classes, expected ImageNet's 1000"):
        list(table.Categories())


def test_classes_are_torchvisions(torchvision):
    for name in ("FCN_ResNet50_Weights", "DeepLabV3_ResNet101_Weights"):
        ours = getattr(models.segmentation, name).DEFAULT.meta["categories"]
        assert ours == getattr(torchvision.models.segmentation, name).DEFAULT.meta["categories"]
    assert list(table.Categories()) == torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]


# ---- transforms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ResNet50_Weights.IMAGENET1K_V2", "EfficientNet_B1_Weights.IMAGENET1K_V1"])
@pytest.mark.parametrize("kind", ["image", "uint8", "float32", "batch"])
def test_transforms_are_torchvisions(torchvision, name, kind):
    import torch
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    image = Image.fromarray(pixels).resize((700, 350), Image.Resampling.BICUBIC)  # no noise from pixel to pixel
    planes = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    planes = planes.astype(np.float32) / 255 if kind == "float32" else planes
    planes = np.stack([planes, planes[:, ::-1]]) if kind == "batch" else planes
    ours, theirs = models.get_weight(name).transforms(), torchvision.models.get_weight(name).transforms()
    y = ours(image if kind == "image" else fc.tensor(planes))
    expected = theirs(image if kind == "image" else torch.tensor(planes)).numpy()
    assert y.dtype == fc.float32 and tuple(y.shape) == expected.shape
    # A rounding of an 8-bit value that falls the other way is 1 / 255 / 0.225.
    assert np.abs(y.numpy() - expected).max() < (0.02 if kind != "float32" else 1e-4)
    assert np.mean(np.abs(y.numpy() - expected) > 1e-4) < 1e-3
    assert repr(ours).split("\n")[:-2] == repr(theirs).split("\n")[:-2]


def test_presets():
    from PIL import Image

    image = Image.new("RGB", (300, 260), (255, 0, 128))
    y = models.VGG16_Weights.DEFAULT.transforms(crop_size=32, resize_size=40)(image)
    assert tuple(y.shape) == (3, 32, 32)
    assert np.allclose(y[:, 5, 5].numpy(), [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225])
    segment = presets.SemanticSegmentation(resize_size=None)
    assert tuple(segment(image).shape) == (3, 260, 300)
    assert tuple(presets.SemanticSegmentation(resize_size=130)(image).shape) == (3, 130, 150)
    assert "crop_size" not in repr(segment) and "normalized" in segment.describe()
    nearest = presets.ImageClassification(crop_size=8, resize_size=8, interpolation=InterpolationMode.NEAREST)
    assert "cropped in the middle to crop_size=[8]" in nearest.describe()
    assert tuple(nearest(fc.zeros(5, 2, 3, 16, 20, dtype=fc.uint8)).shape) == (5, 2, 3, 8, 8)
    assert isinstance(nearest, nn.Module)
    with pytest.raises(TypeError, match="PIL Image"):
        nearest("photo.jpg")


# ---- files and downloads ---------------------------------------------------------------------------------------------


class Tiny(nn.Module):
    def __init__(self, num_classes=1000):
        super().__init__()
        self.fc = nn.Linear(2, num_classes)


def content_of(value):
    file = io.BytesIO()
    fc.save({"fc.weight": fc.full((1000, 2), value), "fc.bias": fc.zeros(1000)}, file)
    return file.getvalue()


class Server:
    """A web server of this process: what it serves by path, and what it was asked for."""

    def __init__(self):
        self.files, self.asked = {}, []
        self.promise = len  # what it announces as the length
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                if server.promise is not None:
                    self.send_header("Content-Length", str(server.promise(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/models/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, content, name="tiny-{}.pth"):
        name = name.format(hashlib.sha256(content).hexdigest()[:8])
        self.files[f"/models/{name}"] = content
        return name


@pytest.fixture
def server(monkeypatch):
    monkeypatch.undo()  # the network is there
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def online(tmp_path, monkeypatch, server):
    monkeypatch.setattr(hub, "_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("FASTCONV_HOME", raising=False)
    return server


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def a_network(server, monkeypatch, content, **more):
    """A network whose weights are on the server, and its enum."""
    monkeypatch.setattr(table, "BUILDERS", {})
    monkeypatch.setattr(table, "ADDRESS", server.url)
    choices = table.weights_enum("Tiny", 3000, 0.0, V1=server.put(content).removesuffix(".pth"), **more)

    @table.builder(choices)
    def tiny(*, weights=None, progress=True, **options):
        return table.build(Tiny, weights, progress, options)

    return tiny, choices


def test_weights_are_downloaded_once(tmp_path, monkeypatch, online, capsys):
    tiny, choices = a_network(online, monkeypatch, content_of(7.0))
    assert tiny().fc.weight.max().item() < 1 and not online.asked
    for _ in range(2):
        assert (tiny(weights=choices.DEFAULT).fc.weight == 7).all()
        assert len(online.asked) == 1
    assert files_in(tmp_path) == [f"torch/hub/checkpoints/{choices.DEFAULT.url.rpartition('/')[2]}"]
    assert "tiny-" in capsys.readouterr().err
    monkeypatch.setenv("FASTCONV_HOME", str(tmp_path / "home"))
    tiny(weights="IMAGENET1K_V1")
    assert len(online.asked) == 1, "what torch has is not fetched again"
    (tmp_path / files_in(tmp_path)[0]).unlink()
    assert (tiny(weights="Tiny_Weights.DEFAULT", progress=False).fc.weight == 7).all()
    assert files_in(tmp_path) == [f"home/checkpoints/{choices.DEFAULT.url.rpartition('/')[2]}"]
    assert capsys.readouterr().err == ""


def test_without_tqdm_progress_is_plain(tmp_path, monkeypatch, online, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    name = online.put(bytes(5_000_000), "zeros.bin")
    hub.download_url_to_file(online.url + name, tmp_path / "a")
    assert capsys.readouterr().err.split() == [
        "Downloading",
        "a",
        "(5.0",
        "MB)",
        *" %\n".join(str(n) for n in range(10, 101, 10)).split(),
        "%",
    ]
    online.promise = None
    hub.download_url_to_file(online.url + name, str(tmp_path / "b"))
    assert capsys.readouterr().err == "Downloading b\n"
    hub.download_url_to_file(online.url + name, tmp_path / "c", progress=False)
    assert capsys.readouterr().err == ""
    assert {(tmp_path / key).stat().st_size for key in "abc"} == {5_000_000}


def test_downloads_that_fail_leave_nothing(tmp_path, monkeypatch, online):
    name = online.put(content_of(1.0))
    url, path = online.url + name, tmp_path / "torch" / "hub" / "checkpoints" / name
    fetch = {"check_hash": True, "progress": False}
    online.promise = lambda content: len(content) + 1
    with pytest.raises(RuntimeError, match=r"broke off after 13,\d+ of the 13,\d+ bytes that it announced"):
        hub.load_state_dict_from_url(url, **fetch)
    online.promise = len
    online.files[f"/models/{name}"] = content_of(2.0)
    with pytest.raises(RuntimeError, match=r"has another SHA256 checksum \(.*\) than published .* invalid hash value"):
        hub.load_state_dict_from_url(url, **fetch)
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(RuntimeError, match=r"Not a directory|File exists"):
        hub.load_state_dict_from_url(url, tmp_path / "file", **fetch)
    tmp_path.joinpath("file").unlink()
    del online.files[f"/models/{name}"]
    with pytest.raises(RuntimeError, match="HTTP Error 404") as caught:
        hub.load_state_dict_from_url(url, **fetch)
    assert str(path) in str(caught.value) and url in str(caught.value)
    online.server.shutdown()
    online.server.server_close()
    with pytest.raises(RuntimeError, match="refused"):
        hub.load_state_dict_from_url(url, **fetch)
    for bad in ("nonsense", "no-such-scheme://x/a.pth"):
        with pytest.raises(RuntimeError, match="unknown url type"):
            hub.load_state_dict_from_url(bad, **fetch)
    with pytest.raises(RuntimeError, match="names no file"):
        hub.load_state_dict_from_url("https://example.org/", **fetch)
    assert files_in(tmp_path) == []


def test_many_may_download_at_once(tmp_path, online):
    url = online.url + online.put(content_of(3.0))
    results = []
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            thread = threading.Thread(target=lambda: results.append(hub.load_state_dict_from_url(url, progress=False)))
            thread.start()
            stack.callback(thread.join)
    assert len(results) == 8 and all((state["fc.weight"] == 3).all() for state in results)
    assert len(files_in(tmp_path)) == 1


def test_where_weights_are_looked_for(tmp_path):
    for folder, value in (("torch/hub", 1.0), ("fastconv", 2.0)):
        path = tmp_path / folder / "checkpoints" / "a-0123.pth"
        path.parent.mkdir(parents=True)
        path.write_bytes(content_of(value))
        found = hub.load_state_dict_from_url("https://example.org/weights/a-0123.pth?x=1", check_hash=True)
        assert (found["fc.weight"] == value).all(), "FASTCONV_HOME comes first"
    damaged = path.with_name("damaged.pth")
    for content in (b"", content_of(1.0)[:-500]):
        damaged.write_bytes(content)
        with pytest.raises(
            RuntimeError, match=r"damaged\.pth.*; if .*damaged\.pth is damaged, remove it to have it down"
        ):
            hub.load_state_dict_from_url("https://example.org/damaged.pth")
    assert hub.load_state_dict_from_url("b", model_dir=path.parent, file_name=path.name).keys() == found.keys()
    hub.set_dir(tmp_path / "elsewhere")
    assert hub.get_dir() == str(tmp_path / "elsewhere")
    with pytest.raises(RuntimeError) as caught:
        hub.load_state_dict_from_url("https://example.org/b.pth")
    for text in (
        "there are no weights b.pth on this machine",
        f"\n  {tmp_path / 'fastconv' / 'checkpoints' / 'b.pth'}\n",
        f"\n  {tmp_path / 'elsewhere' / 'checkpoints' / 'b.pth'}\n",
        "https://example.org/b.pth",
        "no route to host",
        "put there by other means serves as well",
    ):
        assert text in str(caught.value)


def test_a_network_that_begins_with_weights_says_how_to_do_without():
    for name in models.list_models(models.segmentation):
        with pytest.raises(RuntimeError, match=r"no route to host.*\n.*weights_backbone=None does without them"):
            models.get_model(name)


def test_published_weights_of_a_segmentation_network(tmp_path):
    fc.manual_seed(1)
    made = models.segmentation.deeplabv3_mobilenet_v3_large(weights_backbone=None, aux_loss=True)
    choices = models.segmentation.DeepLabV3_MobileNet_V3_Large_Weights
    path = tmp_path / "fastconv" / "checkpoints" / choices.DEFAULT.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    fc.save(made.state_dict(), path)
    found = models.segmentation.deeplabv3_mobilenet_v3_large(weights="DEFAULT")
    assert all((a == b).all() for a, b in zip(made.parameters(), found.parameters(), strict=True))
    with pytest.raises(ValueError, match="The parameter 'num_classes' expected value 21 but got 5 instead"):
        models.segmentation.deeplabv3_mobilenet_v3_large(weights=choices.DEFAULT, num_classes=5)
    with pytest.raises(ValueError, match="The parameter 'aux_loss' expected value True but got False instead"):
        models.segmentation.deeplabv3_mobilenet_v3_large(weights=choices.DEFAULT, aux_loss=False)


def test_auxiliary_classifiers_come_with_weights_as_in_torchvision(tmp_path, undrawn):
    folder = tmp_path / "fastconv" / "checkpoints"
    folder.mkdir(parents=True)
    for name, kept in (("googlenet", False), ("inception_v3", True)):
        weights = models.get_model_weights(name).DEFAULT
        fc.save(models.get_model(name, init_weights=False).state_dict(), folder / weights.url.rpartition("/")[2])
        for asked in (None, False, True):
            options = {} if asked is None else {"aux_logits": asked}
            network = models.get_model(name, weights=weights, **options)
            assert network.transform_input
            assert network.aux_logits is (kept if asked is None else asked)
            assert (getattr(network, "aux1", network.AuxLogits if name != "googlenet" else None) is None) is not (
                network.aux_logits
            )


def test_models_of_the_hub(tmp_path):
    network = hub.load("pytorch/vision:v0.10.0", "squeezenet1_1", weights=None, num_classes=3, trust_repo=True)
    assert network.classifier[1].out_channels == 3
    assert hub.list("pytorch/vision") == models.list_models()
    with pytest.raises(RuntimeError, match="fastconv downloads no programs: fetch the repository a/b:main yourself"):
        hub.load("a/b:main", "net")
    with pytest.raises(RuntimeError, match="Cannot find callable resnet19"):
        hub.load("pytorch/vision", "resnet19")
    with pytest.raises(ValueError, match='Unknown source: "web"'):
        hub.load("pytorch/vision", "resnet18", source="web")
    with pytest.raises(RuntimeError, match="has no hubconf"):
        hub.list(tmp_path, source="local")
    (tmp_path / "beside.py").write_text("SIZE = 5")
    (tmp_path / "hubconf.py").write_text(
        "from beside import SIZE\nfrom fastconv.nn import Linear as _linear\n"
        "def net(inputs, bias=True):\n    return _linear(inputs, SIZE, bias)\n"
    )
    before = list(sys.path)
    assert hub.load(tmp_path, "net", 2, bias=False, source="local").weight.shape == (5, 2)
    assert hub.list(tmp_path, source="local") == ["net"] and sys.path == before
    sys.modules.pop("beside")


# ---- the functions' interface ----------------------------------------------------------------------------------------


def test_weights_that_are_none():
    with pytest.raises(KeyError, match="ResNet18_Weights has IMAGENET1K_V1, DEFAULT, not 'BEST'"):
        models.resnet18(weights="BEST")
    with pytest.raises(KeyError, match=r"not 'net\.pt'; weights of a file: model\.load_state_dict\("):
        models.resnet18(weights="net.pt")
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received ResNet34_Weights"):
        models.resnet18(weights=models.ResNet34_Weights.DEFAULT)
    with pytest.raises(ValueError, match="The parameter 'num_classes' expected value 1000 but got 10 instead"):
        models.resnet18(weights="DEFAULT", num_classes=10)
    with pytest.raises(ValueError, match="The parameter 'groups' expected value 32 but got 2 instead"):
        models.resnext50_32x4d(groups=2)


@pytest.mark.filterwarnings("ignore:.*deprecated since 0.13")
def test_the_interface_of_old(monkeypatch, online):
    tiny, _ = a_network(online, monkeypatch, content_of(7.0), V2=online.put(content_of(8.0)).removesuffix(".pth"))
    with pytest.warns(UserWarning, match="'pretrained' is deprecated since 0.13") as caught:
        assert (tiny(pretrained=True, progress=False).fc.weight == 7).all(), "the first ones, as it was"
    assert "equivalent to passing `weights=Tiny_Weights.IMAGENET1K_V1`. You can also use" in str(caught[1].message)
    assert "`weights=Tiny_Weights.DEFAULT`" in str(caught[1].message)
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(UserWarning, match="equivalent to passing `weights=None`"):
        assert tiny(pretrained=False, num_classes=3).fc.out_features == 3
    with pytest.warns(UserWarning, match="Using 'weights', 'progress' as positional parameter") as caught:
        assert (tiny(True, False).fc.weight == 7).all()
    assert len(caught) == 2 and "Arguments other than a weight enum" in str(caught[1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (tiny(weights="DEFAULT", progress=False).fc.weight == 8).all()
    with pytest.raises(TypeError, match=r"weights='DEFAULT' and pretrained=True, of which one is enough"):
        tiny(weights="DEFAULT", pretrained=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match=r"tiny\(\) got multiple values for argument 'weights'"):
            tiny(None, weights=None)
        with pytest.raises(TypeError, match=r"tiny\(\) takes at most 2 positional arguments, got 3"):
            tiny(None, True, 3)
        with pytest.raises(RuntimeError, match="weights_backbone=None does without"):
            models.segmentation.fcn_resnet50(pretrained_backbone=True)
        assert (
            models.segmentation.fcn_resnet50(pretrained_backbone=False, num_classes=1).classifier[4].out_channels == 1
        )
