"""Data sets, samplers, collation and the loader, with and without worker processes."""

import collections.abc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from fastconv import Tensor, from_numpy, ops, rand
from fastconv._native import runtime
from fastconv.random import Generator, default_generator, manual_seed
from fastconv.utils.data import (
    BatchSampler,
    Columns,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)


def values(tensor):
    return tensor.numpy().tolist()


class Squares(Dataset):
    """Sample i is (i, i^2)."""

    def __init__(self, size):
        self.size = size

    def __getitem__(self, index):
        return index, index**2

    def __len__(self):
        return self.size


class Counting(Squares):
    """Loads batches in one step, and remembers which."""

    def __init__(self, size):
        super().__init__(size)
        self.batches = []

    def __getitems__(self, indices):
        self.batches.append(indices)
        return [self[index] for index in indices]


# Data sets


def test_a_dataset_without_getitem_says_so():
    with pytest.raises(NotImplementedError, match=r"Dataset.*__getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match=r"Sampler.*__iter__"):
        iter(Sampler())


def tensors():
    return from_numpy(np.arange(12.0).reshape(6, 2)), from_numpy(np.arange(6))


def test_tensor_dataset_indexes_the_first_dimension():
    x, y = tensors()
    data = TensorDataset(x, y)
    assert len(data) == 6
    assert [values(part) for part in data[4]] == [[8.0, 9.0], 4]
    assert [values(part) for part in data[1:3]] == [[[2.0, 3.0], [4.0, 5.0]], [1, 2]]
    batch = data.__getitems__([5, 0, 5])
    assert len(batch) == 3
    assert [values(part) for part in batch[0]] == [[10.0, 11.0], 5]
    assert [values(part) for part in default_collate(batch)] == [[[10, 11], [0, 1], [10, 11]], [5, 0, 5]]


@pytest.mark.parametrize("shapes", [[], [(3, 2), (4,)], [(3,), ()]])
def test_tensor_dataset_refuses_unequal_lengths(shapes):
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(*(from_numpy(np.zeros(shape)) for shape in shapes))


def test_columns_look_like_a_list_of_samples():
    columns = Columns([1, 2, 3], ["a", "b", "c"])
    assert list(columns) == [(1, "a"), (2, "b"), (3, "c")]
    assert list(columns[1:]) == [(2, "b"), (3, "c")]
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        Columns([1, 2], [1, 2, 3])


def test_subset_loads_the_batches_of_its_dataset():
    data = Counting(100)
    part = Subset(Subset(data, range(50, 100)), [3, 1, 40])
    assert len(part) == 3
    assert part[2] == (90, 8100)
    assert part.__getitems__([0, 2]) == [(53, 53**2), (90, 8100)]
    assert data.batches == [[53, 90]]
    assert [values(column) for column in Subset(TensorDataset(*tensors()), [4, 2])[[0, 1]]][1] == [4, 2]


def test_subclasses_that_change_a_sample_are_obeyed_in_batches():
    class Negative(Subset):
        def __getitem__(self, index):
            return tuple(-value for value in super().__getitem__(index))

    class First(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)[1]

    assert [values(part) for part in next(iter(DataLoader(Negative(Squares(9), [3, 2]), 2)))] == [[-3, -2], [-9, -4]]
    assert values(next(iter(DataLoader(First(*tensors()), 2)))) == [0, 1]


def test_concat_dataset():
    data = Squares(3) + Squares(0) + Squares(2)
    assert isinstance(data, ConcatDataset)
    assert ConcatDataset([Squares(3), Squares(0), Squares(2)]).cumulative_sizes == [3, 3, 5]
    assert [data[i][0] for i in range(5)] == [0, 1, 2, 0, 1]
    assert [data[i][0] for i in range(-5, 0)] == [0, 1, 2, 0, 1]
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"{index} is out of range.* 5 samples"):
            data[index]
    with pytest.raises(AssertionError, match="empty"):
        ConcatDataset([])


