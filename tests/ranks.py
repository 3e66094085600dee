"""``python -m tests.ranks``: training in several processes, for longer than a test may take.

``equality`` trains N ranks with batch B and one with N times B, over many steps, with 2, 4 and 8 ranks; ``faults`` has
one rank fail in every way that there is, and says how long it took until all had ended; ``kills`` kills trainings at
random moments and goes on with other numbers of ranks: no more than the step under way may be lost. ``--mpiexec``
names MPI's launcher, say of Open MPI in another environment, whose Python is then taken.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()

FAULTS = (
    *("none", "raise", "exit(3)", "exit(0)", "_exit(0)", "_exit(3)", "SIGKILL", "SIGSEGV", "SIGTERM", "SIGSTOP"),
    *("sleep", "lock", "fewer", "elsewhere"),
)
SECONDS = 10


def member(arguments: list[str]) -> None:
    """What a rank runs."""
    if arguments[0] == "train":
        _train(arguments[1], arguments[2:])
    import hashlib

    import numpy as np

    import fastconv
    from fastconv import distributed, nn, optim
    from fastconv.app.networks import network

    distributed.init_process_group()
    rank, size = distributed.get_rank(), distributed.get_world_size()
    if arguments[0] == "fault":
        _fail(arguments[1], rank == int(arguments[2]))
        return
    name, kind, dtype = arguments[1:4]
    steps, batch, side = map(int, arguments[4:])
    rng = np.random.default_rng(0)
    means = rng.standard_normal((10, 3, side, side)).astype(dtype)
    labels = rng.integers(0, 10, 32 * batch)
    images = means[labels] + rng.standard_normal((len(labels), 3, side, side)).astype(dtype)

    def trained(wrap, part):
        fastconv.manual_seed(3)
        model = wrap(network(name, 3, side, 10).to(getattr(fastconv, dtype)))
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for step in range(steps):
            start = step * batch % len(labels)
            x, y = (fastconv.from_numpy(a[start : start + batch][part].copy()) for a in (images, labels))
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(model(x), y).backward()
            optimizer.step()
        return model

    def wrap(model):
        model = distributed.SyncBatchNorm.convert_sync_batchnorm(model)
        return distributed.DistributedDataParallel(model, deterministic=kind == "deterministic")

    many = trained(wrap, slice(rank, None, size)).module
    content = b"".join(value.numpy().tobytes() for value in many.state_dict().values())
    digests = [None] * size
    distributed.all_gather_object(digests, hashlib.sha256(content).hexdigest()[:16])
    assert len(set(digests)) == 1, digests
    if rank == 0:
        apart = ""
        if kind == "plain" and size > 1:
            one = trained(lambda model: model, slice(None))
            flat = [np.concatenate([p.detach().numpy().ravel() for p in m.parameters()]) for m in (many, one)]
            apart = f", {np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1]):.1e} of one rank's weights apart"
        print(f"{name}, {dtype}, {kind}, {size} ranks, {steps} steps: {digests[0]}{apart}", flush=True)


def _fail(how: str, me: bool) -> None:
    import threading

    import fastconv
    from fastconv import distributed

    for _ in range(20):
        distributed.all_reduce(fastconv.ones(1000))
    if me:
        print("fault at", time.time(), flush=True)
        if how == "raise":
            raise LookupError("bare")
        if "exit" in how:
            (os._exit if how[0] == "_" else sys.exit)(int(how[-2]))
        if how.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, how))
        if how == "sleep":
            time.sleep(1e6)
        if how == "lock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        if how == "elsewhere":
            distributed.barrier()
            distributed.barrier()
    for _ in range(3 if me and how == "fewer" else 6):
        distributed.all_reduce(fastconv.ones(1000))


def run(options, ranks: int, *arguments: str, seconds: float = 1800) -> subprocess.CompletedProcess:
    """Run this file in so many ranks; nothing is left behind."""
    python = Path(options.mpiexec).parent / "python" if options.mpiexec else Path(sys.executable)
    line = [str(python), "-m", "fastconv", "launch", "-n", str(ranks), str(HERE), "member", *arguments]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        line, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(2)
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return subprocess.CompletedProcess(line, 124, out, err)
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def equality(options) -> None:
    for name in options.networks.split(","):
        for kind in options.kinds.split(","):
            for ranks in map(int, options.sizes.split(",")):
                numbers = str(options.steps), str(options.batch), str(options.side)
                done = run(options, ranks, "equality", name, kind, options.dtype, *numbers)
                print(done.stdout.strip() or done.stderr, flush=True)


def faults(options) -> None:
    for how in FAULTS if options.only is None else options.only.split(","):
        for culprit in (options.ranks - 1, 0):
            done = run(options, options.ranks, "fault", how, str(culprit), seconds=120)
            ended, began = time.time(), re.search(r"fault at ([\d.]+)", done.stdout)
            took = ended - float(began[1]) if began else float("inf")
            good = (done.returncode == 0) == (how == "none") and took < SECONDS
            words = re.search(r"fastconv: (rank.*)", done.stderr)
            print(
                f"{'well' if good else 'BAD'}: {how} of rank {culprit} of {options.ranks}: status {done.returncode}, "
                f"{took:.1f} s, {words[1] if words else 'no word of ours'}",
                flush=True,
            )


def kills(options) -> None:
    from fastconv.app import checkpoint

    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        target, counts = Path(folder) / "run", Path(folder) / "counts"
        file = target / "checkpoint.safetensors"
        python = str(Path(options.mpiexec).parent / "python") if options.mpiexec else sys.executable
        environment = os.environ | {"PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
        saved, length = 0, 1
        for number in range(options.count):
            ranks = rng.choice((1, 2, 3, 4))
            counts.write_bytes(b"".join(count.to_bytes(8, "little") for count in (saved, length)))
            where = ["--resume", str(target)] if file.exists() else ["--out", str(target), "--epochs", "2000"]
            line = [python, "-m", "fastconv", "launch", "-n", str(ranks), str(HERE), "member", "train", str(counts)]
            line += [*where, "--checkpoint-seconds", "0"]
            process = subprocess.Popen(
                line,
                env=environment,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            # From when it has started on, or, three times out of four, from its first step.
            begins = rng.random() < 0.25
            while process.poll() is None and not (_members(target) if begins else _numbers(counts)[0] > saved):
                time.sleep(0.1)
            time.sleep(rng.uniform(0, options.longest))
            members = _members(target)
            victim = rng.choice(members) if members else process.pid
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            try:
                out, _ = process.communicate(timeout=60)
                took = time.monotonic() - killed
            finally:
                subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
            trained, length = _numbers(counts)
            begun, left = saved, checkpoint.load_training(file) if file.exists() else {"history": [], "batches": 0}
            saved = len(left["history"]) * length + left["batches"]
            good = took < SECONDS and saved >= trained - 1 and (not members or process.returncode)
            print(
                f"{'well' if good else 'BAD'}: kill {number}, {ranks} ranks: {took:.1f} s, {trained - begun} steps, of "
                f"which {trained - saved} are lost; {saved} steps in all",
                flush=True,
            )
            if not good:
                print(out)


def _numbers(counts: Path) -> tuple[int, int]:
    content = counts.read_bytes()
    return int.from_bytes(content[:8], "little"), int.from_bytes(content[8:], "little")


def _train(counts: str, arguments: list[str]) -> None:
    """``fastconv train``; the first rank counts its steps in a file, and notes there how many an epoch has."""
    import mmap

    from fastconv.app import cli, train
    from fastconv.distributed.launcher import mirror_ranks

    if mirror_ranks() and os.environ["RANK"] == "0":
        with open(counts, "r+b") as file:
            numbers = mmap.mmap(file.fileno(), 16)
        step = train._Step.__call__

        def counted(self, *batch):
            result = step(self, *batch)
            numbers[:8] = (int.from_bytes(numbers[:8], "little") + 1).to_bytes(8, "little")
            numbers[8:] = len(self.loader).to_bytes(8, "little")
            return result

        train._Step.__call__ = counted
    sys.exit(cli.main(["train", *arguments]))


def _members(target: Path) -> list[int]:
    """The processes that train into a folder."""
    lines = ((int(pid), _command_line(pid)) for pid in os.listdir("/proc") if pid.isdigit())
    return [pid for pid, line in lines if str(target).encode() in line and b"mpi4py" in line]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> None:
    if sys.argv[1:2] == ["member"]:
        member(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("equality", "faults", "kills"))
    parser.add_argument("--mpiexec", help="MPI's launcher, beside the Python to take")
    parser.add_argument("--networks", default="convnet,resnet18")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=16, help="of all ranks together")
    parser.add_argument("--side", type=int, default=32, help="of the images, in pixels")
    parser.add_argument("--sizes", default="1,2,4,8", help="how many ranks")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--kinds", default="plain,deterministic")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--only", help="these ways to fail, rather than all")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--longest", type=float, default=15.0, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    {"equality": equality, "faults": faults, "kills": kills}[options.what](options)


if __name__ == "__main__":
    main()
