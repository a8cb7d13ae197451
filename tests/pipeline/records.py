"""A run and its records, to test with."""

from dataclasses import replace

from datransnet.engine.recipe import Recipe
from pipeline.runs.record import Record
from pipeline.runs.run import Run

RUN = Run("Toy", "half", "d" * 8, "holdout", {"name": "datransnet", "width": 4}, Recipe(epochs=3), 1, "s" * 8)


def history(epochs):
    return [{"epoch": n, "loss": 1 / n, "best_iou": n / 10, "best_epoch": n} for n in range(1, epochs + 1)]


def record(**changes):
    return replace(Record(RUN, started="2026-01-01T00:00:00+00:00", git="abc"), **changes)
