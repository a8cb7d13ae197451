"""Stage check: nothing of anybody else's lies where the study writes, and no path of the parameters leads there.

It also says which files an external network consists of, for they lie where DVC does not look.

It runs first, whatever else does: DVC removes a stage's outs before that stage could look (docs/decisions/0009).
"""

import json

from datransnet.atomic import write_text
from pipeline.study.outputs import check_outputs
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage. What it writes changes with an external network only, so that no other stage runs again."""
    check_outputs(study)
    write_text(study.results / "check.json", json.dumps({"schema": 1, "safe": True}) + "\n")
    models = {name: params.model for name, params in study.params.by_network.items()}
    files = {name: model.arguments()["files"] for name, model in models.items() if model.name == "external"}
    write_text(study.results / "external.json", json.dumps({"schema": 1, "files": files}) + "\n")
