"""``params.yaml`` is read once, and all mistakes in it are told at once."""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from datransnet.engine.recipe import Recipe
from datransnet.errors import ParameterError, did_you_mean
from pipeline.study.params import Params


def _sentence(error: Any, content: Any) -> str:
    """One validation error as ``path: what is wrong``."""
    path, message = [str(part) for part in error["loc"]], str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        message = f"unknown key. {did_you_mean(path[-1], _siblings(path[:-1]))}"
    elif error["type"] != "missing" and not isinstance(error.get("input"), dict):
        message += f" (it is {json.dumps(error.get('input'), default=str)})"
    return f"  {'.'.join(path)}: {message}" if path else f"  {message}"


def _siblings(path: list[str]) -> list[str]:
    """Keys that may stand at a path of the parameters."""
    model: Any = Params
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if hasattr(c, "model_fields") or c is Recipe), None)
    return list(getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {}))


def parse_params(content: object, where: str) -> Params:
    """Parameters from parsed YAML.

    Raises:
        ParameterError: naming every wrong key and value at once.
    """
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        lines = dict.fromkeys(_sentence(item, content) for item in error.errors())
        raise ParameterError(f"{where} has {len(lines)} mistake(s):\n" + "\n".join(lines)) from None
    return params


def read_params(path: Path) -> Params:
    """Read ``params.yaml``.

    Raises:
        ParameterError: if it is missing, no YAML, or holds mistakes.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise ParameterError(f"There is no {path}. Run from a study's folder, such as the project's root.") from None
    return parse_params(content, str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, read as DVC reads it: a key that stands twice is a mistake.

    Raises:
        ParameterError: if it is no YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        told = getattr(error, "problem", None) or str(error).split("\n")[0]
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{path} is not YAML{line}: {told}.") from None
