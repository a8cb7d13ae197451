"""The metadata of an exported study by the validators of the formats' own people (`make test-exports`)."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

BIN = ROOT / ".validators" / "bin"
LICENCE = ("--licence", "https://creativecommons.org/licenses/by/4.0/")
pytestmark = [
    pytest.mark.validators,
    pytest.mark.study,
    pytest.mark.skipif(not BIN.exists(), reason="no .validators: make test-exports makes it"),
]


@pytest.fixture(scope="module")
def exported(reference, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    study, out = reference["whole"].copy(folder / "study"), folder / "published"
    shutil.copyfile(ROOT / "dvc.yaml", study.folder / "dvc.yaml")
    done = study.run("export", ".", *LICENCE, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def crate_faults(folder):
    check = Path(__file__).parent / "check_crate.py"
    return subprocess.run([BIN / "python", check, folder], capture_output=True, text=True, check=True).stdout


def test_the_crate_is_a_workflow_run_crate(exported):
    assert crate_faults(exported) == ""


def test_the_validator_finds_what_is_wrong_with_a_crate(exported, tmp_path):
    content = json.loads((exported / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    action = next(entity for entity in content["@graph"] if entity["@type"] == "CreateAction")
    del action["instrument"]
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(content), encoding="utf-8")
    assert "instrument" in crate_faults(tmp_path)


def test_the_data_are_described_in_croissant(exported):
    done = subprocess.run(
        [BIN / "mlcroissant", "validate", "--jsonld", exported / "croissant.json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    script = (
        "import mlcroissant, sys; d = mlcroissant.Dataset(sys.argv[1]); "
        "print(sum(1 for _ in d.records('images')), next(iter(d.records('images'))))"
    )
    done = subprocess.run([BIN / "python", "-c", script, exported / "croissant.json"], capture_output=True, text=True)
    assert done.stdout.startswith("21 "), done.stderr
