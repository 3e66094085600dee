"""Threads, processes and signals: many callers at once, forks, OpenMP's other users, Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soak
from checks import output_of

import fastconv
from fastconv import ops
from fastconv._native import runtime
from fastconv.utils.data import DataLoader, Dataset

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def test_many_threads_call_at_once(threads):
    threads(2)
    calls = soak.make_calls()
    wrong = []
    gate = threading.Barrier(8)

    def work(number):
        rng = np.random.default_rng(number)
        gate.wait()
        for index in rng.integers(len(calls), size=60):
            if not calls[index].is_right():
                wrong.append(calls[index].name)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_threads_train_models_of_their_own():
    """The tape, the gradients and the switch of no_grad() belong to their threads."""

    def losses():
        rng = np.random.default_rng(0)
        x = fastconv.from_numpy(rng.standard_normal((8, 1, 8, 8), np.float32))
        labels = fastconv.from_numpy(rng.integers(0, 3, 8))
        net = fastconv.nn.Sequential(fastconv.nn.Conv2d(1, 4, 3), fastconv.nn.Flatten(), fastconv.nn.Linear(144, 3))
        for parameter in net.parameters():
            parameter.data = fastconv.from_numpy(rng.standard_normal(parameter.shape).astype(np.float32) * 0.1)
        optimizer = fastconv.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        seen = []
        for _ in range(20):
            loss = fastconv.nn.functional.cross_entropy(net(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with fastconv.no_grad():
                seen.append(loss.item())
                assert not net(x).requires_grad
        return seen

    expected = losses()
    results = [None] * 6

    def work(i):
        results[i] = losses()

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected] * 6


class Convolving(Dataset):
    """Samples that are convolved in the worker."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        x, w = rng.standard_normal((2, 8, 24, 24), np.float32), rng.standard_normal((16, 8, 3, 3), np.float32)
        return ops.conv2d(x, w)


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_convolve_as_we_do(threads, context):
    threads(3)
    expected = [Convolving()[index] for index in range(6)]
    loader = DataLoader(Convolving(), None, num_workers=2, multiprocessing_context=context)
    for here, there in zip(expected, loader, strict=True):
        np.testing.assert_array_equal(there.numpy(), here)
    np.testing.assert_array_equal(Convolving()[0], expected[0])


TORCH = """
import os, warnings
warnings.simplefilter("ignore")
{imports}
import numpy as np
fastconv.set_num_threads(2)
torch.set_num_threads(2)
rng = np.random.default_rng(0)
x, w = rng.standard_normal((8, 32, 40, 40), np.float32), rng.standard_normal((48, 32, 3, 3), np.float32)
for _ in range(3):
    ours = fastconv.ops.conv2d(x, w, padding=1)
    theirs = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=1).numpy()
    assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)
    (torch.from_numpy(x) @ torch.from_numpy(x).swapaxes(2, 3)).sum()
shared = fastconv.from_dlpack(torch.from_numpy(x))
assert shared.numpy().ctypes.data == x.ctypes.data
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(fastconv.ops.conv2d(x, w, padding=1), ours) else 3)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(fastconv.ops.conv2d(x, w, padding=1), ours)
print("both")
"""


@pytest.mark.parametrize(
    "imports", ["import torch\nimport fastconv.ops", "import fastconv.ops\nimport torch"], ids=["first", "last"]
)
def test_torch_in_the_same_process(imports):
    """Two OpenMP runtimes, in either order, and a fork after both were used."""
    pytest.importorskip("torch")
    assert output_of(TORCH.format(imports=imports)) == "both\n"


@pytest.mark.parametrize("imports", ["import fastconv", "import torch, fastconv", "import fastconv, torch"])
def test_threadpoolctl_limits_are_respected(imports):
    pytest.importorskip("threadpoolctl")
    if "torch" in imports:
        pytest.importorskip("torch")
    program = f"""
import threadpoolctl
{imports}
before = fastconv.get_num_threads()
with threadpoolctl.threadpool_limits(1):
    inside = fastconv.get_num_threads()
with threadpoolctl.threadpool_limits(3, user_api="openmp"):
    three = fastconv.get_num_threads()
print(before, inside, three, fastconv.get_num_threads())
"""
    environment = {"OMP_NUM_THREADS": "2"}
    assert output_of(program, **environment) == "2 1 3 2\n"


