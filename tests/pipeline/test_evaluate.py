"""What evaluate measures beyond metrics, and runs compared by command."""

import json

import numpy as np
import pytest
from scipy.special import expit

from datransnet.data.dataset import load_part
from datransnet.metrics import CONVENTIONS, count, logit_thresholds
from tests.pipeline.conftest import tiny_params

pytestmark = pytest.mark.study


def evaluation(study):
    return json.loads((study.folder / "results/evaluation/evaluation.json").read_text(encoding="utf-8"))


def stored(study, key, part, ids):
    with np.load(study.folder / f"runs/{key}/{part}-logits.npz") as archive:
        return [expit(archive[id_].astype(float)) for id_ in ids]


def test_the_operating_point_is_chosen_on_the_validation_part(reference, tmp_path):
    """From stored scores that have a choice, which a network of six epochs has not."""
    study = reference["whole"].copy(tmp_path / "study")
    study.write(tiny_params() | {"evaluate": {"conventions": ["basicirstd"], "max_fa": 2e-3}})
    validation, rng = load_part(study.folder / "data/Synthetic", "val"), np.random.default_rng(0)
    winners = [run for run in evaluation(study)["runs"] if run["variant"] == "full"]
    for run in winners:
        means = (np.where(mask, 4, -6) for mask in validation.masks)
        logits = {id_: rng.normal(mean, 3).astype(np.float16) for id_, mean in zip(validation.ids, means, strict=True)}
        np.savez(study.folder / f"runs/{run['key']}/val-logits.npz", **logits)
    study.succeed("evaluate")
    thresholds = set()
    for run in [run for run in evaluation(study)["runs"] if run["variant"] == "full"]:
        maps, allowed = stored(study, run["key"], "val", validation.ids), {}
        for level in logit_thresholds():
            pairs = zip(maps, validation.masks, strict=True)
            counts = [count(scores, mask, CONVENTIONS["basicirstd"], level) for scores, mask in pairs]
            if sum(c.false_alarm for c in counts) <= 2e-3 * sum(c.pixels for c in counts):
                allowed[level] = sum(c.detected for c in counts)
        best = max(allowed.values())
        assert best > 0
        thresholds.add(run["operating"][0]["threshold"])
        assert run["operating"][0]["threshold"] == max(level for level in allowed if allowed[level] == best)
    assert len(thresholds) > 1


def test_the_latency_is_that_of_the_memory_format_in_which_a_network_predicts(reference):
    costs = json.loads((reference["whole"].folder / "results/cost.json").read_text(encoding="utf-8"))
    assert costs["runs"]
    for cost in costs["runs"].values():
        assert set(cost["memory_formats"]) == {"as_built", "channels_last"}
        assert cost["latency"] == cost["memory_formats"]["channels_last"] > 0


def test_best_on_test_is_measured_for_the_winner_and_nowhere_else(reference):
    study = reference["whole"]
    for run in evaluation(study)["runs"]:
        record = json.loads((study.folder / f"runs/{run['key']}/record.json").read_text(encoding="utf-8"))
        watched = [epoch["watched_iou"] for epoch in record["history"] if "watched_iou" in epoch]
        if run["stage"] == "ablate":
            assert run["best_on_test"] is None
            assert not watched
            continue
        assert run["best_on_test"]["iou"] == max(watched)
        chosen = record["history"][run["best_epoch"] - 1]["watched_iou"]  # logits are stored with 11 bits
        assert chosen == pytest.approx(run["scores"]["basicirstd"]["iou"], abs=1e-3)
    trials = study.tuned()["trials"]
    for trial in trials:
        text = (study.folder / f"runs/{trial['key']}/record.json").read_text(encoding="utf-8")
        assert "watched_iou" not in text


@pytest.fixture
def peer(reference, tmp_path):
    """A study, and score maps of its first run as a stranger would publish them."""
    study = reference["whole"].copy(tmp_path / "study")
    content = evaluation(study)
    folder = tmp_path / "theirs"
    folder.mkdir()
    for id_, scores in zip(
        content["ids"], stored(study, content["runs"][0]["key"], "test", content["ids"]), strict=True
    ):
        np.save(folder / f"{id_}.npy", scores)
    params = tiny_params()
    params["evaluate"]["peers"] = {"Theirs": str(folder)}
    study.write(params)
    return study, folder


def test_a_peer_is_scored_as_its_network_is(peer):
    study, _ = peer
    study.succeed("evaluate", "report")
    content = evaluation(study)
    (theirs,) = content["peers"]
    assert theirs["scores"] == content["runs"][0]["scores"]
    assert theirs["areas"] == content["runs"][0]["areas"]
    assert "Theirs" in (study.folder / "reports/tables/main.md").read_text(encoding="utf-8")


def test_a_peer_that_does_not_fit_leaves_the_earlier_evaluation(peer):
    study, folder = peer
    gone, other, *_ = sorted(folder.iterdir())
    gone.rename(folder / "stranger.npy")
    np.save(other, np.zeros((3, 4)))
    before = evaluation(study)
    done = study.run("evaluate")
    assert done.returncode == 3
    for words in (f"no score map: {gone.stem}", f"{other.stem} (4×3", "no mask: stranger"):
        assert words in done.stderr
    assert evaluation(study) == before


def test_runs_are_compared(reference):
    study = reference["whole"]
    runs = evaluation(study)["runs"]
    full, plain = runs[0]["key"], next(run["key"] for run in runs if run["variant"] == "plain")
    done = study.run("compare", full, plain[:8])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (gradient,) = [line for line in lines if "model.gradient" in line]
    assert [cell.strip() for cell in gradient.split("|")[2:4]] == ["difference", "plain"]
    assert not [line for line in lines if "recipe.lr" in line]
    for run in (runs[0], next(run for run in runs if run["key"] == plain)):
        iou = f"{100 * run['scores']['basicirstd']['iou']:.2f}"
        assert [line for line in lines if run["key"] in line and "basicirstd" in line and iou in line]


def test_runs_that_cannot_be_compared_are_told(reference, tmp_path):
    study = reference["whole"].copy(tmp_path / "study")
    key = evaluation(study)["runs"][0]["key"]
    for arguments, words in (
        ((key,), "two runs"),
        ((key, "nothing"), "no run 'nothing'"),
        ((key, ""), "begins 8 runs"),
    ):
        refused = study.run("compare", *arguments)
        assert refused.returncode == 2
        assert words in refused.stderr
    record = study.folder / f"runs/{key}/record.json"
    record.write_text(
        json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"status": "failed"}), encoding="utf-8"
    )
    refused = study.run("compare", key, key)
    assert refused.returncode == 2
    assert "is failed" in refused.stderr
