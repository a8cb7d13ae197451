"""``python -m pipeline compare``: finished runs side by side, what differs between them and what they score."""

from collections.abc import Sequence
from dataclasses import asdict

from datransnet.data.dataset import load_part
from datransnet.errors import ParameterError, did_you_mean
from pipeline.console import say
from pipeline.reporting.result_tables import beside
from pipeline.reporting.statistics import compare_networks, estimates, holm
from pipeline.reporting.table import COLUMNS, Table, cells, numbers
from pipeline.runs.record import Record, RunFolder
from pipeline.scoring.score_run import scored
from pipeline.scoring.stored_scores import stored_scores
from pipeline.study.protocol import PROTOCOLS
from pipeline.study.status import Status
from pipeline.study.study import Study
from pipeline.tracking.tracker import flatten


def compare_runs(study: Study, runs: Sequence[str]) -> None:
    """Print Markdown: what differs, and metrics on the test part with intervals, each run against the first.

    Args:
        study: whose data the runs are scored on.
        runs: keys of finished runs, or beginnings that only one key has.

    Raises:
        ParameterError: if a run is not known, not unique, or not finished.
    """
    if len(runs) < 2:
        raise ParameterError("Name at least two runs; `python -m pipeline status` lists them.")
    keys = [_key(study, name) for name in runs]
    records = [_finished(study, key) for key in keys]
    say(differences_table(keys, records).markdown)
    digest = study.manifest.digest
    strangers = [key for key, record in zip(keys, records, strict=True) if record.run.data_digest != digest]
    if strangers:
        say(f"No test metrics: {', '.join(strangers)} used other data than {study.data} holds now.")
        return
    say(metrics_table(study, keys, records).markdown)


def _key(study: Study, name: str) -> str:
    keys = sorted(file.parent.name for file in study.runs.glob("*/record.json"))
    found = [key for key in keys if key.startswith(name)]
    if not found:
        raise ParameterError(f"There is no run {name!r} in {study.runs}. {did_you_mean(name, keys)}")
    if len(found) > 1:
        raise ParameterError(f"{name!r} begins {len(found)} runs: {', '.join(found[:5])}. Give more of the key.")
    return found[0]


def _finished(study: Study, key: str) -> Record:
    record = RunFolder(study.runs, key).read()
    if record is None or record.status is not Status.DONE:
        state = record.status if record else "of an older schema"
        raise ParameterError(f"Run {key} is {state}: only finished runs can be compared.")
    return record


def differences_table(keys: Sequence[str], records: Sequence[Record]) -> Table:
    """Parameters, data, code and environment that are not the same in all runs, a column a run."""
    known = [
        flatten({**asdict(record.run), "git": record.git, "environment": record.environment, "started": record.started})
        for record in records
    ]
    names = list(dict.fromkeys(name for facts in known for name in facts))
    facts = {name: [found.get(name, "") for found in known] for name in names}
    same = [name for name, found in facts.items() if len(set(found)) == 1]
    facts["validation IoU"] = [f"{record.best_iou:.4f}" for record in records]
    facts["best epoch"] = [f"{record.history[-1]['best_epoch']:.0f}" for record in records]
    rows = [{"what": name, **dict(zip(keys, facts[name], strict=True))} for name in facts if name not in same]
    shown = [name for name in ("dataset", "split", "data_digest", "protocol", "source", "git") if name in same]
    note = f"The same in all runs: {len(same)} facts" + (f", among them {', '.join(shown)}." if shown else ".")
    return Table("differences", "What differs", note, rows, rows)


def metrics_table(study: Study, keys: Sequence[str], records: Sequence[Record]) -> Table:
    """Metrics on the test part with intervals over images, and the change of IoU against the first run."""
    test, params = load_part(study.data, "test"), study.params
    counts = []
    for key, record in zip(keys, records, strict=True):
        weights = RunFolder(study.runs, key).weights
        maps = stored_scores(study.runs, record.run, weights, "test", test, params.resources.here.device_here)
        counts.append(scored(maps, test, params.evaluate.conventions, params.resources.cpus)[0].counts)
    rows, values = [], []
    for convention in params.evaluate.conventions:
        columns = [found[convention] for found in counts]
        changes = [compare_networks(columns[:1], [other], "iou") for other in columns[1:]]
        corrected = holm([change.p for change in changes])
        compared = [beside(None), *(beside(*pair) for pair in zip(changes, corrected, strict=True))]
        for key, column, (shown, numbered) in zip(keys, columns, compared, strict=True):
            estimated = estimates([column], list(COLUMNS))
            rows.append({"run": key, "convention": convention, **cells(estimated), **shown})
            values.append({"run": key, "convention": convention, **numbers(estimated), **numbered})
    note = (
        f"{len(test)} test images; [95 % bootstrap interval over images]. ΔIoU: against the first run, on the same "
        "images; p: paired permutation test over images, after Holm for the runs of a convention. Both speak of these "
        "trained networks, not of training them again."
    )
    names = {record.run.protocol for record in records}
    for rules in (PROTOCOLS[name] for name in sorted(names) if PROTOCOLS[name].selects_on == "test"):
        note += f" {rules.mark} A run of protocol {rules.name} chose its epoch on these images."
    return Table("metrics", "Test part", note, rows, values)
