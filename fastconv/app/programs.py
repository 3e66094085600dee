"""Running programs that were written for torch."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

from fastconv.as_torch import PATH
from fastconv.distributed.launcher import mirror_ranks, python

__all__ = ["run"]


# What ``python -m mpi4py`` does, but MPI knows of the process from the beginning: else one that fails before it joins
# the others would leave them waiting for it.
MPI_PROGRAM = "from mpi4py import MPI, run; run.main()"


def run(program: Sequence[str]) -> NoReturn:
    """Become ``python *program``, with `torch` and `torchvision` found in :data:`fastconv.as_torch.PATH`.

    The interpreter starts anew, in this process, so that nothing of ours is in the program's way: not on its stack,
    not in its `__main__`, its arguments or its modules. One of several processes that MPI has started becomes what
    ``python -m mpi4py *program`` is, so that an error ends all of them, even before the program joins them.

    Parameters
    ----------
    program : sequence of str
        A file or ``-m`` and a module, then arguments.

    Raises
    ------
    RuntimeError
        If this interpreter was told to ignore the environment, through which the program finds us.
    """
    if sys.flags.ignore_environment:
        raise RuntimeError("fastconv run needs PYTHONPATH, which Python ignores with the options -E and -I")
    several = mirror_ranks()
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([PATH, others] if others else [PATH])
    options = subprocess._args_from_interpreter_flags()  # such as -W and -X, as multiprocessing passes them on
    if several:
        # fastconv launch has put -P there. And mpi4py writes the program's folder over the first entry of sys.path,
        # which has to be the one for that.
        os.environ.pop("PYTHONSAFEPATH", None)
        options = [option for option in options if option != "-P"]
    if program[0] == "-m" and program[1].partition(".")[0] == "fastconv":
        options += python()[1:]
    if several and find_spec("mpi4py") is not None:
        options += ["-c", MPI_PROGRAM]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *options, *program])
