"""Stage ablate: the subject's winner without each component, with each alone, and named variants, on the same seeds."""

from pipeline.parallel.train_stage import train_all
from pipeline.runs.check_models import check_models
from pipeline.runs.run import seeds_of
from pipeline.study.handover import winners
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage."""
    ablate = study.params.ablate
    check_models(study.params)
    subject, (model, recipe) = next(iter(winners(study).items()))
    runs = [
        (subject, name, run)
        for name, changes in ablate.changes().items()
        for run in seeds_of(study, model | dict(changes), recipe, ablate.seeds)
    ]
    train_all(study, "ablate", runs)
