"""``python -m pipeline clean``: remove runs that did not finish."""

from pipeline.console import say
from pipeline.study.study import Study


def clean(study: Study) -> None:
    """Remove runs that are neither done nor pruned nor held by a process."""
    from pipeline.runs.record import RunFolder, all_records

    removed = 0
    for key, record in all_records(study.runs):
        folder = RunFolder(study.runs, key)
        if not record.status.well and not folder.is_held():
            if not folder.remove():
                say(f"{folder.path} stays: it holds files that no run has written.")
            removed += 1
    say(f"{removed} unfinished runs removed from {study.runs}.")
