"""A folder of somebody else's code: which files it consists of, and how to import from it without being in its way."""

import hashlib
import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from datransnet.errors import DataError, ParameterError, did_you_mean

KINDS = (".py", ".yaml", ".yml", ".json", ".toml")
"""Ends of the files that a network consists of: code, and the settings that it may read."""
COPIES = "external"
"""The folder beside this package where machines elsewhere have copies of foreign code, one for each digest."""
PLACE = "DATRANSNET_EXTERNAL_"
"""Begin of an environment variable that says, to this process and those it starts, where files of a digest lie now."""


def code_files(source: Path) -> list[Path]:
    """The code and the settings of a folder, sorted; hidden folders and virtual environments are left out.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
    """
    found = []
    for folder, below, names in os.walk(source):
        here = Path(folder)
        below[:] = [
            name
            for name in below
            if not (name.startswith(".") or name == "__pycache__" or (here / name / "pyvenv.cfg").exists())
        ]
        found += [here / name for name in names if name.endswith(KINDS) and not name.startswith(".")]
    if not any(path.suffix == ".py" for path in found):
        raise ParameterError(f"model.source = {source} is no folder with Python files in it.")
    return sorted(found)


def code_digest(source: Path) -> str:
    """A digest of the code and the settings of a folder: 16 hexadecimal digits.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
    """
    digest = hashlib.sha256()
    for path in code_files(source):
        digest.update(f"{path.relative_to(source).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def copy_code(source: Path, files: str, beside: Path) -> None:
    """Copy a folder's files to where a package in ``beside`` looks for those with the digest ``files``.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
    """
    for path in code_files(source):
        target = beside / COPIES / files / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def remember_place(source: Path, files: str) -> None:
    """Say where files of a digest lie, to this process and all that it starts: runs know where they lay once."""
    os.environ[PLACE + files] = str(source)


def locate(source: str, files: str) -> Path:
    """The folder of some code: a copy that was sent here, where it is known to lie now, or where it lay.

    Args:
        source: where it lay.
        files: digest of its files; empty if any will do.

    Raises:
        ParameterError: if there is no such folder, or no Python file in it.
        DataError: if its files are not those of the digest.
    """
    copy = Path(__file__).resolve().parents[1] / COPIES / files
    if files and copy.is_dir():
        return copy
    folder = Path(os.environ.get(PLACE + files, source)).expanduser().resolve()
    if files and (now := code_digest(folder)) != files:
        raise DataError(
            f"The files of {folder} are not those that were trained or planned (digest {now}, not {files}). Restore "
            "them, or plan and train anew what is there now."
        )
    code_files(folder)
    return folder


class ForeignModules:
    """The modules of a folder, which have their names while the folder's code runs, and only then.

    Many checkouts have a ``model`` or a ``utils``. So those of one folder are neither found by another's imports nor by
    ours, also where a module imports another as late as in a forward pass.

    Args:
        folder: in which imports begin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = {path.relative_to(folder).parts[0].removesuffix(".py") for path in code_files(folder)}
        self._own: dict[str, ModuleType] = {}

    def __deepcopy__(self, memo: object) -> "ForeignModules":
        """Itself: modules are what they are."""
        return self

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let imports find the folder's modules first, for the block's duration."""
        aside = self._taken()
        sys.modules.update(self._own)
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            self._own = self._taken()
            sys.modules.update(aside)

    def _taken(self) -> dict[str, ModuleType]:
        """Take away all modules of the folder's names; whoever had them."""
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in self._names}

    def load(self, call: str) -> Any:
        """What ``module:name`` stands for.

        Raises:
            ParameterError: if it is nothing, or its module cannot be imported.
        """
        module, _, attribute = call.partition(":")
        if not module or not attribute or module.startswith("."):
            raise ParameterError(f"model.call = {call!r} must be module:Class, such as model.net:Net.")
        try:
            with self.importable():
                found = importlib.import_module(module)
        except ImportError as error:
            raise ParameterError(
                f"model.call: {module} cannot be imported from {self.folder} ({error}). If a package is missing, "
                "install it; if it is a module of that folder, name the folder in which its imports begin."
            ) from error
        except (Exception, SystemExit) as error:  # a script that reads the command line, a syntax error, anything
            raise ParameterError(f"model.call: importing {module} from {self.folder} fails: {told(error)}") from error
        if not hasattr(found, attribute):
            names = [name for name, value in vars(found).items() if callable(value)]
            raise ParameterError(f"model.call: {module} has no {attribute}. {did_you_mean(attribute, names)}")
        return getattr(found, attribute)


def told(error: BaseException) -> str:
    """An error of foreign code in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ") + "."
