"""Across datasets: every study's winner on every other study's test part, at thresholds chosen at home."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datransnet.data.dataset import Images, load_part
from datransnet.errors import DataError, ParameterError
from datransnet.metrics import Budget
from pipeline.scoring.evaluation import Counts, OperatingPoint, ScoredRun, StudyEvaluation
from pipeline.scoring.score_run import counted_at
from pipeline.scoring.trained import Trained, all_trained
from pipeline.scoring.transferred import Transfer
from pipeline.study.handover import read_result
from pipeline.study.params import WINNER
from pipeline.study.study import Study


@dataclass(frozen=True)
class _Member:
    """A study, with what its winner was found to be worth at home."""

    study: Study
    evaluation: StudyEvaluation
    winners: list[tuple[Trained, ScoredRun]]
    test: Images

    @classmethod
    def of(cls, study: Study) -> "_Member":
        evaluation = read_result(study.results / "evaluation" / "evaluation.json", StudyEvaluation, "evaluate")
        trained = {each.result.key: each for each in all_trained(study) if each.result.variant == WINNER}
        winners = [(trained[run.key], run) for run in evaluation.winners if run.key in trained]
        if not winners:
            raise DataError(f"{study.folder}: its weights are not those of its evaluation. Run its evaluate stage.")
        return cls(study, evaluation, winners, load_part(study.data, "test"))

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.study.params.study

    @property
    def budgets(self) -> list[Budget]:
        """What its thresholds were chosen for."""
        return [point.budget for point in self.winners[0][1].operating]

    @property
    def seen(self) -> set[str]:
        """Digests of the images that the winner learnt from or was chosen on."""
        return {item.image for item in self.study.manifest.items if item.part in self.evaluation.rules.sees}


def transfer(studies: Sequence[Study], each: Callable[[str], object]) -> list[Transfer]:
    """Score every study's winner on every study's test part, under the first study's first convention.

    Args:
        studies: finished ones, with their weights and split data.
        each: is told what is scored next.

    Raises:
        ParameterError: if there are fewer than two, two of one name, or one whose thresholds or images mean something
            else: another first convention, other budgets, other levels of grey.
        DataError: if a study is not finished, or its data is gone.
    """
    members = [_Member.of(study) for study in studies]
    names = [member.name for member in members]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ParameterError(f"Name at least two studies of different names (`study` in params.yaml), not {names}.")
    if len({str(member.study.manifest.levels) for member in members}) > 1:
        raise ParameterError("The studies' images have other levels of grey (data.levels): set one for all.")
    convention = members[0].evaluation.conventions[0]
    if len({(member.evaluation.conventions[0], *member.budgets) for member in members}) > 1:
        raise ParameterError(
            "The studies chose their thresholds for other things: give all the same first of evaluate.conventions, "
            "evaluate.max_fa and evaluate.max_alarms, and run `dvc repro` in each."
        )
    found = []
    for home in members:
        for away in members:
            each(f"{home.name} on {away.name}")
            found.append(_transfer(home, away, convention))
    return found


def _transfer(home: _Member, away: _Member, convention: str) -> Transfer:
    """One cell of the matrix."""
    digests = {item.id: item.image for item in away.study.manifest.items}
    kept = [place for place, id_ in enumerate(away.test.ids) if digests[id_] not in home.seen or home is away]
    if not kept:
        raise DataError(f"{home.name} has seen every test image of {away.name}: nothing is left to score it on.")
    images, counts, points = away.test.subset(kept), list[Counts](), list[list[OperatingPoint]]()
    for trained, run in home.winners:
        name = "test" if home is away else f"{away.study.manifest.digest[:16]}-test"
        every = trained.scores(name, away.test)
        maps = [every[place] for place in kept]
        counts.append(counted_at(0.5, maps, images, convention)[0])
        points.append(
            [
                OperatingPoint(
                    point.budget, False, point.threshold, *counted_at(point.threshold, maps, images, convention)
                )
                for point in run.operating
                if not point.cautious
            ]
        )
    return Transfer(
        trained_on=home.name,
        scored_on=away.name,
        mark=home.evaluation.rules.mark,
        images=len(kept),
        left_out=len(away.test) - len(kept),
        counts=counts,
        points=[list(seeds) for seeds in zip(*points, strict=True)],
    )
