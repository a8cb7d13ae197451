"""``python -m pipeline where``: what to look at after a study."""

from pipeline.console import say
from pipeline.study.study import Study


def where(study: Study) -> None:
    """What to look at after a study."""
    place = "" if study.folder == study.home else f" (experiment {study.params.study!r})"
    if not (study.reports / "report.html").exists():
        say(f"{study.folder} has no report yet: run `dvc repro` there.")
        return
    say(f"report      {study.reports / 'report.html'}")
    say(f"MLflow UI   python -m pipeline ui{place}")
    say(f"best model  {study.models / 'best' / 'weights.safetensors'}")