@pytest.mark.parametrize(
    ("total", "lengths", "sizes"),
    [(10, [7, 3], [7, 3]), (10, [0.5, 0.25, 0.25], [6, 2, 2]), (11, [0.3, 0.3, 0.4], [4, 3, 4]), (1, [1.0], [1])],
)
def test_random_split_sizes_are_torchs(total, lengths, sizes):
    parts = random_split(Squares(total), lengths, generator=Generator().manual_seed(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(index for part in parts for index in part.indices) == list(range(total))
    again = random_split(Squares(total), lengths, generator=Generator().manual_seed(0))
    assert [part.indices for part in parts] == [part.indices for part in again]


def test_random_split_refuses():
    with pytest.raises(ValueError, match=r"Sum of input lengths.*\[3, 4\] for 10"):
        random_split(Squares(10), [3, 4])
    with pytest.raises(ValueError, match=r"index 0 is not between 0 and 1: 1\.5"):
        random_split(Squares(10), [1.5, -0.5])
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(Squares(10), [12, -2])
    with pytest.warns(UserWarning, match="index 1 is 0"):
        random_split(Squares(3), [0.9, 0.1])


# Samplers


def test_samplers():
    assert list(SequentialSampler(Squares(4))) == [0, 1, 2, 3]
    assert sorted(RandomSampler(Squares(50))) == list(range(50))
    sampler = RandomSampler(Squares(4), num_samples=10)
    indices = list(sampler)
    assert len(sampler) == len(indices) == 10
    assert all(sorted(indices[i : i + 4]) == [0, 1, 2, 3] for i in (0, 4))
    drawn = list(RandomSampler(Squares(3), replacement=True, num_samples=300, generator=Generator().manual_seed(1)))
    assert len(drawn) == 300
    assert set(drawn) == {0, 1, 2}


def test_random_sampler_draws_from_its_generator_or_the_default_one():
    order = [list(RandomSampler(Squares(20), generator=Generator().manual_seed(7))) for _ in range(2)]
    assert order[0] == order[1]
    manual_seed(7)
    order = [list(RandomSampler(Squares(20))) for _ in range(2)]
    assert order[0] != order[1]
    manual_seed(7)
    assert [list(RandomSampler(Squares(20))) for _ in range(2)] == order


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "num_samples=0"),
        ({"num_samples": 1.5}, ValueError, "num_samples=1.5"),
        ({"replacement": 1}, TypeError, "replacement=1"),
        ({"generator": np.random.default_rng()}, TypeError, "generator should be a fastconv.Generator"),
    ],
)
def test_random_sampler_refuses(options, error, message):
    with pytest.raises(error, match=message):
        RandomSampler(Squares(3), **options)


@pytest.mark.parametrize("size", [1, 5, 6, 7])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batch_sampler_is_torchs(size, batch_size, drop_last):
    torch_data = pytest.importorskip("torch.utils.data")
    ours = BatchSampler(range(size), batch_size, drop_last)
    theirs = torch_data.BatchSampler(range(size), batch_size, drop_last)
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_batch_sampler_refuses(batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}"):
        BatchSampler(range(3), batch_size, False)
    with pytest.raises(ValueError, match="drop_last=1"):
        BatchSampler(range(3), 2, 1)


# Collation

Point = collections.namedtuple("Point", "x y")

