"""``python -m pipeline validate``: check the parameters before any work."""

from pipeline.console import say
from pipeline.study.outputs import check_outputs
from pipeline.study.study import Study


def validate(study: Study, schema: bool = False) -> None:
    """Check the parameters, and that no path in them leads where the study writes.

    Unless ``schema`` is set, every network that the parameters name is built once: the study's, its variants, and those
    of the search.

    Raises:
        ParameterError: naming every mistake.
    """
    params = study.params
    check_outputs(study)
    if not schema:
        from pipeline.runs.check_models import check_models  # imports torch

        check_models(params)
        if params.model.name == "external":
            extra = params.model.model_extra or {}
            say(f"The network is code of {extra['source']} ({extra['call']}), which runs with your rights.")
        say(f"{study.folder / 'params.yaml'}: valid (study {params.study}).")
