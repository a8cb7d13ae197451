"""Training without a stage: from a list, what nobody else trains, until nothing or no time is left.

Any number of these may work on one list, on any machines that share the folder of runs: a run belongs to who holds its
lock. Besides this project it needs the library's dependencies only.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from filelock import Timeout

from datransnet.errors import DATransNetError
from pipeline.console import duration, say
from pipeline.runs.execute import Job
from pipeline.runs.side_by_side import side_by_side
from pipeline.study.status import Status

PAUSE_SECONDS = 2.0
"""Between two looks at the list while all that is left is with others."""
MARGIN = 1.2
"""An epoch is begun if as much as the last one took, times this, is left."""
LATE = 75
"""The exit code when time was over before the work was: ``EX_TEMPFAIL`` of sysexits.h, to be tried again."""


@dataclass(frozen=True)
class Task:
    """Runs to be trained side by side up to an epoch: a trial's seeds, or a single run.

    Attributes:
        jobs: the runs.
        until: the epoch, from 1.
    """

    jobs: Sequence[Job]
    until: int

    @property
    def key(self) -> str:
        """Key of its first run."""
        return self.jobs[0].run.key

    @property
    def name(self) -> str:
        """What a person sees."""
        first = self.jobs[0]
        return f"{first.network} {first.name}, seed {first.seed_number}, up to epoch {self.until}"

    @property
    def epochs(self) -> int:
        """Epochs that are still to be trained, all runs together."""
        records = [job.folder.read() for job in self.jobs]
        return sum(self.until - min(self.until, len(record.history) if record else 0) for record in records)

    @property
    def settled(self) -> bool:
        """Whether its runs have come so far, or have ended for good."""
        records = [job.folder.read() for job in self.jobs]
        if any(record and record.status is Status.INFEASIBLE for record in records):
            return True
        return all(
            record is not None
            and (
                record.status is Status.DONE
                or (len(record.history) >= self.until and self.until < job.run.recipe.epochs)
            )
            for job, record in zip(self.jobs, records, strict=True)
        )

    @property
    def held(self) -> bool:
        """Whether another process trains one of its runs."""
        return any(job.folder.is_held() for job in self.jobs)


class TimeIsUp(BaseException):
    """Ends a training between two epochs, to be gone on with by whoever comes next."""


@dataclass(frozen=True)
class Worked:
    """What a worker has done.

    Attributes:
        trained: names of the tasks that it has finished.
        failed: name → why it failed.
        left: how many tasks are not settled.
        late: whether it ended because its time was over.
    """

    trained: list[str]
    failed: dict[str, str]
    left: int
    late: bool = False

    def tell(self) -> None:
        """Print it.

        Raises:
            DATransNetError: naming what failed.
            SystemExit: with `LATE`, if time was over first.
        """
        say(f"work: {len(self.trained)} trained, {len(self.failed)} failed, {self.left} left")
        if self.failed:
            lines = "\n".join(f"  {name}: {reason}" for name, reason in self.failed.items())
            raise DATransNetError(f"work: {len(self.failed)} failed; the same command tries them again.\n{lines}")
        if self.late:
            raise SystemExit(LATE)


def work(lacking: Callable[[], Sequence[Task]], seconds: float) -> Worked:
    """Train what is lacking until nothing is left, or the time is over.

    Args:
        lacking: says what a study lacks; it is asked again after each task, since others work on the same list, and
            since what has been trained may bring new tasks.
        seconds: from now on; infinite is allowed.
    """
    end = time.monotonic() + seconds
    trained, failed, epoch = list[str](), dict[str, str](), 0.0
    while True:
        tasks = [task for task in lacking() if not task.settled]
        free = [task for task in tasks if task.name not in failed and not task.held]
        if not tasks or all(task.name in failed for task in tasks):
            return Worked(trained, failed, len(tasks))
        if time.monotonic() + MARGIN * epoch > end:
            return Worked(trained, failed, len(tasks), late=True)
        if not free:
            time.sleep(PAUSE_SECONDS)
            continue
        task = free[0]
        try:
            epoch = _train(task, end)
        except Timeout:  # somebody else was quicker
            continue
        except TimeIsUp:
            return Worked(trained, failed, len(tasks), late=True)
        except DATransNetError as error:
            failed[task.name] = str(error).split("\n")[0]
            say(f"{task.name}: failed: {failed[task.name]}")
        else:
            trained.append(task.name)


def _train(task: Task, end: float) -> float:
    """Train a task; returns the seconds that its last epoch took.

    Raises:
        TimeIsUp: if the next epoch would end too late.
        DATransNetError: as training does.
        Timeout: if another process holds a run.
    """
    began = moment = time.monotonic()
    epochs, best, epoch = side_by_side(task.jobs, task.until, patience=0), 0.0, 0.0
    try:
        for iou in epochs:
            now = time.monotonic()
            best, epoch, moment = iou, now - moment, now
            if now + MARGIN * epoch > end and not task.settled:
                epochs.throw(TimeIsUp())
    finally:
        epochs.close()
    say(f"{task.name}: validation IoU {best:.4f}, {duration(time.monotonic() - began)}")
    return epoch
