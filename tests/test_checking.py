"""``fastconv check``: what programs lack, found by reading them."""

import textwrap
from pathlib import Path

import pytest

from fastconv.app import checking, cli
from fastconv.as_torch import METHODS


def missing(tmp_path, text, **others):
    """What a program lacks, as (line, name), with "perhaps" where it may not; `others` are files beside it."""
    for name, content in others.items():
        path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content))
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(text))
    found = checking.check([str(program)])
    return [(str(m).removeprefix(f"{tmp_path}/").removeprefix("program.py:")) for m in found]


def test_nothing_is_missing(tmp_path):
    program = """
    import torch, os, numpy as np
    import torch.nn as nn
    import torch.nn.functional as F
    import torch.backends.cudnn as cudnn
    from torch import optim
    from torch.utils.data import DataLoader, Dataset
    from torchvision import datasets, transforms

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
            self.lu = nn.ReLU()

        def forward(self, x):
            return torch.flatten(F.relu(self.lu(self.conv(x))), 1)

    cudnn.benchmark = True
    cudnn.whatever = 3
    torch.Tensor.show = lambda self: None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.zeros(2, 1, 5, 5, device=device)
    Net().to(device)(x).sum().backward()
    optim.SGD(Net().parameters(), lr=0.1, momentum=0.9).step()
    print(x.shape, np.linalg.svd(x.numpy()), os.path.join("a"), "a b".split(), torch.__version__)
    """
    assert missing(tmp_path, program) == []


def test_names_of_modules(tmp_path):
    program = """
    import torch
    import torch.nothing
    import torch.nn.functional as F
    from torch import nn, nought
    from torch.nn import Conv2d as C, Missing
    from torchvision.nowhere import thing
    from torch.nn import *

    def f(x):
        return F.lacking(x) + torch.nn.functional.absent(x) + torch.fft.rfft2(x)

    y = nn.Gone(C(1, 2, 3))
    late.x
    """
    assert missing(tmp_path, program) == [
        "3: torch.nothing",
        "5: torch.nought",
        "6: torch.nn.Missing",
        "7: torchvision.nowhere",
        "11: torch.fft",
        "11: torch.nn.functional.absent",
        "11: torch.nn.functional.lacking",
        "13: torch.nn.Gone",
    ]


def test_methods_and_keywords(tmp_path):
    program = """
    import torch
    from torch import nn

    x = torch.zeros(3, layout=torch.sparse_coo, device="cpu")
    x.lu(), x.add_(1), torch.Tensor.lu, nn.Module.xpu
    nn.Conv2d(1, 2, 3, colour="red").weight.lu_solve()
    """
    assert missing(tmp_path, program) == [
        "5: torch.sparse_coo",
        "5: torch.zeros(layout=)",
        "6: perhaps .lu",
        "6: torch.Tensor.lu",
        "6: torch.nn.Module.xpu",
        "7: perhaps .lu_solve",
        "7: torch.nn.Conv2d(colour=)",
    ]


def test_what_may_fail_is_not_sure_and_what_is_never_reached_is_nothing(tmp_path):
    program = """
    import torch
    try:
        import torch.nothing
        torch.nought
    except ImportError:
        torch.absent
    try:
        torch.gone
    except ValueError:
        pass
    if torch.cuda.is_available():
        torch.cuda.never()
    else:
        torch.always
    if not torch.cuda.is_available():
        torch.here
    else:
        torch.cuda.never()
    x = torch.cuda.never() if torch.backends.mps.is_available() else torch.there
    """
    assert missing(tmp_path, program) == [
        "4: perhaps torch.nothing",
        "5: perhaps torch.nought",
        "7: torch.absent",
        "9: torch.gone",
        "15: torch.always",
        "17: torch.here",
        "20: torch.there",
    ]


