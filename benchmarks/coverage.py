"""Do our intervals and tests keep what they promise? On simulated test parts, where the truth is known.

A simulated image has zero to three targets of log-normal sizes and its own difficulty; some images raise false alarms
whose areas are as skewed as real ones. Coverage: how often the interval of a metric holds its value on two million
images, nominal 95 %. False positives: how often the paired test at 5 % tells two models apart that are alike.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks.network import RESULTS, device_name
from datransnet.metrics import ratios
from pipeline.reporting.statistics import RESAMPLES, Counted, compare_networks, estimates

METRICS = ("iou", "niou", "f1", "pd", "fa")
SIZES = (80, 214)
"""Test parts: the least we make claims of, and about that of SIRST's split 50_50."""

Columns = dict[str, np.ndarray[Any, np.dtype[np.int64]]]


def difficulty(number: int, rng: np.random.Generator) -> tuple[Any, ...]:
    """What two models of the same images share: targets, labelled pixels, chance of detection, chance of an alarm."""
    targets = np.where(rng.random(number) < 0.1, 0, rng.integers(1, 4, number))
    labelled = np.rint(targets * rng.lognormal(3, 0.6, number)).astype(np.int64) + targets
    return targets, labelled, rng.beta(6, 1, number), rng.beta(1, 3, number)


def seen(images: tuple[Any, ...], rng: np.random.Generator) -> Columns:
    """Counts of one model on images."""
    targets, labelled, chance, alarming = images
    number = len(targets)
    detected = rng.binomial(targets, chance)
    hit = np.rint(labelled * rng.beta(8, 3, number) * detected / np.maximum(targets, 1)).astype(np.int64)
    around = np.rint(rng.gamma(2, 4, number) * detected).astype(np.int64)
    alarms = rng.binomial(2, alarming)
    false_alarm = np.where(alarms > 0, np.ceil(rng.gamma(1, 15, number)), 0).astype(np.int64)
    return {
        "intersection": hit,
        "union": labelled + around + false_alarm,
        "labelled": labelled,
        "true_positive": hit,
        "false_positive": around + false_alarm,
        "targets": targets,
        "detected": detected,
        "false_alarm": false_alarm,
        "alarms": alarms,
        "pixels": np.full(number, 256 * 256),
    }


def counted(images: tuple[Any, ...], rng: np.random.Generator) -> Counted:
    """Counts of one model on images as a report reads them, a list for each column."""
    return {name: column.tolist() for name, column in seen(images, rng).items()}


def covered(number: int, truth: dict[str, float], seed: int) -> list[bool]:
    """Whether each metric's interval on one simulated test part holds the truth."""
    rng = np.random.default_rng([0, number, seed])
    found = estimates([counted(difficulty(number, rng), rng)], METRICS)
    return [found[name].low <= truth[name] <= found[name].high for name in METRICS]


def rejected(number: int, seed: int) -> bool:
    """Whether the paired test tells two alike models apart at 5 %."""
    rng = np.random.default_rng([1, number, seed])
    images = difficulty(number, rng)
    return compare_networks([counted(images, rng)], [counted(images, rng)], "iou").p <= 0.05


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=2000, help="simulated test parts of each size")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rng = np.random.default_rng(2)
    truth = {name: float(value) for name, value in ratios(seen(difficulty(2_000_000, rng), rng)).items()}
    coverage, positives = {}, {}
    seeds = range(options.parts)
    with ProcessPoolExecutor(options.workers) as pool:
        for number in SIZES:
            hits = list(pool.map(covered, *zip(*((number, truth, seed) for seed in seeds), strict=True), chunksize=20))
            coverage[number] = dict(zip(METRICS, np.mean(hits, axis=0).tolist(), strict=True))
            found = list(pool.map(rejected, [number] * options.parts, seeds, chunksize=20))
            positives[number] = float(np.mean(found))
            shown = ", ".join(f"{name} {share:.1%}" for name, share in coverage[number].items())
            print(f"{number} images: coverage {shown}; false positives {positives[number]:.2%}", flush=True)
    content = {
        "schema": 1,
        "command": " ".join(["python -m benchmarks.coverage", *sys.argv[1:]]),
        "device": device_name("cpu"),
        "parts": options.parts,
        "resamples": RESAMPLES,
        "coverage": coverage,
        "false_positives": positives,
    }
    path = RESULTS / "coverage-of-intervals.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
