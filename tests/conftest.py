"""Fixtures: every instruction set, and memory that shows who wrote where."""

import os
import signal

# Libraries read these when they are loaded. Tests ask for more threads than cores: those that wait should sleep, not
# spin. NumPy's BLAS computes small products for the reference alone. Several processes of pytest-xdist share the cores,
# and two threads in each show what more would show.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "2")

from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv._native import memory, runtime

# A shell that runs pytest in the background of a script has it ignore interrupts, and so all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that tests start import the package under test, wherever they are started.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = str(Path(fastconv.__file__).parent.parent)


@pytest.fixture(params=runtime.available_isas())
def isa(request):
    """Runs the test once with each instruction set that is compiled in and runs here."""
    before = runtime.get_isa()
    runtime.set_isa(request.param)
    yield request.param
    runtime.set_isa(before)


@pytest.fixture
def isas():
    """A loop over these instruction sets, for what is prepared once for all of them."""
    before = runtime.get_isa()

    def each():
        for name in runtime.available_isas():
            runtime.set_isa(name)
            yield name

    yield each
    runtime.set_isa(before)


@pytest.fixture
def threads():
    """A function that sets the number of threads; the former number returns after the test."""
    before = runtime.get_num_threads()
    yield runtime.set_num_threads
    runtime.set_num_threads(before)


class GuardedMemory:
    """Stands in for the memory that results are allocated in: poisoned, between two guard zones."""

    GUARD = 509  # bytes; odd, and longer than a few vectors
    POISON = 0xFF  # all ones: NaN in floats, -1 in integers

    def __init__(self):
        self.buffers = []

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        # Aligned to the elements, and to no more than that.
        before = self.GUARD + -self.GUARD % dtype.itemsize + dtype.itemsize
        buffer = np.full(before + size + self.GUARD, self.POISON, np.uint8)
        self.buffers.append((buffer, before, size))
        return buffer[before : before + size].view(dtype).reshape(shape)

    def check(self):
        """Fail if a guard zone was written to; forget the memory."""
        for buffer, before, size in self.buffers:
            assert (buffer[:before] == self.POISON).all(), "written before the beginning of a result"
            assert (buffer[before + size :] == self.POISON).all(), "written beyond the end of a result"
        self.buffers.clear()


@pytest.fixture
def everywhere():
    """Take Winograd's filtering wherever it is possible."""
    with fastconv.backends.force("winograd"):
        yield


@pytest.fixture
def guarded():
    """Results are allocated in :class:`GuardedMemory`, which is checked at the end of the test."""
    guard = GuardedMemory()
    memory.set_allocator(guard.empty)
    yield guard
    memory.set_allocator(None)
    guard.check()
