"""Names that the examples in docstrings use; doctests outside tests/ find them here."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, object]) -> None:
    import torch

    doctest_namespace.update(np=np, torch=torch, Path=Path)
