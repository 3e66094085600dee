"""`fastconv.save` and `fastconv.load`: torch's files and safetensors, read and written without torch."""

import copy
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import Counter, OrderedDict, defaultdict, namedtuple

import fuzz_files
import numpy as np
import pytest

import fastconv
from fastconv import nn, optim
from fastconv.serialization import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals

DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
LEGACY = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def saved(obj, legacy=False, **options):
    file = io.BytesIO()
    fastconv.save(obj, file, _use_new_zipfile_serialization=not legacy, **options)
    file.seek(0)
    return file


def saved_by_torch(obj, legacy=False):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(obj, file, _use_new_zipfile_serialization=not legacy)
    file.seek(0)
    return file


def array_of(dtype, shape=(2, 3, 4, 5)):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape)
    return values.astype(dtype)


def layouts(tensor):
    """A tensor of four dimensions in all layouts that files can tell apart."""
    return {
        "dense": tensor,
        "transposed": tensor.transpose(1, 3),
        "channels last": tensor.permute(0, 2, 3, 1),
        "part": tensor[:, 1, ::2, 1:4],
        "0-d": tensor[1, 2, 3, 4],
        "empty": tensor[:, :0],
    }


def shares(x, y):
    return np.shares_memory(x.detach().numpy(), y.detach().numpy())


# ---- what goes through a file ----------------------------------------------------------------------------------------


@LEGACY
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_layouts(dtype, legacy):
    before = layouts(fastconv.from_numpy(array_of(dtype)))
    after = fastconv.load(saved(before, legacy))
    for name, tensor in before.items():
        assert after[name].dtype == np.dtype(dtype)
        assert after[name].stride() == tensor.stride() or not tensor.numel()
        np.testing.assert_array_equal(after[name].numpy(), tensor.numpy())
    assert shares(after["dense"], after["transposed"])


@LEGACY
@pytest.mark.parametrize("dtype", [*DTYPES, "uint16", "uint32", "uint64"])
def test_torch_reads_it(dtype, legacy):
    torch = pytest.importorskip("torch")
    if legacy and dtype not in DTYPES:
        pytest.skip("torch does not read its own either")
    before = layouts(fastconv.from_numpy(array_of(dtype)))
    after = torch.load(saved(before, legacy), weights_only=True)
    for name, tensor in before.items():
        assert after[name].dtype == getattr(torch, dtype)
        assert after[name].stride() == tensor.stride() or not tensor.numel()
        np.testing.assert_array_equal(after[name].numpy(), tensor.numpy())


@LEGACY
@pytest.mark.parametrize("dtype", [*DTYPES, "uint16", "uint32", "uint64"])
def test_it_reads_torchs(dtype, legacy):
    torch = pytest.importorskip("torch")
    before = layouts(torch.from_numpy(array_of(dtype)))
    after = fastconv.load(saved_by_torch(before, legacy))
    for name, tensor in before.items():
        assert after[name].dtype == np.dtype(dtype)
        assert after[name].stride() == tensor.stride() or not tensor.numel()
        np.testing.assert_array_equal(after[name].numpy(), tensor.numpy())


@LEGACY
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_are_widened(name, legacy):
    torch = pytest.importorskip("torch")
    x = torch.arange(256).to(torch.uint8).view(getattr(torch, name))
    y, part = fastconv.load(saved_by_torch([x, x[3:]], legacy))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), x.float().numpy())
    assert shares(y, part)


@LEGACY
def test_bfloat16_stays_what_it_is(legacy):
    torch = pytest.importorskip("torch")
    x = torch.arange(65536).to(torch.uint16).view(torch.bfloat16)
    parameter = torch.nn.Parameter(x[2:8].reshape(2, 3).clone())
    y, part, dtype, kept = fastconv.load(saved_by_torch([x, x[3:], torch.bfloat16, parameter], legacy))
    assert y.dtype is part.dtype is kept.dtype is dtype is fastconv.bfloat16
    np.testing.assert_array_equal(y.float().numpy(), x.float().numpy())
    assert np.shares_memory(y._array, part._array) and kept.requires_grad
    back = torch.load(saved([y, part, dtype, kept], legacy))
    assert (
        back[2] is x.dtype is back[0].dtype
        and back[1].untyped_storage().data_ptr() == back[0].untyped_storage().data_ptr()
    )
    assert torch.equal(back[0].view(torch.uint16), x.view(torch.uint16)) and torch.equal(back[3], parameter)
    net = fastconv.nn.Linear(3, 2, bias=False)
    net.load_state_dict({"weight": kept})
    assert net.weight.dtype == np.float32 and (net.weight == kept.float()).all()


