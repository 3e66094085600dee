"""README and the pages of docs/: what they show runs and prints what they say, links lead somewhere, examples hold."""

import ast
import doctest
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pages
import pytest

import fastconv
from fastconv.app import cli
from fastconv.vision import models

ROOT = pages.ROOT
DOCS = ROOT / "docs"
# Those with something to run in them, but for textbook.md, which test_textbook.py runs.
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
    if path.name != "textbook.md" and pages.BLOCK.search(path.read_text(encoding="utf-8"))
]
NEEDS = {"export": "onnx", "pytorch": "torch"}


@pytest.fixture
def folder(tmp_path):
    """A folder with what pages speak of: photographs, a program, the classes of published networks."""
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for name, bright in (("cat", 60), ("dog", 190)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = (bright + random.integers(-50, 50, (48, 60, 3))).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    shutil.copytree(tmp_path / "photos" / "cat", tmp_path / "new")
    image.fromarray(random.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "program.py").write_text("import torch\n\nprint(torch.ones(2).sum())\n")
    (tmp_path / "home" / "checkpoints").mkdir(parents=True)
    (tmp_path / "home" / "imagenet_classes.txt").write_text("\n".join(f"class {i}" for i in range(1000)))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, folder):
    for module in ("matplotlib", "safetensors", "sklearn", *filter(None, [NEEDS.get(page.stem)])):
        pytest.importorskip(module)
    if page.stem == "overview":
        file = Path(models.SqueezeNet1_1_Weights.DEFAULT.url).name
        fastconv.save(models.squeezenet1_1().state_dict(), folder / "home" / "checkpoints" / file)
    command = [sys.executable, pages.__file__, page]
    if "runs/digits-1" in page.read_text(encoding="utf-8") and page.stem != "tutorial":
        train = [sys.executable, "-m", "fastconv", "train", "--epochs", "1"]
        subprocess.run(train, cwd=folder, env=environment(folder), capture_output=True, check=True)
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(folder):
    path = os.pathsep.join([str(Path(fastconv.__file__).parents[1]), *filter(None, sys.path)])
    return os.environ | {"PYTHONPATH": path, "FASTCONV_HOME": str(folder / "home"), "MPLBACKEND": "agg"}


# ---- links


EVERY_PAGE = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^()\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page):
    """Its headings, as links name them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} in {page.name}"
        assert target.is_relative_to(ROOT), f"{link} in {page.name} leads out of the project"
        assert not anchor or anchor in anchors(target), f"{link} in {page.name}: no such heading"


def test_readme_fits_a_screen_and_a_half_and_opens_with_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(first[1].splitlines()) == 2
    assert len(text.splitlines()) <= 130


# ---- the examples of docstrings


def modules():
    """Every module of the package that has an example in a docstring."""
    package = Path(fastconv.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            yield ".".join(["fastconv", *path.relative_to(package).with_suffix("").parts]).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules()))
def test_examples_of_docstrings(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if name == "fastconv.app.predict":
        pytest.importorskip("sklearn")
        cli.main(["train", "--epochs", "1"])
    module = importlib.import_module(name)
    names = {"fastconv": fastconv, "nn": fastconv.nn, "F": fastconv.nn.functional, "np": np}
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in found:
        fastconv.manual_seed(0)
        runner.run(test)
    assert runner.failures == 0


# ---- the reference


SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", re.MULTILINE | re.DOTALL)


def test_sections_of_docstrings_hold_entries_alone():
    """Of a sentence behind the last parameter the reference would make a parameter of that name."""
    for path in sorted(Path(fastconv.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for title, section in SECTION.findall(ast.get_docstring(node) or ""):
                    sentences = [line for line in section.splitlines() if re.match(r"\S.*\.$", line)]
                    assert title not in ("Parameters", "Attributes") or not sentences, (path.name, sentences)


def test_reference_has_every_public_name(tmp_path):
    specification = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    reference = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(reference)
    reference.write(tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.rst")))
    words = set(re.findall(r"\w+", text))
    listed = [name for _, names in reference.PAGES.values() for name in names if name != "fastconv.Tensor"]
    assert len(listed) == len(set(listed))
    for name in listed:
        if name == "fastconv.pytorch" and importlib.util.find_spec("torch") is None:
            continue
        missing = set(importlib.import_module(name).__all__) - words
        assert not missing, name
