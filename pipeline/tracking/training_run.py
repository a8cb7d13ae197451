"""A training's run in MLflow: a child of its stage's run, brought up to what the training's record says."""

from dataclasses import dataclass, field
from datetime import datetime

from pipeline.runs.record import Record
from pipeline.runs.run import Called
from pipeline.study.status import Status
from pipeline.tracking.tracker import Tracker, equal

EPOCHS = 40
"""How many epochs are sent in one batch; MLflow accepts at most 1,000 metrics in a batch."""

MLFLOW_STATUS = {
    Status.RUNNING: "RUNNING",
    Status.DONE: "FINISHED",
    Status.PRUNED: "FINISHED",
    Status.INFEASIBLE: "FAILED",
    Status.FAILED: "FAILED",
    Status.INTERRUPTED: "KILLED",
}


@dataclass
class TrainingRun:
    """One training of a stage, as MLflow shows it.

    What it remembers of MLflow's side spares questions and may be forgotten.

    Attributes:
        tracker: of the study.
        parent: id of the stage's run.
        stage: name of the stage.
        called: what the stage calls the training.
        seed_number: which of that name's seeds it has, from 1.
    """

    tracker: Tracker
    parent: str
    stage: str
    called: Called
    seed_number: int = 1
    _id: str = field(default="", init=False, repr=False)
    _epochs: int = field(default=0, init=False, repr=False)
    _status: str = field(default="", init=False, repr=False)

    def deliver(self, record: Record) -> None:
        """Send what MLflow does not have yet of a record.

        Raises:
            Exception: as the store does. Then MLflow is asked what has arrived, the next time.
        """
        known, self._id = self._id, ""
        found = known or self._find(record)
        self._catch_up(found, record)
        self._id = found

    def _find(self, record: Record) -> str:
        """Find the run, or make it; returns its id."""
        client, run = self.tracker.client(), record.run
        experiment = client.get_run(self.parent).info.experiment_id
        tags = {"mlflow.parentRunId": self.parent, "run_key": run.key}
        with self.tracker.making():
            found = client.search_runs([experiment], equal(tags), max_results=1)
            if found:
                id_, self._status = str(found[0].info.run_id), found[0].info.status
                self._epochs = int(found[0].data.metrics.get("epoch", 0))
            else:
                id_, self._status, self._epochs = self._create(experiment, tags, record), "", 0
        content = {"dataset": run.dataset, "split": run.split, "protocol": run.protocol, "seed": run.seed}
        content |= {"variant": self.called.name, "model": run.model, "recipe": vars(run.recipe)}
        self.tracker.describe(id_, content, found[0].data.params if found else {})
        return id_

    def _create(self, experiment: str, tags: dict[str, str], record: Record) -> str:
        """Make the run; returns its id."""
        run = record.run
        described = {
            **tags,
            "stage": self.stage,
            "variant": self.called.name,
            "network": self.called.network,
            "dataset": f"{run.dataset} {run.split}",
            "data_digest": run.data_digest,
            "source_digest": run.source,
            "git": record.git,
            "mlflow.source.git.commit": record.git.removesuffix("-dirty"),
        }
        began, called = _milliseconds(record.started), f"{self.called.name} · seed {self.seed_number}"
        made = self.tracker.client().create_run(experiment, tags=described, run_name=called, start_time=began)
        return str(made.info.run_id)

    def _catch_up(self, id_: str, record: Record) -> None:
        """Send the epochs that the run lacks, and its status where that changed."""
        from mlflow.entities import Metric, RunTag

        client, status = self.tracker.client(), MLFLOW_STATUS[record.status]
        for start in range(self._epochs, len(record.history), EPOCHS):  # an epoch arrives whole, or not
            metrics = [
                Metric(metric, value, _milliseconds(record.started) + int(epoch["epoch"]), int(epoch["epoch"]))
                for epoch in record.history[start : start + EPOCHS]
                for metric, value in epoch.items()
            ]
            client.log_batch(id_, metrics=metrics)
        self._epochs = max(self._epochs, len(record.history))
        if status != self._status or status != "RUNNING":
            tags = {"status": record.status} | ({"reason": record.reason} if record.reason else {})
            client.log_batch(id_, tags=[RunTag(*tag) for tag in tags.items()])
        if status != self._status:
            if status == "RUNNING":
                client.update_run(id_, status=status)
            else:
                client.set_terminated(id_, status, _milliseconds(record.finished or record.started))
            self._status = status


def _milliseconds(started: str) -> int:
    return int(datetime.fromisoformat(started).timestamp() * 1000)
