"""The tables of a study's results: the winner and its peers, variants, selection, operating point, search."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.reporting.claims import Difference
from pipeline.reporting.leaks import unseen
from pipeline.reporting.names import winner_name, without_leaks
from pipeline.reporting.statistics import (
    LEAST_IMAGES,
    LEAST_SEEDS,
    Comparison,
    Estimate,
    change_without,
    compare_networks,
    estimates,
    holm,
)
from pipeline.reporting.table import COLUMNS, Numbers, Table, cell, cells, numbers, p_cell
from pipeline.reporting.tuning_curve import tuning_curve
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import Counts, ScoredPeer, ScoredRun, StudyEvaluation
from pipeline.study.handover import Tuned


def counts_of(runs: Sequence[ScoredRun | ScoredPeer], convention: str) -> list[Counts]:
    """The counts of some runs under a convention."""
    return [run.counts[convention] for run in runs]


def change_cell(change: Comparison | Difference) -> str:
    """A change of IoU for people, with its sign and, where there is one, its interval."""
    text = cell(Estimate(change.change, 0, math.nan, change.low, change.high), "iou")
    return text if change.change < 0 else f"+{text}"


def beside(change: Comparison | None, p: float = math.nan) -> tuple[dict[str, str], Numbers]:
    """Cells and numbers of a change of IoU between trained networks; empty for the reference itself."""
    if change is None:
        return {"ΔIoU": "", "p": ""}, {}
    found = {"iou_change": change.change, "iou_change_low": change.low, "iou_change_high": change.high}
    return {"ΔIoU": change_cell(change), "p": p_cell(p)}, {**found, "p": change.p, "p_holm": p}


def main_table(evaluation: StudyEvaluation) -> Table:
    """The winner and its peers under each convention; a peer is compared with the winner's best run by validation.

    Where test images have near duplicates among those that were seen, a second line is without these images.
    """
    full, peers, kept = evaluation.winners, evaluation.peers, unseen(evaluation)
    rows, values = [], []
    for convention in evaluation.conventions:
        counts = counts_of(full, convention)
        lines: list[tuple[str, Sequence[Counts], tuple[dict[str, str], Numbers]]]
        lines = [(winner_name(evaluation), counts, beside(None))]
        if not kept.all():
            without = [{name: np.asarray(column)[kept].tolist() for name, column in seed.items()} for seed in counts]
            lines.append((without_leaks(evaluation), without, beside(change_without(counts, kept, "iou"))))
        changes = _against_best(full, peers, convention)
        lines += [
            (peer.variant, counts_of([peer], convention), change) for peer, change in zip(peers, changes, strict=True)
        ]
        for name, found, (shown, numbered) in lines:
            estimated = estimates(found, list(COLUMNS))
            mark = "" if any(found[0] is peer.counts[convention] for peer in peers) else evaluation.rules.mark
            row = {"model": name, "convention": convention + mark, "seeds": str(len(found))}
            rows.append(row | cells(estimated) | (shown if len(lines) > 1 else {}))
            values.append(
                {"model": name, "convention": convention, "seeds": len(found), **numbers(estimated), **numbered}
            )
    dataset = evaluation.dataset
    note = f"{protocol_note(evaluation)} {_leaks_note(without_leaks(evaluation), kept)}"
    if peers:
        note += (
            " ΔIoU: these score maps against those of the winner's best run by validation [bootstrap interval over "
            "images]; p of the paired permutation test over images, after Holm. It says nothing of training again."
        )
    return Table("main", f"{winner_name(evaluation)} on {dataset.name} {dataset.split}, test part", note, rows, values)


def _leaks_note(name: str, kept: npt.NDArray[np.bool_]) -> str:
    """What the main table says of near duplicates; ``name`` is the line without them."""
    where = "among those that the networks learnt from or were chosen on"
    if kept.all():
        return f"No test image has a near duplicate {where}."
    left = int((~kept).sum())
    return (
        f"{left} of {len(kept)} test images have a near duplicate {where}; {name}: on the {len(kept) - left} "
        "others, ΔIoU against all with its interval over images, paired."
    )


def _against_best(
    full: Sequence[ScoredRun], peers: Sequence[ScoredPeer], convention: str
) -> list[tuple[dict[str, str], Numbers]]:
    """Each peer beside the winner's best run by validation."""
    best = max(full, key=lambda run: run.val_iou)
    changes = [compare_networks(counts_of([best], convention), counts_of([peer], convention), "iou") for peer in peers]
    return [beside(*pair) for pair in zip(changes, holm([change.p for change in changes]), strict=True)]


