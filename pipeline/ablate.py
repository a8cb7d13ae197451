"""Stage ablate: the winner without each of its components, with each alone, and named variants, on the same seeds."""

from pipeline.parallel.train_stage import train_all
from pipeline.runs.check_models import check_models
from pipeline.runs.run import seeds_of
from pipeline.study.handover import winner
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage."""
    ablate = study.params.ablate
    check_models(study.params)
    model, recipe = winner(study)
    runs = [
        (name, run)
        for name, changes in ablate.changes().items()
        for run in seeds_of(study, model | dict(changes), recipe, ablate.seeds)
    ]
    train_all(study, "ablate", runs)
