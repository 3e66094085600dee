"""Random numbers: the generator, its states, and that the same seed gives torch's numbers."""

import copy
import json
import pickle
import random
import threading
import zlib

import numpy as np
import pytest
import same_numbers

import fastconv as fc
from fastconv import nn
from fastconv.random import default_generator, dropout_noise, fork_rng
from fastconv.utils.data import (
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

KNOWN = json.loads(same_numbers.KNOWN.read_text())


# ---- the same numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*same_numbers.FILLS, *same_numbers.CALLS])
def test_numbers_are_those_that_torch_gave(name):
    """Also where torch is not installed: known_numbers.json holds what it gave."""
    with np.errstate(all="ignore"):
        found = same_numbers.summary(fc, name)
    assert found["state"] == KNOWN[name]["state"]
    assert found.get("crc") == KNOWN[name].get("crc")
    assert found.get("means", []) == pytest.approx(KNOWN[name].get("means", []), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 2**32 + 5, -1])
def test_numbers_and_states_are_torchs(seed):
    torch = pytest.importorskip("torch")
    assert same_numbers.compare(torch, seed, (1, 5, 16, 33)) == []


def test_known_first_numbers():
    fc.manual_seed(0)
    assert fc.rand(2).tolist() == pytest.approx([0.49625659, 0.76822180], abs=1e-8)
    fc.manual_seed(0)
    assert fc.randn(2).tolist() == pytest.approx([1.54099607, -0.29342890], abs=1e-7)
    fc.manual_seed(0)
    assert fc.randn(16)[:2].tolist() == pytest.approx([-1.12583983, -1.15236020], abs=1e-7)
    fc.manual_seed(0)
    assert fc.randperm(8).tolist() == [4, 0, 7, 3, 2, 5, 1, 6]


def test_every_instruction_set_gives_the_same_numbers(isa):
    """What is fused into one rounding is so everywhere."""
    for name in ("uniform_(1000, 1001.7)", "normal_(0.1, 0.02)", "bernoulli_(0.3)", "random_(100)"):
        found = same_numbers.summary(fc, name)
        assert (found["state"], found.get("crc")) == (KNOWN[name]["state"], KNOWN[name].get("crc"))
    drawn = fc.randn(100_000, generator=fc.Generator().manual_seed(1)).numpy()
    assert zlib.crc32(drawn.tobytes()) == 2596028637


def test_orthogonal_matrices_are_torchs():
    torch = pytest.importorskip("torch")
    for shape in ((30, 20), (20, 30), (8, 3, 5, 5)):
        fc.manual_seed(3), torch.manual_seed(3)
        ours, theirs = nn.init.orthogonal_(fc.empty(*shape), 1.7), torch.nn.init.orthogonal_(torch.empty(*shape), 1.7)
        assert np.allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=5e-6)
    q = nn.init.orthogonal_(fc.empty(5, 9)).numpy().astype(np.float64)
    assert np.allclose(q @ q.T, np.eye(5), atol=1e-6)


# ---- networks and data ---------------------------------------------------------------------------------------------


def _network(library):
    layers = library.nn
    return layers.Sequential(
        layers.Conv2d(1, 6, 3, padding=1),
        layers.BatchNorm2d(6),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Linear(6 * 16, 10),
    )


def _losses(library, data) -> list[float]:
    """A network's losses over some steps: initial weights, shuffled batches and dropout are drawn from one seed."""
    library.manual_seed(7)
    net = _network(library)
    optimizer = library.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    images, labels = (library.from_numpy(array) for array in data)
    dataset = [(image, label) for image, label in zip(images, labels, strict=True)]
    losses = []
    for _ in range(4):
        for x, y in library.utils.data.DataLoader(dataset, batch_size=16, shuffle=True):
            loss = library.nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_a_network_learns_as_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    data = rng.standard_normal((80, 1, 8, 8), dtype=np.float32), rng.integers(0, 10, 80)
    ours, theirs = _losses(fc, data), _losses(torch, data)
    assert len(ours) == 20
    assert ours == pytest.approx(theirs, abs=1e-4)


