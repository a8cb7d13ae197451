"""Every number of the main table again, from stored scores and masks, by definitions written here and nowhere else.

Nothing of the project is imported: components are scikit-image's, matching, counting and the bootstrap are this file's.
"""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm, t
from skimage.measure import label, regionprops

ROOT = Path(__file__).parents[2]
RESAMPLES = 4000


def count(scores, mask, convention):
    """What one image adds to each sum."""
    plain = scores > 0.5
    scaled = scores / scores.max() > 0.5 if convention == "datransnet" and scores.max() > 0 else plain
    targets, found = regionprops(label(mask, connectivity=2)), regionprops(label(scaled, connectivity=2))
    unused = list(found)
    for target in targets:
        for component in unused:
            if math.dist(target.centroid, component.centroid) < 3:
                unused.remove(component)
                break
    if convention != "basicirstd":
        matched = {component.area for component in found if component not in unused}
        false = [component for component in unused if component.area not in matched]
    else:
        false = unused
    intersection, union = (plain & mask).sum(), (plain | mask).sum()
    return {
        "intersection": intersection,
        "union": union,
        "occupied": bool(targets),
        "image_iou": intersection / union if targets else 0.0,
        "hit": (scaled & mask).sum(),
        "false": (scaled & ~mask).sum(),
        "labelled": mask.sum(),
        "detected": len(found) - len(unused),
        "targets": len(targets),
        "alarm": sum(component.area for component in false),
        "alarms": len(false),
        "pixels": mask.size,
        "images": 1,
    }


METRICS = {
    "iou": lambda s: s["intersection"] / s["union"],
    "niou": lambda s: s["image_iou"] / s["occupied"],
    "f1": lambda s: 2 * s["hit"] / (s["hit"] + s["false"] + s["labelled"]),
    "pd": lambda s: s["detected"] / s["targets"],
    "fa": lambda s: s["alarm"] / s["pixels"],
    "alarms_per_image": lambda s: s["alarms"] / s["images"],
}


def mean_of_seeds(seeds, metric, chosen):
    return float(np.mean([METRICS[metric]({name: column[chosen].sum() for name, column in s.items()}) for s in seeds]))


def interval(seeds, metric):
    """BCa bootstrap over images, those with and without targets apart, at 95 % after the correction for few images."""
    occupied = seeds[0]["occupied"] > 0
    strata = [np.flatnonzero(occupied), np.flatnonzero(~occupied)]
    strata = strata if min(map(len, strata)) > 1 else [np.arange(len(occupied))]
    number, generator = len(occupied), np.random.default_rng(12345)
    estimate = mean_of_seeds(seeds, metric, np.arange(number))
    drawn = np.sort(
        [
            mean_of_seeds(seeds, metric, np.concatenate([generator.choice(part, len(part)) for part in strata]))
            for _ in range(RESAMPLES)
        ]
    )
    below = np.count_nonzero(drawn < estimate) + np.count_nonzero(drawn <= estimate)
    shift = norm.ppf(below / 2 / RESAMPLES)
    above = below_power = 0.0
    for part in strata:
        left_out = [mean_of_seeds(seeds, metric, np.setdiff1d(np.arange(number), [index])) for index in part]
        influence = (len(part) - 1) * (np.mean(left_out) - np.array(left_out))
        above += (influence**3).sum() / len(part) ** 3
        below_power += (influence**2).sum() / len(part) ** 2
    acceleration = above / (6 * below_power**1.5)
    reach = math.sqrt(number / (number - 1)) * t.ppf(0.975, number - 1)
    ends = [norm.cdf(shift + (shift + z) / (1 - acceleration * (shift + z))) for z in (-reach, reach)]
    return np.quantile(drawn, ends)


def recomputed(folder):
    """Metric and interval of the winner, by convention."""
    data = next(path for path in (folder / "data").iterdir() if (path / "manifest.json").is_file())
    ids = [
        item["id"]
        for item in json.loads((data / "manifest.json").read_text(encoding="utf-8"))["items"]
        if item["part"] == "test"
    ]
    masks = [np.array(Image.open(data / f"test/masks/{id_}.png")) > 127 for id_ in ids]
    trained = json.loads((folder / "results/train.json").read_text(encoding="utf-8"))["runs"]
    runs = [run["key"] for run in trained if run["variant"] == "full"]
    found = {}
    for convention in ("basicirstd", "sctransnet", "datransnet"):
        seeds = []
        for key in runs:
            with np.load(folder / f"runs/{key}/test-logits.npz") as stored:
                rows = [
                    count(1 / (1 + np.exp(-stored[id_].astype(float))), mask, convention)
                    for id_, mask in zip(ids, masks, strict=True)
                ]
            seeds.append({name: np.array([row[name] for row in rows]) for name in rows[0]})
        found[convention] = seeds
    return found


def check(folder):
    """Hold the main table against it; returns how many numbers that were."""
    found, checked = recomputed(folder), 0
    with (folder / "reports/tables/main.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "DATransNet"]
    assert rows
    for row in rows:
        seeds = found[row["convention"]]
        assert int(row["seeds"]) == len(seeds)
        for metric, of in METRICS.items():
            values = [of({name: column.sum() for name, column in seed.items()}) for seed in seeds]
            assert float(row[metric]) == pytest.approx(np.mean(values), rel=1e-5, abs=1e-12), metric
            checked += 1
            half_width = row[f"{metric}_seed_half_width"]
            assert bool(half_width) == (len(seeds) >= 3)
            if half_width:
                expected = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
                assert float(half_width) == pytest.approx(expected, rel=1e-5)
                checked += 1
            ends = [row[f"{metric}_image_{end}"] for end in ("low", "high")]
            if all(ends):
                low, high = interval(seeds, metric)
                assert [float(end) for end in ends] == pytest.approx([low, high], abs=0.1 * (high - low)), metric
                checked += 2
    return checked


@pytest.mark.study
def test_every_number_of_the_main_table_again(reference):
    assert check(reference["whole"].folder) == 2 * len(METRICS)


@pytest.mark.finished
def test_every_number_of_the_finished_study_again():
    if not (ROOT / "reports/tables/main.csv").exists() or not (ROOT / "results/train.json").exists():
        pytest.skip("no finished study here: make repro")
    print(check(ROOT), "numbers of the main table recomputed")