OBJECT = {
    "none": None,
    "numbers": [True, 3, -(2**40), 2**70, 2.5, float("inf"), 1 + 2j],
    "texts": ("é", b"\x00\xff", bytearray(b"ab")),
    "nested": OrderedDict(a={1: [(), [], {}, set()]}),
    "set": {1, "a"},
    "counter": Counter("aab"),
    "dtype": fastconv.float32,
    (1, "tuple"): 3,
}


@LEGACY
def test_containers_and_numbers(legacy):
    extra = {"default": defaultdict(list, a=[1]), "frozen": frozenset({1})}
    after = fastconv.load(saved(OBJECT | extra, legacy))
    assert after == OBJECT | extra
    assert after["default"].default_factory is list
    assert type(after["nested"]) is OrderedDict
    torch = pytest.importorskip("torch")
    after = torch.load(saved(OBJECT, legacy), weights_only=True)
    assert after.pop("dtype") == torch.float32
    assert after == {key: value for key, value in OBJECT.items() if key != "dtype"}
    theirs = OBJECT | extra | {"dtype": torch.float32, "device": torch.device("cuda:1"), "size": torch.Size([1, 2])}
    after = fastconv.load(saved_by_torch(theirs, legacy))
    assert after == OBJECT | extra | {"device": "cpu", "size": (1, 2)}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_scalars_and_arrays(protocol):
    before = [np.float64(3.5), np.int8(-3), np.bool_(True), np.arange(6.0).reshape(2, 3).T, np.arange(3, dtype=">i2")]
    after = fastconv.load(saved([*before, fastconv.float32], pickle_protocol=protocol))
    for x, y in zip(before, after[:-1], strict=True):
        assert type(x) is type(y)
        assert pickle.loads(pickle.dumps(x, protocol)).dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    assert after[-1] is fastconv.float32
    assert np.dtype("float64").isnative  # whose byte order nobody has set


def test_parameters():
    weight, frozen = nn.Parameter(fastconv.ones(2, 2)), nn.Parameter(fastconv.ones(1), requires_grad=False)
    weight.note = "mine"
    after = fastconv.load(saved([weight, frozen, weight, fastconv.ones(2, requires_grad=True)]))
    assert [type(t) for t in after] == [nn.Parameter, nn.Parameter, nn.Parameter, fastconv.Tensor]
    assert [t.requires_grad for t in after] == [True, False, True, True]
    assert after[0] is after[2]
    assert after[0].note == "mine"
    torch = pytest.importorskip("torch")
    after = torch.load(saved([weight, frozen]), weights_only=True)
    assert [type(t) for t in after] == [torch.nn.Parameter] * 2
    assert after[0].note == "mine"
    weight = torch.nn.Parameter(torch.ones(2))
    weight.note = "theirs"
    assert fastconv.load(saved_by_torch(weight)).note == "theirs"


@LEGACY
def test_tensors_that_share_memory_share_it_afterwards(legacy):
    x = fastconv.arange(1000.0)
    first, second, alone = x[100:110], x[105:120].view(3, 5), fastconv.arange(3.0)
    file = saved([first, second, alone, second], legacy)
    assert len(file.getvalue()) < 3000  # what nobody shows of x is not in the file
    after = fastconv.load(file)
    assert after[1] is after[3]
    assert shares(after[0], after[1])
    assert not shares(after[0], after[2])
    after[0][5] = -1
    assert after[1][0, 0] == -1
    torch = pytest.importorskip("torch")
    file.seek(0)
    after = torch.load(file, weights_only=True)
    after[0][5] = -1
    assert after[1][0, 0] == -1
    y = torch.arange(10.0)
    after = fastconv.load(saved_by_torch({"all": y, "part": y[2:4], "turned": y.view(2, 5).t()}, legacy))
    after["all"][2] = 77
    assert after["part"][0] == 77
    assert after["turned"][2, 0] == 77


