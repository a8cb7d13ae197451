"""Near duplicates across the parts of a split."""

from collections import Counter

from datransnet.data.duplicates import groups
from datransnet.data.manifest import Item, Part


def _labels(items: list[Item], alike: list[tuple[str, str]]) -> list[int]:
    """The group of near duplicates that each image is in."""
    places = {item.id: place for place, item in enumerate(items)}
    labels: list[int] = groups(len(items), [(places[a], places[b]) for a, b in alike]).tolist()
    return labels


def group_sizes(items: list[Item], alike: list[tuple[str, str]]) -> Counter[int]:
    """Sizes of the groups of near duplicates, by their labels."""
    return Counter(_labels(items, alike))


def crossing(items: list[Item], alike: list[tuple[str, str]], into: set[Part], of: set[Part]) -> int:
    """How many images of some parts have a near duplicate in others."""
    labels = _labels(items, alike)
    there = {label for item, label in zip(items, labels, strict=True) if item.part in of}
    return sum(label in there for item, label in zip(items, labels, strict=True) if item.part in into)
