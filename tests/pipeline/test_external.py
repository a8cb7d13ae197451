"""A stranger's network through every stage: searched, trained, scored, shown, and gone on with after a kill."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from datransnet.foreign_code import code_digest
from tests.datransnet.foreign import write_classes, write_lists
from tests.pipeline.conftest import StudyFolder, tiny_params

pytestmark = [pytest.mark.study, pytest.mark.xdist_group("external")]  # they share a study

LISTS = {
    "call": "net:Net",
    "arguments": {"width": 4},
    "input": {"channels": 3, "multiple": 4},
    "output": {"kind": "probabilities", "main": -1},
}
CLASSES = {"call": "model.net:build", "arguments": {"depth": 2}, "output": {"kind": "classes", "main": "seg"}}


def params(source, declared, field, values):
    """A tiny study of a foreign network whose ``field`` is searched."""
    plain = tiny_params()
    plain["model"] = {"name": "external", "source": str(source), **declared}
    plain["recipe"] |= {"epochs": 2, "normalise": "dataset"}
    plain["tune"] |= {"trials": 3, "epochs": 2, "grace": 1, "points": []}
    plain["tune"]["space"] = {field: {"choice": values}}
    plain["train"] = {"seeds": 1}
    plain["ablate"] = {"seeds": 1, "variants": {"no_sides": {"output": {**declared["output"], "sides": False}}}}
    plain["evaluate"] = {"conventions": ["basicirstd"]}
    return plain


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("external")
    write_lists(folder / "study/theirs")  # named from the project's root
    study = StudyFolder(folder / "study", params("theirs", LISTS, "model.arguments", [{"width": 4}, {"width": 6}]))
    (study.folder / ".dvc").mkdir()
    study.succeed("check", "fetch", "split", "tune", "train", "ablate", "evaluate", "report")
    return study


def test_validate_says_whose_code_runs(study):
    done = study.run("validate")
    assert done.returncode == 0, done.stderr
    assert f"code of {study.folder / 'theirs'} (net:Net)" in done.stdout


def test_it_is_searched_trained_scored_and_shown(study):
    digest = code_digest(study.folder / "theirs")
    tuned = study.tuned()
    assert tuned["best"]["model"]["files"] == digest
    known = json.loads((study.folder / "results/networks.json").read_text(encoding="utf-8"))["files"]
    assert known == {"external": digest}
    evaluation = json.loads((study.folder / "results/evaluation/evaluation.json").read_text(encoding="utf-8"))
    assert {run["variant"] for run in evaluation["runs"]} == {"full", "no_sides"}
    assert "<h1>Net on Synthetic generated</h1>" in (study.folder / "reports/report.html").read_text(encoding="utf-8")
    card = json.loads((study.folder / "models/best/card.json").read_text(encoding="utf-8"))
    assert 0 < card["normalisation"]["mean"] < 1


def test_the_champion_is_served_without_the_checkout(study):
    (study.folder / "theirs").rename(study.folder / "hidden")
    try:
        script = (
            "import mlflow, numpy as np; mlflow.set_tracking_uri('sqlite:///mlruns.db');"
            "found = mlflow.pyfunc.load_model('models:/tiny@champion').predict(np.zeros((1, 40, 32), np.uint8));"
            "print(found['scores'].shape)"
        )
        done = study.python("-c", script)
        out, err = done.communicate()
        assert done.returncode == 0, err
        assert "(1, 40, 32)" in out
    finally:
        (study.folder / "hidden").rename(study.folder / "theirs")


def test_a_checkout_that_has_moved_gives_the_same_runs(study, tmp_path):
    moved = study.copy(tmp_path / "moved")
    shutil.move(moved.folder / "theirs", tmp_path / "elsewhere")
    plain = yaml.safe_load((moved.folder / "params.yaml").read_text(encoding="utf-8"))
    plain["model"]["source"] = str(tmp_path / "elsewhere")
    moved.write(plain)
    before = sorted(path.name for path in (moved.folder / "runs").iterdir() if len(path.name) == 16)
    moved.succeed("evaluate", "tune", "train", "evaluate")  # what was trained where it lay is scored from here
    assert sorted(path.name for path in (moved.folder / "runs").iterdir() if len(path.name) == 16) == before


def test_changed_code_is_another_network(study, tmp_path):
    changed = study.copy(tmp_path / "changed")
    with (changed.folder / "theirs/utils.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    changed.succeed("check", "tune")
    first, second = (each.tuned() for each in (study, changed))
    assert not {trial["key"] for trial in first["trials"]} & {trial["key"] for trial in second["trials"]}
    assert (changed.folder / "results/networks.json").read_bytes() != (
        study.folder / "results/networks.json"
    ).read_bytes()


@pytest.mark.faults
def test_a_killed_training_goes_on(tmp_path):
    from tests.pipeline.test_study import interrupt, records, signal

    plain = params(write_classes(tmp_path / "theirs"), CLASSES, "model.arguments", [{"depth": 1}, {"depth": 2}])
    plain["recipe"]["epochs"] = 60
    whole = StudyFolder(tmp_path / "whole", plain)
    whole.succeed("check", "fetch", "split", "tune")
    stopped = whole.copy(tmp_path / "stopped")
    whole.succeed("train")
    code = interrupt(stopped, "train", signal.SIGKILL)
    stopped.succeed("train")
    assert code in (0, -signal.SIGKILL)
    expected, found = records(whole), records(stopped)
    assert {key: [each["loss"] for each in record["history"]] for key, record in found.items()} == {
        key: [each["loss"] for each in record["history"]] for key, record in expected.items()
    }


def test_a_network_that_fails_is_refused_before_any_work(tmp_path):
    source = write_lists(tmp_path / "theirs")
    study = StudyFolder(tmp_path / "study", params(source, {**LISTS, "input": {}}, "recipe.lr", [1e-3, 1e-2]))
    done = study.run("validate")
    assert done.returncode == 2
    assert "fails on a batch of (2, 1, 64, 64): RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path(study.folder).glob("results/*"))
