"""``python -m pipeline plan``: what a study still has to train."""

from pipeline.console import say
from pipeline.search.lacking import lacking
from pipeline.study.study import Study


def plan(study: Study) -> None:
    """Print what can be trained now: a line a task, and how many epochs that is."""
    tasks = [task for task in lacking(study) if not task.settled]
    for task in tasks:
        held = ", under way" if task.held else ""
        say(f"{task.key}  {task.name} ({task.epochs} left{held})")
    if tasks:
        say(f"{len(tasks)} tasks, {sum(task.epochs for task in tasks)} epochs; `python -m pipeline work` trains them.")
    else:
        say("Nothing is lacking: `dvc repro` finds everything trained.")
