"""What variants and components change: differences between methods, over seeds and images at once."""

import math
from collections.abc import Mapping, Sequence

from pipeline.reporting.claims import LEAST_TRAININGS, Difference, difference
from pipeline.reporting.result_tables import change_cell, counts_of, protocol_note
from pipeline.reporting.statistics import (
    LEAST_IMAGES,
    Comparison,
    compare_networks,
    estimates,
    gather,
    holm,
)
from pipeline.reporting.table import COLUMNS, Numbers, Table, cells, numbers, p_cell
from pipeline.scoring.evaluation import Counts, StudyEvaluation
from pipeline.study.params import WINNER

Change = tuple[Difference, Comparison]
"""Of two methods, and of their trained networks as they are."""

NOTE = (
    " ΔIoU: {what}, mean over all trainings of each [95 % interval over seeds and images at once]; p: that the methods "
    f"are alike, after Holm for all lines; both from {LEAST_TRAININGS} trainings of each and {LEAST_IMAGES} images on. "
    "p of these networks: paired permutation test over images, after Holm; it speaks of the networks as they are, not "
    "of training them again, and no verdict is made of it."
)


def ablation_table(evaluation: StudyEvaluation) -> Table:
    """Each variant beside the full network, under the first convention."""
    counts, convention = _by_variant(evaluation), evaluation.conventions[0]
    names = [name for name in counts if name != WINNER]
    compared = dict(zip(names, _beside([_change(counts[WINNER], counts[name]) for name in names]), strict=True))
    rows, values = [], []
    for name, found in counts.items():
        estimated = estimates(found, list(COLUMNS))
        shown, numbered = compared.get(name, (dict.fromkeys(CELLS, ""), {}))
        rows.append({"variant": name, "seeds": str(len(found)), **cells(estimated), **shown})
        values.append({"variant": name, "seeds": len(found), **numbers(estimated), **numbered})
    note = protocol_note(evaluation) + NOTE.format(what="variant minus full network")
    return Table("ablation", f"Variants, convention {convention}", note, rows, values)


def components_table(evaluation: StudyEvaluation) -> Table | None:
    """What each component adds: put back into the full network, and put alone into one without any of them."""
    variants = {frozenset(removed): name for name, removed in evaluation.removals.items()}
    everything = max(variants, key=len, default=frozenset[str]())
    if len(everything) < 2:
        return None
    counts = _by_variant(evaluation)
    variants[frozenset()] = WINNER
    pairs = [
        (component, "leave one out", variants[frozenset([component])], WINNER) for component in sorted(everything)
    ] + [
        (component, "add one in", variants[everything], variants[everything - {component}])
        for component in sorted(everything)
    ]
    changes = [_change(counts[without], counts[present]) for _, _, without, present in pairs]
    rows, values = [], []
    for (component, how, without, present), (shown, numbered) in zip(pairs, _beside(changes), strict=True):
        names = {"component": component, "how": how, "without": without, "with": present}
        rows.append({**names, **shown})
        values.append({**names, **numbered})
    note = protocol_note(evaluation) + NOTE.format(what="what the component adds")
    note += (
        " Leave one out: the full network against the one that lacks only it. Add one in: the one that has only it "
        "against the one that has none."
    )
    return Table("components", "What each component adds", note, rows, values)


CELLS = ("ΔIoU", "p", "p of these networks")


def _by_variant(evaluation: StudyEvaluation) -> dict[str, list[Counts]]:
    return {name: counts_of(found, evaluation.conventions[0]) for name, found in evaluation.by_variant().items()}


def _change(first: Sequence[Counts], second: Sequence[Counts]) -> Change:
    shared = min(len(first), len(second))
    found = difference(gather(first, "iou"), gather(second, "iou"))
    return found, compare_networks(first[:shared], second[:shared], "iou")


def _beside(changes: Sequence[Change]) -> list[tuple[Mapping[str, str], Numbers]]:
    """Cells and numbers of changes, whose p values are corrected together."""
    corrected, of_networks = (holm([change[place].p for change in changes]) for place in (0, 1))
    lines: list[tuple[Mapping[str, str], Numbers]] = []
    for (found, networks), p, p_networks in zip(changes, corrected, of_networks, strict=True):
        text = change_cell(found)
        shown = dict(zip(CELLS, (text, p_cell(p), p_cell(p_networks)), strict=True))
        numbered: Numbers = {
            "iou_change": found.change,
            "iou_change_low": found.low,
            "iou_change_high": found.high,
            "p": found.p,
            "p_holm": p,
            "deviation_over_seeds": math.sqrt((found.spread.first + found.spread.second) / 2),
            "deviation_over_images": math.sqrt(found.spread.images),
            "networks_low": networks.low,
            "networks_high": networks.high,
            "networks_p_holm": p_networks,
        }
        lines.append((shown, numbered))
    return lines
