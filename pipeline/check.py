"""Stage check: nothing of anybody else's lies where the study writes, and no path of the parameters leads there.

It runs first, whatever else does: DVC removes a stage's outs before that stage could look (docs/decisions/0009).
"""

import json

from datransnet.atomic import write_text
from pipeline.study.outputs import check_outputs
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage. The file that it writes is always the same, so that no other stage runs again because of it."""
    check_outputs(study)
    write_text(study.results / "check.json", json.dumps({"schema": 1, "safe": True}) + "\n")
