"""A trained run as stage evaluate meets it: what its stage handed on, and its score maps."""

from dataclasses import dataclass

from datransnet.data.dataset import Images
from datransnet.data.manifest import Part
from datransnet.engine.predict import ScoreMap
from pipeline.runs.run import Run
from pipeline.runs.trained import TrainedRun, read_trained
from pipeline.scoring.stored_scores import stored_scores
from pipeline.study.study import Study


@dataclass(frozen=True)
class Trained:
    """A trained run.

    Attributes:
        study: whose it is.
        stage: that trained it.
        result: what that stage handed on of it.
    """

    study: Study
    stage: str
    result: TrainedRun

    @property
    def run(self) -> Run:
        """What was trained."""
        return self.result.run

    def scores(self, name: Part | str, images: Images) -> list[ScoreMap]:
        """Its score maps of a part, or of images of other data under a name of theirs, H×W each, in [0, 1]."""
        key = self.result.key
        weights = self.study.models / self.stage / f"{key}.safetensors"
        return stored_scores(
            self.study.runs, self.run, weights, name, images, self.study.params.resources.here.device_here
        )


def all_trained(study: Study) -> list[Trained]:
    """All trained runs of a study: the winner's seeds, then its variants'.

    Raises:
        DataError: if a stage did not run.
    """
    return [Trained(study, stage, result) for stage in ("train", "ablate") for result in read_trained(study, stage)]