def cost_table(evaluation: StudyEvaluation, costs: Costs) -> Table:
    """What each variant's network is made of and takes, and what its training took."""
    rows, values = [], []
    for name, runs in evaluation.by_variant().items():
        found = [costs.runs[run.key] for run in runs]
        first, trained = found[0], [cost.training for cost in found if cost.training is not None]
        training = fmean(trained) if trained else math.nan
        row: Numbers = {"variant": name, "parameters": first.parameters, "multiply_adds": first.operations / 2}
        values.append({**row, "latency_ms": first.latency, "training_s": training})
        rows.append(
            {
                "variant": name,
                "parameters": f"{first.parameters:,}",
                "multiply-adds (G)": f"{first.operations / 2e9:.3f}",
                "latency (ms)": f"{first.latency:.1f}",
                "training (min)": "" if math.isnan(training) else f"{training / 60:.1f}",
            }
        )
    note = (
        f"One image of {first.size}², as large as the median test image; latency: median of one forward pass on "
        f"{first.device}, {first.threads} thread(s); training: mean over seeds, as it ran, with whatever ran beside it."
    )
    return Table("cost", "Cost", note, rows, values)


def selection_table(evaluation: StudyEvaluation) -> Table | None:
    """What choosing the epoch on the test part would have gained; None where the test part was not watched."""
    watched = [(run, run.best_on_test) for run in evaluation.winners if run.best_on_test]
    if not watched:
        return None
    convention = evaluation.conventions[0]
    rows, values = [], []
    for run, best in watched:
        iou = run.scores[convention].iou
        rows.append(
            {
                "seed": str(run.seed_number),
                "epoch by validation": str(run.best_epoch),
                "IoU (%)": f"{100 * iou:.2f}",
                "epoch by test †": str(best.epoch),
                "best_on_test † (%)": f"{100 * best.iou:.2f}",
                "gain": f"{100 * (best.iou - iou):+.2f}",
            }
        )
        values.append({"seed": run.seed_number, "epoch": run.best_epoch, "iou": iou, "best_on_test": best.iou})
    note = (
        "† The epoch with the highest IoU on the test part, as the field's released scripts choose it: such a number "
        "is too good by the gain, and nothing here is selected by it."
    )
    return Table("selection", "What choosing the epoch on the test part would gain", note, rows, values)


def search_table(tuned: Tuned, top: int = 10) -> Table:
    """The best trials of the search, by validation IoU."""
    trials = sorted(tuned.trials, key=lambda trial: -trial.best_iou)[:top]
    searched = dict.fromkeys(key for trial in trials for key in trial.point)  # conditions leave some out
    rows = [
        {
            "trial": str(trial.number),
            "state": trial.status + (f" ({trial.reason})" if trial.reason else ""),
            "epochs": str(trial.epochs),
            "validation IoU (%)": f"{100 * trial.best_iou:.2f}",
        }
        | {key: _shown(trial.point.get(key, "")) for key in searched}
        for trial in trials
    ]
    values = [
        {key: getattr(trial, key) for key in ("number", "status", "epochs", "best_iou")} | trial.point
        for trial in trials
    ]
    counts = f"{len(tuned.trials)} trials, {sum(trial.epochs for trial in tuned.trials)} epochs in all"
    return Table("search", "Search, best trials", f"{counts}; chosen by validation IoU only.", rows, values)


def tuning_table(tuned: Tuned) -> Table:
    """What searches of other lengths would find."""
    found = [trial.best_iou for trial in tuned.trials]
    numbers = [2**power for power in range(len(found).bit_length() + 1)]  # up to twice or four times as many
    curve, epochs = tuning_curve(found, numbers), sum(trial.epochs for trial in tuned.trials) / len(found)
    rows, values = [], []
    for number, low, median, high in zip(numbers, curve.low, curve.median, curve.high, strict=True):
        rows.append(
            {
                "trials": str(number),
                "epochs": f"{number * epochs:.0f}",
                "validation IoU (%)": f"{100 * median:.2f} [{100 * low:.2f}, {100 * high:.2f}]",
            }
        )
        values.append({"trials": number, "epochs": number * epochs, "iou": median, "low": low, "high": high})
    more = curve.high[-1] - max(found)
    note = (
        "Median of the best of so many draws from the trials of this search, with a 95 % band that holds all lines at "
        "once whatever their distribution; a trial that was stopped counts with what it had reached. A search that "
        f"learns finds more. {numbers[-1]} trials would find at most {100 * more:.2f} points more than this one has."
    )
    return Table("tuning", "What more trials would find", note, rows, values)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def protocol_note(evaluation: StudyEvaluation) -> str:
    """What every table of results says of its protocol."""
    dataset = evaluation.dataset
    test = dataset.summary["test"]
    note = (
        f"{test['images']} test images with {test['targets']} targets, {test['empty']} without any (they count in Fa "
        "and the pooled pixels only); mean over seeds ± half width of the t interval over seeds (from "
        f"{LEAST_SEEDS} on) [bootstrap interval over images, from {LEAST_IMAGES} on], 95 %; "
    )
    rules = evaluation.rules
    note += f"{rules.mark} epoch selected on the {'test' if rules.mark else 'validation'} part".strip()
    if dataset.excluded:
        note += "; left out: " + ", ".join(f"{id_} ({why})" for id_, why in dataset.excluded.items())
    if dataset.treated:
        note += "; treated: " + ", ".join(f"{id_} ({how})" for id_, how in dataset.treated.items())
    return note + "."
