"""The command ``data``: the published datasets, their splits and faults, where they come from, how to cite them."""

from datransnet.data.catalogue import CATALOGUE, Card, find_card
from datransnet.data.splits import RANDOM
from datransnet.errors import ParameterError, did_you_mean


def _told(card: Card) -> list[tuple[str, str]]:
    """What a person wants to know of a dataset, each under its heading."""
    sources = [source.url or source.page for source in card.sources] or ["drawn by this project"]
    content = card.pixels or ("recorded by the first fetch on a machine" if card.sources else "")
    return [
        ("also called", ", ".join(card.aliases)),
        ("images", str(card.images) if card.images else "as many as asked for"),
        ("splits", ", ".join([*card.splits, *([RANDOM, "fold_<number>_of_<count>"] if card.sources else [])])),
        ("sources", "\n".join(sources)),
        ("pixels", content),
        ("faults", "\n".join(card.faults)),
        ("terms", card.terms),
        ("cite", card.citation),
    ]


def data_command(name: str | None) -> None:
    """Print what is known of one published dataset, or of all.

    Raises:
        ParameterError: if there is no such dataset.
    """
    card = find_card(name) if name else None
    if name and card is None:
        raise ParameterError(f"There is no dataset {name!r}. {did_you_mean(name, list(CATALOGUE))}")
    for each in [card] if card else CATALOGUE.values():
        print(each.name)
        for heading, text in _told(each):
            for line, part in enumerate(text.splitlines()):
                print(f"  {'' if line else heading:12} {part}")
