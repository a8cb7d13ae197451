"""Which Python files a folder of somebody else's code holds; without importing anything of it."""

import hashlib
import shutil
from pathlib import Path

from datransnet.errors import ParameterError


def python_digest(source: Path) -> str:
    """A digest of the Python files of a folder, hidden folders left out: 16 hexadecimal digits.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
    """
    digest = hashlib.sha256()
    for path in python_files(source):
        digest.update(f"{path.relative_to(source).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def python_files(source: Path) -> list[Path]:
    """The Python files of a folder, sorted; hidden folders are left out.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
    """
    found = sorted(
        path
        for path in source.rglob("*.py")
        if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(source).parts)
    )
    if not found:
        raise ParameterError(f"model.source = {source} is no folder with Python files in it.")
    return found


COPIES = "external"
"""The folder beside this package where machines elsewhere have copies of foreign code, one for each digest."""


def copy_python(source: Path, files: str, beside: Path) -> None:
    """Copy a folder's Python files to where a package in ``beside`` looks for those with the digest ``files``.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
    """
    for path in python_files(source):
        target = beside / COPIES / files / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
