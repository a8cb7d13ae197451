"""Stage fetch says in one line which sources were passed over, and which was used."""

import shutil
from copy import deepcopy

import yaml

from datransnet.data.catalogue import CATALOGUE, Card, Source
from datransnet.data.fetch import pixel_digest
from datransnet.data.layouts import find_layout
from datransnet.data.synthetic import generate
from pipeline import fetch
from pipeline.study.study import Study
from tests.pipeline.conftest import tiny_params


def test_a_source_that_fails_is_told_in_one_line_with_the_one_used(tmp_path, monkeypatch, capsys):
    generate(tmp_path / "toy", {"train": 3, "val": 2, "test": 2}, size=32, seed=1)
    place = tmp_path / "mirror/example.org/second"
    place.parent.mkdir(parents=True)
    shutil.make_archive(str(place), "zip", tmp_path / "toy")
    card = Card(
        "Toy",
        {"generated": {part: f"generated/{part}.txt" for part in ("train", "val", "test")}},
        terms="none",
        citation="none",
        images=7,
        sources=(
            Source("first", "https://example.org/first.zip"),
            Source("second", "https://example.org/second.zip"),
        ),
        pixels=pixel_digest(find_layout(tmp_path / "toy").pairs),
    )
    monkeypatch.setitem(CATALOGUE, "Toy", card)
    monkeypatch.setenv("DATRANSNET_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    params = deepcopy(tiny_params())
    params["data"] = {"dataset": "toy", "split": "generated"}
    (tmp_path / "study").mkdir()
    (tmp_path / "study/params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    study = Study(tmp_path / "study")
    fetch.main(study)
    told = [line for line in capsys.readouterr().out.splitlines() if "example.org" in line]
    assert len(told) == 1
    assert "has no example.org/first.zip. The next source was used: https://example.org/second.zip" in told[0]
    assert pixel_digest(find_layout(study.raw).pairs) == card.pixels
    assert study.raw.name == "toy"  # the folder is called as the parameters call the dataset
