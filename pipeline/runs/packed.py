"""A list of tasks with all that they need, on a machine that shares nothing: ``python work.py`` in an unpacked folder.

Besides the code that lies in the folder it needs the library's dependencies only.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError
from datransnet.exits import as_command, in_any_locale
from pipeline.runs.execute import Job
from pipeline.runs.run import Run
from pipeline.runs.worker import Task, work
from pipeline.study.seat import Seat

TASKS = "tasks.json"
RUNS = "runs"
DATA = "data"


def write_tasks(path: Path, tasks: Sequence[Task]) -> None:
    """Write a list of tasks as JSON."""
    content = [
        {
            "until": task.until,
            "jobs": [
                {"run": asdict(job.run), "network": job.network, "name": job.name, "seed_number": job.seed_number}
                for job in task.jobs
            ],
        }
        for task in tasks
    ]
    path.write_text(json.dumps({"schema": 1, "tasks": content}, indent=1) + "\n", encoding="utf-8")


def read_tasks(folder: Path, seat: Seat) -> list[Task]:
    """The tasks of an unpacked folder.

    Raises:
        DataError: if a part of it is missing.
    """
    path = folder / TASKS
    if not path.is_file():
        raise DataError(f"There is no {path}: unpack all parts into one folder.")
    content = json.loads(path.read_text(encoding="utf-8"))
    return [Task([_job(each, folder, seat) for each in task["jobs"]], task["until"]) for task in content["tasks"]]


def _job(content: dict[str, Any], folder: Path, seat: Seat) -> Job:
    run = content["run"]
    made = Run(**{**run, "recipe": Recipe(**run["recipe"])})
    data = folder / DATA / made.dataset
    return Job(made, content["network"], content["name"], content["seed_number"], data, folder / RUNS, seat)


def main() -> None:
    """Train what an unpacked folder holds."""
    in_any_locale()
    typer.run(_train)


def _train(
    minutes: Annotated[float, typer.Option(help="Stop between two epochs before these are over.")] = math.inf,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where torch works.")] = "cpu",
    cpus: Annotated[int, typer.Option(min=1, help="Threads of a training.")] = 1,
) -> None:
    """Train what this folder holds; as many of these may run at once as the machine has places."""
    with as_command(debug=False):
        folder = Path(sys.argv[0]).resolve().parent
        tasks = read_tasks(folder, Seat(1, cpus, device))
        work(lambda: tasks, 60 * minutes).tell()
