"""MLflow: a parent run for each stage, and a child run for each training.

A run's record is the truth and MLflow its copy: `Tracker.send` compares the record with what MLflow has and sends the
difference in one batch, so it can be repeated after any failure without losing or doubling a point. A dead server never
stops training; what it did not get waits in ``unsent/`` for the next stage, or for ``python -m pipeline sync``.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any

from datransnet.data.manifest import Manifest
from pipeline.runs.record import Record
from pipeline.study.study import Study

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
from pipeline.tracking.store import artifacts_of, client_of, prepare, store_of

log = logging.getLogger(__name__)

BATCHES = 5
"""A second, of all trainings together: docs/explanation/scaling.md measures what a server takes."""
SHARE = 0.02
"""Of a training's time, what sending its reports may take."""

EPOCHS, PARAMS = 40, 100
"""In a batch: MLflow takes a thousand metrics and a hundred parameters."""

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
        uri: of the tracking store, as `store_of` says it.
        experiment: name of the experiment, and of its registered model: the study's.
        home: the study's, with its records, and what the store did not get.
        data: name and split, digest and summary of the study's data.
        interval: seconds between two batches of one run while it trains.
    """

    uri: str
    experiment: str
    home: Path
    data: Mapping[str, Any]
    interval: float = 0.0

    @classmethod
    def of(cls, study: Study, manifest: Manifest) -> "Tracker":
        """The tracker of a study."""
        data = {"name": f"{manifest.dataset} {manifest.split}", "digest": manifest.digest}
        return cls(
            uri=store_of(study),
            experiment=study.params.study,
            home=study.home,
            data=data | {"summary": manifest.summary()},
            interval=study.params.tune.concurrent / BATCHES,
        )

    @property
    def artifacts(self) -> str | None:
        """Where artifacts go, as `artifacts_of` says it."""
        return artifacts_of(self.home, self.uri)

    @property
    def place(self) -> str:
        """The store's address as it may be printed, without a password."""
        return self.uri.split("@")[-1]

    @property
    def unsent(self) -> Path:
        """Where what the store did not get waits."""
        return self.home / "unsent"

    def client(self) -> "MlflowClient":
        """A client; slow the first time in a process."""
        return client_of(self.uri)

    def open_stage(self, stage: str, identity: str, params: Mapping[str, Any], git: str) -> str:
        """A stage's run, found again by its identity, or made; running from now on.

        Called by the driver before any worker, which then finds the database's schema and the experiment.

        Raises:
            Exception: as the store does.
        """
        client, number = prepare(self.uri, self.home), self._experiment()
        tags = {"stage": stage, "identity": identity}
        found = client.search_runs([number], equal(tags), max_results=1)
        if found:
            run, known = str(found[0].info.run_id), found[0].data.params
            client.update_run(run, status="RUNNING")
        else:
            tags |= {"data_digest": self.data["digest"]}
            run, known = str(client.create_run(number, tags=tags, run_name=stage).info.run_id), {}
        self._describe(run, params, known)
        driver = f"{gethostname()}:{os.getpid()}"
        self.log(run, tags={"git": git, "mlflow.source.git.commit": git.removesuffix("-dirty"), "driver": driver})
        return run

    def _experiment(self) -> str:
        """The study's experiment, made where there is none."""
        client = self.client()
        if experiment := client.get_experiment_by_name(self.experiment):
            if experiment.lifecycle_stage == "deleted":  # its name stays taken, so nothing else could hold new runs
                client.restore_experiment(experiment.experiment_id)
            return str(experiment.experiment_id)
        try:
            return str(client.create_experiment(self.experiment, self.artifacts))
        except Exception:
            if experiment := client.get_experiment_by_name(self.experiment):  # another study made it meanwhile
                return str(experiment.experiment_id)
            raise

    def log(
        self,
        run: str,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        moment: int = 0,
    ) -> None:
        """Enter final metrics and tags of a run, in one batch; again makes no difference.

        Of a metric's values MLflow shows the one with the latest ``moment`` (milliseconds); of two at the same, the
        larger.
        """
        from mlflow.entities import Metric, RunTag

        known = self.client().get_run(run).data.metrics if metrics else {}
        points = [Metric(name, value, moment, 0) for name, value in (metrics or {}).items() if known.get(name) != value]
        self.client().log_batch(run, metrics=points, tags=[RunTag(*tag) for tag in (tags or {}).items()])

    def trainings(self, key: str) -> list[str]:
        """Runs of a training in the study's experiment, by its run key; one in each stage that used it."""
        found = self.client().search_runs([self._experiment()], equal({"run_key": key}))
        return [str(run.info.run_id) for run in found]

    def watch(self, run: str) -> Any:
        """Log what this machine has to do to a run, every ten seconds, until ``finish()`` of what is returned."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor: Any = SystemMetricsMonitor
        made = monitor(run, resume_logging=True, tracking_uri=self.uri)
        made.start()
        return made

    def send(self, parent: str | None, stage: str, name: str, key: str, record: Record) -> None:
        """Bring a child run up to its record; what is there already is not sent again.

        While a run trains, a report waits until ``interval`` is over and sending has taken no more than `SHARE` of the
        time: many trials, or a slow server, get fuller batches less often, and no training waits. The last report
        always goes; what does not arrive, the stage sends at its end.
        """
        if parent is None:
            return
        known, moment = _children.get((self.uri, parent, key)), time.monotonic()
        if record.status == "running" and known and (known.sent >= len(record.history) or moment < known.due):
            return
        try:
            self.deliver(parent, stage, name, key, record)
        except Exception as error:  # whatever the store raises, training goes on and the records stay
            self.unreachable(error)
        child = _children.setdefault((self.uri, parent, key), _Child())
        child.due = time.monotonic() + max(self.interval, (time.monotonic() - moment) / SHARE)

    def deliver(self, parent: str, stage: str, name: str, key: str, record: Record) -> None:
        """Bring a child run up to its record, or raise what the store raises."""
        child = _children.pop((self.uri, parent, key), _Child())  # after a failure it is asked again what arrived
        if not child.run:
            self._find(child, parent, stage, name, key, record)
        self._catch_up(child, record)
        _children[self.uri, parent, key] = child

    def _find(self, child: "_Child", parent: str, stage: str, name: str, key: str, record: Record) -> None:
        """Find a run's child, or make it."""
        client = self.client()
        experiment = client.get_run(parent).info.experiment_id
        tags = {"mlflow.parentRunId": parent, "run_key": key}
        found = client.search_runs([experiment], equal(tags), max_results=1)
        if found:
            child.run, child.status = str(found[0].info.run_id), found[0].info.status
            child.sent = int(found[0].data.metrics.get("epoch", 0))
        else:
            child.run = self._create_child(client, experiment, tags, stage, name, record)
        run = record.run
        content = {"dataset": run.dataset, "split": run.split, "protocol": run.protocol, "seed": run.seed}
        content |= {"variant": name, "model": run.model, "recipe": vars(run.recipe)}
        self._describe(child.run, content, found[0].data.params if found else {})

    def _catch_up(self, child: "_Child", record: Record) -> None:
        """Send the epochs that a child lacks, and its status where that changed."""
        from mlflow.entities import Metric, RunTag

        client, status = self.client(), MLFLOW_STATUS[record.status]
        for start in range(child.sent, len(record.history), EPOCHS):  # an epoch arrives whole, or not
            metrics = [
                Metric(metric, value, _milliseconds(record.started) + int(epoch["epoch"]), int(epoch["epoch"]))
                for epoch in record.history[start : start + EPOCHS]
                for metric, value in epoch.items()
            ]
            client.log_batch(child.run, metrics=metrics)
        child.sent = max(child.sent, len(record.history))
        if status != child.status or status != "RUNNING":
            tags = {"status": record.status} | ({"reason": record.reason} if record.reason else {})
            client.log_batch(child.run, tags=[RunTag(*tag) for tag in tags.items()])
        if status != child.status:
            if status == "RUNNING":
                client.update_run(child.run, status=status)
            else:
                client.set_terminated(child.run, status, _milliseconds(record.finished or record.started))
            child.status = status

    def _create_child(
        self, client: "MlflowClient", experiment: str, tags: dict[str, str], stage: str, name: str, record: Record
    ) -> str:
        """A new child."""
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
        began, called = _milliseconds(record.started), f"{name} · seed {run.seed}"
        return str(client.create_run(experiment, tags=described, run_name=called, start_time=began).info.run_id)

    def _describe(self, run: str, params: Mapping[str, Any], known: Mapping[str, str]) -> None:
        """Enter a run's data and those of its parameters that are not ``known`` there; a parameter cannot be changed.

        All children have the same keys, so that the UI compares them. The data are MLflow's dataset: the manifest's
        digest, and what is in each part.
        """
        from mlflow.entities import Dataset, DatasetInput, Param

        lacking = [Param(name, value[:500]) for name, value in flatten(params).items() if name not in known]
        if not lacking:
            return
        source, profile = json.dumps({"manifest": self.data["digest"]}), json.dumps(self.data["summary"])
        data = Dataset(self.data["name"], self.data["digest"][:36], "local", source, profile=profile)
        self.client().log_inputs(run, datasets=[DatasetInput(data)])
        for start in range(0, len(lacking), PARAMS):
            self.client().log_batch(run, params=lacking[start : start + PARAMS])

    def unreachable(self, error: Exception) -> None:
        """Warn that the store did not take something."""
        log.warning(
            "MLflow at %s cannot be used (%s: %s). Nothing is lost: records stay in runs/, and the next stage sends "
            "them, or `python -m pipeline sync`.",
            self.place,
            error.__class__.__name__,
            str(error).split("\n")[0][:200],
        )


def equal(tags: Mapping[str, str]) -> str:
    """A filter of runs by tags."""
    return " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())


def _milliseconds(started: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(started).timestamp() * 1000)
