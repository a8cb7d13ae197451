"""Networks, methods and submissions beside each other on one test part: what each scores, takes, and its place."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from datransnet.errors import DataError
from pipeline.reporting.claims import LEAST_TRAININGS
from pipeline.reporting.names import network_title
from pipeline.reporting.ranking import Place, places
from pipeline.reporting.result_tables import counts_of
from pipeline.reporting.statistics import Counted, gather
from pipeline.scoring.costs import Costs
from pipeline.scoring.evaluation import Dataset, ScoredRun, StudyEvaluation
from pipeline.scoring.submitted import MARKS, Submission
from pipeline.study.handover import Searches, Tuned


@dataclass(frozen=True)
class Finished:
    """What a finished study has to say.

    Attributes:
        name: of the study.
        evaluation: of its runs.
        costs: of its networks.
        searches: how its winners were found.
        submissions: other people's networks on its test part.
    """

    name: str
    evaluation: StudyEvaluation
    costs: Costs
    searches: Searches
    submissions: Sequence[Submission] = ()


@dataclass(frozen=True)
class Price:
    """What a network or method takes.

    Attributes:
        latency: milliseconds for an image of ``size``.
        size: height and width of that image, in pixels.
        device: on which the latency was measured, with threads.
        parameters: of a network, as all of what follows; None of a method.
        multiply_adds: for that image.
        training: mean hours of a training; None where no record says, as of the search.
        search: hours that all trials of the search were trained.
        search_epochs: that they were trained.
    """

    latency: float
    size: int
    device: str
    parameters: int | None = None
    multiply_adds: float | None = None
    training: float | None = None
    search: float | None = None
    search_epochs: int | None = None


@dataclass(frozen=True)
class Entry:
    """A line on one dataset: the winner of a network's search with its trainings, a method, or a peer's score maps.

    Attributes:
        title: what it is called.
        name: of the network in its study, or of the method or peer.
        study: that it is from.
        mark: of the protocol that chose its epochs; a peer's is not known.
        counts: of each training, image by image.
        untuned: the same of the network without what its search has found; empty where it was not trained so.
        tuned: its search, None of a method or peer.
        price: what it takes, None where only score maps are known.
        fixed: whether it has no training, so that it would always give the same.
        place: among the others on this dataset.
        before: titles of those that it surely is before.
    """

    title: str
    name: str
    study: str
    mark: str
    counts: list[Counted]
    untuned: list[Counted]
    tuned: Tuned | None
    price: Price | None
    fixed: bool = False
    place: Place = field(default_factory=lambda: Place(0, 0, 0))
    before: tuple[str, ...] = ()

    @property
    def marked(self) -> str:
        """The title with the mark."""
        return f"{self.title} {self.mark}".strip()

    @property
    def plain(self) -> str:
        """The title without what tells it apart on its own board."""
        return self.title.partition(" (")[0]


@dataclass(frozen=True)
class Board:
    """The lines on one test part, the best first.

    Attributes:
        dataset: name and split.
        convention: of the metrics.
        entries: the lines.
        data: what is known of the data.
    """

    dataset: str
    convention: str
    entries: list[Entry]
    data: Dataset


def boards(studies: Sequence[Finished]) -> list[Board]:
    """One board for each test part that the studies were scored on.

    Raises:
        DataError: if studies of one dataset and split were scored on other images, or have no convention in common.
    """
    by_part: dict[str, list[Finished]] = {}
    for study in studies:
        dataset = study.evaluation.dataset
        by_part.setdefault(f"{dataset.name} {dataset.split}", []).append(study)
    return [_board(part, found) for part, found in by_part.items()]


def _board(part: str, studies: Sequence[Finished]) -> Board:
    first = studies[0].evaluation
    for study in studies:
        if (study.evaluation.ids, study.evaluation.dataset.digest) != (first.ids, first.dataset.digest):
            raise DataError(
                f"{studies[0].name} and {study.name} are both of {part}, but their parts hold other images (digests "
                f"{first.dataset.digest[:12]} and {study.evaluation.dataset.digest[:12]}). Split both alike, or leave "
                "one out."
            )
    scored = [run.counts for study in studies for run in study.evaluation.scored]
    scored += [entry.counts for study in studies for each in study.submissions for entry in each.entries]
    common = [name for name in first.conventions if all(name in counts for counts in scored)]
    if not common:
        raise DataError(
            f"The studies of {part} and what was submitted have no convention in common. Name one in "
            "evaluate.conventions of all, and submit again what was not scored under it."
        )
    entries = _told_apart([entry for study in studies for entry in _entries(study, common[0])])
    ranked = places([gather(_repeated(entry), "iou") for entry in entries])
    placed = [
        replace(entry, place=place, before=tuple(entries[index].title for index in place.before))
        for entry, place in zip(entries, ranked, strict=True)
    ]
    return Board(part, common[0], sorted(placed, key=lambda entry: entry.place.place), first.dataset)


def _told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """The lines; those of one title with the least that tells them apart: name, study, or both."""
    named = []
    for entry in entries:
        alike = [other for other in entries if other.title == entry.title]
        ways = ([each.name for each in alike], [each.study for each in alike])
        more = next(
            (way for way in ways if len(set(way)) == len(alike)), [f"{each.study}: {each.name}" for each in alike]
        )
        told = f"{entry.title} ({more[alike.index(entry)]})"
        named.append(replace(entry, title=told) if len(alike) > 1 else entry)
    return named


def _repeated(entry: Entry) -> list[Counted]:
    """The counts of a line's trainings; a classical method's as often as it takes, for it always gives the same."""
    return entry.counts * LEAST_TRAININGS if entry.fixed else entry.counts


def _entries(study: Finished, convention: str) -> list[Entry]:
    evaluation = study.evaluation
    mark, untuned, costs = evaluation.rules.mark, evaluation.untuned, study.costs
    found = [
        Entry(
            network_title(runs[0].model),
            name,
            study.name,
            mark,
            list(counts_of(runs, convention)),
            list(counts_of(untuned.get(name, []), convention)),
            study.searches.networks[name],
            _price(name, runs, costs, study.searches.networks[name]),
        )
        for name, runs in evaluation.networks.items()
    ]
    for peer in evaluation.peers:
        timed = costs.methods.get(peer.variant)
        price = Price(timed.latency, timed.size, _told(timed.device, timed.threads)) if timed else None
        found.append(
            Entry(
                peer.variant,
                peer.variant,
                study.name,
                MARKS["validation" if timed else "unknown"],
                [peer.counts[convention]],
                [],
                None,
                price,
                timed is not None,
            )
        )
    return found + [_submitted(study, each, convention) for each in study.submissions]


def _submitted(study: Finished, submission: Submission, convention: str) -> Entry:
    """The line of a submission.

    Raises:
        DataError: if it was scored on other images.
    """
    if submission.data_digest != study.evaluation.dataset.digest:
        raise DataError(
            f"{submission.name} was submitted to {study.name} for other images: move submissions/{submission.name} "
            "away and submit it again."
        )
    price = None
    if (cost := submission.cost) is not None:
        device = _told(cost.device, cost.threads)
        price = Price(cost.latency, cost.size, device, cost.parameters, cost.operations / 2)
    counts: list[Counted] = [entry.counts[convention] for entry in submission.entries]
    mark = MARKS[submission.selected_on]
    return Entry(submission.name, submission.name, study.name, mark, counts, [], None, price)


def _price(name: str, runs: Sequence[ScoredRun], costs: Costs, tuned: Tuned) -> Price:
    found = [costs.runs[run.key] for run in runs]
    first, trained = found[0], [cost.training for cost in found if cost.training is not None]
    search = costs.searches.get(name)
    return Price(
        latency=first.latency,
        size=first.size,
        device=_told(first.device, first.threads),
        parameters=first.parameters,
        multiply_adds=first.operations / 2,
        training=fmean(trained) / 3600 if trained else None,
        search=None if search is None else search / 3600,
        search_epochs=sum(trial.epochs for trial in tuned.trials),
    )


def _told(device: str, threads: int) -> str:
    return f"{device}, {threads} thread(s)"
