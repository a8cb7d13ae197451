"""``make bench``: a whole evaluation (three conventions, all curves) against a transcription of the definitions.

On synthetic scenes of the size SIRST's images have, scored by a local-contrast filter: like a middling detector it is
unsure of much of the background, which is the slow case. Both sides see the same maps and must find the same numbers.
"""

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks import transcription
from benchmarks.network import RESULTS, device_name, short
from datransnet.data.synthetic import scene
from datransnet.metrics import CONVENTIONS, evaluate, summarise

Pair = tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.bool_]]]


def scored_scenes(number: int, size: int) -> list[Pair]:
    """Score maps (multiples of 1/65535) and masks."""
    pairs = []
    for index in range(number):
        image, mask, _ = scene(0, index, size)
        bright = ndimage.gaussian_filter(image.astype(float), 1) - ndimage.gaussian_filter(image.astype(float), 4)
        scores = 1 / (1 + np.exp(8 - 2 * bright / bright.std()))
        pairs.append(((np.rint(scores * 65535) / 65535).astype(np.float32), mask > 0))
    return pairs


def transcribed(pairs: list[Pair], thresholds: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Every number by the definitions."""
    return {
        "iou": transcription.at_half(pairs)[0],
        "pd_fa": {
            **transcription.pd_fa_each(pairs, ["basicirstd", "sctransnet"], thresholds),
            **transcription.pd_fa_each(pairs, ["datransnet"], thresholds),
        },
        "pixel": transcription.pixel_roc(pairs, thresholds),
        "target": transcription.target_roc(pairs),
    }


def main() -> None:
    """Measure, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=214)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--thresholds", type=int, default=101)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--times", type=int, default=5, help="runs of ours a median is taken of")
    options = parser.parse_args()
    pairs = scored_scenes(options.images, options.size)
    thresholds = np.arange(options.thresholds) / (options.thresholds - 1)
    seconds = []
    for _ in range(options.times):
        started = time.perf_counter()
        ours = evaluate(pairs, list(CONVENTIONS), thresholds, workers=options.workers)
        curves, scores = ours.curves, {name: summarise(columns) for name, columns in ours.counts.items()}
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    theirs = transcribed(pairs, thresholds)
    transcription_seconds = time.perf_counter() - started
    for name, (pd, fa) in theirs["pd_fa"].items():
        found = curves.pd_fa[name]
        assert np.allclose(found.y[::-1], pd, atol=1e-12), name
        assert np.allclose(found.x[::-1], fa, atol=1e-12), name
    assert np.allclose(curves.target.x[::-1], theirs["target"][0], atol=1e-12)
    assert np.allclose(curves.target.y[::-1], theirs["target"][1], atol=1e-12)
    assert np.isclose(scores["basicirstd"].iou, theirs["iou"], atol=1e-12)
    ours_seconds = float(np.median(seconds))
    print(f"{options.images} images of {options.size}², {options.thresholds} thresholds, equal results:", end=" ")
    print(f"transcription {transcription_seconds:.1f} s, ours {ours_seconds:.2f} s", end=" ")
    print(f"({transcription_seconds / ours_seconds:.0f}×)")
    content = {
        "schema": 1,
        "device": device_name("cpu"),
        "command": " ".join(["python -m benchmarks.evaluation", *sys.argv[1:]]),
        "transcription_seconds": transcription_seconds,
        "seconds": seconds,
    }
    path = RESULTS / f"evaluation-{short(device_name('cpu'))}-{options.thresholds}-thresholds.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
