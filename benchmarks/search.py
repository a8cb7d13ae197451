"""Does the search earn its keep? TPE with ASHA against random search, on the quick profile's space, as real commands.

Both get the same trials. Random search trains each to its end; its best validation IoU is the goal. Counted are the
epochs that TPE with ASHA trains until it has reached the goal, as a share of all that random search trains. One trial
at a time, so that a sweep can be repeated to the byte.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.network import RESULTS, device_name
from pipeline.runs.source import ROOT

KINDS: dict[str, dict[str, Any]] = {
    "random": {"sampler": "random", "scheduler": "none"},
    "tpe_asha": {"sampler": "tpe", "scheduler": "asha"},
}


def sweep(folder: Path, kind: str, seed: int, trials: int) -> list[dict[str, Any]]:
    """Run a sweep in a study of its own; its trials in order."""
    place = folder / f"{kind}-{seed}"
    place.mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["seed"] = seed
    params["tune"] |= {**KINDS[kind], "trials": trials, "concurrent": 1, "points": []}
    (place / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for stage in ("fetch", "split", "tune"):
        command = [sys.executable, "-m", "pipeline", stage]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": ""}
        subprocess.run(command, cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)
    found: list[dict[str, Any]] = json.loads((place / "results/tune.json").read_text(encoding="utf-8"))["trials"]
    return found


def epochs_to(goal: float, trials: list[dict[str, Any]]) -> int | None:
    """Epochs trained until a validation IoU is reached, or None."""
    epochs = 0
    for trial in trials:
        for value in trial["history"]:
            epochs += 1
            if value >= goal:
                return epochs
    return None


def main() -> None:
    """Run all sweeps, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2, help="sweeps at a time")
    options = parser.parse_args()
    plan = [(kind, seed) for seed in range(options.seeds) for kind in KINDS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.workers) as pool:
        sweeps = dict(zip(plan, pool.map(lambda p: sweep(Path(folder), *p, options.trials), plan), strict=True))
    rows = []
    for seed in range(options.seeds):
        random, ours = sweeps["random", seed], sweeps["tpe_asha", seed]
        goal, spent = max(trial["best_iou"] for trial in random), sum(trial["epochs"] for trial in random)
        needed = epochs_to(goal, ours)
        rows.append(
            {
                "seed": seed,
                "random_best": goal,
                "random_epochs": spent,
                "tpe_asha_best": max(trial["best_iou"] for trial in ours),
                "tpe_asha_epochs": sum(trial["epochs"] for trial in ours),
                "epochs_to_random_best": needed,
                "share": needed / spent if needed else float("inf"),
            }
        )
        print(rows[-1], flush=True)
    share = median(row["share"] for row in rows)
    print(
        f"TPE with ASHA reaches random search's best after {share:.0%} of its epochs (median of {options.seeds} seeds)."
    )
    content = {
        "schema": 1,
        "device": device_name("cpu"),
        "command": " ".join(["python -m benchmarks.search", *sys.argv[1:]]),
        "trials": options.trials,
        "median_share": share,
        "seeds": rows,
    }
    (RESULTS / "search-tpe-asha-random.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(RESULTS / "search-tpe-asha-random.json")


if __name__ == "__main__":
    main()
