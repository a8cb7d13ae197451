"""Commands that look at a study without changing its results."""

import json

from datransnet.errors import DATransNetError, ParameterError
from pipeline.support.console import say
from pipeline.support.outputs import check_outputs
from pipeline.support.paths import Study


def validate(study: Study, schema: bool = False) -> None:
    """Check the parameters, that no path in them leads where the study writes, and, unless ``schema``, every network.

    Raises:
        ParameterError: naming every mistake.
    """
    params = study.params
    check_outputs(study)
    if not schema:
        from pipeline.support.networks import check_models  # imports torch

        check_models(params)
        say(f"{study.folder / 'params.yaml'}: valid (study {params.study}).")


def status(study: Study) -> None:
    """One line a run; of the network what differs from its defaults."""
    from datransnet.models import complete_arguments
    from pipeline.support.records import all_records

    records = all_records(study.runs)
    for key, record in records:
        name = record.run.model["name"]
        try:
            usual = json.loads(json.dumps(complete_arguments(name)))
        except ParameterError:  # one's own network, which is gone by now or has no defaults
            usual = {}
        differs = {k: v for k, v in record.run.model.items() if v not in (name, usual.get(k))}
        what = " ".join([record.run.dataset, name, *(f"{k}={v}" for k, v in differs.items())])
        epochs = f"{len(record.history)}/{record.run.recipe.epochs}"
        line = f"{key}  {record.status:<11} {epochs:>9} epochs  IoU {record.best_iou:.4f}  {what}"
        say(line + (f"  {record.reason}" if record.reason else ""))
    say(f"{len(records)} runs in {study.runs}.")


def sync(study: Study) -> None:
    """Deliver to MLflow what stages could not.

    Raises:
        DATransNetError: if it still cannot be reached.
    """
    from pipeline.support.stage_run import sync
    from pipeline.support.stages import read_manifest
    from pipeline.support.tracking import Tracker

    tracker = Tracker.of(study, read_manifest(study))
    try:
        number = sync(tracker)
    except Exception as error:  # whatever the store raises
        raise DATransNetError(f"MLflow at {tracker.place} cannot be used: {error}. Start it and try again.") from error
    say(f"{number} stages sent to {tracker.place}.")


def clean(study: Study) -> None:
    """Remove runs that are neither done nor pruned nor held by a process."""
    from pipeline.support.records import RunFolder, all_records

    removed = 0
    for key, record in all_records(study.runs):
        folder = RunFolder(study.runs, key)
        if record.status in ("infeasible", "failed", "interrupted") and not folder.is_held():
            if not folder.remove():
                say(f"{folder.path} stays: it holds files that no run has written.")
            removed += 1
    say(f"{removed} unfinished runs removed from {study.runs}.")


def where(study: Study) -> None:
    """What to look at after a study."""
    place = "" if study.folder == study.home else f" (experiment {study.params.study!r})"
    if not (study.reports / "report.html").exists():
        say(f"{study.folder} has no report yet: run `dvc repro` there.")
        return
    say(f"report      {study.reports / 'report.html'}")
    say(f"MLflow UI   python -m pipeline ui{place}")
    say(f"best model  {study.models / 'best' / 'weights.safetensors'}")
