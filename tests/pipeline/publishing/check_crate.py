"""Run by the environment of the validators: print what roc-validator finds in a crate, one line each.

It would fetch the vocabularies that a crate names. Where there is no network they come from the package `rocrate`.
"""

import json
import sys
from importlib.resources import files
from types import SimpleNamespace

from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

CRATE = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text(encoding="utf-8"))
TERMS = {"@context": {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}}
CONTEXTS = {"https://w3id.org/ro/crate/1.1/context": CRATE, "https://w3id.org/ro/terms/workflow-run/context": TERMS}


def get(requester: HttpRequester, url: str, **options: object) -> SimpleNamespace:
    """What a vocabulary's server would answer."""
    content = CONTEXTS[url]
    return SimpleNamespace(
        url=url,
        status_code=200,
        ok=True,
        headers={"Content-Type": "application/ld+json"},
        links={},
        history=[],
        text=json.dumps(content),
        content=json.dumps(content).encode(),
        json=lambda: content,
        raise_for_status=lambda: None,
    )


HttpRequester.get = get
settings = services.ValidationSettings(
    rocrate_uri=sys.argv[1],
    profile_identifier="workflow-run-crate-0.5",
    requirement_severity=models.Severity.REQUIRED,
    skip_availability_check=True,
)
for issue in services.validate(settings).get_issues():
    print(issue.check.identifier, issue.message)
