"""``python -m pipeline pack``: what a study lacks, with all that it takes, for a machine that shares nothing."""

import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from datransnet.atomic import atomic_path
from datransnet.errors import ParameterError
from datransnet.foreign_code import copy_code
from pipeline.console import say
from pipeline.runs.check_models import check_models
from pipeline.runs.packed import DATA, RUNS, TASKS, write_tasks
from pipeline.runs.source import PACKAGES, ROOT
from pipeline.runs.worker import Task
from pipeline.search.lacking import lacking
from pipeline.study.study import Study

LAUNCHER = '''"""Train what this folder holds: python work.py --minutes 25 --device cuda"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "code"))

from pipeline.runs.packed import main

if __name__ == "__main__":
    main()
'''
MEBI = 2**20


def pack(study: Study, out: Path, size: float | None) -> None:
    """Write ``out``: one or several tar files that unpack into one folder.

    Args:
        study: of which everything that can be trained now is packed.
        out: a folder that does not exist yet.
        size: the largest size of a part, in MiB; None for one part.

    Raises:
        ParameterError: if nothing is lacking, ``out`` exists, or a file is larger than a part may be.
    """
    if out.exists():
        raise ParameterError(f"{out} exists already. Give a folder that does not.")
    check_models(study.params)
    tasks = [task for task in lacking(study) if not task.settled]
    if not tasks:
        raise ParameterError("Nothing is lacking, so there is nothing to pack: run `dvc repro`.")
    with TemporaryDirectory() as scratch, atomic_path(out) as partial:
        folder = Path(scratch)
        _fill(folder, study, tasks)
        partial.mkdir()
        parts = list(_parts(sorted(path for path in folder.rglob("*") if path.is_file()), size))
        for number, files in enumerate(parts, 1):
            with tarfile.open(partial / f"part-{number}-of-{len(parts)}.tar", "w") as archive:
                for path in files:
                    archive.add(path, path.relative_to(folder))
    say(f"{out}: {len(tasks)} tasks in {len(parts)} parts. There: `for part in *.tar; do tar -xf $part; done`, then")
    say("`python work.py --minutes 25 --device cuda`, as many at once as the machine has places. Bring back runs/, and")
    say("`python -m pipeline unpack FOLDER` takes over what was trained.")


def _fill(folder: Path, study: Study, tasks: Sequence[Task]) -> None:
    """Copy code, data, tasks, and what has been trained of them."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / "code" / package, ignore=ignored)
    for model in (own.model.arguments() for own in study.params.by_network.values()):
        if model["name"] == "external":
            copy_code(Path(model["source"]), model["files"], folder / "code")
    (folder / "work.py").write_text(LAUNCHER, encoding="utf-8")
    data = folder / DATA / study.manifest.dataset
    shutil.copytree(study.data, data)
    write_tasks(folder / TASKS, tasks)
    for job in (job for task in tasks for job in task.jobs):
        for path in (job.folder.record_file, job.folder.checkpoint):
            if path.exists():
                (folder / RUNS / job.run.key).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / RUNS / job.run.key / path.name)


def _parts(files: Iterable[Path], size: float | None) -> Iterator[list[Path]]:
    """Files in groups of which none is larger as a tar file, in their order."""
    if size is None:
        yield list(files)
        return
    part, used = list[Path](), 20.0 * 512
    for path in files:
        needed = 3 * 512 + -(-path.stat().st_size // 512) * 512  # a header, a longer name's, and blocks
        if needed + 20 * 512 > size * MEBI:
            raise ParameterError(f"{path.name} alone is larger than a part of {size:g} MiB may be.")
        if part and used + needed > size * MEBI:
            yield part
            part, used = [], 20.0 * 512
        part.append(path)
        used += needed
    yield part