def test_arrays_that_torch_could_not_describe_are_copied():
    packed = np.zeros(3, [("a", "u1"), ("b", "f4")])
    packed["b"] = [1, 2, 3]
    arrays = [packed["b"], np.arange(4.0)[::-1], np.broadcast_to(2.0, (2, 3))]
    for array in arrays:
        x = fastconv.from_numpy(array) if array.flags.writeable else fastconv.as_tensor(array)
        np.testing.assert_array_equal(fastconv.load(saved(x)).numpy(), array)


def test_expanded_tensors_stay_small():
    x = fastconv.ones(1, 3).expand(100_000, 3)
    file = saved(x)
    assert len(file.getvalue()) < 2000
    assert fastconv.load(file).stride() == (0, 1)


def test_memory_of_two_dtypes_is_refused():
    array = np.zeros(4, np.float32)
    with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data as diff"):
        saved([fastconv.from_numpy(array), fastconv.from_numpy(array.view(np.int32))])


@pytest.mark.parametrize("name", ["complex64", "qint8", "sparse"])
def test_other_elements_are_refused_by_name(name):
    torch = pytest.importorskip("torch")
    x = torch.ones(2, dtype=torch.complex64)
    if name == "qint8":
        x = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    if name == "sparse":
        x = torch.eye(3).to_sparse()
    with pytest.raises(pickle.UnpicklingError, match=name):
        fastconv.load(saved_by_torch(x))


