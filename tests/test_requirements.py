"""What `make setup` installs is to be had for every Python that the project names."""

import tomllib
from importlib.metadata import distributions

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pipeline.runs.source import ROOT

PYTHON = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
OLDEST = min(each.version for each in SpecifierSet(PYTHON) if each.operator == ">=") + ".0"


def test_pinned_releases_run_on_the_oldest_python():
    """Python 3.11.7 once pinned a release for 3.11.5 and newer, and Debian 12, which has 3.11.2, installed nothing."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, lines)}
    accepted = {
        f"{each.name} {each.version}": SpecifierSet(each.metadata.get("Requires-Python") or "")
        for each in distributions()
        if canonicalize_name(each.name) in pins and pins[canonicalize_name(each.name)].contains(each.version)
    }
    assert accepted, "this environment has nothing of requirements.txt"
    assert [release for release, pythons in accepted.items() if not pythons.contains(OLDEST)] == []
