"""Which test of two methods keeps its promise? On real trainings that are alike, and on simulated ones.

**Nulls**: the seeds of one network of the default study are split at random into two "methods" of k seeds; a test at
5 % should tell them apart in 5 % of the draws. **Coverage**: how often the interval of a difference holds the true one
on simulated seeds × images. **Power**: how often a true difference is told, beside what `pipeline.reporting.power`
predicts.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.network import RESULTS, device_name
from pipeline.reporting.claims import Spread, difference, per_image
from pipeline.reporting.power import power
from pipeline.reporting.statistics import Terms

Values = npt.NDArray[np.float64]
Test = Callable[[Terms, Terms, np.random.Generator], float]
"""Makes the p value of two methods."""

SEEDS = (1, 2, 3, 4, 5, 8, 10)
RATIOS = (0.25, 1.0, 4.0)
"""Variance over seeds over variance over images, of a difference of one seed each."""
RESAMPLES = 1000
IMAGES = 96


def permute_images(first: Terms, second: Terms, rng: np.random.Generator) -> float:
    """The test of trained networks: exchange the two methods' counts image by image."""
    swap = rng.random((RESAMPLES, first[0].shape[1])) < 0.5
    above, below = ((swap @ (b - a).T, a.sum(axis=1), b.sum(axis=1)) for a, b in zip(first, second, strict=True))
    one = (above[1] + above[0]) / (below[1] + below[0])
    other = (above[2] - above[0]) / (below[2] - below[0])
    seen = abs((above[2] / below[2]).mean() - (above[1] / below[1]).mean())
    found = np.abs(other.mean(axis=1) - one.mean(axis=1))
    return float((1 + (found >= seen - 1e-12).sum()) / (1 + RESAMPLES))


def permute_seeds(first: Terms, second: Terms, rng: np.random.Generator) -> float:
    """Exchange seeds between methods, images as they are; all ways where there are few."""
    ratios = np.concatenate([above.sum(axis=1) / below.sum(axis=1) for above, below in (first, second)])
    number, half = len(ratios), len(first[0])
    if math.comb(number, half) <= 10 * RESAMPLES:
        chosen = np.array(list(combinations(range(number), half)))
    else:
        chosen = np.argsort(rng.random((RESAMPLES, number)), axis=1)[:, :half]
    of_one = ratios[chosen].mean(axis=1)
    found = np.abs((ratios.sum() - half * of_one) / (number - half) - of_one)
    seen = abs(ratios[half:].mean() - ratios[:half].mean())
    return float((found >= seen - 1e-12).mean())


def two_level_bootstrap(first: Terms, second: Terms, rng: np.random.Generator) -> float:
    """Draw seeds of each method and images, both with replacement; twice the smaller share on one side of no change."""
    number, changes = first[0].shape[1], np.empty(RESAMPLES)
    for turn in range(RESAMPLES):
        index, means = rng.integers(number, size=number), []
        for above, below in (first, second):
            rows = rng.integers(len(above), size=len(above))
            means.append((above[np.ix_(rows, index)].sum(axis=1) / below[np.ix_(rows, index)].sum(axis=1)).mean())
        changes[turn] = means[1] - means[0]
    return float(min(1.0, 2 * min((changes <= 0).mean(), (changes >= 0).mean())))


def welch(first: Terms, second: Terms, _: np.random.Generator) -> float:
    """Welch's t test over seeds, images as they are."""
    one, other = (above.sum(axis=1) / below.sum(axis=1) for above, below in (first, second))
    return float(stats.ttest_ind(one, other, equal_var=False).pvalue) if len(one) > 1 else math.nan


def crossed(first: Terms, second: Terms, _: np.random.Generator) -> float:
    """The product's own test."""
    return difference(first, second).p


TESTS: dict[str, tuple[Test, int]] = {  # and the share of draws that it is tried on: some are slow
    "images permuted (trained networks)": (permute_images, 1),
    "seeds permuted": (permute_seeds, 1),
    "two-level bootstrap": (two_level_bootstrap, 10),
    "Welch over seeds": (welch, 1),
    "seeds x images (ours)": (crossed, 1),
}


