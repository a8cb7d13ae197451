"""Stage evaluate: every trained run on the test part, from stored scores, under every convention, with curves."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datransnet.atomic import atomic_path
from datransnet.data.dataset import Images, load_part
from datransnet.data.manifest import Part
from datransnet.data.score_maps import find_predictions, read_scores
from datransnet.data.splits import SANITATION
from datransnet.metrics.counts import Scores
from pipeline.console import Progress, Row
from pipeline.runs.cost import cost, latency
from pipeline.runs.record import RunFolder
from pipeline.scoring.classical import method_latency, method_scores, side_of
from pipeline.scoring.costs import Costs, RunCost
from pipeline.scoring.evaluation import BestOnTest, Dataset, ScoredPeer, ScoredRun, StudyEvaluation
from pipeline.scoring.examples import write_examples, write_targets
from pipeline.scoring.score_run import operating_points, scored
from pipeline.scoring.trained import Trained, all_trained
from pipeline.study.digest import digest_of
from pipeline.study.handover import Tuned, read_searches, write_result
from pipeline.study.params import WINNER
from pipeline.study.status import Status
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.tracker import Tracker


def main(study: Study) -> None:
    """Run the stage."""
    params, manifest = study.params, study.manifest
    trained = all_trained(study)
    selecting = params.rules.selects_on
    test, selection = load_part(study.data, "test"), load_part(study.data, selecting)
    keys = [each.result.key for each in trained]
    identity = digest_of([keys, params.evaluate.model_dump(), manifest.digest])
    with StageRun(Tracker.of(study), "evaluate", identity, params.digestible) as parent:
        with atomic_path(study.results / "evaluation") as partial, Progress("evaluate", len(trained)) as progress:
            (partial / "curves").mkdir(parents=True)
            results = []
            for index, each in enumerate(trained):
                rows = [Row(done.result.variant, Status.DONE, 1, 1, done.result.val_iou) for done in trained[:index]]
                progress.update([*rows, Row(each.result.variant, Status.RUNNING, 0, 1, 0.0)])
                results.append(_evaluate(each, test, (selecting, selection), partial / "curves"))
            winners = [pair for pair in zip(trained, results, strict=True) if pair[1].variant == WINNER]
            others = {name: method_scores(study, name, test) for name in params.evaluate.methods}
            others |= {name: _peer_scores(study, name, test) for name in params.evaluate.peers}
            write_targets([each for each, _ in winners], test, partial / "targets.csv")
            write_examples(*max(winners, key=lambda pair: pair[1].val_iou), test, partial / "examples.npz")
            evaluation = StudyEvaluation(
                dataset=_dataset(study),
                protocol=params.protocol,
                ids=list(test.ids),
                runs=results,
                removals=params.ablate.removals(),
                peers=[_peer(study, name, maps, test, partial / "curves") for name, maps in others.items()],
            )
            write_result(partial / "evaluation.json", evaluation)
        costs = Costs(
            runs={each.result.key: _cost(each, side_of(test)) for each in trained},
            searches={name: _seconds(study, tuned) for name, tuned in read_searches(study).networks.items()},
            methods={name: method_latency(study, name, test) for name in params.evaluate.methods},
        )
        write_result(study.results / "cost.json", costs)
        for result in results:
            parent.results[result.key] = _test_metrics(result, params.evaluate.conventions[0], costs.runs[result.key])
        found = [parent.results[result.key] for result in evaluation.winners]
        parent.metrics = {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}


def _test_metrics(result: ScoredRun, convention: str, cost: RunCost) -> dict[str, float]:
    """What MLflow shows of a run's test part, and what it costs."""
    scores = result.scores[convention]
    found = {f"test_{name}": getattr(scores, name) for name in ("iou", "niou", "pd", "fa", "f1")}
    return found | {"parameters": cost.parameters, "operations": cost.operations, "latency": cost.latency}


