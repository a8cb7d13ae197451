"""What saturates first when a thousand trials report every ten seconds? Rates that each part can take, and its lag.

A process writes the records of many trials at their rate, and the stage's follower sends them to the real tracking
server; suggestions, reports and ends meet the real study storage as fast as it takes them. Scheduler and progress table
are the driver's own and are measured alone. Nothing is trained.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.network import RESULTS, device_name
from datransnet.engine.recipe import Recipe
from pipeline.runs.provenance import git_revision
from pipeline.runs.record import Record, RunFolder
from pipeline.runs.run import Called, Run
from pipeline.study.search_space import Tune
from pipeline.study.status import Status
from pipeline.tracking.follower import Follower
from pipeline.tracking.tracker import Tracker
from pipeline.tracking.training_run import TrainingRun

EVERY = 10.0
"""Seconds between two reports of a trial."""
EPOCHS = 100
DATA = {"name": "events", "digest": "d", "summary": {}}
"""Reports of a trial that runs to its end; a quarter of the trials do, the others stop at a quarter of it."""


def record_of(number: int, epochs: int, status: Status = Status.RUNNING) -> Record:
    """What a trial has recorded after some epochs."""
    run = Run("Toy", "x", "d", "holdout", {"name": "datransnet"}, Recipe(epochs=EPOCHS), number, "s")
    names = ("loss", "lr", "val_iou", "val_niou", "val_pd", "val_fa", "best_iou", "best_epoch", "seconds")
    history = [{"epoch": epoch, **dict.fromkeys(names, epoch / 1000)} for epoch in range(1, epochs + 1)]
    return Record(run, status=status, history=history, started="2026-01-01T00:00:00+00:00")


def write_records(runs: Path, trials: int, seconds: float) -> int:
    """Write what trials record, an epoch of each in turn, each every `EVERY` seconds; returns how many epochs."""
    started, written = time.monotonic(), 0
    while (now := time.monotonic()) - started < seconds:
        time.sleep(max(0.0, started + written * EVERY / trials - now))
        record = record_of(written % trials, 2 + written // trials)
        RunFolder(runs, record.run.key).write(record)
        written += 1
    return written


def tracking(folder: Path, database: str, trials: int, seconds: float) -> dict[str, float]:
    """Epochs a second that are recorded and that reach the server, and how often a trial is brought up to date.

    First every trial is shown with one epoch: trials start far less often than they report.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", database or f"sqlite:///{folder / 'mlruns.db'}"),
            *("--artifacts-destination", str(folder)),
        ],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        uri = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{uri}/health")
                break
            except OSError:
                time.sleep(0.2)
        tracker = Tracker(uri, "events", folder, DATA)
        children = {}
        for number in range(trials):
            record = record_of(number, 1)
            RunFolder(folder / "runs", record.run.key).write(record)
            children[record.run.key] = Called(f"t{number}", "datransnet")
        following = Follower(tracker, tracker.open_stage("tune", "events", {}, ""), "tune", lambda: children)
        following.follow()
        arrived = defaultdict[str, list[tuple[float, int]]](list)
        deliver = TrainingRun.deliver

        def timed(run: TrainingRun, record: Record) -> None:
            deliver(run, record)
            arrived[run.called.name].append((time.monotonic(), len(record.history)))

        TrainingRun.deliver = timed  # type: ignore[assignment,method-assign]
        with ProcessPoolExecutor(1) as pool:
            writing = pool.submit(write_records, folder / "runs", trials, seconds)
            following.start()
            written = writing.result()
        following.end()
        gaps = [later[0] - one[0] for times in arrived.values() for one, later in pairwise(times)]
        return {
            "epochs_recorded_a_second": written / seconds,
            "epochs_arrived_a_second": sum(times[-1][1] - 1 for times in arrived.values()) / seconds,
            "seconds_between_two_updates_median": float(np.median(gaps)),
            "seconds_between_two_updates_95": float(np.quantile(gaps, 0.95)),
        }
    finally:
        os.killpg(server.pid, 9)


def storage(folder: Path, database: str) -> dict[str, float]:
    """Suggestions, points kept and ends told, a second, with a thousand trials known."""
    import optuna

    from pipeline.search.memory import Memory
    from pipeline.search.sampler import Sampler
    from pipeline.search.schedule import Standing
    from pipeline.study.search_space import Interval

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kept = optuna.storages.RDBStorage(database or f"sqlite:///{folder / 'search.db'}")
    space = {f"recipe.x{index}": Interval(low=0, high=1) for index in range(5)}
    study = optuna.create_study(storage=kept, study_name="events", direction="maximize", load_if_exists=True)
    rng = np.random.default_rng(0)
    points = [{name: float(rng.random()) for name in space} for _ in range(1000)]
    standings = [Standing(point, 0, [sum(point.values())]) for point in points]
    started = time.perf_counter()
    asked = Sampler("tpe", space, 0).ask(standings, 20)
    suggestions = 20 / (time.perf_counter() - started)
    memory = Memory(study, space)
    started = time.perf_counter()
    for point, marks in asked:
        memory.keep(point, marks)
    points_kept = 20 / (time.perf_counter() - started)
    started = time.perf_counter()
    for number in range(20):
        memory.tell(number, [0.5], {})
    ends = 20 / (time.perf_counter() - started)
    return {"suggestions_a_second": suggestions, "points_kept_a_second": points_kept, "ends_a_second": ends}


def schedule(trials: int) -> float:
    """Decisions a second of ASHA, the rule that is asked most often."""
    from pipeline.search.schedule import Schedule, Standing

    space: Any = {"recipe.lr": {"low": 1e-4, "high": 1e-2}}
    rule = Schedule.of(Tune(trials=trials + 1, epochs=EPOCHS, grace=5, scheduler="asha", space=space), 1)
    known = [Standing({}, 0, [number / trials]) for number in range(trials)]
    started = time.perf_counter()
    for _ in range(10):
        rule.legs(known)
    return 10 / (time.perf_counter() - started)


def table(folder: Path, trials: int) -> float:
    """Seconds that the driver takes to look at all records once."""
    from pipeline.runs.execute import row_of

    jobs = []
    for number in range(trials):
        record = record_of(number, EPOCHS // 2)
        RunFolder(folder / "runs", record.run.key).write(record)
        jobs.append(SimpleNamespace(run=record.run, name="t", folder=RunFolder(folder / "runs", record.run.key)))
    started = time.perf_counter()
    for job in jobs:
        shown: Any = job
        row_of(shown, shown.folder.read())
    return time.perf_counter() - started


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--tracking", default="", help="database of the tracking server; SQLite if not given")
    parser.add_argument("--storage", default="", help="database of Optuna's study; SQLite if not given")
    parser.add_argument("--name", default="events-thousand-trials", help="of the file in benchmarks/results")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        found: dict[str, Any] = {
            "needed_reports_a_second": options.trials / EVERY,
            "needed_ends_a_second": options.trials / EVERY / (EPOCHS * (1 / 4 + 3 / 4 / 4)),
            "schedule_decisions_a_second": schedule(options.trials),
            "table_seconds": table(folder, options.trials),
            "storage": storage(folder, options.storage),
            "tracking": tracking(folder, options.tracking, options.trials, options.seconds),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=1))
    content = {
        "schema": 1,
        "device": device_name("cpu"),
        "command": " ".join(["python -m benchmarks.events", *sys.argv[1:]]),
        "git": git_revision(),
        **found,
    }
    (RESULTS / f"{options.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