def test_a_whole_checkpoint_goes_both_ways():
    torch = pytest.importorskip("torch")

    def trained(library):
        net = library.nn.Sequential(library.nn.Conv2d(1, 2, 3), library.nn.BatchNorm2d(2))
        optimizer = library.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        scheduler = library.optim.lr_scheduler.StepLR(optimizer, 2)
        x = library.arange(2 * 36.0).reshape(2, 1, 6, 6)
        net(x).sum().backward()
        optimizer.step()
        scheduler.step()
        return net, optimizer

    for source, target in ((fastconv, torch), (torch, fastconv)):
        net, optimizer = trained(source)
        checkpoint = {"epoch": 3, "net": net.state_dict(), "optimizer": optimizer.state_dict()}
        file = io.BytesIO()
        source.save(checkpoint, file)
        file.seek(0)
        found = target.load(file, weights_only=True)
        net2, optimizer2 = trained(target)
        result = net2.load_state_dict(found["net"])
        assert not result.missing_keys
        optimizer2.load_state_dict(found["optimizer"])
        for x, y in zip(net.parameters(), net2.parameters(), strict=True):
            np.testing.assert_array_equal(x.detach().numpy(), y.detach().numpy())
            mine, theirs = (o.state[p]["momentum_buffer"] for o, p in ((optimizer, x), (optimizer2, y)))
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@LEGACY
def test_whole_modules_need_trust(legacy):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    file = saved(net, legacy)
    with pytest.raises(pickle.UnpicklingError, match=r"fastconv\.nn\.\S+Sequential was not an allowed global"):
        fastconv.load(file)
    file.seek(0)
    again = fastconv.load(file, weights_only=False)
    assert repr(again) == repr(net)
    for (name, x), (other, y) in zip(net.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    file = saved({"net": net, "optimizer": optimizer}, legacy)
    again = fastconv.load(file, weights_only=False)
    assert again["optimizer"].param_groups[0]["params"][0] is again["net"][0].weight


# ---- files, paths and options ----------------------------------------------------------------------------------------


def test_paths_and_files(tmp_path):
    path = tmp_path / "x.pt"
    fastconv.save(fastconv.ones(3), path)
    fastconv.save(fastconv.zeros(3), str(path))
    assert os.listdir(tmp_path) == ["x.pt"]
    with open(path, "rb") as file:
        assert fastconv.load(file).tolist() == [0, 0, 0]
    with open(path, "wb") as file:
        fastconv.save(fastconv.ones(2), file)
    assert fastconv.load(path).tolist() == [1, 1]

    class Failing:
        def __reduce__(self):
            raise KeyError("not today")

    with pytest.raises(KeyError, match="not today"):
        fastconv.save([fastconv.ones(3), Failing()], path)
    assert fastconv.load(path).tolist() == [1, 1]
    with pytest.raises(FileNotFoundError, match=r"nowhere.x\.pt"):
        fastconv.save(fastconv.ones(3), tmp_path / "nowhere" / "x.pt")
    with pytest.raises(FileNotFoundError, match=r"no\.pt"):
        fastconv.load(tmp_path / "no.pt")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fastconv.load(tmp_path)
    fastconv.save(fastconv.ones(3), os.devnull)
    with pytest.raises(RuntimeError, match="is no regular file"):
        fastconv.load(os.devnull)
    for wrong in (3, None):
        with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like object"):
            fastconv.save(1, wrong)
        with pytest.raises(AttributeError, match="You can only load from a file that is seekable"):
            fastconv.load(wrong)


def test_a_file_that_cannot_be_sought():
    class Pipe(io.RawIOBase):
        def readable(self):
            return True

    with pytest.raises(io.UnsupportedOperation, match=r"pre-load the data into a buffer like io\.BytesIO"):
        fastconv.load(Pipe())

    class Sink:
        def __init__(self):
            self.data = b""

        def write(self, data):
            self.data += bytes(data)
            return len(data)

        def flush(self):
            pass

    sink = Sink()
    fastconv.save({"a": fastconv.ones(3)}, sink)
    assert fastconv.load(io.BytesIO(sink.data))["a"].tolist() == [1, 1, 1]


def test_storages_begin_at_multiples_of_64():
    file = saved([fastconv.ones(n) for n in (1, 5, 20, 3)])
    content = file.getvalue()
    with zipfile.ZipFile(file) as archive:
        names = [info.filename.partition("/")[2] for info in archive.infolist()]
        for info in archive.infolist():
            if "/data/" in info.filename:
                name, extra = struct.unpack("<HH", content[info.header_offset + 26 : info.header_offset + 30])
                assert (info.header_offset + 30 + name + extra) % 64 == 0
    assert names == ["data.pkl", "byteorder", *(f"data/{i}" for i in range(4)), "version", ".data/serialization_id"]
    assert saved([fastconv.ones(n) for n in (1, 5, 20, 3)]).getvalue() == content


def test_mapped_files(tmp_path):
    path = tmp_path / "x.pt"
    x = fastconv.arange(1000.0)
    fastconv.save({"x": x, "part": x[:4], "y": fastconv.ones(3, dtype=fastconv.float64)}, path)
    content = path.read_bytes()
    after = fastconv.load(path, mmap=True)
    assert after["part"].tolist() == [0, 1, 2, 3]
    after["x"][1] = 7
    assert after["part"].tolist() == [0, 7, 2, 3]
    assert path.read_bytes() == content
    fastconv.save(after["part"], path)  # no more of the map than what is shown
    assert path.stat().st_size < 2000
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        fastconv.load(saved(x), mmap=True)
    fastconv.save(x, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match=r"x\.pt: mmap can only be used with files saved with"):
        fastconv.load(path, mmap=True)


def test_map_location():
    file = saved_by_torch({"a": pytest.importorskip("torch").ones(2)})

    def load(location):
        file.seek(0)
        return fastconv.load(file, map_location=location)["a"].tolist()

    seen = []

    def keep(storage, location):
        seen.append((location, storage.nbytes()))
        return storage

    for location in (None, "cpu", "cpu:0", fastconv.device("cpu"), {"cuda:0": "cpu"}, keep, lambda s, loc: None):
        assert load(location) == [1, 1]
    assert seen == [("cpu", 8)]
    for location in ("cuda", "cuda:0", {"cpu": "cuda:1"}, lambda storage, location: storage.cuda()):
        with pytest.raises(RuntimeError, match="computes on the CPU"):
            load(location)


def test_pickle_modules():
    with pytest.raises(ValueError, match="pickle_module"):
        fastconv.save(1, io.BytesIO(), pickle_module=json)
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        fastconv.load(saved(1), None, pickle)
    with pytest.raises(ValueError, match="pickle_module"):
        fastconv.load(saved(1), None, json, weights_only=False)
    assert fastconv.load(saved(1), None, pickle, weights_only=False) == 1


@pytest.mark.parametrize("order", ["big", "little"])
def test_byte_order(order):
    content = saved({"a": fastconv.arange(3.0), "b": fastconv.ones(2, dtype=fastconv.int16)})
    file = io.BytesIO()
    with zipfile.ZipFile(content) as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            name = info.filename.partition("/")[2]
            if name == "byteorder":
                data = order.encode()
            elif order == "big" and name in ("data/0", "data/1"):
                data = np.frombuffer(data, "<f4" if name == "data/0" else "<i2").byteswap().tobytes()
            target.writestr(info.filename, data)
    file.seek(0)
    after = fastconv.load(file)
    assert after["a"].tolist() == [0, 1, 2]
    assert after["b"].tolist() == [1, 1]


# ---- files that lie --------------------------------------------------------------------------------------------------


@LEGACY
def test_truncated_files(legacy, tmp_path):
    path = tmp_path / "cut.pt"
    content = saved({"a": fastconv.arange(100.0)}, legacy).getvalue()
    for size in (*range(0, 60, 7), *range(60, len(content), 53), len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises((RuntimeError, pickle.UnpicklingError, EOFError), match=r"cut\.pt"):
            fastconv.load(path)


def test_lengths_that_no_memory_has(tmp_path):
    """A file on the disk allocates as many bytes as it is asked for, before it looks how many there are."""
    path = tmp_path / "long.pt"
    for opcode, kind in ((b"B", "<I"), (b"\x8e", "<Q"), (b"\x8d", "<Q"), (b"\x8b", "<i"), (b"X", "<I"), (b"T", "<i")):
        for length in (2**30, 2**31 - 1, 2**40, 2**62):
            length = min(length, 2 ** (8 * struct.calcsize(kind) - 1) - 1)
            path.write_bytes(b"\x80\x02" + opcode + struct.pack(kind, length) + b"abc.")
            tracemalloc.start()
            with pytest.raises((RuntimeError, pickle.UnpicklingError), match=r"long\.pt"):
                fastconv.load(path)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 1_000_000


@pytest.mark.parametrize("numbers", [100, 100_000])  # of the larger another thread computes the checksum
def test_changed_contents_are_noticed(tmp_path, numbers):
    path = tmp_path / "changed.pt"
    content = bytearray(saved({"a": fastconv.arange(float(numbers)), "b": fastconv.ones(numbers)}).getvalue())
    place = content.find(np.float32(50).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"changed\.pt: corrupt: the checksum of its record data/0 is wrong"):
        fastconv.load(path)


def test_mutated_files():
    done, loaded = fuzz_files.run(500, 0, seed=0)
    assert done == 500
    assert loaded < 250


class Evil:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def forged(pickled):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    file.seek(0)
    return file


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Evil(os.system, ("touch owned",)), "system"),
        (Evil(eval, ("open('owned', 'w')",)), "eval"),
        (Evil(exec, ("open('owned', 'w')",)), "exec"),
        (Evil(getattr, (dict, "__subclasses__")), "getattr"),
        (Evil(open, ("owned", "w")), "open"),
        (Evil(__import__, ("os",)), "__import__"),
        (Evil(pickle.loads, (b"",)), "loads"),
        (Evil(np.load, ("owned",)), "load"),
        (Evil(fastconv.save, (1, "owned")), "save"),
        (Evil(bytearray, (10**12,)), "bytearray"),
        (Evil(defaultdict, (Evil(getattr, (1, "real")),)), "getattr"),
        (Evil(np.dtype, ("O",)), "object"),
        (Evil(np.dtype, ("V1000000000",)), "dtype"),
    ],
)
def test_pickles_that_would_execute_something(tmp_path, monkeypatch, protocol, evil, name):
    monkeypatch.chdir(tmp_path)
    for obj in (evil, {"state": [fastconv.ones(2), evil]}):
        for file in (saved(obj, pickle_protocol=protocol), saved(obj, True, pickle_protocol=protocol)):
            with pytest.raises(pickle.UnpicklingError, match=name):
                fastconv.load(file)
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02cbuiltins\ndict\n(c__builtin__\nlist\ntR.", "call reduce for unrecognized function builtins.dict"),
        (b"\x80\x02cnumpy\nndarray\n(K\x01tR.", "unrecognized function numpy.ndarray"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "Can only create new object"),
        (b"\x80\x02ctorch\nfloat32\nK\x03}b.", "Can only build"),
        (b"\x80\x02ctorch\nfloat32\n(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.", "but got a dtype"),
        (b"\x80\x02ctorch.nn.parameter\nParameter\n}X\x04\x00\x00\x00dataK\x01sb.", "Can only build"),
        (b"\x80\x02ccollections\nOrderedDict\n)R]K\x01a.", None),
        (b"\x80\x02}]K\x01s.", "unhashable"),
        (b"\x80\x02K\x01K\x02a.", "Can only append to lists"),
        (b"\x80\x02K\x01K\x02K\x03s.", "Can only set items of dicts"),
        (b"\x80\x02P0\n.", "Unsupported operand"),
        (b"\x80\x02(i__builtin__\neval\n.", "Unsupported operand"),
        (b"\x80\x02(c__builtin__\neval\nX\x01\x00\x00\x001o.", "eval"),
        (b"\x80\x02\x82\x01.", "Unsupported operand"),
        (b"\x80\x02X\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x02r\xff\xff\xff\xff.", "damaged"),
        (b"\x80\x02N" + b"r\xff\xff\xff\x7f" + b".", None),
        (b"\x80\x02.", "damaged"),
        (b"\x80\x02N", "damaged"),
        (b"", "damaged"),
        (b"\x80\x02K\x01Q.", "persistent_load id must be tuple"),
        (b"\x80\x02(X\x06\x00\x00\x00moduleK\x01tQ.", "Only persistent_load of storage is allowed"),
    ],
)
def test_pickles_by_hand(pickled, message):
    if message is None:
        fastconv.load(forged(pickled))
    else:
        with pytest.raises(pickle.UnpicklingError, match=message):
            fastconv.load(forged(pickled))


