"""Programs written for torch, run as they stand: ``fastconv run``, ``as_torch.install``, what stands in for torch."""

import os
import subprocess
import sys
import textwrap

import pytest

import fastconv
from fastconv import as_torch

HOME = os.path.dirname(os.path.dirname(fastconv.__file__))


def python(*arguments, cwd=None):
    """A process of this interpreter that finds fastconv, wherever it starts; returns it when it has ended.

    By itself it does not start in the clone, whose sources may not be compiled.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or HOME,
        timeout=120,
        env=os.environ | {"PYTHONPATH": HOME, "PYTHONSAFEPATH": "", "OMP_NUM_THREADS": "1"},
    )


def written(folder, text, name="script.py"):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_a_program_is_run_as_by_python(tmp_path):
    (tmp_path / "beside.py").write_text("value = 42\n")
    script = written(
        tmp_path,
        """
        import pickle, sys, beside

        class Thing:
            def __eq__(self, other):
                return isinstance(other, Thing)

        print(__name__, __file__, sys.argv, sys.path[0], beside.value, __builtins__)
        print(sys.modules["__main__"].Thing is Thing, pickle.loads(pickle.dumps(Thing())) == Thing(), sorted(globals()))
        print(sys.warnoptions, __package__, __spec__, sys.flags.optimize)

        def fail():
            raise ValueError("on purpose")

        fail()
        """,
    )
    arguments = (script, "a", "--epochs", "3", "-m", "x")
    plain = python("-O", "-W", "error::BytesWarning", *arguments)
    ours = python("-O", "-W", "error::BytesWarning", "-m", "fastconv", "run", *arguments)
    assert plain.stdout.replace(HOME, "") == ours.stdout.replace(HOME, "")
    assert plain.stderr == ours.stderr  # the traceback
    assert plain.returncode == ours.returncode == 1


def test_a_module_is_run_as_by_python(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "part.py").write_text("value = 42\n")
    (tmp_path / "package" / "train.py").write_text(
        "import sys, torch\nfrom .part import value\nprint(value, sys.argv, sys.path[0], __package__)\n"
        "sys.exit(5 if torch.__version__.startswith('2') else 6)\n"
    )
    done = python("-m", "fastconv", "run", "-m", "package.train", "--lr", "1", cwd=tmp_path)
    assert done.stdout.split()[0] == "42" and "'--lr', '1']" in done.stdout and "package" in done.stdout
    assert str(tmp_path) + " package" in done.stdout
    assert done.returncode == 5, done.stderr


def test_our_own_commands_are_ours_wherever_they_start(tmp_path):
    (tmp_path / "fastconv").mkdir()
    (tmp_path / "fastconv" / "__init__.py").write_text("raise ImportError('sources that are not compiled')\n")
    # -P: the current folder is not where it looks, as with the installed command.
    done = python("-P", "-m", "fastconv", "run", "-m", "fastconv", "--version", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"fastconv {fastconv.__version__}\n", "")


def test_names_come_from_fastconv(tmp_path):
    script = written(
        tmp_path,
        """
        import torch, torchvision, fastconv
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.backends.cudnn as cudnn
        from torch.autograd import Variable
        from torch.nn.modules.utils import _pair
        from torch.utils.data import DataLoader
        from torchvision import transforms

        assert torch.Tensor is fastconv.Tensor and nn.Conv2d is fastconv.nn.Conv2d
        assert F.relu is fastconv.nn.functional.relu and DataLoader is fastconv.utils.data.DataLoader
        assert transforms.ToTensor is fastconv.vision.transforms.ToTensor
        assert torch.__version__.split(".")[0] == "2" and _pair(3) == (3, 3)
        assert torch.utils.data.DataLoader is DataLoader and torch.optim.lr_scheduler.StepLR
        assert nn is torch.nn and torch.backends.cudnn is cudnn
        cudnn.benchmark = True
        assert torch.backends.cudnn.benchmark and not torch.cuda.is_available()
        names = {}
        exec("from torch.nn import *", names)
        assert names["Conv2d"] is nn.Conv2d and "layers" not in names
        assert "Tensor" in dir(torch) and "app" not in dir(torch) and "nn" in dir(torch)
        assert torchvision.models.__dict__["resnet18"] is torchvision.models.resnet18
        """,
    )
    done = python("-m", "fastconv", "run", script)
    assert done.returncode == 0, done.stderr


def test_missing_names_are_said(tmp_path):
    script = written(
        tmp_path,
        """
        import torch
        from torch import nn

        def attempt(code, kind, name):
            try:
                exec(code)
            except kind as error:
                assert name in str(error) and "fastconv check" in str(error), error
            else:
                raise AssertionError(code)

        assert not hasattr(torch, "nothing_such") and not hasattr(torch, "app") and not hasattr(nn, "layers")
        attempt("torch.nothing_such", AttributeError, "torch.nothing_such")
        attempt("nn.NothingSuch(3)", AttributeError, "torch.nn.NothingSuch")
        attempt("import torch.nothing.such", ImportError, "torch.nothing")
        attempt("from torch import nothing_such", ImportError, "torch.nothing_such")
        attempt("from torch.nn import NothingSuch", ImportError, "torch.nn.NothingSuch")
        attempt("import torchvision.nothing", ModuleNotFoundError, "torchvision.nothing")
        try:
            import no_such_package_at_all
        except ModuleNotFoundError as error:
            assert error.name == "no_such_package_at_all"
        """,
    )
    done = python("-m", "fastconv", "run", script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("torch.ones(2).stft(4)", "fastconv has no torch.Tensor.stft: "),
        ("torch.nn.Linear(1, 1).set_submodule('a', None)", "fastconv has no torch.nn.Module.set_submodule: "),
        ("torch.ones(2).my_own", None),
        ("print.stft", None),
    ],
)
def test_missing_methods_are_said_with_what_to_do(tmp_path, line, said):
    done = python("-m", "fastconv", "run", written(tmp_path, f"import torch\n{line}\n"))
    *_, error, last = done.stderr.splitlines()
    assert done.returncode == 1
    assert last.startswith(said) and "AttributeError" in error if said else "AttributeError" in last


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_find_it(tmp_path, method):
    script = written(
        tmp_path,
        """
        import sys
        import torch
        import torch.multiprocessing as mp

        def work(rank, queue):
            import torchvision
            queue.put((rank, torch.__version__, type(torch.zeros(2)).__module__, torchvision.__name__, __name__))

        if __name__ == "__main__":
            context = mp.get_context(sys.argv[1])
            queue = context.SimpleQueue()
            mp.spawn(work, args=(queue,), nprocs=1, start_method=sys.argv[1])
            print(queue.get())
        """,
    )
    done = python("-m", "fastconv", "run", script, method)
    assert done.returncode == 0, done.stderr
    main = "__mp_main__" if method == "spawn" else "__main__"
    assert "+fastconv." in done.stdout and "'fastconv." in done.stdout and f"'{main}'" in done.stdout


def test_install_in_a_notebook(tmp_path):
    (tmp_path / "torch.py").write_text("")
    code = "from fastconv import as_torch; as_torch.install(); as_torch.install(); import torch; torch.zeros(2)"
    assert python("-c", code).returncode == 0
    done = python("-c", "import torch\n" + code, cwd=tmp_path)
    assert "RuntimeError: torch has been imported already" in done.stderr and "torch.py" in done.stderr


def test_every_module_stands_for_one():
    code = """
    from fastconv import as_torch
    as_torch.install()
    import importlib
    for name in as_torch.MODULES:
        module = importlib.import_module(name)
        for attribute in dir(module):
            getattr(module, attribute)
    """
    done = python("-c", textwrap.dedent(code))
    assert done.returncode == 0, done.stderr


def test_run_says_what_it_needs():
    done = python("-m", "fastconv", "run")
    assert done.returncode == 2 and "name a program" in done.stderr
    done = python(
        "-E",
        "-c",
        f"import sys; sys.path.append({HOME!r})\nfrom fastconv.app.cli import main\nsys.exit(main(['run', 'x.py']))",
    )
    assert done.returncode == 1 and "PYTHONPATH" in done.stderr


def test_every_public_module_of_fastconv_has_a_name_of_torchs():
    sources = {source for sources in as_torch.MODULES.values() for source in sources}
    import fastconv.vision  # noqa: F401

    ours = {name for name in sys.modules if name.startswith("fastconv.") and "._" not in name}
    packages = {name for name in ours if getattr(sys.modules[name], "__path__", None)}
    # The command, of which torch has nothing, what brings uncommon arguments into the common form, differentiable
    # functions of arrays, what nn.functional takes its names from, kernels for torch itself, ONNX's operators, plans.
    own = {"fastconv.app", "fastconv.arguments", "fastconv.primitives", "fastconv.nn.functions", "fastconv.pytorch"}
    own |= {"fastconv.onnx.readers", "fastconv.onnx.writers", "fastconv.optimization"}
    assert packages - own <= sources


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ("einops", "print(einops.rearrange(torch.zeros(2, 3, 4), 'a b c -> b (a c)').shape)"),
    ],
)
def test_packages_that_import_torch_get_it_too(tmp_path, package, code):
    pytest.importorskip(package)
    script = written(tmp_path, f"import {package}, torch\n{code}\nassert 'fastconv' in torch.__version__\n")
    done = python("-m", "fastconv", "run", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torch.Size([3, 8])"
