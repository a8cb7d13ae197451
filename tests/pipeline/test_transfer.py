"""Winners on other studies' test parts, and what more trainings could tell: the commands on finished studies."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from datransnet.data.manifest import Manifest

pytestmark = pytest.mark.study


def evaluation(study):
    return json.loads((study.folder / "results/evaluation/evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture
def pair(reference, tmp_path):
    """A finished study, and one like it that calls two of its training images test images."""
    first = reference["whole"].copy(tmp_path / "first")
    second = first.copy(tmp_path / "second")
    params = yaml.safe_load((second.folder / "params.yaml").read_text(encoding="utf-8")) | {"study": "other"}
    second.write(params)
    data = second.folder / "data/.split/Synthetic"
    manifest = Manifest.read(data / "manifest.json")
    moved = manifest.ids("train")[:2]
    for id_ in moved:
        for kind in ("images", "masks"):
            (data / f"trainval/{kind}/{id_}.png").rename(data / f"test/{kind}/{id_}.png")
    items = tuple(replace(item, part="test") if item.id in moved else item for item in manifest.items)
    replace(manifest, items=items).write(data / "manifest.json")
    for stored in second.folder.glob("runs/*/test-logits.npz"):  # of other data; a real run would have another key
        stored.unlink()
    return first, second


def test_winners_are_scored_on_each_others_test_parts_without_what_they_have_seen(pair, tmp_path):
    first, second = pair
    done = first.run("transfer", str(first.folder), str(second.folder), "--out", str(tmp_path / "tables"))
    assert done.returncode == 0, done.stderr
    assert "2 of other for tiny" in done.stdout
    table = pd.read_csv(tmp_path / "tables/transfer.csv")
    usual = table[table["threshold"] == "0.5"].set_index(["trained on", "scored on"])
    assert usual["left out"].to_dict() == {
        ("tiny", "tiny"): 0,
        ("tiny", "other"): 2,
        ("other", "tiny"): 0,
        ("other", "other"): 0,
    }
    at_home = [run["scores"]["basicirstd"]["iou"] for run in evaluation(first)["runs"] if run["variant"] == "full"]
    assert usual.loc[("tiny", "tiny"), "iou"] == pytest.approx(np.mean(at_home), rel=1e-5)
    assert usual.loc[("tiny", "other"), "iou"] == pytest.approx(np.mean(at_home), rel=1e-5)  # the same images are left
    assert usual.loc[("other", "other"), "images"] == 7
    chosen = table[(table["threshold"] != "0.5") & (table["trained on"] == "tiny") & (table["scored on"] == "tiny")]
    points = [run["operating"][0]["scores"]["pd"] for run in evaluation(first)["runs"] if run["variant"] == "full"]
    assert chosen["pd"].tolist() == pytest.approx([np.mean(points)], rel=1e-5)
    page = (tmp_path / "tables/transfer.html").read_text(encoding="utf-8")
    assert page.count("<table") == 3
    assert "2 of other for tiny" in page
    assert "http" not in page.replace("http-equiv", "")
    matrix = (tmp_path / "tables/transfer_iou.md").read_text(encoding="utf-8")
    assert re.search(r"\| trained on\s*\| on tiny\s*\| on other", matrix)


def test_what_cannot_be_transferred_is_told(pair, tmp_path):
    first, second = pair
    assert "at least two studies" in first.run("transfer", str(first.folder), str(first.folder)).stderr
    empty = first.run("transfer", str(first.folder), str(tmp_path))
    assert (empty.returncode, "is no study" in empty.stderr) == (2, True)
    results = second.folder / "results/evaluation/evaluation.json"
    results.write_text(
        results.read_text(encoding="utf-8").replace('"limit": 2e-05', '"limit": 0.001'), encoding="utf-8"
    )
    other = first.run("transfer", str(first.folder), str(second.folder))
    assert (other.returncode, "evaluate.max_fa" in other.stderr) == (2, True)
    results.unlink()
    unfinished = first.run("transfer", str(first.folder), str(second.folder))
    assert (unfinished.returncode, "evaluate" in unfinished.stderr) == (3, True)


def test_power_says_what_more_trainings_could_tell(pair):
    first, _ = pair
    done = first.run("power", "--difference", "50")
    assert done.returncode == 0, done.stderr
    assert re.search(r"50 points of IoU: \d+ trainings of each method tell them in \d+% of cases", done.stdout)
    rows = re.findall(r"^\| (\d+)\D[^|]*\| ([\d.]+) ", done.stdout, re.MULTILINE)
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)
    never = first.run("power", "--difference", "0.0001")
    assert "not told by 200 trainings" in never.stdout
    assert first.run("power", "--difference", "-1").returncode == 2
    (first.folder / "results/evaluation/evaluation.json").unlink()
    assert first.run("power").returncode == 3
