"""One run, from its plan to its record: a generator over `datransnet.engine.fit` that any listener can drive."""

import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import load_file

from datransnet.atomic import remove_partials, write_text
from datransnet.data.dataset import Images, load_part
from datransnet.engine.distributed import together
from datransnet.engine.fit import Epoch, finished, fit
from datransnet.errors import DATransNetError, LostError, TrainingError
from datransnet.models import Network
from datransnet.seeding import derive_seed
from datransnet.weights import create_trainable, save_state
from pipeline.console import Row
from pipeline.runs.provenance import environment, git_revision, now
from pipeline.runs.record import Record, RunFolder
from pipeline.runs.run import Run
from pipeline.study.protocol import PROTOCOLS
from pipeline.study.seat import Seat
from pipeline.study.status import Status


@dataclass(frozen=True)
class Job:
    """A run that a stage wants, and how it calls it.

    Attributes:
        run: the run.
        network: the name of the study's network that it trains.
        name: what the stage calls it: the variant, or the trial.
        seed_number: which of that name's seeds it has, from 1.
        data: the split dataset's folder.
        runs: where runs are.
        seat: what it occupies.
    """

    run: Run
    network: str
    name: str
    seed_number: int
    data: Path
    runs: Path
    seat: Seat

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(self.runs, self.run.key)


def build(run: Run) -> Network:
    """The network of a run, initialised from its seed."""
    import torch

    torch.manual_seed(derive_seed(run.seed, "init"))
    return create_trainable(run.model, run.recipe)


def load_trained(run: Run, weights: Path) -> Network:
    """The network of a run with its trained weights."""
    model = build(run)
    model.load_state_dict(load_file(weights))
    return model


def _parts(job: Job) -> tuple[Images, Images]:
    """Training images, and those that choose the epoch."""
    rules = PROTOCOLS[job.run.protocol]
    return load_part(job.data, *rules.learns_from), load_part(job.data, rules.selects_on)


def _fit(job: Job, device: str) -> tuple[Network, Iterator[Epoch]]:
    """A job's network, and its training."""
    import torch

    torch.set_num_threads(job.seat.cpus)
    torch.use_deterministic_algorithms(True, warn_only=True)
    train, validation = _parts(job)
    model = build(job.run)
    watched = load_part(job.data, "test") if job.run.watched else None
    recipe, seed, checkpoint = job.run.recipe, job.run.seed, job.folder.checkpoint
    return model, fit(
        model, train, validation, recipe, seed=seed, checkpoint=checkpoint, device=device, watched=watched
    )


def _accompany(job: Job, device: str) -> None:
    """Train along with the process that keeps the record."""
    for _ in _fit(job, device)[1]:
        pass


def execute(job: Job, patience: float = -1) -> Generator[Epoch, None, None]:
    """Train a run, or go on where it was left; a finished one yields its recorded epochs at once.

    A run that another process trains is waited for, without end or for ``patience`` seconds.

    Whatever ends it, its record says how: done; pruned, when the listener stops listening; infeasible, when it diverges
    or memory does not suffice; failed, with the reason, and the traceback in ``error.log``.

    Raises:
        DATransNetError: as training does.
        Timeout: if another process trains it for longer than that.
    """
    import torch

    folder, seat = job.folder, job.seat
    with folder.locked(patience):
        remove_partials(folder.path)
        record = folder.read()
        if record and record.status is Status.DONE:
            yield from record.history
            return
        started = record.started if record else now()
        record = Record(job.run, started=started, git=git_revision(), environment=environment(seat.device))
        folder.write(record)
        try:
            with together(seat.processes, seat.device, _accompany, (job,)) as device:
                model, epochs = _fit(job, device)
                for metrics in epochs:
                    record = replace(record, history=[*record.history, metrics])
                    folder.write(record)
                    if not finished(job.run.recipe, record.history):
                        yield metrics
            save_state(model, folder.weights)
            record = replace(record, status=Status.DONE, finished=now())
            folder.write(record)
            folder.checkpoint.unlink(missing_ok=True)
        except GeneratorExit:
            record = replace(record, status=Status.PRUNED, finished=now())
            folder.write(record)
            raise
        except (TrainingError, torch.OutOfMemoryError) as error:
            reason = str(error).split("\n")[0]
            if isinstance(error, torch.OutOfMemoryError):
                reason = (
                    f"GPU memory does not suffice; try fewer trainings on a GPU, or a smaller batch_size ({reason})"
                )
            record = replace(record, status=Status.INFEASIBLE, reason=reason, finished=now())
            folder.write(record)
            raise TrainingError(reason) from error
        except LostError as error:
            record = replace(record, status=Status.INTERRUPTED, reason=str(error).split("\n")[0], finished=now())
            folder.write(record)
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, DATransNetError) else f"{error.__class__.__name__}: {error}"
            record = replace(record, status=Status.FAILED, reason=reason.split("\n")[0], finished=now())
            write_text(folder.log, traceback.format_exc())
            folder.write(record)
            raise
        except BaseException:
            record = replace(record, status=Status.INTERRUPTED, finished=now())
            folder.write(record)
            raise
        # The last epoch comes after "done" is recorded: if the listener stops here, the run still counts as done.
        yield record.history[-1]


def row_of(job: Job, record: Record | None) -> Row:
    """A job's line in the progress table."""
    if record is None:
        return Row(job.name, Status.WAITING, 0, job.run.recipe.epochs, 0.0)
    return Row(job.name, record.status, len(record.history), job.run.recipe.epochs, record.best_iou)
