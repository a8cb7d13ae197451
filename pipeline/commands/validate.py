"""``python -m pipeline validate``: check the parameters before any work."""

from pipeline.console import say
from pipeline.study.outputs import check_outputs
from pipeline.study.study import Study


def validate(study: Study, schema: bool = False) -> None:
    """Check the parameters, and that no path in them leads where the study writes.

    Unless ``schema`` is set, every network that the parameters name is built once: the study's, the subject's variants,
    and those of the searches.

    Raises:
        ParameterError: naming every mistake.
    """
    params = study.params
    check_outputs(study)
    if not schema:
        from pipeline.runs.check_models import check_models  # imports torch

        check_models(params)
        for name, model in ((name, own.model.arguments()) for name, own in params.by_network.items()):
            if model["name"] == "external":
                say(f"The network {name} is code of {model['source']} ({model['call']}), which runs with your rights.")
        say(f"{study.folder / 'params.yaml'}: valid (study {params.study}).")
