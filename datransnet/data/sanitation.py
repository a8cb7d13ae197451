"""What a dataset is made of and what is wrong with it, found while it is split and shown in the report."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from datransnet.data.duplicates import Thumbnail, near_duplicates, thumbnail
from datransnet.data.manifest import Item, Part
from datransnet.data.oddities import Oddities
from datransnet.data.pairs import Pair

QUANTILES = (0, 0.25, 0.5, 0.75, 1)


@dataclass
class Examination:
    """Facts gathered image by image."""

    modes: Counter[str] = field(default_factory=Counter)
    grey: list[str] = field(default_factory=list)
    mismatched: dict[str, str] = field(default_factory=dict)
    thumbnails: dict[str, Thumbnail] = field(default_factory=dict)
    areas: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def add(self, id_: str, pair: Pair, areas: npt.NDArray[np.int64]) -> None:
        """Note an image that is used, and the pixels of each of its targets."""
        self.modes[pair.mode] += 1
        self.thumbnails[id_] = thumbnail(pair.image)
        self.areas[id_] = areas.tolist()
        self.levels[id_] = np.array(Image.fromarray(pair.image).histogram())  # a fifth of bincount's time
        if pair.grey:
            self.grey.append(id_)

    def alike(self) -> list[tuple[str, str]]:
        """Pairs of ids that are near duplicates."""
        ids = list(self.thumbnails)
        return [(ids[a], ids[b]) for a, b in near_duplicates(list(self.thumbnails.values()))] if ids else []

    def summary(self, items: list[Item], oddities: Oddities) -> dict[str, Any]:
        """Everything as plain values for JSON.

        Keys: ``images``; ``modes`` and ``sixteen_bit`` (counts); ``grey_masks`` and ``empty_masks`` (counts);
        ``oddities`` (what is odd → number of files); ``mismatched`` (id → fault); ``duplicates`` (groups of equal
        images) and ``near_duplicates`` (pairs), each with the part of every id; ``targets_per_image`` (number →
        images); ``target_pixels``, ``heights`` and ``widths`` (five quantiles); ``intensity`` (mean, standard deviation
        and five quantiles of the training part).
        """
        parts: dict[str, Part] = {item.id: item.part for item in items}
        equal: dict[str, list[str]] = defaultdict(list)
        for item in items:
            equal[item.image].append(item.id)
        every_area = [area for item in items for area in self.areas[item.id]]
        return {
            "images": len(items),
            "modes": dict(self.modes.most_common()),
            "sixteen_bit": sum(number for mode, number in self.modes.items() if mode.startswith("I")),
            "grey_masks": len(self.grey),
            "empty_masks": sum(not self.areas[item.id] for item in items),
            "oddities": oddities.counts(),
            "mismatched": self.mismatched,
            "duplicates": [[(id_, parts[id_]) for id_ in ids] for ids in equal.values() if len(ids) > 1],
            "near_duplicates": [[(id_, parts[id_]) for id_ in pair] for pair in self.alike()],
            "targets_per_image": dict(sorted(Counter(item.targets for item in items).items())),
            "target_pixels": _quantiles(every_area),
            "heights": _quantiles([item.height for item in items]),
            "widths": _quantiles([item.width for item in items]),
            "intensity": self._intensity(parts),
        }

    def _intensity(self, parts: Mapping[str, Part]) -> dict[str, float | list[float]]:
        """Grey levels of the training part."""
        seen = [self.levels[id_] for id_, part in parts.items() if part == "train"]
        counts = sum(seen, np.zeros(256, dtype=np.int64))
        if not counts.sum():
            return {}
        levels = np.arange(256)
        mean = float(np.average(levels, weights=counts))
        deviation = float(np.average((levels - mean) ** 2, weights=counts)) ** 0.5
        along = np.cumsum(counts) / counts.sum()
        quantiles = [float(np.searchsorted(along, max(q, 1e-12))) for q in QUANTILES]
        return {"mean": round(mean, 3), "deviation": round(deviation, 3), "quantiles": quantiles}


def _quantiles(values: list[int]) -> list[float]:
    return [float(value) for value in np.quantile(values, QUANTILES)] if values else []
