"""Test images that have a near duplicate among those that a network has seen: what their absence changes."""

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from datransnet.data.duplicates import groups
from pipeline.scoring.evaluation import StudyEvaluation

_PAIRS: TypeAdapter[list[list[tuple[str, str]]]] = TypeAdapter(list[list[tuple[str, str]]])


def unseen(evaluation: StudyEvaluation) -> npt.NDArray[np.bool_]:
    """Whether each test image, in the order of ``ids``, has no near duplicate among the images that networks have seen.

    Seen are the images they learn from and those that choose the epoch; near duplicates are as
    `datransnet.data.duplicates` finds them, directly or through others of their group.
    """
    found = evaluation.dataset.sanitation
    pairs = [pair for kind in ("duplicates", "near_duplicates") for pair in _PAIRS.validate_python(found.get(kind, []))]
    parts = {id_: part for pair in pairs for id_, part in pair} | dict.fromkeys(evaluation.ids, "test")
    places = {id_: place for place, id_ in enumerate(parts)}
    links = [(places[pair[0][0]], places[id_]) for pair in pairs for id_, _ in pair[1:]]
    labels = groups(len(places), links)
    seen = {labels[places[id_]] for id_, part in parts.items() if part in evaluation.rules.sees - {"test"}}
    return np.array([labels[places[id_]] not in seen for id_ in evaluation.ids])