def test_pickles_that_would_take_long_or_much():
    # A key that is a tuple of twice a tuple of twice a tuple ...: hashing it would take 2^60 steps.
    with pytest.raises(pickle.UnpicklingError, match="a key is unhashable or too large"):
        fastconv.load(forged(b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s."))
    # A megabyte that is encoded again and again.
    text = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x00"
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0"
    with pytest.raises(pickle.UnpicklingError, match="Unsupported operand"):
        fastconv.load(forged(b"\x80\x02" + text + again + b"."))
    again = again[:-1].replace(b"c_codecs", b"]c_codecs") + b"a"
    with pytest.raises(pickle.UnpicklingError, match="asks for far more memory than the file has bytes"):
        fastconv.load(forged(b"\x80\x02" + text + again * 100 + b"."))


def test_storages_that_claim_more_than_the_file():
    for legacy in (False, True):
        content = saved({"a": fastconv.arange(100.0)}, legacy).getvalue()
        with pytest.raises((RuntimeError, pickle.UnpicklingError), match=r"bytes|checksum"):
            fastconv.load(io.BytesIO(content.replace(b"Kd", b"J\xff\xff\xff\x7f" if legacy else b"Ke")))
    # A hundred records over the same bytes.
    file = saved([fastconv.ones(1000) for _ in range(100)])
    with zipfile.ZipFile(file) as archive:
        offsets = [i.header_offset for i in archive.infolist()]
    content = bytearray(file.getvalue())
    small = content[: offsets[3]] + content[offsets[-2] :]
    with pytest.raises(RuntimeError, match=r"corrupt"):
        fastconv.load(io.BytesIO(bytes(small)))


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "other"
    for content, message in (
        (b"hello, this is text", "neither a zip archive nor a pickle"),
        (pickle.dumps({"a": 1}), "Invalid magic number"),
        (b"", "Ran out of input"),
        (b"PK\x03\x04", "truncated or corrupt"),
    ):
        path.write_bytes(content)
        with pytest.raises((RuntimeError, EOFError), match=message) as caught:
            fastconv.load(path)
        assert str(path) in str(caught.value)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/data.pkl", b"")
    with pytest.raises(RuntimeError, match="is a TorchScript archive"):
        fastconv.load(io.BytesIO(file.getvalue()))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", pickle.dumps(1, 2) * 100)
    with pytest.raises(RuntimeError, match="compressed"):
        fastconv.load(io.BytesIO(file.getvalue()))


# ---- what the user trusts --------------------------------------------------------------------------------------------

Point = namedtuple("Point", ("x", "y"))


class Settings:
    def __init__(self):
        self.depth = 3


def test_safe_globals():
    file = saved({"point": Point(1, fastconv.ones(2)), "settings": Settings()})
    with pytest.raises(pickle.UnpicklingError, match=r"add_safe_globals\(\[tests?\.?\S*Point\]\)|Point"):
        fastconv.load(file)
    with safe_globals([Point, Settings]):
        assert get_safe_globals() == [Point, Settings]
        file.seek(0)
        after = fastconv.load(file)
    assert after["point"].x == 1
    assert after["settings"].depth == 3
    assert get_safe_globals() == []
    add_safe_globals([(Point, f"{Point.__module__}.Point"), Settings])
    file.seek(0)
    assert fastconv.load(file)["settings"].depth == 3
    clear_safe_globals()
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="not an allowed global"):
        fastconv.load(file)
    for wrong, error in (((Point, 3), ValueError), (3, TypeError)):
        with pytest.raises(error, match="expected"):
            add_safe_globals([wrong])
    with safe_globals([os.system]), pytest.raises(pickle.UnpicklingError, match="is blocked"):
        fastconv.load(saved(Evil(os.system, ("true",))))


# ---- safetensors -----------------------------------------------------------------------------------------------------


def test_safetensors(tmp_path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    names = [*DTYPES, "bfloat16", "float8_e4m3fn", "float8_e5m2"]
    state = {name: torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in names}
    state |= {"0-d": torch.tensor(3.0), "empty": torch.ones(0, 3)}
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    for options in ({}, {"mmap": True}, {"mmap": False}, {"map_location": "cpu"}):
        after = fastconv.load(path, **options)
        assert set(after) == set(state)
        for name, x in state.items():
            expected = "float32" if name.startswith(("float8", "0-d", "empty")) else name
            assert str(after[name].dtype).removeprefix("torch.") == expected
            np.testing.assert_array_equal(after[name].float().numpy(), x.float().numpy())
    after["float32"][0, 0] = 9
    save_file({"c": torch.ones(2, dtype=torch.complex64)}, path)
    with pytest.raises(RuntimeError, match=r"a\.safetensors: elements of 'C64' are not supported, those of .*F32"):
        fastconv.load(path)


def test_names_that_say_another_format(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"a": np.arange(3)}, tmp_path / "a.pth")
    fastconv.save({"a": fastconv.arange(3)}, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert fastconv.load(tmp_path / name)["a"].tolist() == [0, 1, 2]
    content = (tmp_path / "a.pth").read_bytes()
    with open(tmp_path / "a.pth", "rb") as file:
        assert fastconv.load(file)["a"].tolist() == fastconv.load(io.BytesIO(content))["a"].tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="the BytesIO: truncated, corrupt or no safetensors file"):
        fastconv.load(io.BytesIO(content[:-1]))
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08\x12\x08fastconv")
    with pytest.raises(RuntimeError, match=r"fastconv\.onnx\.load reads ONNX"):
        fastconv.load(tmp_path / "net.onnx")


def test_safetensors_cut_into_several(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    parts = [{"a": np.ones(2), "b": np.zeros(3, np.float32)}, {"c": np.arange(4)}]
    for i, part in enumerate(parts):
        save_file(part, tmp_path / f"model-{i}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    whole = {name: f"model-{i}.safetensors" for i, part in enumerate(parts) for name in part}
    index.write_text(json.dumps({"metadata": {}, "weight_map": whole}))
    after = fastconv.load(index)
    assert list(after) == ["a", "b", "c"]
    assert after["c"].tolist() == [0, 1, 2, 3]
    for wrong, message in (
        ({"weight_map": {"a": "../secret"}}, "expected files in its own folder"),
        ({"weight_map": {"a": 3}}, "expected files|no index"),
        (
            {"weight_map": {"a": "model-9.safetensors"}},
            "names 'model-9.safetensors', and there is no such file beside it",
        ),
        ({"weight_map": whole | {"d": "model-1.safetensors"}}, "should hold 'd'"),
        ({"weight_map": {"a": "model.safetensors.index.json"}}, "corrupt or no safetensors file"),
        ({}, "no index of safetensors files"),
        ([], "no index of safetensors files"),
    ):
        index.write_text(json.dumps(wrong))
        with pytest.raises(RuntimeError, match=message):
            fastconv.load(index)


# ---- pickle, copies, and what goes into a module ---------------------------------------------------------------------


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda obj: pickle.loads(pickle.dumps(obj))], ids=["copy", "pickle"])
def test_pickles_and_copies_keep_what_tensors_share(twin):
    x = fastconv.arange(12.0).reshape(3, 4)
    before = {"x": x, "row": x[1], "turned": x.t(), "part": x[::2, 1:3], "flat": x.view(-1), "same": x.detach()}
    after = twin(before)
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name].numpy(), tensor.numpy())
        assert after[name].stride() == tensor.stride()
    after["x"][1, 1] = 77
    for name, place in {"row": 1, "turned": (1, 1), "flat": 5, "same": (1, 1)}.items():
        assert after[name][place] == 77
    assert x[1, 1] == 5
    net = nn.Linear(3, 3, bias=False)
    tied = nn.Sequential(net, nn.ReLU(), net)
    tied.note = [net.weight]
    again = twin(tied)
    assert again[0].weight is again[2].weight is again.note[0]
    optimizer = optim.SGD(tied.parameters(), lr=0.1, momentum=0.9)
    tied(fastconv.ones(2, 3)).sum().backward()
    optimizer.step()
    model, other = twin((tied, optimizer))
    assert other.param_groups[0]["params"][0] is model[0].weight
    buffers = [o.state[p]["momentum_buffer"] for o, p in ((optimizer, net.weight), (other, model[0].weight))]
    np.testing.assert_array_equal(buffers[0].numpy(), buffers[1].numpy())


