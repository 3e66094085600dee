"""The loader beyond batches and order: iterable data sets, workers that stay, that are prepared, that hang."""

import os
import time

import numpy as np
import pytest

import fastconv
from fastconv.utils.data import (
    ChainDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)


class Numbers(Dataset):
    """The integers below n."""

    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        return index

    def __len__(self):
        return self.n


class Stream(IterableDataset):
    """The integers from start to stop, each worker giving every so manieth."""

    def __init__(self, start, stop):
        self.start, self.stop = start, stop

    def __iter__(self):
        info = get_worker_info()
        step, first = (1, 0) if info is None else (info.num_workers, info.id)
        return iter(range(self.start + first, self.stop, step))

    def __len__(self):
        return self.stop - self.start


class Who(Dataset):
    """The process that loads."""

    prepared = None

    def __getitem__(self, index):
        info = get_worker_info()
        return os.getpid(), info.id, info.num_workers, info.seed % 2, self.prepared or 0

    def __len__(self):
        return 6


def prepare(worker_id):
    get_worker_info().dataset.prepared = 10 + worker_id


def batches(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_iterable_dataset(workers):
    loader = DataLoader(Stream(0, 7), batch_size=2, num_workers=workers)
    assert sorted(number for batch in loader for number in batch.tolist()) == list(range(7)) and len(loader) == 4
    assert batches(loader) == batches(loader)
    if workers < 2:
        assert batches(loader) == [[0, 1], [2, 3], [4, 5], [6]]
    else:  # each worker has batches of its own, which come in turn
        assert batches(loader) == [[0, 2], [1, 3], [4, 6], [5]]
    loader = DataLoader(Stream(0, 7), batch_size=2, drop_last=True, num_workers=workers)
    assert len(loader) == 3 and all(len(batch) == 2 for batch in batches(loader))
    loader = DataLoader(Stream(0, 3), batch_size=None, num_workers=workers)
    assert sorted(loader) == [0, 1, 2] and len(loader) == 3


def test_iterable_datasets_are_chained():
    chain = Stream(0, 2) + Stream(5, 7)
    assert isinstance(chain, ChainDataset) and list(chain) == [0, 1, 5, 6] and len(chain) == 4
    assert batches(DataLoader(chain, batch_size=3)) == [[0, 1, 5], [6]]


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_iterable_dataset_gives_its_own_order(options):
    with pytest.raises(ValueError, match=f"expected unspecified {next(iter(options))} option"):
        DataLoader(Stream(0, 3), **options)


def test_an_error_of_an_iterable_dataset():
    class Broken(IterableDataset):
        def __iter__(self):
            yield 1
            raise KeyError("gone")

    for workers in (0, 1):
        loaded = iter(DataLoader(Broken(), num_workers=workers))
        assert next(loaded).tolist() == [1]
        with pytest.raises(KeyError, match="gone"):
            next(loaded)


def test_workers_know_themselves_and_are_prepared():
    assert get_worker_info() is None
    loader = DataLoader(Who(), batch_size=1, num_workers=2, worker_init_fn=prepare)
    rows = [[int(part) for part in batch] for batch in loader]
    assert [row[1:3] for row in rows] == [[0, 2], [1, 2]] * 3
    assert [row[4] for row in rows] == [10, 11] * 3
    assert len({row[0] for row in rows}) == 2 and rows[0][3] != rows[1][3]


def test_an_error_of_worker_init_fn_is_raised_here():
    def fail(worker_id):
        raise ZeroDivisionError("not ready")

    with pytest.raises(ZeroDivisionError, match="not ready"):
        next(iter(DataLoader(Numbers(3), num_workers=1, worker_init_fn=fail)))


def test_persistent_workers():
    loader = DataLoader(Who(), batch_size=1, num_workers=2, persistent_workers=True, worker_init_fn=prepare)
    first, second = ({int(batch[0]) for batch in loader} for _ in range(2))
    assert first == second and len(first) == 2
    broken_off = iter(loader)
    next(broken_off)
    assert {int(batch[0]) for batch in loader} == first  # what was under way is not mistaken for this pass's
    with pytest.raises(RuntimeError, match="one pass at a time"):
        next(broken_off)
    fresh = DataLoader(Who(), batch_size=1, num_workers=2)
    assert not first & {int(batch[0]) for batch in fresh}


@pytest.mark.parametrize("factor", [1, 3])
def test_prefetch_factor_keeps_the_order(factor):
    loader = DataLoader(Numbers(23), batch_size=2, num_workers=2, prefetch_factor=factor)
    assert batches(loader) == batches(DataLoader(Numbers(23), batch_size=2))
    large = DataLoader(Numbers(60_000), batch_size=10_000, num_workers=1, prefetch_factor=5)  # 30 KB of indices each
    assert [len(batch) for batch in large] == [10_000] * 6


def test_timeout():
    class Slow(Numbers):
        def __getitem__(self, index):
            time.sleep(index * 60)
            return index

    loaded = iter(DataLoader(Slow(2), num_workers=1, timeout=0.5))
    assert next(loaded).tolist() == [0]
    with pytest.raises(RuntimeError, match=r"timed out after 0\.5 seconds"):
        next(loaded)


def test_pin_memory_warns_that_there_is_no_gpu():
    with pytest.warns(UserWarning, match="no accelerator is found"):
        loader = DataLoader(Numbers(3), pin_memory=True)
    assert loader.pin_memory and batches(loader) == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified in multiprocessing"),
        ({"prefetch_factor": 0, "num_workers": 1}, "prefetch_factor option should be a positive integer, got 0"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Numbers(3), **options)


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([3, 5, 8])
    assert sorted(sampler) == [3, 5, 8] and len(sampler) == 3
    generator = fastconv.Generator()
    orders = [list(SubsetRandomSampler(range(100), generator.manual_seed(seed))) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_weighted_random_sampler():
    sampler = WeightedRandomSampler([0, 1.0, 3.0], 4000)
    counts = np.bincount(list(sampler), minlength=3)
    assert len(sampler) == 4000 and counts[0] == 0 and 0.65 < counts[2] / 4000 < 0.85
    assert sorted(WeightedRandomSampler(fastconv.tensor([1.0, 2.0, 3.0]), 3, replacement=False)) == [0, 1, 2]
    with pytest.raises(ValueError, match="num_samples should be a positive integer value, but got num_samples=0"):
        WeightedRandomSampler([1.0], 0)
    with pytest.raises(ValueError, match=r"weights should be a 1d sequence"):
        WeightedRandomSampler([[1.0]], 1)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed_sampler_is_torchs(shuffle, drop_last):
    pytest.importorskip("torch")
    from torch.utils.data.distributed import DistributedSampler as Theirs

    for size in (2, 10, 11):
        options = {"num_replicas": 4, "shuffle": shuffle, "drop_last": drop_last}
        parts = [DistributedSampler(range(size), rank=rank, **options) for rank in range(4)]
        theirs = [Theirs(range(size), rank=rank, **options) for rank in range(4)]
        assert [len(part) for part in parts] == [len(part) for part in theirs]
        if not shuffle:
            assert [list(part) for part in parts] == [list(part) for part in theirs]
        else:
            first = [list(part) for part in parts]
            assert first == [list(part) for part in parts]
            assert {i for part in first for i in part} <= set(range(size))
            parts[0].set_epoch(1)
            assert len(list(parts[0])) == len(first[0])


def test_distributed_sampler_needs_a_rank():
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        DistributedSampler([1, 2])
    with pytest.raises(ValueError, match="Invalid rank 2"):
        DistributedSampler([1, 2], 2, 2)


class Grids(Numbers):
    """Arrays that grow and shrink from batch to batch, some of them not contiguous, beside small ones."""

    def __getitem__(self, index):
        side = (40, 300, 7, 500)[index % 4]
        grid = np.random.default_rng(index).standard_normal((side, side), np.float32)
        return {"grid": grid, "turned": grid.T[::2], "flipped": grid[:, ::-1], "index": index}


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_large_batches_of_workers_are_their_own(method, prefetch):
    options = {"num_workers": 2, "prefetch_factor": prefetch, "multiprocessing_context": method}
    loader = DataLoader(Grids(14), batch_size=1, persistent_workers=True, **options)
    next(iter(loader))  # what is under way when a pass is broken off is not mistaken for the next one's
    for expected, batch in zip(DataLoader(Grids(14)), list(loader), strict=True):
        assert batch.keys() == expected.keys()
        for key, value in expected.items():
            assert np.array_equal(batch[key].numpy(), value.numpy()) and batch[key].dtype == value.dtype
        batch["grid"].add_(1)  # all of them are kept, and written to: none shows another's memory


@pytest.mark.parametrize("missing", ["memory", "permission", "system call"])
def test_large_batches_without_shared_memory(missing, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    if missing == "memory":
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    elif missing == "permission":
        monkeypatch.setattr(os, "memfd_create", full, raising=False)
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    loader = DataLoader(Grids(6), num_workers=1, multiprocessing_context="fork")
    for expected, batch in zip(DataLoader(Grids(6)), loader, strict=True):
        assert np.array_equal(batch["grid"].numpy(), expected["grid"].numpy())


def test_workers_leave_no_files_open():
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc")
    list(DataLoader(Grids(4), num_workers=2))
    before = descriptors()
    for _ in range(3):
        list(DataLoader(Grids(4), num_workers=2))
    assert descriptors() == before
