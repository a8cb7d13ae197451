"""A stage's run in MLflow, and what waits in ``unsent/`` while MLflow cannot be reached."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import gethostname
from types import TracebackType
from typing import Any

from datransnet.atomic import write_text
from pipeline.runs.provenance import git_revision
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Called
from pipeline.study.status import Status
from pipeline.tracking.follower import Children, Follower
from pipeline.tracking.tracker import Tracker, equal
from pipeline.tracking.training_run import TrainingRun


@dataclass
class StageRun:
    """A stage's run, as a context: opened at its begin, brought up to date and closed at its end.

    Attributes:
        tracker: of the study.
        stage: name of the stage.
        identity: what it works on: the same identity, the same run.
        params: of the study.
        id: its run in MLflow; None while that cannot be reached.
        children: what each training is called, by run key.
        metrics: of the stage.
        results: metrics of single trainings, by run key; they are entered wherever MLflow has that training.
        summaries: metrics of each network over all its trainings, by its name; each is a run of its own.
        files: to keep as artifacts.
        model: folder of a trained network to register.
        note: Markdown, shown on the run's page.
        git: revision of the code.
        failed: whether the stage ended badly.
        moment: when it began, in milliseconds. Of two runs of the stage, the results of the later one are shown.
    """

    tracker: Tracker
    stage: str
    identity: str
    params: Mapping[str, Any]
    id: str | None = None
    children: dict[str, Called] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    results: dict[str, dict[str, float]] = field(default_factory=dict)
    summaries: dict[str, dict[str, float]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    model: Path | None = None
    note: str = ""
    git: str = field(default_factory=git_revision)
    failed: bool = True
    moment: int = field(default_factory=lambda: time.time_ns() // 10**6)
    _monitor: Any = field(default=None, init=False, repr=False)
    _children: Children | None = field(default=None, init=False, repr=False)
    _follower: Follower | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> "StageRun":
        try:
            self._monitor = self.tracker.watch(self.open())
            self.end_killed()
            sync(self.tracker)
        except Exception as error:  # whatever the store raises, the stage goes on
            self.tracker.unreachable(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.failed = kind is not None
        if self._follower is not None:
            self._follower.end()
        if self._children is not None:
            self.children = dict(self._children())
        try:
            self.close()
        except Exception as error:
            self.tracker.unreachable(error)
            write_text(self._unsent, json.dumps(self._plain(), indent=1))

    @property
    def _unsent(self) -> Path:
        return self.tracker.unsent / f"{self.stage}-{self.identity}.json"

    def _plain(self) -> dict[str, Any]:
        """All but the tracker's places, as JSON holds it; `sync` reads it."""
        names = ("stage", "identity", "params", "children", "metrics", "results", "summaries", "note", "git", "failed")
        content = {name: getattr(self, name) for name in (*names, "moment")}
        content |= {"experiment": self.tracker.experiment, "data": self.tracker.data}
        return content | {"files": list(map(str, self.files)), "model": str(self.model) if self.model else None}

    def open(self) -> str:
        """Find the run, or make it; returns its id.

        Raises:
            Exception: as the store does.
        """
        self.id = self.tracker.open_stage(self.stage, self.identity, self.params, self.git)
        return self.id

    def follow(self, children: Children) -> None:
        """Let MLflow show the stage's trainings as they go on, until the stage ends."""
        self._children = children
        if self.id is not None:
            self._follower = Follower(self.tracker, self.id, self.stage, children)
            self._follower.start()

    def end_killed(self) -> None:
        """End those runs of this stage that MLflow still calls running although their process on this machine is gone.

        That process was killed, and the stage has then been started with other parameters.

        Raises:
            Exception: as the store does.
        """
        tracker, client = self.tracker, self.tracker.client()
        experiments = [client.get_run(self.id or self.open()).info.experiment_id]
        running = f"{equal({'stage': self.stage})} and attributes.status = 'RUNNING'"
        for parent in client.search_runs(experiments, running):
            host, _, process = parent.data.tags.get("driver", "").rpartition(":")
            if host != gethostname() or _lives(int(process)):
                continue
            run = str(parent.info.run_id)
            for child in client.search_runs(experiments, equal({"mlflow.parentRunId": run})):
                tags = child.data.tags
                if "run_key" not in tags:  # a summary
                    continue
                record = RunFolder(tracker.home / "runs", tags["run_key"]).settle(Status.INTERRUPTED)
                if record is not None:
                    called = Called(tags["variant"], tags.get("network", ""))
                    TrainingRun(tracker, run, self.stage, called).deliver(record)
            client.set_terminated(run, "KILLED")

    def close(self) -> None:
        """Bring the run and its children up to what is known, and end it.

        Raises:
            Exception: as the store does.
        """
        if self._monitor is not None:
            self._monitor.finish()
        tracker, run = self.tracker, self.id or self.open()
        Follower(tracker, run, self.stage, lambda: self.children).follow()  # a new one, which asks what has arrived
        for key, metrics in self.results.items():
            for training in tracker.trainings(key):
                tracker.log(training, metrics, moment=self.moment)
        for network, metrics in self.summaries.items():
            tracker.log(tracker.open_summary(run, network), metrics, moment=self.moment)
        tracker.log(run, self.metrics, {"mlflow.note.content": self.note} if self.note else {}, self.moment)
        client = tracker.client()
        for path in filter(Path.exists, self.files):
            client.log_artifacts(run, str(path), path.name) if path.is_dir() else client.log_artifact(run, str(path))
        if self.model and self.model.exists():
            from pipeline.tracking.champion import register

            register(client, tracker.uri, run, tracker.experiment, self.model)
        client.set_terminated(run, "FAILED" if self.failed else "FINISHED")
        self._unsent.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def sync(tracker: Tracker) -> int:
    """Deliver what stages could not, in the order in which they ended; returns how many stages that were.

    What cannot be delivered holds up nothing else.

    Raises:
        Exception: as the store does, the first; what was not delivered stays.
    """
    waiting = sorted(tracker.unsent.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    faults = list[Exception]()
    for path in waiting:
        content = json.loads(path.read_text(encoding="utf-8"))
        own = replace(
            tracker, experiment=content.pop("experiment"), data=content.pop("data")
        )  # perhaps another study's
        content["children"] = {key: Called(*called) for key, called in content["children"].items()}
        content["files"] = [Path(name) for name in content["files"]]
        content["model"] = Path(content["model"]) if content["model"] else None
        try:
            StageRun(own, **content).close()
        except Exception as error:  # whatever the store raises
            faults.append(error)
    if faults:
        raise faults[0]
    return len(waiting)
