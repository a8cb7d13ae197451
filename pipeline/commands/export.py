"""``python -m pipeline export``: a finished study as a folder that can be published and checked anywhere."""

import json
import shutil
from pathlib import Path

from datransnet.atomic import atomic_path, write_text
from datransnet.errors import DATransNetError, ParameterError
from pipeline.console import say
from pipeline.publishing.crate import CRATE, README, WORKFLOW, crate_of
from pipeline.publishing.croissant import CROISSANT, croissant_of
from pipeline.publishing.seal import SEAL, digest_of_file, place_of, read_seal
from pipeline.runs.provenance import now
from pipeline.scoring.submitted import FOLDER as SUBMISSIONS
from pipeline.study.study import Study


def export_study(folder: Path, out: Path, images: bool, licence: str) -> None:
    """Write the folder: what the seal names, the workflow, and metadata as RO-Crate and Croissant.

    Args:
        folder: of the study.
        out: is written whole, or not at all.
        images: whether the split images go along; their terms must allow it.
        licence: address of the licence of what is exported; the images have their own terms.

    Raises:
        ParameterError: if the folder is no study, or ``out`` exists.
        DATransNetError: if a file is not as it was sealed.
    """
    if not (folder / "params.yaml").is_file():
        raise ParameterError(f"{folder} is no study: it has no params.yaml.")
    if not (folder / WORKFLOW).is_file():
        raise ParameterError(f"{folder} has no {WORKFLOW}, which says how it was made: `make repro` writes one.")
    if out.exists():
        raise ParameterError(f"{out} exists already. Give a folder that does not.")
    study = Study(folder.resolve(), with_code=False)
    sealed = dict(read_seal(study))
    manifest = study.data / "manifest.json"
    manifest_name = manifest.relative_to(study.folder).as_posix()
    described = {manifest_name, manifest_name.replace("manifest", "sanitation")}
    left = {name for name in sealed if name.startswith("data/") and name not in described and not images}
    files = {name: place_of(study, name) for name in sealed if name not in left}
    for name, path in files.items():
        if not path.is_file() or digest_of_file(path) != sealed[name]:
            raise DATransNetError(f"{name} is not as it was sealed: see `python -m pipeline verify`.")
    files |= {name: study.folder / name for name in (SEAL, WORKFLOW, "dvc.lock") if (study.folder / name).is_file()}
    submitted = [path for path in (study.folder / SUBMISSIONS).rglob("*") if path.is_file()]
    files |= {path.relative_to(study.folder).as_posix(): path for path in submitted}
    with atomic_path(out) as partial:
        for name, path in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial / name)
        write_text(partial / README, _readme(study, bool(left)))
        files[README] = partial / README
        card, there = study.params.data.card, partial / manifest_name
        today = now()[:10]
        croissant = croissant_of(study.manifest, card, there, manifest_name, today)
        write_text(partial / CROISSANT, json.dumps(croissant, indent=1) + "\n")
        crate = crate_of(study, files | {CROISSANT: partial / CROISSANT}, licence, today)
        write_text(partial / CRATE, json.dumps(crate, indent=1) + "\n")
    say(f"{out}: {len(files)} files" + (f"; {len(left)} images and masks stay here" if left else ""))
    say(f"The seal's digest, to be published beside it: {digest_of_file(out / SEAL)}")


def _readme(study: Study, without_images: bool) -> str:
    """What a person who finds the folder should know."""
    data = study.params.data
    fetched = f"""
The images of {data.dataset} are not here. `python -m pipeline fetch` and `python -m pipeline split` in this folder
bring them; what is checked then are all counts and metrics, too.
"""
    return f"""# Study {study.params.study}

A study of infrared small target segmentation on {data.dataset} {data.split}: `reports/report.html` shows it.

With the project's environment, `python -m pipeline verify .` checks every file, run, number and table; without it,
`sha256sum -c --ignore-missing reports/SHA256SUMS` checks the files.
{fetched if without_images else ""}
`ro-crate-metadata.json` describes this folder (Workflow Run RO-Crate), `croissant.json` the data.
"""
