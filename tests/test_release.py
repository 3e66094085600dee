"""What a release says of itself, in several places, is the same everywhere."""

import re
import tomllib
from pathlib import Path

import fastconv

ROOT = Path(__file__).resolve().parent.parent


def test_versions_agree():
    """The package, the citation, and the newest section of the changelog but for what is unreleased."""
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation[1] == fastconv.__version__
    sections = re.findall(r"^## (\S+)(?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    for version, day in sections[1:]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), version
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", day), day
    assert sections[1][0] == fastconv.__version__
    day = re.search(r"^date-released: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert sections[1][1] == day[1]


def test_pythons_agree():
    """Classifiers, and the wheels that are built, begin with the oldest Python that is admitted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lowest = project["project"]["requires-python"].removeprefix(">=")
    named = [text.rpartition(" :: ")[2] for text in project["project"]["classifiers"] if " :: Python :: 3." in text]
    assert named[0] == lowest
    built = project["tool"]["cibuildwheel"]["build"].split()
    assert [f"cp{version.replace('.', '')}-*" for version in named] == [text for text in built if "t-" not in text]
