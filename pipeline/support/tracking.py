"""MLflow: a parent run a stage, a child a training. The only file that knows MLflow.

A run's record is the truth and MLflow its copy: `Tracker.send` compares the record with what MLflow has and sends the
difference in one batch, so it can be repeated after any failure without losing or doubling a point. A dead server never
stops training; the stage sends what is missing at its end, or the next time it runs.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.support.paths import Study
from pipeline.support.records import Record, git_revision

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

MLFLOW_STATUS = {
    "running": "RUNNING",
    "done": "FINISHED",
    "pruned": "FINISHED",
    "infeasible": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}


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
    """

    uri: str
    experiment: str
    artifacts: Path | None
    data_digest: str

    @classmethod
    def of(cls, study: Study, data_digest: str) -> "Tracker":
        """The tracker of a study."""
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        local = None if uri else study.home / "mlartifacts"
        return cls(uri or f"sqlite:///{study.home / 'mlruns.db'}", study.params.study, local, data_digest)

    def client(self) -> "MlflowClient":
        """A client; slow the first time in a process."""
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

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
        """Bring a child run up to its record; what is there already is not sent again."""
        if parent is None:
            return
        try:
            from mlflow.entities import Metric

            client = self.client()
            experiment = client.get_run(parent).info.experiment_id
            tags = {"mlflow.parentRunId": parent, "run_key": key}
            found = client.search_runs([experiment], _equal(tags), max_results=1)
            status = MLFLOW_STATUS[record.status]
            if found:
                child, sent = str(found[0].info.run_id), int(found[0].data.metrics.get("epoch", 0))
                if found[0].info.status == status == "FINISHED" and sent == len(record.history):
                    return
            else:
                child, sent = self._create_child(client, experiment, tags, stage, name, record), 0
            metrics = [
                Metric(metric, value, _milliseconds(record.started) + int(epoch["epoch"]), int(epoch["epoch"]))
                for epoch in record.history[sent:]
                for metric, value in epoch.items()
            ]
            for start in range(0, len(metrics), 1000):
                client.log_batch(child, metrics=metrics[start : start + 1000])
            if record.reason:
                client.set_tag(child, "reason", record.reason)
            client.set_tag(child, "status", record.status)
            client.update_run(child, status=status) if status == "RUNNING" else client.set_terminated(child, status)
        except Exception as error:
            self._unreachable(error)

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
