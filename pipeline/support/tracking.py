"""MLflow: a parent run a stage, a child a training. The only file that knows MLflow.

A run's record is the truth and MLflow its copy: `Tracker.send` compares the record with what MLflow has and sends the
difference in one batch, so it can be repeated after any failure without losing or doubling a point. A dead server never
stops training; the stage sends what is missing at its end, or the next time it runs.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.support.paths import Study
from pipeline.support.records import Record, git_revision

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

BATCHES = 5
"""A second, of all trainings together: docs/explanation/scaling.md measures what a server takes."""
SHARE = 0.02
"""Of a training's time, what sending its reports may take."""

MLFLOW_STATUS = {
    "running": "RUNNING",
    "done": "FINISHED",
    "pruned": "FINISHED",
    "infeasible": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}


@dataclass
class _Child:
    """What this process knows of a child run: its id, epochs and status there, and when to send again."""

    run: str = ""
    sent: int = 0
    status: str = ""
    due: float = 0.0


_children: dict[tuple[str, str, str], _Child] = {}
"""By tracking store, parent and run key."""


@cache
def _client(uri: str) -> "MlflowClient":
    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as flat, dotted ones.

    >>> flatten({"model": {"width": 8, "dilations": [1, 3]}})
    {'model.width': '8', 'model.dilations': '[1, 3]'}
    """
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat


@dataclass(frozen=True)
class Tracker:
    """Sends records to MLflow; picklable, so that workers can use it.

    Attributes:
        uri: of the tracking store; ``MLFLOW_TRACKING_URI`` if set, else SQLite in the study's home.
        experiment: name of the experiment: the study's.
        artifacts: where artifacts go, where the store is ours.
        data_digest: of the study's data, a tag of every run.
        interval: seconds between two batches of one run while it trains.
    """

    uri: str
    experiment: str
    artifacts: Path | None
    data_digest: str
    interval: float = 0.0

    @classmethod
    def of(cls, study: Study, data_digest: str) -> "Tracker":
        """The tracker of a study."""
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        local = None if uri else study.home / "mlartifacts"
        interval = study.params.tune.concurrent / BATCHES
        return cls(uri or f"sqlite:///{study.home / 'mlruns.db'}", study.params.study, local, data_digest, interval)

    def client(self) -> "MlflowClient":
        """A client; slow the first time in a process."""
        return _client(self.uri)

    def open_stage(self, stage: str, identity: str, params: Mapping[str, Any]) -> str | None:
        """The stage's parent run, found again by its identity; None if the server cannot be reached.

        Called by the driver before any worker, so that only one process makes a new SQLite file's schema.
        """
        try:
            client = self.client()
            experiment = client.get_experiment_by_name(self.experiment)
            place = self.artifacts.as_uri() if self.artifacts else None
            number = experiment.experiment_id if experiment else client.create_experiment(self.experiment, place)
            tags = {"stage": stage, "identity": identity, "data_digest": self.data_digest, "git": git_revision()}
            found = client.search_runs([number], _equal({"stage": stage, "identity": identity}), max_results=1)
            if found:
                parent = str(found[0].info.run_id)
                client.update_run(parent, status="RUNNING")
                return parent
            parent = str(client.create_run(number, tags=tags, run_name=stage).info.run_id)
            client.log_batch(parent, params=_params(flatten(params)))
            return parent
        except Exception as error:  # whatever the store raises, training goes on and the records stay
            self._unreachable(error)
            return None

    def send(self, parent: str | None, stage: str, name: str, key: str, record: Record) -> None:
        """Bring a child run up to its record; what is there already is not sent again.

        While a run trains, a report waits until ``interval`` is over and sending has taken no more than `SHARE` of the
        time: many trials, or a slow server, get fuller batches less often, and no training waits. The last report
        always goes.
        """
        if parent is None:
            return
        known, moment = _children.get((self.uri, parent, key)), time.monotonic()
        if record.status == "running" and known and (known.sent >= len(record.history) or moment < known.due):
            return
        child = known or _Child()
        try:
            if not child.run:
                self._find(child, parent, stage, name, key, record)
            self._catch_up(child, record)
            _children[self.uri, parent, key] = child
        except Exception as error:
            _children[self.uri, parent, key] = child = _Child()  # what arrived is asked for again
            self._unreachable(error)
        child.due = time.monotonic() + max(self.interval, (time.monotonic() - moment) / SHARE)

    def _find(self, child: "_Child", parent: str, stage: str, name: str, key: str, record: Record) -> None:
        """Find a run's child, or make it."""
        client = self.client()
        experiment = client.get_run(parent).info.experiment_id
        tags = {"mlflow.parentRunId": parent, "run_key": key}
        found = client.search_runs([experiment], _equal(tags), max_results=1)
        if found:
            child.run, child.status = str(found[0].info.run_id), found[0].info.status
            child.sent = int(found[0].data.metrics.get("epoch", 0))
        else:
            child.run = self._create_child(client, experiment, tags, stage, name, record)

    def _catch_up(self, child: "_Child", record: Record) -> None:
        """Send the epochs that a child lacks, and its status where that changed."""
        from mlflow.entities import Metric, RunTag

        client, status = self.client(), MLFLOW_STATUS[record.status]
        metrics = [
            Metric(metric, value, _milliseconds(record.started) + int(epoch["epoch"]), int(epoch["epoch"]))
            for epoch in record.history[child.sent :]
            for metric, value in epoch.items()
        ]
        for start in range(0, len(metrics), 1000):
            client.log_batch(child.run, metrics=metrics[start : start + 1000])
        child.sent = max(child.sent, len(record.history))
        if status != child.status or status != "RUNNING":
            tags = {"status": record.status} | ({"reason": record.reason} if record.reason else {})
            client.log_batch(child.run, tags=[RunTag(*tag) for tag in tags.items()])
        if status != child.status:
            client.update_run(child.run, status=status) if status == "RUNNING" else client.set_terminated(
                child.run, status
            )
            child.status = status

    def close_stage(
        self, parent: str | None, failed: bool, metrics: Mapping[str, float] | None = None, files: Iterable[Path] = ()
    ) -> None:
        """End the parent run with its metrics and artifacts."""
        if parent is None:
            return
        try:
            from mlflow.entities import Metric

            client = self.client()
            entries = [Metric(name, value, 0, 0) for name, value in (metrics or {}).items()]
            client.log_batch(parent, metrics=entries)
            for path in files:
                client.log_artifacts(parent, str(path), path.name) if path.is_dir() else client.log_artifact(
                    parent, str(path)
                )
            client.set_terminated(parent, "FAILED" if failed else "FINISHED")
        except Exception as error:
            self._unreachable(error)

    def _create_child(
        self, client: "MlflowClient", experiment: str, tags: dict[str, str], stage: str, name: str, record: Record
    ) -> str:
        """A new child with its parameters; all children have the same keys, so that the UI compares them."""
        run = record.run
        described = {
            **tags,
            "stage": stage,
            "variant": name,
            "data_digest": run.data_digest,
            "source_digest": run.source,
            "git": record.git,
            "mlflow.source.git.commit": record.git.removesuffix("-dirty"),
        }
        child = str(client.create_run(experiment, tags=described, run_name=f"{name} · seed {run.seed}").info.run_id)
        content = {"dataset": run.dataset, "split": run.split, "protocol": run.protocol, "seed": run.seed}
        content |= {"variant": name, "model": run.model, "recipe": vars(run.recipe)}
        client.log_batch(child, params=_params(flatten(content)))
        return child

    def _unreachable(self, error: Exception) -> None:
        log.warning(
            "MLflow at %s cannot be used (%s: %s). Nothing is lost: records stay in runs/, and the stage sends them "
            "when it runs again.",
            self.uri.split("@")[-1],
            error.__class__.__name__,
            str(error).split("\n")[0][:200],
        )


def _equal(tags: Mapping[str, str]) -> str:
    return " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())


def _params(flat: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, value[:500]) for name, value in flat.items()][:100]


def _milliseconds(started: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(started).timestamp() * 1000)
