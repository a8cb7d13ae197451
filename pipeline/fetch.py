"""Stage fetch: the dataset as its authors publish it, as its owner has it, or as our generator draws it."""

from datransnet.data.fetch import fetch, fetch_folder
from datransnet.data.oddities import named
from datransnet.data.synthetic import generate
from datransnet.seeding import derive_seed
from pipeline.console import say
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage; writes ``data/raw/<NAME>/``."""
    params = study.params
    card = params.data.card
    if params.data.source is not None:
        foreign = fetch_folder(study.named(params.data.source).resolve(), study.raw)
    elif card.sources:
        fetched = fetch(card, study.raw)
        foreign = list(fetched.foreign)
        for reason in fetched.passed_over:
            say(f"fetch: {reason} The next source was used: {fetched.source}")
    else:
        scenes = params.data.synthetic
        counts = {"train": scenes.train, "val": scenes.val, "test": scenes.test}
        foreign = []
        generate(study.raw, counts, scenes.size, derive_seed(params.seed, "scenes"))
    if foreign:
        say(f"fetch: {len(foreign)} files are left out: of other systems, or of kinds not read ({named(foreign)})")
    say(f"fetch: {card.name} is in {study.raw.relative_to(study.folder)}; terms: {card.terms}")
