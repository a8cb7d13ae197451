"""Profiles: ``params.yaml`` with the differences of ``profiles/<name>.yaml``, as a study in a folder of its own.

A profile has its own parameters, ``dvc.yaml``, ``dvc.lock`` and results, so nothing of another study is overwritten and
switching between them computes nothing again. See docs/decisions/0002-profiles.md.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from datransnet.atomic import write_text
from datransnet.errors import ParameterError, did_you_mean
from pipeline.study.read_params import parse_params, read_yaml
from pipeline.study.study import Study

GENERATED = "# Written by `make repro PROFILE={name}` from {source}; change those instead.\n"
CODE = re.compile(r"(pipeline|datransnet)(/|$)")
"""Dependencies of a stage that are code, which lies in the project's root."""


def merged(base: Any, changes: Any) -> Any:
    """Return ``base`` with ``changes``: mappings are merged key by key, anything else is replaced.

    The mappings `space`, `components`, `variants`, `networks` and `model` are replaced as a whole.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    whole = ("space", "components", "variants", "networks", "model")
    return base | {
        key: value if key in whole else merged(base.get(key), value) if key in base else value
        for key, value in changes.items()
    }


def differences(profiles: Path, name: str) -> dict[str, Any]:
    """What a profile changes; with ``extends`` it builds on another, of which it changes only what it names.

    Raises:
        ParameterError: if there is no such profile, or it extends itself through others.
    """
    changes: dict[str, Any] = {}
    known, met = sorted(path.stem for path in profiles.glob("*.yaml")), list[str]()
    while name:
        if name not in known:
            raise ParameterError(f"There is no profile {name!r} in profiles/. {did_you_mean(name, known)}")
        if name in met:
            raise ParameterError(f"The profiles {' → '.join([*met, name])} extend each other in a circle.")
        met.append(name)
        found = read_yaml(profiles / f"{name}.yaml")
        name = str(found.pop("extends", ""))
        changes = merged(found, changes)
    return changes


def write_study(project: Study, name: str) -> Path:
    """Write ``studies/<name>/params.yaml`` and ``dvc.yaml``; returns the folder.

    Raises:
        ParameterError: if there is no such profile, the merged parameters hold mistakes, or a file stands there that
            this command has not written.
    """
    changes = differences(project.folder / "profiles", name)
    params = merged(read_yaml(project.folder / "params.yaml"), changes)
    parse_params(params, f"params.yaml with profiles/{name}.yaml")
    folder = project.folder / "studies" / name
    stages = read_yaml(project.folder / "dvc.yaml")
    for stage in stages["stages"].values():
        if "deps" in stage:
            stage["deps"] = [f"../../{path}" if CODE.match(path) else path for path in stage["deps"]]
    contents = {
        folder / "params.yaml": (params, f"params.yaml and profiles/{name}.yaml"),
        folder / "dvc.yaml": (stages, "dvc.yaml"),
    }
    for path in contents:
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(GENERATED[:12]):
            raise ParameterError(
                f"{path} was not written by `make repro PROFILE={name}`, which would replace it. Move it, or run its "
                f"study by `dvc repro` in {folder}."
            )
    for path, (content, sources) in contents.items():
        text = GENERATED.format(name=name, source=sources) + yaml.safe_dump(content, sort_keys=False, width=120)
        write_text(path, text)
    return folder
