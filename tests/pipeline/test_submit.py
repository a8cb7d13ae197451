"""Somebody else's network on a study's leaderboard: score maps and weights, with where they are from."""

import json
import re
import shutil

import numpy as np
import pytest

from tests.pipeline.conftest import StudyFolder

pytestmark = pytest.mark.study


@pytest.fixture
def study(reference, tmp_path):
    return reference["whole"].copy(tmp_path / "study")


def runs_of(study):
    content = json.loads((study.folder / "results/evaluation/evaluation.json").read_text(encoding="utf-8"))
    return [run for run in content["runs"] if run["variant"] == "full"]


def maps_of(study, run, folder):
    """A run's score maps as a stranger would publish them."""
    folder.mkdir()
    with np.load(study.folder / f"runs/{run['key']}/test-logits.npz") as archive:
        for name in archive.files:
            np.save(folder / f"{name}.npy", 1 / (1 + np.exp(-archive[name].astype(np.float64))))
    return folder


def submission(study, name):
    return json.loads((study.folder / f"submissions/{name}/submission.json").read_text(encoding="utf-8"))


def test_score_maps_score_what_the_run_scores_that_they_are_from(study, tmp_path):
    runs = runs_of(study)
    given = [word for n, run in enumerate(runs) for word in ("--scores", str(maps_of(study, run, tmp_path / f"{n}")))]
    done = study.run("submit", ".", "--name", "Theirs 2", *given, "--by", "Somebody", "--selected-on", "test")
    assert done.returncode == 0, done.stderr
    found = submission(study, "Theirs 2")
    assert [entry["counts"] for entry in found["entries"]] == [run["counts"] for run in runs]
    assert (found["by"], found["selected_on"], found["kind"], found["cost"]) == ("Somebody", "test", "scores", None)
    done = study.run("leaderboard", ".", "--out", str(tmp_path / "board"))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "Theirs 2 †" in line]
    assert lines
    assert re.search(rf"\| {len(runs)} ", lines[0])
    assert "chosen on the test part" in done.stdout
    assert study.run("verify").returncode == 0
    # What is stored is what was scored.
    content = found | {"entries": [entry | {"areas": entry["areas"] | {"pixel": 1.0}} for entry in found["entries"]]}
    (study.folder / "submissions/Theirs 2/submission.json").write_text(json.dumps(content), encoding="utf-8")
    done = study.run("verify")
    assert done.returncode == 1
    assert "Theirs 2, training 1 other areas than its scores give" in done.stdout


def test_weights_have_a_cost_and_a_line(study):
    key = runs_of(study)[0]["key"]
    done = study.run("submit", ".", "--name", "Twin", "--weights", "models/best", "--source", "https://example.org")
    assert done.returncode == 0, done.stderr
    found = submission(study, "Twin")
    assert found["kind"] == "weights"
    assert found["seen"] == 0
    assert found["cost"]["parameters"] > 0
    assert found["cost"]["latency"] > 0
    best = json.loads((study.folder / "models/best/card.json").read_text(encoding="utf-8"))["key"]
    own = next(run for run in runs_of(study) if run["key"] == best)
    assert found["entries"][0]["counts"] == own["counts"]
    assert "Twin ‡" in study.run("leaderboard", ".").stdout
    assert key


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--name", "x"], 2, "either --scores or --weights"),
        (["--name", "x", "--scores", "a", "--weights", "b"], 2, "either --scores or --weights"),
        (["--name", "../x", "--weights", "models/best"], 2, "names a folder"),
        (["--name", "x", "--weights", "nowhere"], 3, "no weights at"),
        (["--name", "x", "--scores", "results"], 3, "score map"),
    ],
)
def test_what_cannot_be_submitted_leaves_nothing(study, arguments, code, said):
    done = study.run("submit", ".", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert not list((study.folder / "submissions").glob("*") if (study.folder / "submissions").exists() else [])


def test_weights_that_have_learnt_from_test_images_are_refused(study, tmp_path):
    shutil.copytree(study.folder / "models/best", tmp_path / "leaky")
    card = json.loads((tmp_path / "leaky/card.json").read_text(encoding="utf-8"))
    manifest = json.loads((study.folder / "data/.split/Synthetic/manifest.json").read_text(encoding="utf-8"))
    card["learnt"] = [item["image"] for item in manifest["items"]]
    (tmp_path / "leaky/card.json").write_text(json.dumps(card), encoding="utf-8")
    done = study.run("submit", ".", "--name", "Leaky", "--weights", str(tmp_path / "leaky"))
    assert done.returncode == 3
    assert "has learnt from 5 of the 5 test images" in done.stderr


def test_a_name_is_taken_once(study):
    arguments = ("submit", ".", "--name", "Twin", "--weights", "models/best")
    assert study.run(*arguments).returncode == 0
    before = submission(study, "Twin")
    done = study.run(*arguments)
    assert (done.returncode, "already" in done.stderr) == (2, True)
    assert submission(study, "Twin") == before


def test_other_data_are_not_compared(study):
    assert study.run("submit", ".", "--name", "Twin", "--weights", "models/best").returncode == 0
    path = study.folder / "submissions/Twin/submission.json"
    path.write_text(json.dumps(submission(study, "Twin") | {"data_digest": "0" * 64}), encoding="utf-8")
    done = StudyFolder(study.folder).run("leaderboard", ".")
    assert (done.returncode, "for other images" in done.stderr) == (3, True)