class Indices:
    """A data set whose samples are their indices."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        return index


class Draws(Indices):
    """One whose samples are drawn from all three generators of the process that loads them."""

    def __getitem__(self, index: int) -> list[float]:
        library = self.library() if hasattr(self, "library") else fc
        return [library.rand(1).item(), random.random(), float(np.random.rand())]  # noqa: NPY002


def test_loaders_draw_as_torchs():
    torch = pytest.importorskip("torch")
    ours, theirs = [], []
    for library, found in ((fc, ours), (torch, theirs)):
        data = library.utils.data
        library.manual_seed(11)
        found.append([b.tolist() for b in data.DataLoader(Indices(23), 5, shuffle=True)])
        found.append([b.tolist() for b in data.DataLoader(Indices(23), 5, drop_last=True)])
        loader = data.DataLoader(Indices(7), 2, shuffle=True)
        found.append(next(iter(loader)).tolist())  # broken off
        found.append([b.tolist() for _ in range(2) for b in loader])
        own = library.Generator().manual_seed(5)
        loader = data.DataLoader(Indices(23), 4, shuffle=True, generator=own)
        found.append([b.tolist() for _ in range(2) for b in loader])
        found.append(own.get_state().tolist())
        for options in ({"replacement": True}, {"replacement": True, "num_samples": 70}, {"num_samples": 50}):
            found.append(list(data.RandomSampler(Indices(23), **options)))
            own = library.Generator().manual_seed(5)
            found.append(list(data.RandomSampler(Indices(23), generator=own, **options)))
            found.append(own.get_state().tolist())
        found.append([int(i) for i in data.SubsetRandomSampler([3, 1, 4, 15, 9])])
        for replacement in (True, False):
            found.append(list(data.WeightedRandomSampler([0.1, 3, 0.7, 2], 3, replacement)))
        for lengths in ([10, 13], [0.5, 0.3, 0.2]):
            found.append([list(part.indices) for part in data.random_split(Indices(23), lengths)])
        found.append(list(data.random_split(Indices(9), [4, 5], library.Generator().manual_seed(1))[0].indices))
        found.append(library.get_rng_state().tolist())
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a == b, i


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_draw_as_torchs(persistent):
    torch = pytest.importorskip("torch")
    passes = []
    for library in (fc, torch):
        library.manual_seed(4)
        dataset = Draws(6)
        dataset.library = (lambda: fc) if library is fc else _torch
        options = {
            "num_workers": 2,
            "shuffle": True,
            "multiprocessing_context": "fork",
            "persistent_workers": persistent,
        }
        loader = library.utils.data.DataLoader(dataset, 2, **options)
        passes.append([[[t.tolist() for t in batch] for batch in loader] for _ in range(2)])
        passes.append(library.get_rng_state().tolist())
    assert passes[0] == passes[2]
    assert passes[1] == passes[3]


def _torch():
    import torch

    return torch


# ---- the generator -------------------------------------------------------------------------------------------------


def test_states_are_torchs_and_go_both_ways():
    torch = pytest.importorskip("torch")
    generator, theirs = fc.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    fc.rand(700, generator=generator), torch.rand(700, generator=theirs)
    state = generator.get_state()
    assert state.dtype == fc.uint8
    assert state.numpy().tobytes() == theirs.get_state().numpy().tobytes()
    other = fc.Generator().set_state(fc.from_numpy(theirs.get_state().numpy()))
    theirs.set_state(torch.from_numpy(state.numpy().copy()))
    assert other.initial_seed() == theirs.initial_seed() == 9
    assert fc.rand(9, generator=other).tolist() == torch.rand(9, generator=theirs).tolist()


def test_a_state_brings_back_the_kept_normal_number():
    generator = fc.Generator().manual_seed(2)
    fc.randn(3, generator=generator)
    state = generator.get_state()
    first = fc.randn(4, generator=generator).tolist()
    assert fc.randn(4, generator=generator.set_state(state)).tolist() == first
    for twin in (
        generator.set_state(state).clone_state(),
        pickle.loads(pickle.dumps(generator)),
        copy.deepcopy(generator),
    ):
        assert fc.randn(4, generator=twin).tolist() == first


def test_generators_start_as_torchs():
    assert fc.Generator().initial_seed() == fc.Generator("cpu").initial_seed() == 67280421310721
    assert fc.Generator().device == "cpu"
    assert fc.Generator().manual_seed(-1).initial_seed() == 2**64 - 1
    generator = fc.Generator()
    assert generator.seed() == generator.initial_seed() != generator.seed()
    with fork_rng():
        assert fc.seed() == fc.initial_seed() == default_generator.initial_seed()


def test_only_the_low_32_bits_of_a_seed_count():
    numbers = [fc.rand(3, generator=fc.Generator().manual_seed(seed)).tolist() for seed in (5, 2**32 + 5, 5 - 2**32)]
    assert numbers[0] == numbers[1] == numbers[2]


def test_a_fork_leaves_no_trace():
    fc.manual_seed(1)
    expected = fc.rand(3).tolist()
    fc.manual_seed(1)
    with fork_rng():
        fc.rand(10)
        fc.manual_seed(8)
    assert fc.rand(3).tolist() == expected
    fc.manual_seed(1)
    with fork_rng(enabled=False):
        fc.rand(3)
    assert fc.rand(3).tolist() != expected


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_a_seed_that_64_bits_do_not_hold(seed):
    with pytest.raises(ValueError, match=f"Overflow when unpacking long long.*{seed}"):
        fc.manual_seed(seed)


def test_what_is_no_seed_and_no_generator():
    with pytest.raises(TypeError, match="a seed must be an integer, got None"):
        fc.manual_seed(None)
    with pytest.raises(ValueError, match="a seed must be an integer, got 'a'"):
        fc.manual_seed("a")
    with pytest.raises(TypeError, match=r"takes a device, got 3; Generator\(\)\.manual_seed\(3\) seeds one"):
        fc.Generator(3)
    with pytest.raises(RuntimeError, match="on the CPU, got the device 'cuda:0'"):
        fc.Generator("cuda:0")
    with pytest.raises(TypeError, match=r"generator should be a fastconv\.Generator or None, but got 3"):
        fc.rand(2, generator=3)


def test_what_is_no_state():
    generator = fc.Generator()
    before = generator.get_state().tolist()
    with pytest.raises(TypeError, match="RNG state must be a uint8 tensor, got a tensor of float32"):
        generator.set_state(fc.zeros(5056))
    with pytest.raises(TypeError, match=r"RNG state must be a uint8 tensor, got .* of type dict"):
        generator.set_state({"seed": 3})
    with pytest.raises(RuntimeError, match=r"Expected an RNG state of size 5056 but found .* \[3\]"):
        generator.set_state(fc.zeros(3, dtype=fc.uint8))
    with pytest.raises(RuntimeError, match="Invalid mt19937 state: it says seeded=0, left=0 and next=0"):
        generator.set_state(fc.zeros(5056, dtype=fc.uint8))
    wrong = generator.get_state()
    wrong[16] = 7  # the next word is another one than as many as are left say
    with pytest.raises(RuntimeError, match="left=1 and next=7"):
        generator.set_state(wrong)
    assert generator.get_state().tolist() == before


def test_threads_share_a_generator():
    """Each number is given out once, whoever takes it."""
    generator = fc.Generator().manual_seed(6)
    expected = np.sort(fc.rand(4 * 50 * 700, generator=generator).numpy())
    generator.manual_seed(6)
    drawn = []

    def draw():
        for _ in range(50):
            drawn.append(fc.rand(700, generator=generator).numpy())

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(np.sort(np.concatenate(drawn)), expected)


# ---- filling in place ----------------------------------------------------------------------------------------------


def test_filling_in_place_is_seen_through_views_and_refused_for_leaves():
    x = fc.zeros(4, 6)
    part = x[1:3, ::2]
    assert part.uniform_(1, 2) is part
    assert (x.numpy()[1:3, ::2] >= 1).all()
    assert x.numpy().astype(bool).sum() == 6
    leaf = fc.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf.normal_()
    with fc.no_grad():
        leaf.normal_()
    assert leaf.detach().numpy().any()
    y = leaf * 2
    y.uniform_()
    y.sum().backward()
    assert leaf.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("fill", "error", "text"),
    [
        (lambda x: x.uniform_(1, 0), RuntimeError, "uniform_ expects .* found from=1.0 > to=0.0"),
        (lambda x: x.uniform_(0, 1e39), RuntimeError, "to is out of bounds for float32"),
        (lambda x: x.uniform_(-3e38, 3e38), RuntimeError, "uniform_ expects to-from <= "),
        (lambda x: x.uniform_(float("nan"), 1), RuntimeError, "from is out of bounds"),
        (lambda x: x.normal_(0, -1), RuntimeError, "normal expects std >= 0.0, but found std -1"),
        (lambda x: x.bernoulli_(2), RuntimeError, r"bernoulli_ expects p to be in \[0, 1\], but got p=2"),
        (lambda x: x.bernoulli_(fc.tensor([2.0])), RuntimeError, r"p_in <= 1 .* beyond \[0, 1\]"),
        (lambda x: x.bernoulli_(fc.tensor([1])), NotImplementedError, "not implemented for int64"),
        (lambda x: x.random_(5, 5), RuntimeError, "'from' to be less than 'to', but got from=5 >= to=5"),
        (lambda x: x.random_(1, 2, 3), TypeError, r"got \(1, 2, 3\)"),
        (lambda x: x.random_(2**63), ValueError, "Overflow when unpacking long long"),
        (lambda x: x.random_(0.5), TypeError, "to must be an integer, got 0.5"),
        (lambda x: x.exponential_(0), RuntimeError, "exponential_ expects lambda > 0.0, but found lambda=0"),
        (lambda x: x.cauchy_(0, -1), RuntimeError, "cauchy_ expects sigma > 0.0, but found sigma=-1"),
        (lambda x: x.log_normal_(0, 0), RuntimeError, "log_normal_ expects std > 0.0, but found std=0"),
        (lambda x: fc.poisson(x - 2), RuntimeError, "invalid Poisson rate, expected rate to be non-negative"),
        (lambda x: fc.poisson(x.long()), NotImplementedError, '"poisson" not implemented for int64'),
        (lambda x: x.geometric_(1), RuntimeError, r"geometric_ expects p to be in \(0, 1\), but got p=1"),
        (lambda x: x.long().uniform_(), NotImplementedError, '"uniform_" not implemented for int64'),
        (lambda x: x.long().normal_(), NotImplementedError, '"normal_" not implemented for int64'),
        (lambda x: x.long().exponential_(), RuntimeError, "Exponential distribution is a continuous"),
        (lambda x: x.long().cauchy_(), RuntimeError, "Cauchy distribution is a continuous"),
        (lambda x: x.long().log_normal_(), NotImplementedError, '"log_normal_" not implemented'),
        (lambda x: x.bool().random_(0, 3), RuntimeError, "to - 1 is out of bounds for bool"),
        (lambda x: x.int().random_(-(2**40), 3), RuntimeError, "from is out of bounds for int32"),
        (lambda x: fc.randint(5, 5, (2,)), RuntimeError, "'from' to be less than 'to'"),
        (lambda x: fc.randint(0, 300, (2,), dtype=fc.uint8), RuntimeError, "to - 1 is out of bounds for uint8"),
        (lambda x: fc.randperm(300, dtype=fc.uint8), RuntimeError, "n is too large for result tensor type"),
        (lambda x: fc.normal(0, 1), TypeError, "expects a size beside the numbers mean=0 and std=1"),
        (lambda x: fc.normal(x, 1, (3,)), TypeError, "takes no size beside tensors"),
        (lambda x: fc.normal(x, x - 1), RuntimeError, "all elements of std >= 0.0"),
        (lambda x: fc.multinomial(x.long(), 1), RuntimeError, "only supports floating-point dtypes"),
        (lambda x: fc.multinomial(fc.rand(2, 2, 2), 1), RuntimeError, "prob_dist must be 1 or 2 dim"),
        (lambda x: fc.multinomial(x + 1, 0), RuntimeError, "n_sample <= 0"),
        (lambda x: fc.multinomial(x + 1, 6), RuntimeError, "without replacement: 6 of 4"),
        (lambda x: fc.multinomial(x - 1, 1), RuntimeError, "element < 0"),
        (lambda x: fc.multinomial(x, 1), RuntimeError, "sum of probabilities <= 0"),
        (lambda x: fc.from_numpy(np.broadcast_to(np.float32(1), 3)).uniform_(), RuntimeError, "single memory location"),
    ],
)
def test_what_cannot_be_drawn(fill, error, text):
    with pytest.raises(error, match=text):
        fill(fc.zeros(4))


def test_read_only_memory_is_refused():
    array = np.zeros(4, np.float32)
    array.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        fc.from_numpy(array).uniform_()


def test_dropout_draws_nothing_where_nothing_is_left_to_chance():
    fc.manual_seed(3)
    before = fc.get_rng_state().tolist()
    x = fc.ones(3, 4)
    assert nn.functional.dropout(x, 0.0) is x
    assert nn.functional.dropout(x, 0.5, training=False) is x
    assert not nn.functional.dropout(x, 1.0).numpy().any()
    assert fc.get_rng_state().tolist() == before


def test_dropout_noise_may_broadcast():
    noise = dropout_noise(np.ones((3, 4, 5, 5), np.float32), 0.5, (3, 4, 1, 1))
    assert noise.shape == (3, 4, 1, 1)
    assert set(noise.ravel().tolist()) == {0.0, 2.0}


def test_old_names_of_initialisers_warn():
    with pytest.warns(FutureWarning, match=r"`nn\.init\.kaiming_normal` is now deprecated"):
        w = nn.init.kaiming_normal(fc.empty(3, 4), generator=fc.Generator().manual_seed(1))
    assert w.tolist() == nn.init.kaiming_normal_(fc.empty(3, 4), generator=fc.Generator().manual_seed(1)).tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda w: nn.init.orthogonal_(w[0]), "2 or more dimensions are supported"),
        (lambda w: nn.init.sparse_(w[0], 0.1), "Only tensors with 2 dimensions"),
        (lambda w: nn.init.eye_(w[0]), "Only tensors with 2 dimensions"),
        (lambda w: nn.init.dirac_(w), "Only tensors with 3, 4, or 5 dimensions"),
        (lambda w: nn.init.dirac_(fc.zeros(3, 4, 5), 2), "dim 0 must be divisible by groups"),
        (lambda w: nn.init.trunc_normal_(w, a=1, b=1), "expects a < b"),
    ],
)
def test_what_cannot_be_initialised(call, text):
    with pytest.raises(ValueError, match=text):
        call(fc.zeros(3, 4))


def test_a_truncated_tail_warns():
    with pytest.warns(UserWarning, match=r"more than 2 standard deviations of 1\.0 from \[3\.0, 4\.0\]"):
        w = nn.init.trunc_normal_(fc.empty(50), a=3, b=4).numpy()
    assert ((w >= 3) & (w <= 4)).all()


def test_samplers_draw_from_generators_of_their_own():
    for make in (
        lambda g: RandomSampler(Indices(20), generator=g),
        lambda g: SubsetRandomSampler(range(20), generator=g),
        lambda g: WeightedRandomSampler([1.0] * 20, 20, generator=g),
    ):
        orders = [list(make(fc.Generator().manual_seed(7))) for _ in range(2)]
        assert orders[0] == orders[1]


def test_a_shuffled_loader_repeats_with_its_seed():
    data = TensorDataset(fc.arange(30))
    orders = []
    for _ in range(2):
        fc.manual_seed(5)
        orders.append([batch.tolist() for (batch,) in DataLoader(data, 4, shuffle=True)])
    assert orders[0] == orders[1]
    parts = [random_split(data, [10, 20], fc.Generator().manual_seed(1))[0].indices for _ in range(2)]
    assert parts[0] == parts[1]
