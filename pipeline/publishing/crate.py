"""Metadata of an exported study as a Workflow Run RO-Crate: which workflow ran on what, with what result.

Profiles: RO-Crate 1.1, Workflow RO-Crate 1.0, Process Run Crate 0.5 and Workflow Run Crate 0.5
(https://www.researchobject.org/workflow-run-crate).
"""

import mimetypes
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.publishing.seal import digest_of_file, runs_of
from pipeline.reporting.names import winner_name
from pipeline.reporting.results import Results
from pipeline.runs.record import RunFolder
from pipeline.study.study import Study

CRATE = "ro-crate-metadata.json"
WORKFLOW = "dvc.yaml"
README = "README.md"
DVC = "https://dvc.org"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate 0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate 0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate 1.0",
}
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
TYPES = {".safetensors": "application/octet-stream", ".npz": "application/zip", ".lock": "application/yaml"}
"""Media types that Python does not know."""
Entity = dict[str, Any]


def crate_of(study: Study, files: Mapping[str, Path], licence: str, today: str) -> Entity:
    """The metadata of an exported study.

    Args:
        study: that is exported.
        files: everything in the exported folder but the metadata, by its path there.
        licence: an address, of what the authors give away; images and masks have the terms of their dataset.
        today: date of publication, YYYY-MM-DD.
    """
    results = Results.read(study)
    evaluation = results.evaluation
    tried = [key for tuned in results.searches.networks.values() for trial in tuned.trials for key in trial.keys]
    keys = [run.key for run in evaluation.runs]
    records = [RunFolder(runs_of(study), key).read() for key in dict.fromkeys([*keys, *tried])]
    began, ended = (
        [getattr(record, name) for record in records if record is not None] for name in ("started", "finished")
    )
    inputs = [name for name in files if name == "params.yaml" or name.startswith("data/")]
    outputs = [name for name in files if name.split("/")[0] in ("results", "models", "reports", "runs", "submissions")]
    revision = next((record.git for record in records if record is not None), "unknown")
    network, dataset = winner_name(evaluation), evaluation.dataset
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": _references(PROFILES),
        "name": f"{network} on {dataset.name} {dataset.split}: study {study.params.study}",
        "description": f"Search, trainings, scores and report of a study of infrared small target segmentation: "
        f"{', '.join(evaluation.networks)} on {dataset.name} {dataset.split}, protocol {evaluation.protocol}.",
        "datePublished": today,
        "license": {"@id": licence},
        "hasPart": _references(sorted(files)),
        "mainEntity": {"@id": WORKFLOW},
        "mentions": {"@id": "#study"},
    }
    action: Entity = {
        "@id": "#study",
        "@type": "CreateAction",
        "name": f"dvc repro of the study {study.params.study}",
        "description": "The stages were run until their results were those of the parameters, the data and the code.",
        "instrument": {"@id": WORKFLOW},
        "startTime": min(began, default=""),
        "endTime": max(ended, default=""),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        "object": _references(sorted(inputs)),
        "result": _references(sorted(outputs)),
    }
    described: Entity = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": _references(
            ["https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]
        ),
        "about": {"@id": "./"},
    }
    terms = study.params.data.card.terms
    described_files = [_file(name, path, revision) for name, path in sorted(files.items())]
    for entity in described_files:
        if entity["@id"].endswith(".png") and entity["@id"].startswith("data/"):
            entity["license"] = terms
    graph = [described, root, action, *_context(licence), *described_files]
    return {"@context": CONTEXT, "@graph": graph}


def _references(ids: Mapping[str, str] | list[str]) -> list[Entity]:
    return [{"@id": each} for each in ids]


def _context(licence: str) -> list[Entity]:
    """Things that are no files of the crate."""
    profiles = [
        {"@id": address, "@type": "CreativeWork", "name": name, "version": name.rpartition(" ")[2]}
        for address, name in PROFILES.items()
    ]
    language = {
        "@id": DVC,
        "@type": ["ComputerLanguage", "SoftwareApplication"],
        "name": "DVC pipeline",
        "alternateName": "dvc.yaml",
        "version": version("dvc"),
        "url": {"@id": "https://dvc.org/doc/user-guide/project-structure/dvcyaml-files"},
    }
    parameter = {
        "@id": "#params",
        "@type": "FormalParameter",
        "additionalType": "File",
        "name": "params.yaml",
        "description": "All parameters of the study.",
        "conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
        "workExample": {"@id": "params.yaml"},
    }
    terms = {"@id": licence, "@type": "CreativeWork", "name": licence, "description": "Terms of what is exported here."}
    return [*profiles, language, parameter, terms]


def _file(name: str, path: Path, revision: str) -> Entity:
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    entity: Entity = {
        "@id": name,
        "@type": "File",
        "name": name,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": kind,
        "sha256": digest_of_file(path),
    }
    if name == WORKFLOW:
        entity["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
        entity |= {"name": "The stages of a study", "programmingLanguage": {"@id": DVC}, "input": {"@id": "#params"}}
        entity |= {"version": revision}
    if name == README:
        entity |= {"encodingFormat": "text/markdown", "about": {"@id": "./"}}
    if name == "params.yaml":
        entity["exampleOfWork"] = {"@id": "#params"}
    return entity
