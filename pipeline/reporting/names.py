"""What tables call a study's network."""

from pipeline.scoring.evaluation import StudyEvaluation
from pipeline.study.arguments import Arguments


def network_title(model: Arguments) -> str:
    """A network as papers write it; an external one by its class.

    >>> network_title({"name": "dnanet"}), network_title({"name": "external", "call": "model.net:TheirNet"})
    ('DNA-Net', 'TheirNet')
    """
    from datransnet.models import network_class  # imports torch, which reading tables can do without

    if model["name"] == "external":
        return str(model["call"]).rpartition(":")[2]
    return network_class(str(model["name"])).about.title or str(model["name"])


def winner_name(evaluation: StudyEvaluation) -> str:
    """The study's network, which the winner of its search is one of."""
    return network_title(evaluation.winners[0].model)


def without_leaks(evaluation: StudyEvaluation) -> str:
    """The winner on the test images that have no near duplicate it has seen."""
    return f"{winner_name(evaluation)}, without near duplicates"
