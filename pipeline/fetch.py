"""Stage fetch: the dataset as its authors publish it, or as our generator draws it, in ``data/raw/<NAME>/``."""

from datransnet.data.catalogue import card_named
from datransnet.data.download import fetch
from datransnet.data.synthetic import generate
from datransnet.seeding import derive_seed
from pipeline.support.console import say
from pipeline.support.paths import Study


def main(study: Study) -> None:
    """Run the stage."""
    params = study.params
    card = card_named(params.data.dataset)
    if card.archive:
        fetch(card, study.raw)
    else:
        scenes = params.data.synthetic
        counts = {"train": scenes.train, "val": scenes.val, "test": scenes.test}
        generate(study.raw, counts, scenes.size, derive_seed(params.seed, "scenes"))
    say(f"fetch: {card.name} is in {study.raw.relative_to(study.folder)}; terms: {card.terms}")
