"""What Ray, Optuna, MLflow and the records cost: a sweep against the bare loop over the same trials.

The bare loop is as many plain processes as the sweep has workers, each training its share of the trials with
`datransnet.engine.fit` and nothing else, so both sides use the same cores. Both are whole commands; the sweep's start
is told apart.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.network import RESULTS, device_name
from pipeline.support.source import ROOT


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
    for model, recipe, seed in plans:
        for _ in fit(create_model(**model), train, validation, Recipe(**recipe), seed=seed):
            pass


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=7, help="of a trial; 7 are about 30 s")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
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
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
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
    first = min(trial["started"] for trial in trials)
    sweep_seconds = max(trial["ended"] for trial in trials) - first
    inside = [(trial["ended"] - trial["started"] - trial["training"]) / trial["epochs"] for trial in trials]
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
        "report_seconds": sorted(inside)[len(inside) // 2],
    }
    print(
        f"trials of {content['trial_seconds']:.0f} s on {options.workers} workers: bare {bare_seconds:.1f} s;", end=" "
    )
    print(f"stage {seconds['tune']:.1f} s ({content['command_ratio']:.2f}×), from first start to last end", end=" ")
    print(
        f"{sweep_seconds:.1f} s ({content['trials_ratio']:.2f}×); next trial after {max(gaps):.2f} s at most;", end=" "
    )
    print(f"an epoch's record, report and tracking {content['report_seconds'] * 1000:.0f} ms")
    path = RESULTS / "machinery.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(path)


def _trials(folder: Path) -> list[dict[str, Any]]:
    """What each trial was, and when it ran: its lock is touched at its start, its weights are written at its end."""
    found = []
    for key in (trial["key"] for trial in json.loads((folder / "results/tune.json").read_text())["trials"]):
        place = folder / "runs" / key
        record = json.loads((place / "record.json").read_text())
        found.append(
            {
                "model": record["run"]["model"],
                "recipe": record["run"]["recipe"],
                "seed": record["run"]["seed"],
                "epochs": len(record["history"]),
                "training": sum(epoch["seconds"] for epoch in record["history"]),
                "started": (place / "lock").stat().st_mtime,
                "ended": (place / "weights.safetensors").stat().st_mtime,
            }
        )
    return found


if __name__ == "__main__":
    main()
