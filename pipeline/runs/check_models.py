"""Whether the networks and recipes that the parameters name can be built."""

import torch
from pydantic import ValidationError

from datransnet.classical import METHODS
from datransnet.errors import ParameterError
from datransnet.models import Network
from datransnet.weights import create_trainable
from pipeline.study.arguments import Arguments
from pipeline.study.params import Params


def _try(network: Network) -> None:
    """Let a foreign network train, answer and be kept once, on the processor.

    Raises:
        ParameterError: if it fails, or does not give finite logits.
    """
    image = torch.rand(2, 1, 64, 64)
    outputs = network.train().outputs(image)
    sum(logits.float().square().mean() for logits in outputs.values()).backward()  # type: ignore[union-attr]
    with torch.no_grad():
        answers = [network.eval()(each) for each in (image[:1], torch.rand(1, 1, 45, 61))]
    if not all(bool(logits.isfinite().all()) for logits in (*outputs.values(), *answers)):
        raise ParameterError("The external network gives logits that are not finite on images of 64×64 or 45×61.")


def check_models(params: Params) -> None:
    """Build each network, every variant and every searched choice once: a wrong argument fails before any work.

    Raises:
        ParameterError: naming the parameter that no network accepts, and classical methods that there are not.
    """
    problems = []
    for method in params.evaluate.methods:
        try:
            METHODS[method]
        except ParameterError as error:
            problems.append(f"  evaluate.methods: {error}")
    for number, (name, own) in enumerate(params.by_network.items()):
        where = f"networks.{name}." if name in params.networks else ""
        problems += [f"  {where}{problem}" for problem in _problems(own, varied=number == 0)]
    if problems:
        raise ParameterError("params.yaml has values that no training accepts:\n" + "\n".join(problems))


def _problems(params: Params, varied: bool) -> list[str]:
    """What cannot be built of one network, and of its variants if it is ``varied``."""
    base = params.model.arguments()
    attempts: dict[str, Arguments] = {"model": {}}
    if varied:
        attempts |= {f"ablate.variants.{name}": dict(changes) for name, changes in params.ablate.changes().items()}
    for key, dimension in params.tune.space.items():
        for value in dimension.examples() if key.startswith("model.") else []:
            attempts[f"tune.space.{key} = {value}"] = {key.removeprefix("model."): value}
    problems = []
    for where, changes in attempts.items():
        try:
            if base["name"] == "external":
                if "source" in changes or "files" in changes:
                    raise ParameterError("another source is another network: name it under networks.")
                _try(create_trainable(base | changes, params.recipe))
                continue
            with torch.device("meta"):
                create_trainable(base | changes, params.recipe)
        except ParameterError as error:
            problems.append(f"{where}: {error}")
    for key, dimension in params.tune.space.items():
        field = key.removeprefix("recipe.")
        for value in dimension.examples() if key.startswith("recipe.") else []:
            plain = params.digestible["recipe"] | {field: value}
            try:
                Params.model_validate(params.digestible | {"recipe": plain})
            except ValidationError as error:
                problems.append(f"tune.space.{key} = {value}: {error.errors()[0]['msg']}")
    return problems
