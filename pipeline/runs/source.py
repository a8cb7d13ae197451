"""The source a run executes: its import closure over the syntax tree, and a digest that ignores comments."""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("datransnet", "pipeline")

TRAINING = ("datransnet.engine.fit", "datransnet.data.dataset")
"""Where a training starts, besides its network: everything imported from here on decides its result."""


def module_file(module: str) -> Path | None:
    """The file of one of our modules, or None where the name is no module of ours."""
    if module.split(".")[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def imports(path: Path) -> set[str]:
    """Names of our modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if module_file(name)}


def closure(*modules: str) -> set[Path]:
    """The files of some modules, and of every module of this project that they import, directly or through others.

    The ``__init__`` of a package is among them only if the package itself is imported: those of this project only
    re-export and register.
    """
    pending, files = list(modules), set[Path]()
    while pending:
        name = pending.pop()
        path = module_file(name)
        if path is None or path in files:
            continue
        files.add(path)
        pending += imports(path)
    return files


def _without_prose(tree: ast.Module) -> ast.Module:
    """A module without docstrings, also those below constants: a string that nothing uses decides nothing."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, [each for each in statements if not _is_prose(each)])
    return tree


def _is_prose(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def source_digest(*modules: str) -> str:
    """A digest of what the closure of some modules does: neither comments, docstrings nor layout change it."""
    digest = hashlib.sha256()
    for path in sorted(closure(*modules)):
        tree = _without_prose(ast.parse(path.read_text(encoding="utf-8")))
        digest.update(f"{path.relative_to(ROOT).as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:16]
