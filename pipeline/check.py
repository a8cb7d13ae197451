"""Stage check: nothing of anybody else's lies where the study writes, and no path of the parameters leads there.

It also says which networks take part, for DVC wants each parameter that it looks at to be there, and which files an
external one consists of, for they lie where DVC does not look.

It runs first, whatever else does: DVC removes a stage's outs before that stage could look (docs/decisions/0009).
"""

import json

from datransnet.atomic import write_text
from pipeline.study.outputs import check_outputs
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage. What it writes changes with the networks only, so that no other stage runs again."""
    check_outputs(study)
    write_text(study.results / "check.json", json.dumps({"schema": 1, "safe": True}) + "\n")
    params = study.params
    models = {name: own.model.arguments() for name, own in params.by_network.items()}
    found = {
        "networks": {name: contender.model_dump(mode="json") for name, contender in params.networks.items()},
        "subject": next(iter(models)),
        "files": {name: model["files"] for name, model in models.items() if model["name"] == "external"},
    }
    write_text(study.results / "networks.json", json.dumps({"schema": 1, **found}, indent=1) + "\n")