def test_modules_beside_the_program_are_read_too(tmp_path):
    found = missing(
        tmp_path,
        "import parts.net\nfrom helpers import f\nimport torch.nothing\n",
        helpers="from torch import nought\ndef lu(): pass\n",
        parts__net="from .blocks import Block\nfrom . import other\n",
        parts__blocks="import torch\ntorch.gone\nx.lu()\n",
        parts__other="import torch\ntorch.absent\nimport helpers\n",
        unused="import torch.fft\n",
    )
    assert found == [
        "helpers.py:1: torch.nought",
        "parts/blocks.py:2: torch.gone",
        "parts/other.py:2: torch.absent",
        "3: torch.nothing",
    ]


def test_folders(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "train.py").write_text("import net.model\nimport torch\ntorch.fft\n")
    (tmp_path / "net" / "model.py").write_text("import torch\n\n\ntorch.matmul\ntorch.spmm\n")
    (tmp_path / "old.py").write_text("print 'Python 2'\n")
    found = [(Path(name.path).name, name.line, name.name) for name in checking.check([str(tmp_path)])]
    assert found == [("model.py", 5, "torch.spmm"), ("train.py", 3, "torch.fft")]
    # What pip has installed there and what is hidden are no programs of this folder's.
    for place in ("venv/lib", ".git/hooks"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "other.py").write_text("import torch\ntorch.absent\n")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    assert len(checking.check([str(tmp_path)])) == 2
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no Python file"):
        checking.check([str(tmp_path / "none")])
    (tmp_path / "old.py").rename(tmp_path / "none" / "old.py")
    with pytest.raises(ValueError, match=r"none: holds no file that is Python; the last: .*old\.py:1: is no Python"):
        checking.check([str(tmp_path / "none")])


def test_command(tmp_path, capsys):
    good, bad, broken = (tmp_path / f"{name}.py" for name in ("good", "bad", "broken"))
    good.write_text("import torch\ntorch.zeros(3)\n")
    bad.write_text("import torch\ntorch.nought\n")
    broken.write_text("import torch\n)\n")
    assert cli.main(["check", str(good)]) == 0
    assert capsys.readouterr().out == "nothing is missing\n"
    with pytest.raises(SystemExit) as end:
        cli.main(["check", str(good), str(bad)])
    assert end.value.code == 1 and capsys.readouterr().out == f"{bad}:2: torch.nought\n"
    assert cli.main(["check", str(broken)]) == 1 and "broken.py:2: is no Python" in capsys.readouterr().err
    assert cli.main(["check", str(tmp_path / "none.py")]) == 1 and "none.py" in capsys.readouterr().err


def test_the_list_of_methods_is_torchs():
    torch = pytest.importorskip("torch")
    kinds = (torch.Tensor, torch.nn.Module, torch.nn.Parameter)
    names = sorted({name for kind in kinds for name in dir(kind) if not name.startswith("_")})
    text = "\n".join(textwrap.wrap(" ".join(names), 118, break_on_hyphens=False)) + "\n"
    assert METHODS.read_text() == text, "write what stands right of == to that file"


def test_numbers_of_the_program_hide_no_methods(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "_missing_methods", lambda: frozenset(["sum", "topk"]))
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\n"
        "class Meter:\n"
        "    def __init__(self):\n"
        "        self.sum = 0\n"
        "    def update(self, x):\n"
        "        self.sum += x\n"
        "def accuracy(output, topk=1):\n"
        "    m = Meter()\n"
        "    _, found = output.topk(topk)\n"
        "    m.update(found.float().sum(0))\n"
        "    return m.sum\n"
        "accuracy(torch.zeros(3), topk=2)\n"
        "print(torch.sum(torch.zeros(3, 2), axis=1, keepdims=True))\n"
    )
    assert [(missing.line, missing.name) for missing in checking.check([str(program)])] == [(9, ".topk"), (10, ".sum")]


def test_a_module_whose_name_the_program_takes_for_something_else(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\n"
        "optim = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)\n"
        "optim.step()\n"  # its own, for the module is imported further down
        "def f():\n"
        "    optim.step()\n"
        "from torch import optim\n"
        "optim.SGD, optim.step\n"
    )
    found = [(missing.line, missing.sure) for missing in checking.check([str(program)])]
    assert found == [(5, False), (7, False)]