def _dataset(study: Study) -> Dataset:
    """What the report says of the data."""
    manifest = study.manifest
    return Dataset(
        name=manifest.dataset,
        split=manifest.split,
        digest=manifest.digest,
        summary=manifest.summary(),
        excluded=manifest.excluded,
        treated=manifest.treated,
        remarks=list(manifest.remarks),
        sanitation=json.loads((study.data / SANITATION).read_text(encoding="utf-8")),
    )


def _evaluate(trained: Trained, test: Images, selection: tuple[Part, Images], curves: Path) -> ScoredRun:
    """What is kept of one run; the winner's operating points are chosen on the part that selects."""
    params, result = trained.study.params, trained.result
    first = params.evaluate.conventions[0]
    maps = trained.scores("test", test)
    measured, found = scored(maps, test, params.evaluate.conventions, params.resources.cpus)
    found.write(curves / f"{result.key}.csv")
    operating = []
    if result.variant == WINNER:
        choosing = trained.scores(*selection), selection[1]
        operating = operating_points(choosing, (maps, test), first, params.evaluate.budgets)
    return ScoredRun(
        key=result.key,
        network=result.network,
        variant=result.variant,
        stage=trained.stage,
        seed=result.run.seed,
        seed_number=result.seed_number,
        model=result.run.model,
        val_iou=result.val_iou,
        best_epoch=result.best_epoch,
        best_on_test=_best_on_test(result.history),
        counts=measured.counts,
        scores=measured.scores,
        hierarchical=measured.hierarchical,
        areas=measured.areas,
        calibration=measured.calibration,
        operating=operating,
    )


def _cost(trained: Trained, side: int) -> RunCost:
    """What a run took, and its network takes for an image of ``side`` pixels squared."""
    study, run = trained.study, trained.run
    record = RunFolder(study.runs, run.key).read()
    network, measured = cost(run, side), latency(run, study.runs, study.params.resources.here, side)
    return RunCost(
        parameters=network["parameters"],
        operations=network["operations"],
        latency=measured.latency,
        size=measured.size,
        threads=measured.threads,
        device=measured.device,
        memory_formats=measured.memory_formats,
        training=sum(epoch["seconds"] for epoch in record.history) if record else None,
        environment=record.environment if record else {},
        git=record.git if record else "",
    )


def _seconds(study: Study, tuned: Tuned) -> float | None:
    """How long the trials of a search were trained, all together."""
    total = 0.0
    for trial in tuned.trials:
        for record in (RunFolder(study.runs, key).read() for key in trial.keys):
            if record is None:
                return None
            # A run that another search has trained further counts as far as this one went.
            total += sum(epoch["seconds"] for epoch in record.history[: len(trial.history)])
    return total


def _best_on_test(history: Sequence[dict[str, int | float]]) -> BestOnTest | None:
    """Epoch and IoU that choosing on the test part would have reported; None where it was not watched."""
    watched = [epoch for epoch in history if "watched_iou" in epoch]
    if not watched:
        return None
    best = max(watched, key=lambda epoch: epoch["watched_iou"])  # the first of equals
    return BestOnTest(epoch=int(best["epoch"]), iou=best["watched_iou"])


def _peer_scores(study: Study, name: str, test: Images) -> list[Scores]:
    """Somebody else's score maps of the test part.

    Raises:
        DataError: naming those that are missing, of the wrong size, or too many.
    """
    folder = study.named(study.params.evaluate.peers[name]).resolve()
    found = find_predictions(folder, study.data / "test" / "masks")
    paths = dict(zip(found.ids, found.scores, strict=True))
    return [read_scores(paths[id_]) for id_ in test.ids]


def _peer(study: Study, name: str, maps: Sequence[Scores], test: Images, curves: Path) -> ScoredPeer:
    """What is kept of score maps that this study has not trained."""
    params = study.params
    measured, drawn = scored(maps, test, params.evaluate.conventions, params.resources.cpus)
    drawn.write(curves / f"peer-{name}.csv")
    return ScoredPeer.of(f"peer-{name}", name, measured)
