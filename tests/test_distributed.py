"""Training on several processes: worlds of two ranks, each a test program of its own, under the MPI that is here."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import pytest

import fastconv

pytest.importorskip("mpi4py")

from fastconv.distributed.launcher import find_mpiexec

try:
    find_mpiexec()
except RuntimeError:
    pytest.skip("there is no mpiexec", allow_module_level=True)

HEAD = """
import os, sys, time
import numpy as np
import fastconv
import fastconv.distributed as dist
from fastconv import nn, optim

def network(*layers, seed=1):
    fastconv.manual_seed(seed)
    return nn.Sequential(*[layer() for layer in layers])

def images(count, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 3, size, size)).astype("f"), rng.integers(0, 4, count)

def train(model, x, y, part, steps=5):
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = x[part].copy(), y[part].copy()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(fastconv.from_numpy(x)), fastconv.from_numpy(y)).backward()
        optimizer.step()

def error(a, b):
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(((p - q).norm() / q.norm()).item() for p, q in pairs)

SMALL = (lambda: nn.Conv2d(3, 8, 3), nn.ReLU, lambda: nn.MaxPool2d(2), nn.Flatten, lambda: nn.Linear(72, 4))
"""

NORMED = "(lambda: nn.Conv2d(3, 8, 3), lambda: nn.BatchNorm2d(8), nn.ReLU, nn.Flatten, lambda: nn.Linear(288, 4))"


def start(program, ranks, tmp_path, *arguments, launcher=("launch", "-n"), environment=None):
    """Run a program in so many ranks; the finished process, with what all of them printed. Nothing is left behind."""
    path = tmp_path / "program.py"
    path.write_text(HEAD + textwrap.dedent(program))
    line = [sys.executable, "-m", "fastconv", *launcher, str(ranks), str(path), *arguments]
    settings = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    process = subprocess.Popen(
        line,
        cwd=tmp_path,
        env=settings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def check(program, ranks, tmp_path, **options):
    done = start(program, ranks, tmp_path, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("fine") == ranks, done.stdout + done.stderr


def test_collectives(tmp_path):
    check(
        """
        dist.init_process_group("gloo")
        rank, size = dist.get_rank(), dist.get_world_size()
        assert dist.is_initialized() and dist.get_backend() == "gloo" and size == 2
        for dtype in (fastconv.float32, fastconv.float64, fastconv.float16, fastconv.bfloat16, fastconv.int64):
            x = fastconv.tensor([rank + 1, 3]).to(dtype)
            dist.all_reduce(x)
            assert x.dtype == dtype and x.tolist() == [3, 6], x
        for op, expected in (("SUM", 3), ("AVG", 1.5), ("PRODUCT", 2), ("MIN", 1), ("MAX", 2)):
            x = fastconv.tensor(rank + 1.0)
            dist.all_reduce(x, getattr(dist.ReduceOp, op))
            assert x.item() == expected
        x = fastconv.zeros(3, 2)
        work = dist.all_reduce(x.t()[0].fill_(rank), async_op=True)
        work.wait()
        assert work.is_completed() and x.tolist() == [[1, 0]] * 3  # into a view
        x = fastconv.tensor([rank, 7])
        dist.broadcast(x, src=1)
        assert x.tolist() == [1, 7]
        parts = [fastconv.zeros(2) for _ in range(2)]
        dist.all_gather(parts, fastconv.full((2,), float(rank)))
        assert [p.tolist() for p in parts] == [[0, 0], [1, 1]]
        whole = fastconv.zeros(4)
        dist.all_gather_into_tensor(whole, fastconv.full((2,), float(rank)))
        assert whole.tolist() == [0, 0, 1, 1]
        x = fastconv.tensor([1.0 + rank])
        dist.reduce(x, dst=1)
        assert x.item() == (3 if rank else 1)
        x = fastconv.zeros(2)
        dist.scatter(x, [fastconv.full((2,), 4.0), fastconv.full((2,), 5.0)] if rank == 0 else None, src=0)
        assert x.tolist() == [4 + rank] * 2
        found = [fastconv.zeros(2), fastconv.zeros(2)] if rank == 0 else None
        dist.gather(x, found, dst=0)
        assert rank or [f.tolist() for f in found] == [[4, 4], [5, 5]]
        x = fastconv.zeros(1)
        dist.reduce_scatter_tensor(x, fastconv.tensor([1.0, 2.0]))
        assert x.item() == 2 * (rank + 1)
        x = fastconv.zeros(2)
        dist.all_to_all_single(x, fastconv.tensor([10.0 * rank, 10.0 * rank + 1]))
        assert x.tolist() == [rank, 10 + rank]
        if rank:
            dist.send(fastconv.tensor([1, 2]), dst=0)
            dist.send(fastconv.tensor([3, 4]), dst=0, tag=5)
        else:
            x = fastconv.zeros(2, dtype=fastconv.int64)
            assert dist.recv(x, src=1) == 1 and x.tolist() == [1, 2]
            assert dist.recv(x, tag=5) == 1 and x.tolist() == [3, 4]
        found = [None, None]
        dist.all_gather_object(found, {"rank": rank, "text": "x" * rank})
        assert found == [{"rank": 0, "text": ""}, {"rank": 1, "text": "x"}]
        found = ["a", {1: 2}] if rank == 0 else [None, None]
        dist.broadcast_object_list(found, src=0)
        assert found == ["a", {1: 2}]
        found = [None, None] if rank == 0 else None
        dist.gather_object(rank, found)
        assert rank or found == [0, 1]
        dist.barrier()
        dist.monitored_barrier()
        for tensor, call in ((3, lambda x: dist.all_reduce(x)), ([3], lambda x: dist.all_gather(x, fastconv.zeros(1)))):
            try:
                call(tensor)
            except TypeError as error:
                assert "Invalid function argument" in str(error)
            else:
                raise AssertionError
        for call, words in (
            (lambda: dist.all_reduce(fastconv.tensor([1]), dist.ReduceOp.AVG), "needs a tensor of floats"),
            (lambda: dist.all_reduce(fastconv.tensor([1.0]), dist.ReduceOp.BAND), "needs a tensor of integers"),
            (lambda: dist.all_gather([fastconv.zeros(1)], fastconv.zeros(1)), "a tensor for each of the 2"),
            (lambda: dist.broadcast(fastconv.zeros(1), src=2), "Global rank 2 is not part of group"),
            (lambda: dist.init_process_group("gloo"), "initialize the default process group twice"),
        ):
            try:
                call()
            except ValueError as error:
                assert words in str(error), error
            else:
                raise AssertionError(words)
        dist.destroy_process_group()
        assert not dist.is_initialized()
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_groups(tmp_path):
    check(
        """
        dist.init_process_group(timeout=__import__("datetime").timedelta(seconds=60))
        rank = dist.get_rank()
        alone = dist.new_group([1])
        assert dist.get_rank(alone) == (0 if rank else -1) and dist.get_world_size(alone) == (1 if rank else -1)
        x = fastconv.ones(1)
        dist.all_reduce(x, group=alone)
        assert x.item() == 1
        dist.broadcast(x, 1, group=alone)
        both = dist.new_group()
        assert dist.get_process_group_ranks(both) == [0, 1] and dist.get_global_rank(both, 1) == 1
        assert dist.get_group_rank(both, 0) == 0 and both.name() == "mpi" and dist.group.WORLD.size() == 2
        assert alone is dist.GroupMember.NON_GROUP_MEMBER or rank
        dist.all_reduce(x, group=both)
        assert x.item() == 2
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_two_halves_of_a_batch_learn_what_the_whole_does(tmp_path):
    check(
        """
        dist.init_process_group("gloo")
        x, y = images(16)
        one, many = network(*SMALL), network(*SMALL, seed=dist.get_rank() + 1)
        many = dist.DistributedDataParallel(many, bucket_cap_mb=1e-3)
        assert len(many._buckets) > 2
        train(one, x, y, slice(None))
        train(many, x, y, slice(dist.get_rank(), None, 2))
        assert error(many.module, one) < 1e-6, error(many.module, one)
        mine = [p.tolist() for p in many.parameters()]
        found = [None, None]
        dist.all_gather_object(found, mine)
        assert found[0] == found[1]
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_gradients_are_sent_once_after_no_sync(tmp_path):
    check(
        """
        dist.init_process_group("gloo")
        rank = dist.get_rank()
        model = dist.DistributedDataParallel(nn.Linear(1, 1, bias=False))
        x = fastconv.tensor([[1.0 + rank]])
        with model.no_sync():
            model(x).sum().backward()
        assert model.module.weight.grad.item() == 1 + rank
        model(10 * x).sum().backward()
        assert model.module.weight.grad.item() == 11 * 1.5
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_processes_with_different_numbers_of_batches(tmp_path):
    check(
        f"""
        dist.init_process_group("gloo")
        rank = dist.get_rank()
        layers = {NORMED}
        x, y = images(40)
        own = [slice(8 * i + 4 * rank, 8 * i + 4 * rank + 4) for i in range(2 + 3 * rank)]

        def loss_of(model, part):
            own_x, own_y = (fastconv.from_numpy(a[part].copy()) for a in (x, y))
            return nn.CrossEntropyLoss()(model(own_x), own_y)

        for by_all, options in ((True, {{"find_unused_parameters": True}}), (False, {{"bucket_cap_mb": 1e-3}})):
            many = dist.DistributedDataParallel(network(*layers), **options)
            optimizer = optim.SGD(many.parameters(), lr=0.1)
            with many.join(divide_by_initial_world_size=by_all):
                for i, part in enumerate(own):
                    optimizer.zero_grad()
                    if i == 1:
                        with many.no_sync():  # is skipped by all, at the same batch
                            loss_of(many, part)
                    loss_of(many, part).backward()
                    optimizer.step()
                    with fastconv.no_grad():
                        loss_of(many, part)
            # What one process makes of the batches of both, then of those that are left.
            one = network(*layers)
            optimizer = optim.SGD(one.parameters(), lr=0.1)
            for i in range(5):
                optimizer.zero_grad()
                parts = [slice(8 * i + 4 * r, 8 * i + 4 * r + 4) for r in ((0, 1) if i < 2 else (1,))]
                count = 2 if by_all else len(parts)
                for part in parts:
                    (loss_of(one, part) / count).backward()
                optimizer.step()
            assert error(many.module, one) < 2e-6, error(many.module, one)
            found = [None, None]
            dist.all_gather_object(found, [v.tolist() for v in many.state_dict().values()])
            assert found[0] == found[1]

        model = dist.DistributedDataParallel(dist.SyncBatchNorm.convert_sync_batchnorm(network(*layers)))
        words = "Rank 0 exhausted all inputs", "Detected at least one rank that exhausted inputs. Throwing across all"
        done = 0
        try:
            with model.join(throw_on_early_termination=True):
                for part in own:
                    loss_of(model, part).backward()
                    done += 1
        except RuntimeError as error:
            assert words[rank] in str(error) and done == 2
        else:
            raise AssertionError
        with model.join(enable=False):
            loss_of(model, own[0]).backward()
        for options, words in (({{}}, "needs images of each process"), ({{"deterministic": True}}, "goes without")):
            model = dist.DistributedDataParallel(model.module, **options)
            try:
                with model.join(throw_on_early_termination=bool(options)):
                    raise AssertionError
            except ValueError as error:
                assert words in str(error), error
        try:
            model.register_comm_hook(None, len)
        except NotImplementedError as error:
            assert "wire_dtype=fastconv.float16" in str(error)
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_parameters_that_take_no_part(tmp_path):
    check(
        """
        dist.init_process_group("gloo")
        rank = dist.get_rank()

        class Branches(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = (nn.Linear(1, 1, bias=False) for _ in range(3))

            def forward(self, x):
                return {"y": (self.a(x) + (self.b(x) if rank else 0)).sum()}

        x = fastconv.ones(1, 1)
        model = dist.DistributedDataParallel(Branches(), find_unused_parameters=True)
        for _ in range(2):
            model.zero_grad()
            model(x)["y"].backward()
            assert model.module.a.weight.grad.item() == 1 and model.module.b.weight.grad.item() == 0.5
            assert model.module.c.weight.grad is None
        model = dist.DistributedDataParallel(nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)]))
        model.module.forward = lambda x: model.module[0](x)
        model(x).backward()
        try:
            model(x)
        except RuntimeError as error:
            assert "Expected to have finished reduction in the prior iteration" in str(error)
            assert "1.weight" in str(error)
            print("fine")
        """,
        2,
        tmp_path,
    )


def test_a_rank_that_raises_ends_all(tmp_path):
    done = start(
        """
        dist.init_process_group("gloo")
        if dist.get_rank() == 1:
            raise LookupError("the cupboard is bare")
        dist.barrier()
        time.sleep(3600)
        """,
        2,
        tmp_path,
    )
    assert done.returncode and "LookupError: the cupboard is bare" in done.stderr and "rank 1 of 2" in done.stderr


def test_without_a_group():
    distributed = fastconv.distributed
    assert distributed.is_available() and not distributed.is_initialized()
    for call in (distributed.get_rank, distributed.barrier, lambda: distributed.all_reduce(fastconv.zeros(1))):
        with pytest.raises(ValueError, match="Default process group has not been initialized"):
            call()
    with pytest.raises(ValueError, match="Invalid backend: 'pigeons'"):
        distributed.init_process_group("pigeons")
    with pytest.raises(TypeError, match=r"of type datetime\.timedelta, got 3"):
        distributed.init_process_group(timeout=3)
    with pytest.raises(ValueError, match="world_size=4 was asked for, but this is rank 0 of 1 that MPI started"):
        distributed.init_process_group("gloo", rank=0, world_size=4)
    assert distributed.Backend("cpu:gloo,cuda:nccl") == "cpu:gloo,cuda:nccl"


def test_batch_norm_over_all_processes(tmp_path):
    check(
        f"""
        dist.init_process_group("gloo")
        rank = dist.get_rank()
        x, y = images(16)
        one, many = network(*{NORMED}), dist.SyncBatchNorm.convert_sync_batchnorm(network(*{NORMED}))
        assert isinstance(many[1], dist.SyncBatchNorm)
        many = dist.DistributedDataParallel(many)
        train(one, x, y, slice(None))
        train(many, x, y, slice(rank, None, 2))
        assert error(many.module, one) < 2e-5, error(many.module, one)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            assert fastconv.allclose(getattr(many.module[1], name), getattr(one[1], name), rtol=1e-5)
        one.eval(), many.eval()
        assert fastconv.allclose(one(fastconv.from_numpy(x)), many(fastconv.from_numpy(x)), atol=1e-5)
        # Shares of different sizes, in a layer by itself, against the whole in float64.
        layer = dist.SyncBatchNorm(3, momentum=None, dtype=fastconv.float64)
        whole = nn.BatchNorm1d(3, dtype=fastconv.float64)
        rng = np.random.default_rng(3)
        z, g = fastconv.from_numpy(rng.standard_normal((7, 3)) + 5), fastconv.from_numpy(rng.standard_normal((7, 3)))
        part = slice(0, 5) if rank == 0 else slice(5, 7)
        mine, all_ = z[part].clone().requires_grad_(), z.clone().requires_grad_()
        (layer(mine) * g[part]).sum().backward()
        (whole(all_) * g).sum().backward()
        assert fastconv.allclose(mine.grad, all_.grad[part], atol=1e-12)
        total = layer.weight.grad.clone()
        dist.all_reduce(total)
        assert fastconv.allclose(total, whole.weight.grad)
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_deterministic_gradients_are_the_same_on_one_process_and_two(tmp_path):
    program = f"""
        dist.init_process_group("gloo")
        x, y = images(24)
        model = dist.SyncBatchNorm.convert_sync_batchnorm(network(*{NORMED}))
        model = dist.DistributedDataParallel(model, deterministic=True, bucket_cap_mb=1e-3)
        train(model, x, y, slice(dist.get_rank(), None, dist.get_world_size()))
        import hashlib
        state = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()
        sys.stdout.write("fine " + state + os.linesep)  # at once: lines of two processes would mix
        """
    outputs = [start(program, n, tmp_path).stdout for n in (1, 2)]
    hashes = {line.split()[1] for output in outputs for line in output.splitlines()}
    assert len(hashes) == 1
    done = start(
        f"""
        dist.init_process_group("gloo")
        for model, options, words in (
            (network(*{NORMED}), {{"deterministic": True}}, "deterministic=True needs SyncBatchNorm"),
            (network(*SMALL), {{"deterministic": 3}}, "has to be a power of two"),
            (network(*SMALL), {{"deterministic": True, "wire_dtype": fastconv.float16}}, "goes with neither"),
            (network(*SMALL), {{"wire_dtype": fastconv.float64}}, "has to be float16, bfloat16 or None"),
        ):
            try:
                dist.DistributedDataParallel(model, **options)
            except ValueError as error:
                assert words in str(error), error
            else:
                raise AssertionError(words)
        model = dist.DistributedDataParallel(network(*SMALL), deterministic=True)
        try:
            model(fastconv.zeros(4, 3, 8, 8))
        except RuntimeError as error:
            assert "into 8 shards of images, got [[4, 3, 8, 8]]" in str(error), error
            print("fine")
        """,
        1,
        tmp_path,
    )
    assert done.stdout == "fine\n", done.stderr


def test_gradients_of_16_bits_on_the_wire(tmp_path):
    check(
        """
        dist.init_process_group("gloo")
        rank = dist.get_rank()
        for dtype, bound in ((fastconv.float16, 2**-10), (fastconv.bfloat16, 2**-7)):
            model = dist.DistributedDataParallel(network(*SMALL), wire_dtype=dtype, bucket_cap_mb=1e-3)
            plain = dist.DistributedDataParallel(network(*SMALL))
            x, y = images(16)
            part = slice(rank, None, 2)
            for m in (model, plain):
                nn.CrossEntropyLoss()(m(fastconv.from_numpy(x[part])), fastconv.from_numpy(y[part])).backward()
            for p, q in zip(model.parameters(), plain.parameters(), strict=True):
                assert 0 < (p.grad - q.grad).abs().max().item() <= 2 * bound * q.grad.abs().max().item()
            found = [None, None]
            dist.all_gather_object(found, [p.grad.tolist() for p in model.parameters()])
            assert found[0] == found[1]
        print("fine")
        """,
        2,
        tmp_path,
    )


def test_a_program_written_for_torch(tmp_path):
    program = """
        import torch
        import torch.distributed as dist
        import torch.nn as tnn
        from torch.nn.parallel import DistributedDataParallel as DDP
        from torch.utils.data import DataLoader, TensorDataset
        from torch.utils.data.distributed import DistributedSampler

        dist.init_process_group(backend="nccl" if torch.cuda.is_available() else "gloo")
        local_rank, rank = int(os.environ["LOCAL_RANK"]), int(os.environ["RANK"])
        assert dist.get_rank() == rank == local_rank and os.environ["WORLD_SIZE"] == "2" and os.environ["MASTER_PORT"]
        torch.manual_seed(rank)
        data = TensorDataset(torch.randn(12, 3), torch.randint(0, 2, (12,)))
        sampler = DistributedSampler(data, num_replicas=dist.get_world_size(), rank=rank)
        model = tnn.SyncBatchNorm.convert_sync_batchnorm(tnn.Sequential(tnn.Linear(3, 4), tnn.BatchNorm1d(4)))
        ddp = DDP(model, device_ids=None)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            for x, y in DataLoader(data, batch_size=3, sampler=sampler):
                loss = tnn.functional.cross_entropy(ddp(x), y)
                loss.backward()
        w = model[0].weight.grad.clone()
        dist.broadcast(w, src=0)
        assert torch.equal(w, model[0].weight.grad) and list(ddp.state_dict())[0] == "module.0.weight"
        assert isinstance(DistributedSampler(data), DistributedSampler)  # of the default group
        dist.destroy_process_group()
        print("fine")
        """
    check(program, 2, tmp_path)


@pytest.mark.parametrize(
    "how", ["leaves", "has fewer batches", "is stopped", "falls asleep", "is gone", "fails before"]
)
def test_a_fault_of_one_rank_ends_all(how, tmp_path):
    done = start(
        f"""
        import signal
        how = {how!r}
        if how == "fails before" and os.environ["RANK"] == "1":
            raise LookupError("before")
        dist.init_process_group()
        dist.barrier()
        if dist.get_rank() == 1 and how == "leaves":
            sys.exit(0)
        if dist.get_rank() == 1 and how == "is gone":
            os._exit(0)
        if dist.get_rank() == 1 and how == "is stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        if dist.get_rank() == 1 and how == "falls asleep":
            time.sleep(3600)
        for _ in range(3 if how == "has fewer batches" and dist.get_rank() else 5):
            dist.all_reduce(fastconv.ones(3))
        time.sleep(0 if dist.get_rank() else 0.1)
        """,
        2,
        tmp_path,
    )
    words = {
        "is stopped": "rank 1 of 2 is stopped",
        "falls asleep": "rank 1 of 2 has done nothing for 5 seconds. It stands at",
        "is gone": "",
        "fails before": "LookupError: before",
    }
    assert done.returncode and words.get(how, "rank 1 of 2 has come to the end of its program") in done.stderr
    assert done.stderr.count("ends all") <= 1  # where two do, Open MPI takes seconds longer


def test_sources_that_are_not_compiled_in_the_current_folder_are_in_nobodys_way(tmp_path):
    (tmp_path / "fastconv").mkdir()
    (tmp_path / "fastconv" / "__init__.py").write_text("raise ImportError('sources that are not compiled')\n")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "beside.py").write_text("word = 'fine'\n")
    program = tmp_path / "programs" / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, sys
            import torch.distributed as dist
            import torch.multiprocessing as mp
            import beside

            def work(rank):
                dist.init_process_group("gloo")
                assert dist.get_world_size() == 2 and dist.get_rank() == rank
                sys.stdout.write(beside.word + os.linesep)

            if __name__ == "__main__":
                mp.spawn(work, nprocs=2) if "RANK" not in os.environ else work(int(os.environ["RANK"]))
            """
        )
    )
    script = tmp_path / "programs" / "command.py"  # stands for the installed command
    script.write_text("import sys; from fastconv.app.cli import main; sys.exit(main())")
    home = os.path.dirname(os.path.dirname(fastconv.__file__))
    settings = os.environ | {"PYTHONPATH": home, "PYTHONSAFEPATH": "", "OMP_NUM_THREADS": "1"}
    for command, word in (
        (["launch", "-n", "2", "-m", "fastconv", "--version"], f"fastconv {fastconv.__version__}"),
        (["launch", "-n", "2", str(program)], "fine"),
        (["run", str(program)], "fine"),
    ):
        line = [sys.executable, str(script), *command]
        done = subprocess.run(line, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0 and done.stdout.splitlines() == [word] * 2, done.stdout + done.stderr


def test_what_has_failed_is_started_again_with_one_process_fewer(tmp_path):
    program = """
        dist.init_process_group()
        if os.environ["FASTCONV_RESTART"] == "0" and dist.get_rank() == 1:
            raise LookupError("once")
        dist.barrier()
        print("fine", dist.get_world_size())
        """
    done = start(program, 2, tmp_path, launcher=("launch", "--restarts", "1", "-n"))
    assert done.returncode == 0 and done.stdout == "fine 1\n", done.stderr
    assert "LookupError: once" in done.stderr and "starting again with 1 processes" in done.stderr


def test_training_in_two_processes_goes_on_in_one(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    pytest.importorskip("matplotlib")
    train = [sys.executable, "-m", "fastconv", "launch", "-n", "2", "-m", "fastconv", "train", "--out", "run"]
    settings = os.environ | {"OMP_NUM_THREADS": "1"}
    train += ["--epochs", "2", "--model", "resnet10", "--augment", "--batch-size", "64"]
    done = subprocess.run(train, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout and done.stdout.count("test accuracy:") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    again = [sys.executable, "-m", "fastconv", "train", "--resume", "run", "--epochs", "4"]
    done = subprocess.run(again, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0 and "epoch 4/4" in done.stdout, done.stderr
    accuracy = float(done.stdout.splitlines()[-1].split()[-1])
    assert accuracy > 0.8
