"""``python -m pipeline status``: one line for each run."""

import json

from datransnet.errors import ParameterError
from pipeline.console import say
from pipeline.study.study import Study


def status(study: Study) -> None:
    """One line a run; of the network what differs from its defaults."""
    from datransnet.models import complete_arguments
    from pipeline.runs.record import all_records

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
