"""What a study writes, so that nothing of anybody else's is removed: DVC removes a stage's outs before it runs."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from datransnet.data.download import mirror_folder
from datransnet.data.inventory import unnoted
from datransnet.data.listing import files_below, is_foreign
from datransnet.data.manifest import Manifest
from datransnet.data.oddities import named
from datransnet.errors import DataError, ParameterError
from pipeline.study.study import Study

KEY = r"[0-9a-f]{16}"
"""A regular expression for the key of a run."""

FILES = tuple(f"results/{name}.json" for name in ("check", "networks", "tune", "train", "ablate", "cost"))
PAGES = ("reports/report.html", "reports/metrics.json", "reports/SHA256SUMS")
"""Outs that are files."""

FOLDERS = {
    "models/train": rf"{KEY}\.safetensors",
    "models/ablate": rf"{KEY}\.safetensors",
    "models/best": r"weights\.safetensors|card\.json",
    "results/evaluation": rf"evaluation\.json|targets\.csv|examples\.npz|curves/({KEY}|peer-.+)\.csv",
    "reports/tables": r"(main|networks|references(_apart)?|hierarchical|selection|operating|ablation|components"
    r"|planning|cost|search|tuning|detection_limit)\.(csv|md|tex)",
    "reports/figures": r"(networks|roc|calibration|detection_limit|search|slices|parallel|pareto|training|examples)"
    r"\.(png|svg|pdf)",
    "reports/plots": r"(roc|pd_fa|training)\.csv",
}
"""Outputs of DVC stages that are folders → a regular expression for the paths of the files in each."""


def check_outputs(study: Study) -> None:
    """See that no path of the parameters leads where the study writes, and that nobody else's files lie there.

    Raises:
        ParameterError: naming the path or the files, and the remedy.
    """
    _check_paths(study)
    if study.shown.is_symlink() and study.shown.resolve() != study.data.resolve():
        raise ParameterError(
            f"{study.shown} is a link to {study.shown.resolve()}, but it is where this study shows the split dataset. "
            "Move the link, or give the dataset another name (data.dataset)."
        )
    _check_source(study)
    for folder, foreign in _folders(study).items():
        if folder.exists() and not folder.is_dir():
            raise ParameterError(f"{folder} is a file, where this study writes a folder. Move it elsewhere.")
        if folder.is_dir() and (names := foreign(folder)):
            raise ParameterError(
                f"{folder} holds {len(names)} files that this study has not written ({named(names)}). The next "
                "stage would remove them: move them elsewhere (and name that place as data.source, if they are your "
                "dataset). If nobody needs them, remove the folder."
            )


def _check_paths(study: Study) -> None:
    """See that no path of the parameters is, contains, lies in or links into an out."""
    data, peers = study.params.data, study.params.evaluate.peers
    paths = {f"evaluate.peers.{name}": study.named(path) for name, path in peers.items()}
    if data.source is not None:
        paths["data.source"] = study.named(data.source)
    outs = [*_folders(study), study.shown, *(study.folder / name for name in (*FILES, *PAGES))]
    outs += [study.home / name for name in ("runs", "mlartifacts", "mlruns.db", "unsent")]
    for key, path in paths.items():
        near = {out: how for out in outs if (how := _touches(path, out))}
        links = [] if near else _links(path)
        for out in outs:
            linked = next((f"holds a link ({link}) to" for link in links if _touches(link, out)), "")
            if how := near.get(out, linked):
                raise ParameterError(
                    f"{key} ({path}) {how} {out}, which this study writes and replaces: your files would be removed. "
                    "Keep them elsewhere, for instance beside the project, and name that place."
                )
    if (mirror := mirror_folder()) is not None:
        for out in outs:
            if _touches(mirror, out) in (IS, INSIDE):
                raise ParameterError(f"DATRANSNET_MIRROR = {mirror} lies in {out}, which this study replaces. Move it.")


def _check_source(study: Study) -> None:
    """See that a copy of a dataset is not the only one left when the next fetch would replace it."""
    source = study.params.data.source
    if source is not None and not study.named(source).exists() and study.raw.exists():
        raise ParameterError(
            f"data.source ({study.named(source)}) is gone, and {study.raw} may be the only copy left, which the next "
            "fetch would replace. Bring the folder back, or move this copy to where data.source says."
        )


IS, INSIDE, AROUND = "is the same as", "lies in", "contains"


def _touches(path: Path, out: Path) -> str:
    """How a path and an out lie to each other, by name or by where links lead; "" if apart."""
    plain = [
        Path(os.path.normpath(place.absolute())) for place in (path, out)
    ]  # where a link stands, not where it leads
    for one, other in (plain, (path.resolve(), out.resolve())):
        if one == other:
            return IS
        if one.is_relative_to(other):
            return INSIDE
        if other.is_relative_to(one):
            return AROUND
    return ""


def _links(path: Path) -> list[Path]:
    """Links below a path."""
    if not path.is_dir():
        return []
    places = {place for file in files_below(path) for place in (file, *file.parents)}
    return sorted(place for place in places if place.is_relative_to(path) and place.is_symlink())


def _folders(study: Study) -> dict[Path, Callable[[Path], list[str]]]:
    """Outs that are folders, each with what finds the files in it that the study has not written."""

    def by_name(pattern: str) -> Callable[[Path], list[str]]:
        def foreign(folder: Path) -> list[str]:
            names = (path.relative_to(folder).as_posix() for path in files_below(folder))
            return [name for name in names if not (is_foreign(Path(name)) or re.fullmatch(pattern, name))]

        return foreign

    split = study.data if study.shown.is_symlink() else study.shown  # a folder there was written by earlier versions
    found: dict[Path, Callable[[Path], list[str]]] = {
        study.raw: unnoted,
        study.data: _foreign_to_split,
        split: _foreign_to_split,
    }
    return found | {study.folder / name: by_name(pattern) for name, pattern in FOLDERS.items()}


def _foreign_to_split(folder: Path) -> list[str]:
    """Files of a split dataset that neither its inventory nor its manifest names: DVC may have brought it here."""
    try:
        items = Manifest.read(folder / "manifest.json").items
    except DataError:
        items = ()
    places = [f"{part}/{kind}" for part in ("trainval", "test") for kind in ("images", "masks")]
    written = {"manifest.json", "sanitation.json"} if items else set()
    written |= {f"{place}/{item.id}.png" for item in items for place in places}
    return [name for name in unnoted(folder) if name not in written]
