"""Stage ablate: the subject's winner without each component, with each alone, and named variants, on the same seeds."""

from pipeline.parallel.train_stage import train_all
from pipeline.runs.check_models import check_models
from pipeline.runs.plan import ablations
from pipeline.study.handover import winners
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage."""
    check_models(study.params)
    train_all(study, "ablate", ablations(study, winners(study)))
