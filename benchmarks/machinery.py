"""What Ray, Optuna, MLflow and the records cost: a sweep against the bare loop over the same trials.

The bare loop is as many plain processes as the sweep has workers, each training its share of the trials with
`datransnet.engine.fit`, checkpoints included, and nothing else, so both sides use the same cores. Both are whole
commands; the sweep's start is told apart. What a report costs is measured by itself: the record, the tracking, and Ray.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.network import RESULTS, device_name
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Called
from pipeline.runs.source import ROOT
from pipeline.study.status import Status
from pipeline.tracking.tracker import Tracker
from pipeline.tracking.training_run import TrainingRun


def bare(data: str, plans: list[tuple[dict[str, Any], dict[str, Any], int]]) -> None:
    """Train some trials, one after the other."""
    import torch

    from datransnet import create_model
    from datransnet.data.dataset import load_part
    from datransnet.engine.fit import fit
    from datransnet.engine.recipe import Recipe

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    train, validation = load_part(Path(data), "train"), load_part(Path(data), "val")
    for number, (model, recipe, seed) in enumerate(plans):
        checkpoint = Path(data).parent / f"{os.getpid()}-{number}.pt"
        for _ in fit(create_model(**model), train, validation, Recipe(**recipe), seed=seed, checkpoint=checkpoint):
            pass


REPORTS = 200


def report(folder: Path, key: str) -> dict[str, float]:
    """Mean seconds that an epoch's record takes where it is trained, and its tracking in the stage."""
    runs, record = RunFolder(folder / "runs", key), RunFolder(folder / "runs", key).read()
    assert record is not None
    data = {"name": "bench", "digest": "d", "summary": {}}
    tracker = Tracker(f"sqlite:///{folder / 'report.db'}", "bench", folder, data)
    parent = tracker.open_stage("tune", "bench", {}, "")
    send = TrainingRun(tracker, parent, "tune", Called("bench", "datransnet"))
    taken: dict[str, list[float]] = {"record": [], "tracking": []}
    for epoch in range(1, REPORTS + 1):
        history = [record.history[0] | {"epoch": number} for number in range(1, epoch + 1)]
        known = replace(record, status=Status.RUNNING, history=history)
        started = time.perf_counter()
        RunFolder(folder / "bench", key).write(known)
        written = time.perf_counter()
        send.deliver(known)
        taken["record"].append(written - started)
        taken["tracking"].append(time.perf_counter() - written)
        time.sleep(0.02)
    assert runs.read() == record
    return {name: sum(seconds) / REPORTS for name, seconds in taken.items()}


def ray_report() -> float:
    """Seconds that a report to Ray Tune takes, two trials at a time."""
    import ray
    from ray import tune

    def trial(config: dict[str, Any]) -> None:
        for _ in range(10):
            tune.report({"iou": 0.5})
        started = time.perf_counter()
        for _ in range(REPORTS):
            tune.report({"iou": 0.5})
        tune.report({"iou": 0.5, "each": (time.perf_counter() - started) / REPORTS})

    with tempfile.TemporaryDirectory() as name:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        scheduler = tune.schedulers.ASHAScheduler(
            metric="iou", mode="max", max_t=10 * REPORTS, grace_period=5 * REPORTS
        )
        results = tune.Tuner(
            trial,
            tune_config=tune.TuneConfig(num_samples=2, scheduler=scheduler),
            run_config=tune.RunConfig(storage_path=name, verbose=0),
        ).fit()
        ray.shutdown()
    return float(max(result.metrics["each"] for result in results))  # type: ignore[attr-defined]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=7, help="of a trial; 7 are about 30 s")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["tune"] = {
        "trials": options.trials,
        "epochs": options.epochs,
        "concurrent": options.workers,
        "sampler": "random",
        "scheduler": "none",
        "space": {"recipe.lr": {"low": 1e-3, "high": 1e-2, "log": True}},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": ""}
        seconds = {}
        for stage in ("fetch", "split", "tune"):
            started = time.perf_counter()
            command = [sys.executable, "-m", "pipeline", stage]
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds[stage] = time.perf_counter() - started
        trials = _trials(folder)
        plans = [(trial["model"], trial["recipe"], trial["seed"]) for trial in trials]
        started = time.perf_counter()
        context = multiprocessing.get_context("spawn")
        data = str(folder / "data" / params["data"]["dataset"])
        processes = [
            context.Process(target=bare, args=(data, plans[part :: options.workers])) for part in range(options.workers)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        bare_seconds = time.perf_counter() - started
        reports = {**report(folder, trials[0]["key"]), "ray": ray_report()}
    first = min(trial["started"] for trial in trials)
    sweep_seconds = max(trial["ended"] for trial in trials) - first
    starts = sorted(trial["started"] for trial in trials)[options.workers :]
    ends = sorted(trial["ended"] for trial in trials)
    gaps = [start - end for start, end in zip(starts, ends, strict=False)]
    content = {
        "schema": 1,
        "device": device_name("cpu"),
        "command": " ".join(["python -m benchmarks.machinery", *sys.argv[1:]]),
        "trial_seconds": sum(trial["training"] for trial in trials) / len(trials),
        "bare_seconds": bare_seconds,
        "command_seconds": seconds["tune"],
        "command_ratio": seconds["tune"] / bare_seconds,
        "trials_ratio": sweep_seconds / bare_seconds,
        "gap_seconds": gaps,
        "report_seconds": reports,
    }
    print(
        f"trials of {content['trial_seconds']:.0f} s on {options.workers} workers: bare {bare_seconds:.1f} s;", end=" "
    )
    print(f"stage {seconds['tune']:.1f} s ({content['command_ratio']:.2f}×), from first start to last end", end=" ")
    print(
        f"{sweep_seconds:.1f} s ({content['trials_ratio']:.2f}×); next trial after {max(gaps):.2f} s at most;", end=" "
    )
    print("an epoch's " + ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in reports.items()))
    path = RESULTS / "machinery-of-a-sweep.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


def _trials(folder: Path) -> list[dict[str, Any]]:
    """What each trial was, and when it ran: its lock is touched at its start, its weights are written at its end."""
    found = []
    searches = json.loads((folder / "results/tune.json").read_text(encoding="utf-8"))["networks"].values()
    for key in (trial["key"] for search in searches for trial in search["trials"]):
        place = folder / "runs" / key
        record = json.loads((place / "record.json").read_text(encoding="utf-8"))
        found.append(
            {
                "model": record["run"]["model"],
                "recipe": record["run"]["recipe"],
                "seed": record["run"]["seed"],
                "key": key,
                "epochs": len(record["history"]),
                "training": sum(epoch["seconds"] for epoch in record["history"]),
                "started": (place / "lock").stat().st_mtime,
                "ended": (place / "weights.safetensors").stat().st_mtime,
            }
        )
    return found


if __name__ == "__main__":
    main()
