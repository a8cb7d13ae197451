"""The metrics as their definitions say it, threshold by threshold, image by image: what our evaluation is held against.

Nothing is shared with ``datransnet.metrics``; components and centroids are scikit-image's, as in released scripts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.measure import label, regionprops

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[Array, Array]


def regions(binary: Array) -> list[tuple[Array, float]]:
    """Centroid and area of each 8-connected component, in raster order."""
    return [(np.array(region.centroid), region.area) for region in regionprops(label(binary, connectivity=2))]


def detect(targets: list[tuple[Array, float]], found: list[tuple[Array, float]]) -> tuple[list[float], list[float]]:
    """Areas of the components that detect a target, and of the others."""
    free, used = list(found), []
    for centroid, _ in targets:
        for index, (place, area) in enumerate(free):
            if np.linalg.norm(place - centroid) < 3:
                used.append(area)
                del free[index]
                break
    return used, [area for _, area in free]


def scaled(scores: Array) -> Array:
    """Scores over their maximum."""
    return scores / scores.max() if scores.max() > 0 else scores


def pd_fa(pairs: Sequence[Pair], convention: str, thresholds: Array) -> tuple[list[float], list[float]]:
    """Pd and Fa at each threshold."""
    return next(iter(pd_fa_each(pairs, [convention], thresholds).values()))


def pd_fa_each(
    pairs: Sequence[Pair], conventions: Sequence[str], thresholds: Array
) -> dict[str, tuple[list[float], list[float]]]:
    """The same for conventions that see the same predictions, so that each is labelled once."""
    targets = [regions(mask > 0) for _, mask in pairs]
    number, pixels = sum(map(len, targets)), sum(mask.size for _, mask in pairs)
    results: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in conventions}
    for threshold in thresholds:
        detected, alarm = dict.fromkeys(conventions, 0), dict.fromkeys(conventions, 0.0)
        for (scores, _), truth in zip(pairs, targets, strict=True):
            shown = scaled(scores) if conventions == ["datransnet"] else scores
            used, unused = detect(truth, regions(shown > float(threshold)))
            for name in conventions:
                detected[name] += len(used)
                alarm[name] += sum(unused if name == "basicirstd" else [area for area in unused if area not in used])
        for name, (pd, fa) in results.items():
            pd.append(detected[name] / number)
            fa.append(alarm[name] / pixels)
    return results


def pixel_roc(pairs: Sequence[Pair], thresholds: Array) -> tuple[list[float], list[float], list[float]]:
    """FPR, TPR and precision at each threshold (at or above), all pixels pooled."""
    fpr, tpr, precision = [], [], []
    for threshold in thresholds:
        hits = [(scores >= float(threshold), mask > 0) for scores, mask in pairs]
        true, false = sum((hit & mask).sum() for hit, mask in hits), sum((hit & ~mask).sum() for hit, mask in hits)
        inside, outside = sum(mask.sum() for _, mask in hits), sum((~mask).sum() for _, mask in hits)
        fpr.append(false / outside)
        tpr.append(true / inside)
        precision.append(true / max(true + false, 1))
    return fpr, tpr, precision


def target_roc(pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    """The DATransNet release's curve: background pixels hit and targets hit, on max-scaled scores."""
    fpr, tpr = [], []
    labels = [label(mask > 0, connectivity=2) for _, mask in pairs]
    for threshold in np.arange(101) / 100:
        outside = false = targets = hit = 0
        for (scores, mask), owner in zip(pairs, labels, strict=True):
            above = scaled(scores) >= float(threshold) if scores.any() else np.zeros(scores.shape, dtype=bool)
            false, outside = false + (above & (mask == 0)).sum(), outside + (mask == 0).sum()
            for index in range(1, owner.max() + 1):
                targets, hit = targets + 1, hit + bool(above[owner == index].any())
        fpr.append(false / outside)
        tpr.append(hit / targets)
    return fpr, tpr


def at_half(pairs: Sequence[Pair]) -> tuple[float, float]:
    """IoU and nIoU at 0.5; images without a target are left out of nIoU."""
    hits = [(scores > 0.5, mask > 0) for scores, mask in pairs]
    inside = [(hit & mask).sum() for hit, mask in hits]
    union = [(hit | mask).sum() for hit, mask in hits]
    each = [a / b for a, b, (_, mask) in zip(inside, union, hits, strict=True) if mask.any()]
    return sum(inside) / sum(union), float(np.mean(each))