SAMPLES = {
    "int": [1, 2],
    "bool": [True, False],
    "float": [1.5, 2.5],
    "numpy scalar": [np.float32(1.5), np.float32(2.5)],
    "array": [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
    "big-endian array": [np.arange(3, dtype=">f4"), np.arange(3, dtype=">f4")],
    "tuple": [(1, 2.0), (3, 4.0)],
    "list": [[1, 2.0], [3, 4.0]],
    "dict": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    "default dict": [collections.defaultdict(int, a=1), collections.defaultdict(int, a=2)],
    "read-only dict": [types.MappingProxyType({"a": 1}), types.MappingProxyType({"a": 2})],
    "ordered dict": [collections.OrderedDict(a=1), collections.OrderedDict(a=2)],
    "named tuple": [Point(1, 2.0), Point(3, 4.0)],
    "strings": ["a", "b"],
    "bytes": [b"a", b"b"],
    "nested": [(np.ones(2), {"k": [1, (2, "s")]}), (np.ones(2), {"k": [3, (4, "t")]})],
}


def described(value):
    """Structure, types and values, alike for both packages' tensors."""
    if hasattr(value, "numpy"):
        array = value.numpy()
        return "tensor", str(array.dtype), array.shape, array.tolist()
    if isinstance(value, collections.abc.Mapping):
        return type(value).__name__, {key: described(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [described(part) for part in value]
    return value


@pytest.mark.parametrize("kind", SAMPLES)
def test_default_collate_is_torchs(kind):
    torch_data = pytest.importorskip("torch.utils.data")
    samples = SAMPLES[kind]
    native = [sample.astype("f4") for sample in samples] if kind == "big-endian array" else samples
    assert described(default_collate(samples)) == described(torch_data.default_collate(native))
    assert described(default_convert(samples[0])) == described(torch_data.default_convert(native[0]))


def test_default_collate_stacks_tensors():
    batch = default_collate([from_numpy(np.full((2, 3), i, np.float32)) for i in range(4)])
    assert batch.shape == (4, 2, 3)
    assert values(batch[3]) == [[3.0] * 3] * 2


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([np.ones(3), np.ones(4)], RuntimeError, r"\[3\] at entry 0 and \[4\] at entry 1"),
        (
            [from_numpy(np.ones(3)), from_numpy(np.ones((3, 1)))],
            RuntimeError,
            r"\[3\] at entry 0 and \[3, 1\] at entry",
        ),
        ([[1, 2], [3]], RuntimeError, r"equal size.*\[1, 2\]"),
        ([object()], TypeError, "found <class 'object'>"),
        ([np.array(["a"])], TypeError, "found <class 'numpy.ndarray'>"),
        ([None, None], TypeError, "NoneType"),
    ],
)
def test_default_collate_refuses(samples, error, message):
    with pytest.raises(error, match=message):
        default_collate(samples)


# The loader in this process


def test_batches_in_order():
    loader = DataLoader(Squares(7), batch_size=3)
    assert len(loader) == 3
    assert [described(batch)[1][1][3] for batch in loader] == [[0, 1, 4], [9, 16, 25], [36]]
    assert len(DataLoader(Squares(7), batch_size=3, drop_last=True)) == 2
    assert len(list(DataLoader(Squares(7), batch_size=3, drop_last=True))) == 2


def test_shuffle_is_a_new_permutation_in_each_pass():
    manual_seed(0)
    loader = DataLoader(Squares(40), batch_size=7, shuffle=True)
    passes = [[index for batch in loader for index in values(batch[0])] for _ in range(2)]
    assert passes[0] != passes[1]
    assert all(sorted(indices) == list(range(40)) for indices in passes)
    manual_seed(0)
    assert [index for batch in loader for index in values(batch[0])] == passes[0]


def test_shuffle_draws_from_the_generator_given():
    state = default_generator.get_state().tolist()
    orders = [
        [
            index
            for batch in DataLoader(Squares(40), 7, shuffle=True, generator=Generator().manual_seed(3))
            for index in values(batch[0])
        ]
        for _ in range(2)
    ]
    assert orders[0] == orders[1]
    assert default_generator.get_state().tolist() == state


def test_a_batch_is_loaded_in_one_step():
    data = Counting(5)
    list(DataLoader(data, 2))
    assert data.batches == [[0, 1], [2, 3], [4]]


def test_collate_fn_gets_a_sequence_of_samples():
    loader = DataLoader(TensorDataset(*tensors()), 4, collate_fn=lambda samples: [int(y.item()) for _, y in samples])
    assert list(loader) == [[0, 1, 2, 3], [4, 5]]


def test_without_batches():
    loader = DataLoader(TensorDataset(*tensors()), batch_size=None)
    assert len(loader) == 6
    assert [values(part) for part in list(loader)[1]] == [[2.0, 3.0], 1]
    arrays = [np.ones(2), np.zeros(2)]
    assert all(isinstance(item, Tensor) for item in DataLoader(arrays, batch_size=None))


def test_sampler_and_batch_sampler():
    assert [values(batch[0]) for batch in DataLoader(Squares(9), 2, sampler=[8, 1, 5])] == [[8, 1], [5]]
    loader = DataLoader(Squares(9), batch_sampler=[[1], [2, 3, 4]])
    assert len(loader) == 2
    assert loader.batch_size is None
    assert [values(batch[0]) for batch in loader] == [[1], [2, 3, 4]]


def test_an_error_leaves_the_rest_of_the_batches():
    class Hole(Squares):
        def __getitem__(self, index):
            if index == 1:
                raise KeyError(index)
            return index

    batches = iter(DataLoader(Hole(3), 1))
    assert values(next(batches)) == [0]
    with pytest.raises(KeyError):
        next(batches)
    assert values(next(batches)) == [2]


WRONG = [
    {"num_workers": -1},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "sampler": [0]},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"batch_size": 2, "drop_last": 1},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_wrong_options_are_errors(options):
    with pytest.raises(ValueError):
        DataLoader(Squares(3), **options)


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_wrong_options_are_errors_in_torch_too(options):
    torch_data = pytest.importorskip("torch.utils.data")
    with pytest.raises(ValueError):
        torch_data.DataLoader(Squares(3), **options)


