"""Checkpoints: whole or absent, read without executing code."""

from pathlib import Path
from typing import Any

import torch

from datransnet.atomic import atomic_path
from datransnet.errors import DataError

SCHEMA = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, replacing an older checkpoint at once."""
    with atomic_path(path) as partial:
        torch.save({"schema": SCHEMA, **state}, partial)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, on the CPU, or None where there is none.

    Raises:
        DataError: if the file is damaged or of another schema.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise DataError(f"The checkpoint {path} is damaged ({error}). Remove it to start over.") from error
    if state.get("schema") != SCHEMA:
        raise DataError(
            f"The checkpoint {path} has schema {state.get('schema')}, not {SCHEMA}. Remove it to start over."
        )
    return state
