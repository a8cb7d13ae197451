"""From parameters and data to runs: what a study trains, before anything is trained."""

import json

from pydantic import TypeAdapter

from datransnet.data.manifest import Manifest
from datransnet.engine.recipe import Recipe
from datransnet.models import complete_arguments
from datransnet.seeding import derive_seed
from pipeline.runs.run import Run, training_source
from pipeline.study.arguments import Arguments
from pipeline.study.handover import Winners
from pipeline.study.params import UNTUNED, WINNER, Params
from pipeline.study.study import Study

Named = tuple[str, str, Run]
"""The name of a network of the study, what the stage calls a variant of it, and one of its runs."""


def plan(
    params: Params,
    manifest: Manifest,
    model: Arguments,
    recipe: Recipe,
    replicate: int,
    watched: bool = False,
) -> Run:
    """The run of a network and recipe, number ``replicate`` of its seeds.

    The seed depends on the study's seed and the replicate alone, so that variants are compared seed by seed.
    """
    return Run(
        dataset=manifest.dataset,
        split=manifest.split,
        data_digest=manifest.digest,
        protocol=params.protocol,
        # JSON turns tuples into lists. It does so here already, so that the key is the same before and after reading.
        model={"name": model["name"], **json.loads(json.dumps(complete_arguments(**model)))},
        recipe=TypeAdapter(Recipe).validate_python(vars(recipe)),  # 0 and 0.0 are one recipe, as where it is read
        seed=derive_seed(params.seed, "run", replicate),
        source=training_source(str(model["name"])),
        watched=watched,
    )


def seeds_of(study: Study, model: Arguments, recipe: Recipe, number: int, watched: bool = False) -> list[Run]:
    """A network and recipe on the study's first seeds."""
    manifest = study.manifest
    return [plan(study.params, manifest, model, recipe, replicate, watched) for replicate in range(number)]


def trainings(study: Study, winners: Winners) -> list[Named]:
    """What stage train trains: each winner on all seeds, and each network untuned where that is asked for."""
    params, named = study.params, list[Named]()
    subject = next(iter(winners))
    for name, (model, recipe) in winners.items():
        trained = {WINNER if name == subject else name: (model, recipe)}
        if params.train.untuned:
            own = params.by_network[name]
            trained[UNTUNED if name == subject else f"{name}_{UNTUNED}"] = own.model.arguments(), own.recipe
        for variant, what in trained.items():
            runs = seeds_of(study, *what, params.train.seeds, params.rules.watches_test)
            named += [(name, variant, run) for run in runs]
    return named


def ablations(study: Study, winners: Winners) -> list[Named]:
    """What stage ablate trains: the subject's winner, changed, on the first seeds."""
    ablate = study.params.ablate
    subject, (model, recipe) = next(iter(winners.items()))
    return [
        (subject, name, run)
        for name, changes in ablate.changes().items()
        for run in seeds_of(study, model | dict(changes), recipe, ablate.seeds)
    ]