def test_more_errors():
    with pytest.raises(ValueError, match="num_samples=0"):
        DataLoader(Squares(0), shuffle=True)
    assert list(DataLoader(Squares(0))) == []
    with pytest.raises(TypeError, match="generator"):
        DataLoader(Squares(3), generator=3)
    loader = DataLoader(Squares(3))
    for name in ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader is initialized"):
            setattr(loader, name, None)


# The loader with workers


class Draws(Squares):
    """What random numbers a worker draws, and on how many threads it runs."""

    def __getitem__(self, index):
        drawn = rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
        return index, os.getpid(), runtime.get_num_threads(), np.array(drawn)


class Faulty(Squares):
    def __init__(self, fault):
        super().__init__(8)
        self.fault = fault

    def __getitem__(self, index):
        if index == 5:
            self.fault()
        return index


class Unpicklable(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Large(Squares):
    def __getitem__(self, index):
        return np.full(1_000_000, index, np.float32)


class Convolving(Squares):
    def __getitem__(self, index):
        x = np.full((1, 8, 64, 64), index, np.float32)
        return ops.conv2d(x, np.ones((8, 8, 3, 3), np.float32))[0, 0, 0]


class Sleeping(Squares):
    def __getitem__(self, index):
        time.sleep(60)


class Unloadable(Squares):
    def __setstate__(self, state):
        raise ValueError("no such file")


class Stubborn(Squares):
    def __getitem__(self, index):
        if index == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        return index


def raise_key_error():
    raise KeyError("five")


def raise_unpicklable():
    raise Unpicklable("this", "that")


def kill_myself():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    os._exit(3)


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    assert multiprocessing.active_children() == []


CONTEXTS = [name for name in ("fork", "spawn") if name in multiprocessing.get_all_start_methods()]
# Python warns of any fork beside threads; a worker uses neither these threads nor their locks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.mark.parametrize("context", CONTEXTS)
def test_workers_give_the_same_batches_in_the_same_order(context):
    loaders = [
        DataLoader(
            Squares(50),
            4,
            True,
            num_workers=n,
            generator=Generator().manual_seed(5),
            multiprocessing_context=context if n else None,
        )
        for n in (0, 2)
    ]
    for _ in range(2):
        alone, together = ([described(batch) for batch in loader] for loader in loaders)
        assert together == alone
        assert len(together) == 13


def test_more_workers_than_batches():
    assert [values(batch[0]) for batch in DataLoader(Squares(3), 2, num_workers=3)] == [[0, 1], [2]]
    assert list(DataLoader(Squares(0), 2, num_workers=2)) == []


def test_without_batches_in_workers():
    assert list(DataLoader(Squares(3), None, num_workers=2)) == [[0, 0], [1, 1], [2, 4]]


def test_workers_share_no_random_seed():
    manual_seed(3)
    loader = DataLoader(Draws(8), 1, num_workers=4)
    passes = [list(loader) for _ in range(2)]
    draws = np.concatenate([values(batch[3]) for batches in passes for batch in batches])
    assert draws.shape == (16, 3)
    assert np.unique(draws).size == draws.size
    for batches in passes:
        assert len({batch[1].item() for batch in batches}) == 4
        assert {batch[2].item() for batch in batches} == {1}, "workers run on one thread"
    manual_seed(3)
    assert np.array_equal(np.concatenate([values(batch[3]) for batch in loader]), draws[:8])


def test_batches_larger_than_a_pipe_holds():
    batches = DataLoader(Large(6), batch_sampler=[[0] * 5, [1], [2], [3], [4], [5]], num_workers=2)
    assert [values(batch[0, :2]) for batch in batches] == [[i, i] for i in range(6)]
    # Nor may a long list of indices block, while a worker waits to deliver.
    long = [[0] * 200_000 for _ in range(4)]
    assert [len(batch[0]) for batch in DataLoader(Squares(1), batch_sampler=long, num_workers=2)] == [200_000] * 4


def test_convolve_fork_convolve():
    expected = Convolving(4)[3]
    batches = list(DataLoader(Convolving(4), 1, num_workers=2))
    assert np.array_equal(batches[3].numpy()[0], expected)
    assert np.array_equal(Convolving(4)[3], expected)


def test_an_error_in_a_worker_is_raised_here():
    with pytest.raises(KeyError, match="five") as caught:
        list(DataLoader(Faulty(raise_key_error), 1, num_workers=2))
    (note,) = caught.value.__notes__
    assert "DataLoader worker process 1" in note
    assert "raise_key_error" in note


def test_an_error_that_cannot_be_pickled_is_told():
    with pytest.raises(RuntimeError, match="Unpicklable: this and that"):
        list(DataLoader(Faulty(raise_unpicklable), 1, num_workers=2))


def test_a_batch_that_cannot_be_pickled_is_told():
    with pytest.raises(Exception, match=r"(?i)pickle"):
        list(DataLoader(Squares(2), collate_fn=lambda samples: lambda: None, num_workers=1, **forked()))


def forked():
    return {"multiprocessing_context": "fork"} if "fork" in CONTEXTS else pytest.skip("needs fork")


@pytest.mark.parametrize(
    ("fault", "message"), [(kill_myself, r"killed by signal: Killed \(9\).*memory"), (leave, "exit code 3$")]
)
def test_a_dead_worker_is_an_error(fault, message):
    with pytest.raises(RuntimeError, match=rf"worker \(pid \d+\).*{message}"):
        list(DataLoader(Faulty(fault), 1, num_workers=2))


@pytest.mark.skipif("spawn" not in CONTEXTS, reason="needs spawn")
def test_a_worker_that_cannot_start_is_an_error():
    with pytest.raises(RuntimeError, match=r"\(pid \d+\) exited unexpectedly with exit code 1, after .* __name__"):
        list(DataLoader(Unloadable(4), 2, num_workers=1, multiprocessing_context="spawn"))


def test_a_worker_that_does_not_listen_is_killed():
    start = time.monotonic()
    for _ in DataLoader(Stubborn(9), 1, num_workers=2):
        time.sleep(0.2)
        break
    assert multiprocessing.active_children() == []
    assert time.monotonic() - start < 30


def test_leaving_early_ends_the_workers():
    for _ in DataLoader(Large(100), 1, num_workers=2):
        break
    batches = iter(DataLoader(Large(100), 1, num_workers=2))
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    del batches
    assert multiprocessing.active_children() == []


def test_an_error_in_the_loop_ends_the_workers():
    with pytest.raises(ZeroDivisionError):
        for _ in DataLoader(Large(100), 1, num_workers=2):
            1 / 0


SCRIPT = """
import sys, time
from fastconv.utils.data import DataLoader
import test_data

if __name__ == "__main__":
    batches = iter(DataLoader(getattr(test_data, sys.argv[1])(4), 1, num_workers=2))
    if sys.argv[1] == "Large":
        next(batches)
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    next(batches)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("dataset", "end"), [("Sleeping", signal.SIGINT), ("Large", signal.SIGKILL)])
def test_workers_end_with_the_program(dataset, end, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    here = os.path.dirname(__file__)
    paths = [here, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), dataset],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # the whole group, as a terminal does
    else:
        process.kill()
    # The pipes end when the last process that holds them has ended.
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -end
    if end == signal.SIGINT:
        assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1, "workers say nothing of Ctrl-C"


def test_random_split_of_fractions_that_sum_to_one_but_for_rounding():
    assert [len(part) for part in random_split(list(range(20)), [1 / 20] * 20, generator=None)] == [1] * 20
