"""Jobs are trained in parallel by Ray; their records are watched, and failures are told at the end."""

from collections.abc import Mapping, Sequence

from datransnet.errors import DATransNetError, LostError
from pipeline.console import Progress
from pipeline.parallel.session import POLL_SECONDS, cluster_use, ray_session
from pipeline.runs.execute import Job, execute, row_of
from pipeline.runs.record import Record
from pipeline.study.params import Params
from pipeline.study.resources import Resources
from pipeline.study.status import Status


def run_jobs(stage: str, jobs: Sequence[Job], params: Params) -> list[Record]:
    """Train every run that is not done yet, in parallel, and return all records.

    A failed run does not stop the others.

    Raises:
        DATransNetError: after all have ended, naming those that failed and why.
    """
    missing = list({job.run.key: job for job in jobs if not _is_done(job)}.values())  # two names may mean one run
    reasons: dict[str, str] = {}
    with Progress(stage, len(jobs)) as progress:
        try:
            if missing:
                with ray_session(params):
                    reasons = _train(missing, jobs, params.resources, progress)
        finally:
            for job in jobs:
                job.folder.settle(Status.INTERRUPTED)
        records = [job.folder.read() for job in jobs]
        progress.finish([row_of(job, record) for job, record in zip(jobs, records, strict=True)])
    report_failures(stage, jobs, reasons)
    return [record for record in records if record is not None]


def report_failures(stage: str, jobs: Sequence[Job], reasons: Mapping[str, str] | None = None) -> None:
    """Raise if a job did not end well; ``reasons`` are those that its record could not hold, by key.

    Raises:
        DATransNetError: naming each failed run, and why.
    """
    failed = []
    for job in jobs:
        record = job.folder.read()
        if record is None or not record.status.well:
            known = (record.reason or record.status) if record else "never started"
            reason = (reasons or {}).get(job.run.key, known)
            trace = f"; see {job.folder.log}" if record and record.status is Status.FAILED else ""
            failed.append(f"  {job.name} (runs/{job.run.key}): {reason}{trace}")
    if failed:
        raise DATransNetError(
            f"{stage}: {len(failed)} of {len(jobs)} runs failed; the others are kept. Run the stage again to retry.\n"
            + "\n".join(failed)
        )


def _is_done(job: Job) -> bool:
    record = job.folder.read()
    return record is not None and record.status is Status.DONE


def _train(missing: Sequence[Job], jobs: Sequence[Job], resources: Resources, progress: Progress) -> dict[str, str]:
    """One Ray task a run; the driver watches their records. Returns why tasks failed, by the run's key."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    @ray.remote(  # type: ignore[call-overload, untyped-decorator]  # its hints know no list of exceptions
        num_cpus=resources.cores, num_gpus=resources.share, max_retries=2, retry_exceptions=[LostError]
    )
    def train(job: Job) -> None:
        for _ in execute(job):
            pass

    started = {train.remote(job): job.run.key for job in missing}
    pending, reasons = list(started), {}
    while pending:
        ended, pending = ray.wait(pending, num_returns=1, timeout=POLL_SECONDS)
        for reference in ended:
            try:
                ray.get(reference)
            except RayError as error:
                cause = error.cause if isinstance(error, RayTaskError) else error
                reasons[started[reference]] = str(cause).split("\n")[0]
        progress.update([row_of(job, job.folder.read()) for job in jobs], cluster_use())
    return reasons
