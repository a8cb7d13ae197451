"""Recorded learning curves: points of a study's space, each trained once, with every epoch looked at.

``python -m benchmarks.recorded STUDY`` trains the points, two at a time, and writes the table that
``benchmarks.search`` replays. Cut off, it goes on where it was left. The points are spread evenly (Sobol) over the
space, choices included.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from datransnet.atomic import write_text
from datransnet.errors import TrainingError
from pipeline.runs.execute import Job, execute
from pipeline.search.space import Point, Space, distribution, encode, point_at
from pipeline.search.trial import run_of
from pipeline.study.seat import Seat
from pipeline.study.study import Study

CURVES = Path(__file__).parent / "curves"
SIGNALS = ("iou", "soft_iou", "average_precision", "cross_entropy")
"""What is recorded of each epoch, on the validation part."""
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Recorded curves.

    Attributes:
        space: that the points are of.
        points: N of them.
        curves: by signal, (N, epochs); NaN from the epoch on in which a training diverged.
        seconds: of each epoch, validation included, (N, epochs).
    """

    space: Space
    points: list[Point]
    curves: Mapping[str, Values]
    seconds: Values

    @property
    def epochs(self) -> int:
        """Epochs of each training."""
        return int(self.seconds.shape[1])

    @cached_property
    def best_iou(self) -> Values:
        """Best IoU up to each epoch, (N, epochs); 0 from where a training diverged."""
        return np.maximum.accumulate(np.nan_to_num(self.curves["iou"]), axis=1)


def read_table(path: Path, space: Space) -> Table:
    """Read what `write_table` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    number = 1 + max(int(row["point"]) for row in rows)
    shape = (number, len(rows) // number)
    names = (*SIGNALS, "seconds")
    columns = {name: np.array([float(row[name]) for row in rows]).reshape(shape) for name in names}
    points = []
    for row in rows[:: shape[1]]:
        point: Point = {}
        for key, dimension in space.items():
            if row[key]:
                choices = {str(encode(each)): encode(each) for each in getattr(dimension, "choice", [])}
                point[key] = choices[row[key]] if choices else type(distribution(dimension).low)(row[key])  # type: ignore[attr-defined]
        points.append(point)
    return Table(space, points, columns, columns.pop("seconds"))


def write_table(path: Path, table: Table, comment: str) -> None:
    """Write a table as CSV: a line an epoch of each point."""
    text = io.StringIO()
    text.write(f"# {comment}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["point", *table.space, "epoch", *SIGNALS, "seconds"])
    for index, point in enumerate(table.points):
        for epoch in range(table.epochs):
            values = [f"{table.curves[name][index, epoch]:.6g}" for name in SIGNALS]
            where = [point.get(key, "") for key in table.space]
            writer.writerow([index, *where, epoch + 1, *values, f"{table.seconds[index, epoch]:.3g}"])
    write_text(path, text.getvalue())


def spread(space: Space, number: int, seed: int = 0) -> list[Point]:
    """Points spread evenly over a space."""
    places = qmc.Sobol(len(space), rng=np.random.default_rng(seed)).random(number)
    return [point_at(space, dict(zip(space, place.tolist(), strict=True))) for place in places]


def train(folder: Path, point: Point) -> list[dict[str, float]]:
    """The epochs of one training, in a process of its own; those before it diverged."""
    study = Study(folder)
    recipe = replace(study.params.recipe, validate_every=1)
    params = study.params.model_copy(update={"recipe": recipe})
    run, seat = run_of(params, study.manifest, point), Seat()
    job = Job(run, params.model.name, "recorded", 1, study.data, study.runs, seat)
    epochs = []
    try:
        for metrics in execute(job):
            epochs.append(metrics)
    except TrainingError:
        pass
    return epochs


def record(folder: Path, number: int, workers: int) -> Table:
    """Train the points and make their table."""
    params = Study(folder).params
    space, epochs = params.tune.space, params.tune.epochs
    points, histories = spread(space, number), []
    with ProcessPoolExecutor(workers) as pool:
        for index, history in enumerate(pool.map(train, [folder] * number, points)):
            histories.append(history)
            print(f"{index + 1}/{number}: IoU {history[-1]['best_iou'] if history else 0:.4f}", flush=True)

    def column(name: str) -> Values:
        rows = [[float(epoch[name]) for epoch in history] for history in histories]
        return np.array([row + [np.nan] * (epochs - len(row)) for row in rows])

    return Table(space, points, {name: column(f"val_{name}") for name in SIGNALS}, column("seconds"))


def main() -> None:
    """Record a study's curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a study whose data are split")
    parser.add_argument("--points", type=int, default=192)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = options.study.resolve()
    table = record(folder, options.points, options.workers)
    path = CURVES / f"{Study(folder).params.study}.csv"
    path.parent.mkdir(exist_ok=True)
    write_table(path, table, " ".join(["python -m benchmarks.recorded", *sys.argv[1:]]))
    print(path)


if __name__ == "__main__":
    main()