def test_copies_of_odd_arrays():
    for array in (np.arange(6.0)[::-1], np.broadcast_to(2.0, (2, 3)), np.zeros((0, 3)), np.arange(6.0).reshape(2, 3).T):
        x = fastconv.as_tensor(array)
        for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            np.testing.assert_array_equal(twin.numpy(), array)
    parameter = nn.Parameter(fastconv.ones(2))
    parameter.note = [1]
    twin = copy.deepcopy(parameter)
    twin.note.append(2)
    assert parameter.note == [1]


def test_load_state_dict_tells_what_does_not_match():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm2d(3))
    state = net.state_dict()
    result = net.load_state_dict(state)
    assert repr(result) == str(result) == "<All keys matched successfully>"
    state["extra"] = state.pop("0.bias")
    result = net.load_state_dict(state, strict=False)
    assert repr(result) == "IncompatibleKeys(missing_keys=['0.bias'], unexpected_keys=['extra'])"
    state["0.weight"] = fastconv.ones(3, 4)
    state["1.bias"] = "zebra"
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.bias". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for 0.weight: copying a param with shape [3, 4] from checkpoint, the shape in current model "
        "is [3, 2].\n"
        '\tWhile copying the parameter named "1.bias", expected torch.Tensor or Tensor-like object from checkpoint but '
        "received <class 'str'>"
    )
    for wrong in (3, [("a", 1)], None):
        with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got"):
            net.load_state_dict(wrong)


def test_load_state_dict_assigns():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm2d(3))
    net[0].bias.requires_grad_(False)
    state = {name: x.double() if x.is_floating_point() else x.clone() for name, x in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    for name, x in net.state_dict().items():
        assert shares(x, state[name]) or not x.ndim
    assert net[0].weight.dtype == fastconv.float64
    assert isinstance(net[0].weight, nn.Parameter)
    assert (net[0].weight.requires_grad, net[0].bias.requires_grad) == (True, False)


def test_batches_that_old_files_do_not_count():
    net = nn.BatchNorm2d(3)
    state = OrderedDict(net.state_dict())
    del state["num_batches_tracked"]
    assert not net.load_state_dict(state).missing_keys
    state._metadata = {"": {"version": 2}}
    with pytest.raises(RuntimeError, match="Missing"):
        net.load_state_dict(state)