def nulls(terms: Terms, draws: int) -> dict[str, dict[str, float]]:
    """Share of draws in which each test at 5 % tells two halves of alike trainings apart, by seeds of each."""
    found: dict[str, dict[str, float]] = {}
    for name, (test, part) in TESTS.items():
        found[name] = {}
        for seeds in SEEDS:
            rng, wrong = np.random.default_rng([seeds, 7]), []
            for _ in range(draws // part):
                order = rng.permutation(len(terms[0]))[: 2 * seeds]
                halves = [(terms[0][rows], terms[1][rows]) for rows in (order[:seeds], order[seeds:])]
                wrong.append(test(halves[0], halves[1], rng))
            if not np.isnan(wrong).all():
                found[name][str(seeds)] = float((np.array(wrong) <= 0.05).mean())
        print(name, {seeds: f"{share:.1%}" for seeds, share in found[name].items()}, flush=True)
    return found


def simulated(change: float, seeds: int, of_seeds: float, rng: np.random.Generator) -> tuple[Terms, Terms]:
    """Two methods on the same images: each value is method + seed + image + method × image + rest, pooled by areas.

    Areas, and what images have in common and apart, are as skewed as real ones; what the methods do not share has a
    variance of 1e-4 over images, and ``of_seeds`` times that over seeds.
    """
    areas = rng.lognormal(3.5, 0.5, IMAGES)
    weight = IMAGES / areas.sum() * areas
    scale = np.sqrt(IMAGES / (weight**2).sum())  # so that pooling by areas keeps the variance of a mean
    common = rng.gamma(2, 0.1, IMAGES)
    methods = []
    for level in (0.5, 0.5 + change):
        apart = scale * np.sqrt(IMAGES * 1e-4 / 2) * (rng.gamma(2, 1, IMAGES) - 2) / np.sqrt(2)
        seed = np.sqrt(of_seeds * 1e-4 / 2) * rng.normal(size=(seeds, 1))
        rest = 0.1 * scale * rng.normal(size=(seeds, IMAGES))
        values = level + common + apart + seed + rest
        methods.append((values * areas, np.broadcast_to(areas, values.shape)))
    return methods[0], methods[1]


def truth(of_seeds: float) -> Spread:
    """The spread that `simulated` draws from."""
    mine = of_seeds * 1e-4 / 2 + 0.01 / IMAGES
    return Spread(mine, mine, 1e-4)


def simulated_nulls(draws: int) -> dict[str, dict[str, float]]:
    """The same of simulated methods that are alike, and differ on other images: most of their spread is over images."""
    found: dict[str, dict[str, float]] = {}
    for name, (test, part) in TESTS.items():
        found[name] = {}
        for seeds in (3, 5):
            rng = np.random.default_rng([seeds, 8])
            wrong = [test(*simulated(0.0, seeds, 0.25, rng), rng) <= 0.05 for _ in range(draws // part)]
            found[name][str(seeds)] = float(np.mean(wrong))
        print(name, found[name], flush=True)
    return found


def coverage(parts: int) -> dict[str, float]:
    """Share of intervals of a difference that hold the true one."""
    found = {}
    for of_seeds in RATIOS:
        for seeds in (3, 5, 10):
            rng, hits = np.random.default_rng([seeds, int(100 * of_seeds)]), []
            for _ in range(parts):
                each = difference(*simulated(0.01, seeds, of_seeds, rng))
                hits.append(each.low <= 0.01 <= each.high)
            found[f"{seeds} seeds, ratio {of_seeds}"] = float(np.mean(hits))
    print(found, flush=True)
    return found


def powers(parts: int) -> dict[str, dict[str, float]]:
    """Share of differences that are told, beside what is predicted."""
    found = {}
    for of_seeds in RATIOS:
        for seeds in (3, 5, 10):
            change = 3 * math.sqrt(1e-4 * (1 + of_seeds / seeds))
            rng = np.random.default_rng([seeds, int(100 * of_seeds), 1])
            told = [difference(*simulated(change, seeds, of_seeds, rng)).p <= 0.05 for _ in range(parts)]
            predicted = power(change, truth(of_seeds), seeds, IMAGES)
            found[f"{seeds} seeds, ratio {of_seeds}"] = {"told": float(np.mean(told)), "predicted": predicted}
    print(found, flush=True)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=Path, help="npz with intersection and union, seeds × images each")
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    content = {
        "schema": 1,
        "command": " ".join(["python -m benchmarks.claims", *sys.argv[1:]]),
        "device": device_name("cpu"),
        "draws": options.draws,
        "images": IMAGES,
        "coverage": coverage(options.draws),
        "power": powers(options.draws),
        "false_positives_simulated": simulated_nulls(options.draws),
    }
    if options.trainings:
        with np.load(options.trainings) as archive:
            terms = archive["intersection"].astype(np.float64), archive["union"].astype(np.float64)
        values = per_image(*terms).mean(axis=1)
        content["trainings"] = {"seeds": len(values), "images": terms[0].shape[1]}
        content["trainings"] |= {"iou": float(values.mean()), "deviation": float(values.std(ddof=1))}
        content["false_positives"] = nulls(terms, options.draws)
    path = RESULTS / "claims.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