@pytest.mark.parametrize(("name", "value"), [("OMP_NUM_THREADS", "3"), ("FASTCONV_NUM_THREADS", "3")])
def test_the_environment_sets_the_number_of_threads(name, value):
    assert output_of("import fastconv; print(fastconv.get_num_threads())", **{name: value}) == f"{value}\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the system does not list a process's threads")
def test_threads_stay_from_one_layer_to_the_next():
    """A smaller team would end those left over, and the next layer start them anew."""
    program = """
import os, numpy, fastconv
fastconv.set_num_threads(5)
seen = set()
for channels in (64, 8, 64, 8):
    x, w = numpy.ones((8, channels, 32, 32), numpy.float32), numpy.ones((64, channels, 1, 1), numpy.float32)
    fastconv.ops.conv2d(x, w)
    seen.add(frozenset(os.listdir("/proc/self/task")))
print(len(seen))
"""
    assert output_of(program) == "1\n"


def test_threads_of_an_exiting_program_may_hold_results():
    """Results and layers live on in modules that the interpreter takes apart in any order."""
    output_of(
        """
import sys, threading
import numpy as np
import fastconv
held = [fastconv.ops.conv2d(np.ones((2, 8, 30, 30), np.float32), np.ones((8, 8, 3, 3), np.float32)) for _ in range(9)]
sys.held = held
layer = fastconv.nn.Conv2d(1, 1, 3)
loss = layer(fastconv.ones(1, 1, 99, 99)).sum()
loss.backward()
threading.Thread(target=lambda: held.append(layer(fastconv.ones(1, 1, 99, 99)))).start()
"""
    )


INTERRUPTED = """
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import numpy as np
import fastconv
from fastconv import ops, optim
from fastconv.app import train
from fastconv.utils.data import DataLoader, TensorDataset
rng = np.random.default_rng(0)
images = fastconv.from_numpy(rng.standard_normal((4096, 3, 32, 32), np.float32))
labels = fastconv.from_numpy(rng.integers(0, 10, 4096))
loader = DataLoader(TensorDataset(images, labels), 64, shuffle=True, num_workers=int(sys.argv[2]))
from fastconv.vision.models.small import ConvNet
model = ConvNet()
print("ready", flush=True)
try:
    if sys.argv[1] == "loop":
        w = rng.standard_normal((64, 3, 5, 5), np.float32)
        while True:
            ops.conv2d(images.numpy()[:64], w)
    train.fit(model, loader, optim.SGD(model.parameters(), lr=0.01), 1000,
              checkpoint=sys.argv[3] if sys.argv[1] == "checkpoint" else None, verbose=False)
except KeyboardInterrupt:
    print("stopped", flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize(("kind", "workers"), [("loop", 0), ("plain", 0), ("checkpoint", 0), ("checkpoint", 2)])
def test_ctrl_c_ends_the_training(tmp_path, kind, workers):
    path = tmp_path / "state.safetensors"
    command = [sys.executable, "-c", INTERRUPTED, kind, str(workers), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "stopped\n", "")
    assert path.exists() == (kind == "checkpoint")
    assert os.listdir(tmp_path) == (["state.safetensors"] if kind == "checkpoint" else [])


def test_soak_reports():
    """A short run of the long test, and that it sees a wrong result and growing memory."""
    report = soak.run(calls=400, threads=4, seed=0)
    assert report["calls"] >= 400
    assert report["wrong"] == []
    assert set(report) >= {"resident_first", "resident_last", "grown"}
    calls = soak.make_calls()
    calls[0].expected = tuple(array + 1 for array in calls[0].expected)
    assert not calls[0].is_right()
    assert calls[1].is_right()


def test_instruction_set_and_threads_are_left_as_they_were():
    before = runtime.get_isa(), runtime.get_num_threads()
    soak.run(calls=10, threads=2, seed=1)
    assert (runtime.get_isa(), runtime.get_num_threads()) == before
