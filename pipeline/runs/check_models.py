"""Whether the networks and recipes that the parameters name can be built."""

import torch
from pydantic import ValidationError

from datransnet.errors import ParameterError
from datransnet.models import Network, create_model
from pipeline.study.params import Arguments, Params


def _try(network: Network) -> None:
    """Let a foreign network train and answer once, on the processor.

    Raises:
        ParameterError: if it fails.
    """
    image = torch.rand(2, 1, 64, 64)
    try:
        outputs = network.train().outputs(image)
        sum(logits.float().square().mean() for logits in outputs.values()).backward()  # type: ignore[union-attr]
        with torch.no_grad():
            network.eval()(image[:1])
    except ParameterError:
        raise
    except Exception as error:
        raise ParameterError(
            f"The external network fails on images of 64×64: {type(error).__name__}: {error}"
        ) from error


def check_models(params: Params) -> None:
    """Build the network, every variant and every searched choice once, so that a wrong argument fails before any work.

    Raises:
        ParameterError: naming the parameter that no network accepts.
    """
    base = params.model.arguments()
    attempts: dict[str, Arguments] = {"model": {}}
    attempts |= {f"ablate.variants.{name}": dict(changes) for name, changes in params.ablate.changes().items()}
    for key, dimension in params.tune.space.items():
        for value in dimension.examples() if key.startswith("model.") else []:
            attempts[f"tune.space.{key} = {value}"] = {key.removeprefix("model."): value}
    problems = []
    for where, changes in attempts.items():
        try:
            if base["name"] == "external":
                _try(create_model(**{**base, **changes}))
                continue
            with torch.device("meta"):
                create_model(**{**base, **changes})
        except ParameterError as error:
            problems.append(f"  {where}: {error}")
    for key, dimension in params.tune.space.items():
        field = key.removeprefix("recipe.")
        for value in dimension.examples() if key.startswith("recipe.") else []:
            plain = params.digestible["recipe"] | {field: value}
            try:
                Params.model_validate(params.digestible | {"recipe": plain})
            except ValidationError as error:
                problems.append(f"  tune.space.{key} = {value}: {error.errors()[0]['msg']}")
    if problems:
        raise ParameterError("params.yaml has values that no training accepts:\n" + "\n".join(problems))
