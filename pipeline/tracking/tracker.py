"""MLflow: a parent run for each stage, and a child run for each training.

A run's record is the truth and MLflow is its copy: a `pipeline.tracking.training_run.TrainingRun` compares the record
with what MLflow has and sends the difference, so that it can be repeated after any failure without losing or doubling a
point. A dead server never stops training; what it did not get waits in ``unsent/`` for the next stage, or for
``python -m pipeline sync``.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline.study.study import Study
from pipeline.tracking.store import artifacts_of, client_of, prepare, store_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

PARAMS = 100
"""The largest number of parameters that MLflow accepts in one batch."""


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
    """Where the MLflow of a study is, and how its runs are found and described.

    Attributes:
        uri: of the tracking store, as `store_of` says it.
        experiment: name of the experiment, and of its registered model: the study's.
        home: the study's, with its records, and what the store did not get.
        data: name and split, digest and summary of the study's data.
    """

    uri: str
    experiment: str
    home: Path
    data: Mapping[str, Any]

    @classmethod
    def of(cls, study: Study) -> "Tracker":
        """Make the tracker of a study: its MLflow experiment is named after the study."""
        manifest = study.manifest
        data = {"name": f"{manifest.dataset} {manifest.split}", "digest": manifest.digest}
        return cls(
            uri=store_of(study),
            experiment=study.params.study,
            home=study.home,
            data=data | {"summary": manifest.summary()},
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

    def making(self) -> FileLock:
        """A lock for looking whether something is there and making it: two stages of one identity may do so at once."""
        folder = self.home / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / ".tracking.lock")

    def client(self) -> "MlflowClient":
        """A client; slow the first time in a process."""
        return client_of(self.uri)

    def open_stage(self, stage: str, identity: str, params: Mapping[str, Any], git: str) -> str:
        """A stage's run, found again by its identity, or made; running from now on.

        Raises:
            Exception: as the store does.
        """
        client, number = prepare(self.uri, self.home), self._experiment()
        tags = {"stage": stage, "identity": identity}
        with self.making():
            found = client.search_runs([number], equal(tags), max_results=1)
            if found:
                run, known = str(found[0].info.run_id), found[0].data.params
                client.update_run(run, status="RUNNING")
            else:
                tags |= {"dataset": self.data["name"], "data_digest": self.data["digest"]}
                run, known = str(client.create_run(number, tags=tags, run_name=stage).info.run_id), {}
        self.describe(run, params, known)
        driver = f"{gethostname()}:{os.getpid()}"
        self.log(run, tags={"git": git, "mlflow.source.git.commit": git.removesuffix("-dirty"), "driver": driver})
        return run

    def open_summary(self, parent: str, network: str) -> str:
        """The run that sums up a network on the study's data, below a stage's run: found again, or made.

        Raises:
            Exception: as the store does.
        """
        client, experiment = self.client(), self._experiment()
        tags = {"mlflow.parentRunId": parent, "summary_of": network}
        with self.making():
            if found := client.search_runs([experiment], equal(tags), max_results=1):
                return str(found[0].info.run_id)
            tags |= {
                "stage": "summary",
                "network": network,
                "dataset": self.data["name"],
                "data_digest": self.data["digest"],
            }
            made = str(client.create_run(experiment, tags=tags, run_name=f"{network} · all seeds").info.run_id)
        client.set_terminated(made)
        return made

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
        """Log this machine's load to a run every ten seconds, until ``finish()`` of the returned object is called."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor: Any = SystemMetricsMonitor
        made = monitor(run, resume_logging=True, tracking_uri=self.uri)
        made.start()
        return made

    def describe(self, run: str, params: Mapping[str, Any], known: Mapping[str, str]) -> None:
        """Log the data of a run and its parameters, except those that ``known`` holds: MLflow lets no parameter change.

        The runs of all trainings have the same keys, so that the UI can compare them. The data are logged as MLflow's
        dataset: the digest of the manifest, and the number of images and targets of each part.
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
