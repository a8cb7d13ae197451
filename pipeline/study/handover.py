"""What stages hand to each other: ``results/<stage>.json`` and the manifest of the data."""

import json
from pathlib import Path
from typing import Any

from datransnet.atomic import write_text
from datransnet.engine.recipe import Recipe
from datransnet.errors import DataError
from pipeline.study.study import Study

SCHEMA = 1


def write_result(path: Path, content: dict[str, Any]) -> None:
    """Write a stage's result as JSON."""
    write_text(path, json.dumps({"schema": SCHEMA, **content}, indent=1) + "\n")


def read_result(path: Path, stage: str) -> dict[str, Any]:
    """Read what `write_result` wrote.

    Raises:
        DataError: if it is missing or of another schema.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{path} is missing or unreadable. Run the {stage} stage first.") from error
    if content.get("schema") != SCHEMA:
        raise DataError(f"{path} has schema {content.get('schema')}, not {SCHEMA}. Run the {stage} stage again.")
    return content


def winner(study: Study) -> tuple[dict[str, Any], Recipe]:
    """Network and recipe that the search chose, at the study's full number of epochs."""
    best = read_result(study.results / "tune.json", "tune")["best"]
    return best["model"], Recipe(**{**best["recipe"], "epochs": study.params.recipe.epochs})
