"""The stages as a person runs them: whole, interrupted, killed, and with things missing."""

import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from datransnet.weights import load_weights
from pipeline.search.ray_tune import RETRIES
from pipeline.search.sweep import sweeps_of
from pipeline.study.status import Status
from pipeline.study.study import Study
from pipeline.tracking.store import client_of
from tests.conftest import ROOT
from tests.pipeline.conftest import StudyFolder, tiny_params, wait_for
from tests.pipeline.reporting.test_table import check_latex
from tests.test_docs import blocks, run, write_files

pytestmark = pytest.mark.study


def records(study: StudyFolder) -> dict[str, dict]:
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in study.folder.glob("runs/*/record.json")
    }


def results(study: StudyFolder, stage: str) -> dict[str, bytes]:
    """What a stage hands on, byte by byte."""
    roots = {"evaluate": ["results/evaluation"]}.get(stage, [f"results/{stage}.json", f"models/{stage}"])
    files = [path for root in roots for path in [study.folder / root, *(study.folder / root).rglob("*")]]
    return {path.relative_to(study.folder).as_posix(): path.read_bytes() for path in files if path.is_file()}


def test_a_study_leaves_what_it_promises(reference):
    folder = reference["whole"].folder
    for name in (
        "reports/report.html",
        "reports/metrics.json",
        "reports/plots/roc.csv",
        "reports/figures/roc.svg",
        "reports/figures/examples.png",
        *(f"reports/tables/{table}" for table in ("main.csv", "main.md", "main.tex", "ablation.csv", "search.csv")),
        "models/best/weights.safetensors",
        "models/best/card.json",
        "mlruns.db",
    ):
        assert (folder / name).stat().st_size > 0, name
    states = [record["status"] for record in records(reference["whole"]).values()]
    assert set(states) <= {"done", "pruned"}
    assert len(states) == 4 + 2 + 2


def test_the_tables_are_latex(reference, tmp_path):
    shutil.copytree(reference["whole"].folder / "reports/tables", tmp_path / "tables")
    check_latex(tmp_path / "tables")


def test_the_best_model_card_names_its_run(reference):
    folder = reference["whole"].folder
    card = json.loads((folder / "models/best/card.json").read_text(encoding="utf-8"))
    weights = (folder / "models/best/weights.safetensors").read_bytes()
    assert weights == (folder / f"runs/{card['key']}/weights.safetensors").read_bytes()
    _, recipe = load_weights(folder / "models/best")  # as `python -m datransnet` reads it
    assert recipe.epochs == 8


def test_mlflow_shows_a_parent_a_stage_and_a_child_a_run(reference):
    folder = reference["whole"].folder
    client = client_of(f"sqlite:///{folder / 'mlruns.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    parents = {run.data.tags["stage"]: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
    assert set(parents) == {"tune", "train", "ablate", "evaluate", "report"}
    assert all(run.info.status == "FINISHED" for run in runs)
    known = records(reference["whole"])
    for stage, number in (("tune", 4), ("train", 2), ("ablate", 2)):
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[stage].info.run_id]
        assert len(children) == number
        for child in children:
            history = known[child.data.tags["run_key"]]["history"]
            points = client.get_metric_history(child.info.run_id, "loss")
            assert [point.value for point in points] == [epoch["loss"] for epoch in history]
        assert len({tuple(sorted(child.data.params)) for child in children}) == 1
    artifacts = {item.path for item in client.list_artifacts(parents["report"].info.run_id, "reports")}
    assert "reports/report.html" in artifacts


def test_a_stage_that_has_nothing_to_do_trains_nothing(reference, tmp_path):
    study = reference["whole"].copy(tmp_path / "study")
    before = records(study)
    study.succeed("tune", "ablate")
    assert study.run("train", "--quiet").stdout.startswith("train: 2 done; best validation IoU")
    assert records(study) == before


def test_quiet_shows_how_a_stage_ended_and_nothing_else(capsys, monkeypatch):
    from pipeline import console

    monkeypatch.setattr(console, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=float))  # it stands still, at 0 s
    row = console.Row("a", Status.PRUNED, 3, 8, 0.5)
    with console.Progress("tune", 2) as progress:
        progress.update([row], "1/4 CPUs")
    assert capsys.readouterr().out == (
        "tune: 1/2 runs ended, 1 pruned, 3 epochs, best validation IoU 0.5000; 1/4 CPUs\n"
    )
    monkeypatch.setattr(console, "_quiet", True)
    with console.Progress("tune", 2) as progress:
        progress.update([row])
        progress.finish([row])
    assert capsys.readouterr().out == "tune: 1 pruned; best validation IoU 0.5000 (a); 0 s\n"


def test_the_time_left_leaves_out_what_came_before_the_first_epoch(capsys, monkeypatch):
    from pipeline import console

    moment = 0.0
    monkeypatch.setattr(console, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: moment))
    done = [console.Row(f"earlier{n}", Status.DONE, 10, 10, 0.5) for n in range(2)]
    with console.Progress("train", 4) as progress:
        for moment, epoch in ((0, 0), (300, 1), (330, 4), (350, 6)):  # noqa: B007  # processes start for five minutes
            progress.update([*done, console.Row("a", Status.RUNNING, epoch, 10, 0.5)])
    told = [line.partition(" about ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == ["", "", "2 min 40 s left", "2 min 20 s left"]  # ten seconds an epoch


def states(study: StudyFolder) -> Counter[str]:
    """What Optuna's database says of the trials."""
    with closing(sqlite3.connect(study.folder / "runs/search.db")) as database:
        return Counter(state for (state,) in database.execute("select state from trials"))


def progress(study: StudyFolder, stage: str) -> int:
    """Epochs trained so far, or score maps predicted."""
    if stage == "evaluate":
        return len(list(study.folder.glob("runs/*/*-logits.npz")))
    return sum(len(record["history"]) for record in records(study).values())


def interrupt(study: StudyFolder, stage: str, how: signal.Signals) -> int:
    """Start a stage, stop it in the middle of its work unless it ends before, and return its exit code."""
    before = progress(study, stage)
    process = study.start(stage)
    while process.poll() is None and progress(study, stage) < before + 2:
        time.sleep(0.02)
    if process.poll() is None and how == signal.SIGKILL:
        os.kill(process.pid, how)
    elif process.poll() is None:
        os.killpg(process.pid, how)  # a terminal's Ctrl-C reaches the whole group
    said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL, 130), said
    return process.returncode


def interrupted(reference: dict[str, StudyFolder], folder: Path, stage: str, politely: signal.Signals) -> StudyFolder:
    """A study whose stage was killed in the middle of its work, and then interrupted.

    A stage may end before this process, which waits for a core, sees it at work: then another copy is taken.
    """
    for number in itertools.count():
        study = reference[stage].copy(folder / f"study{number}")
        codes = [interrupt(study, stage, how) for how in (signal.SIGKILL, politely)]
        if not results(study, stage):
            assert codes == [-signal.SIGKILL, 130]
            return study
    raise AssertionError


@pytest.mark.faults
@pytest.mark.parametrize(
    ("stage", "politely"),
    [("tune", signal.SIGTERM), ("train", signal.SIGINT), ("evaluate", signal.SIGINT)],  # ablate trains as train does
)
def test_a_killed_and_interrupted_stage_goes_on_to_the_same_end(reference, tmp_path, stage, politely):
    study = interrupted(reference, tmp_path, stage, politely)
    finished = {key: record for key, record in records(study).items() if record["status"] == "done"}
    study.succeed(stage)
    after = records(study)
    assert {key: after[key] for key in finished} == finished
    assert results(study, stage) == results(reference["whole"], stage)
    assert {record["status"] for record in after.values()} <= {"done", "pruned"}
    if stage == "tune":  # no trial is counted twice, and Ray's processes saw, if late, that their driver was killed
        study.wait_until_alone()
        assert states(study) == states(reference["whole"])
        assert states(study).keys() == {"COMPLETE", "PRUNED"}


@pytest.mark.faults
def test_a_failing_run_stops_nobody_else_and_is_told(reference, tmp_path):
    study = reference["train"].copy(tmp_path / "study")
    keys = [
        run["key"]
        for run in json.loads((reference["whole"].folder / "results/train.json").read_text(encoding="utf-8"))["runs"]
    ]
    damaged = study.folder / "runs" / keys[0] / "checkpoint.pt"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(b"half")
    done = study.run("train")
    assert done.returncode == 1
    assert "1 of 2 runs failed" in done.stderr
    assert f"runs/{keys[0]}" in done.stderr
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert [records(study)[key]["status"] for key in keys] == ["failed", "done"]
    assert not (study.folder / "results/train.json").exists()
    damaged.unlink()  # the remedy the message names
    study.succeed("train")
    assert results(study, "train") == results(reference["whole"], "train")


def holders(study: StudyFolder, lock: Path) -> set[int]:
    """Processes of a study that opened a run's lock and have it open.

    A process that is about to become another program (a run asks git for its commit) has its parent's open files for a
    moment: it is not counted.
    """
    parents = {}
    for number in study.processes():
        with suppress(OSError):
            if lock in [place.readlink() for place in Path(f"/proc/{number}/fd").iterdir()]:
                _, _, after_name = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")
                parents[number] = int(after_name.split()[1])
    return {number for number, parent in parents.items() if parent not in parents}


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_trial_that_was_killed_when_it_had_just_arrived_is_no_failure(reference, tmp_path, status):
    study = reference["train"].copy(tmp_path / "study")
    known = study.tuned()
    key = next(trial["key"] for trial in known["trials"] if trial["status"] == "pruned")
    path = study.folder / f"runs/{key}/record.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"status": status}), encoding="utf-8")
    study.succeed("tune")
    assert study.tuned() == known


@pytest.mark.parametrize("lost", [False, True])
def test_a_trial_that_was_lost_again_and_again_is_a_failure(reference, tmp_path, lost):
    study = reference["train"].copy(tmp_path / "study")
    key = next(trial["key"] for trial in study.tuned()["trials"] if trial["status"] == "pruned")
    path = study.folder / f"runs/{key}/record.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"status": "running"}), encoding="utf-8")
    (sweep,) = sweeps_of(Study(study.folder)).values()
    assert sweep.course.over
    (number,) = (number for number, trial in enumerate(sweep.course.trials) if trial.key == key)
    sweep.course.standings[number].out = lost
    sweep.close(spent=False)
    assert records(study)[key]["status"] == ("interrupted" if lost else "pruned")
    assert key in {job.run.key for job in sweep.ended}


@pytest.mark.faults
def test_a_trial_that_dies_is_asked_for_again_and_one_that_fails_is_not(reference, tmp_path):
    known = reference["whole"].tuned()
    keys = [trial["key"] for trial in known["trials"]]
    study = reference["tune"].copy(tmp_path / "study")
    damaged = study.folder / "runs" / keys[2] / "checkpoint.pt"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half")
    dying = study.folder / "runs" / keys[0]
    dying.mkdir()
    os.mkfifo(dying / "checkpoint.pt")  # where nobody writes: who reads it waits, and holds the run until it is killed
    process = study.start("tune")
    killed = {process.pid}  # the stage itself looks at locks, too
    for start in range(1 + RETRIES):  # as often as Ray starts it
        (worker,) = wait_for(lambda: holders(study, dying / "lock") - killed, process, "nobody trains the first trial")
        if start == RETRIES:
            os.kill(worker, signal.SIGSTOP)  # should it not have come to its checkpoint yet
            (dying / "checkpoint.pt").unlink()
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    assert "1 of 4 runs failed" in errors, errors
    assert f"runs/{keys[2]}" in errors
    assert "Traceback" not in errors
    assert errors.count("is damaged") == 2, errors  # when it fails first, and at the end
    assert errors.count("The actor died unexpectedly") == 1, errors
    after = records(study)
    assert after[keys[0]]["status"] in ("done", "pruned")
    assert Counter(record["status"] == "failed" for record in after.values()) == {True: 1, False: 3}
    assert states(study)["FAIL"] == 1
    assert states(study).total() == 4
    damaged.unlink()
    study.succeed("tune")
    assert {record["status"] for record in records(study).values()} <= {"done", "pruned"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sed": 1}, ["sed: unknown key. Did you mean 'seed'?"]),
        ({"seed": -1}, ["seed: Input should be greater than or equal to 0 (it is -1)"]),
        ({"study": "a b", "train": {"seeds": 0}}, ["study:", "train.seeds:"]),
    ],
)
def test_wrong_parameters_are_told_before_any_work(tmp_path, change, words):
    study = StudyFolder(tmp_path / "study", tiny_params() | change)
    for command in ("fetch", "validate"):
        done = study.run(command)
        assert done.returncode == 2
        assert all(word in done.stderr for word in words), done.stderr
    assert [path.name for path in study.folder.iterdir()] == ["params.yaml"]


# The stage with a clock that runs by what was done: an hour for each run.
SWEEP_BY_THINGS_DONE = """
from pathlib import Path
from types import SimpleNamespace
from pipeline.__main__ import app
from pipeline.search import budget

def seconds():
    records = (path.read_text(encoding="utf-8") for path in Path("runs").glob("*/record.json"))
    return 3600.0 * sum('"status": "done"' in record for record in records)

budget.time = SimpleNamespace(monotonic=seconds)
app(["tune"])
"""


@pytest.mark.faults
def test_a_sweep_whose_hours_are_spent_ends_well(tmp_path):
    params = tiny_params()
    params["recipe"]["epochs"] = 1
    params["tune"] |= {"trials": 1000, "epochs": 1, "grace": 1, "concurrent": 2, "wall_hours": 5.5, "points": []}
    params["tune"]["seeds"] = 2  # of a trial that is cut, one may not have begun
    study = StudyFolder(tmp_path / "study", params)
    study.succeed("fetch", "split")
    sweep = study.python("-c", SWEEP_BY_THINGS_DONE)
    said = sweep.communicate()
    assert sweep.returncode == 0, said
    trials = study.tuned()["trials"]
    assert 0 < len(trials) < 1000
    assert {record["status"] for record in records(study).values()} <= {"done", "pruned"}
    assert (
        {trial["key"] for trial in trials} <= set(records(study)) <= {key for trial in trials for key in trial["keys"]}
    )
    before = {key for key, record in records(study).items() if record["status"] == "done"}
    params["tune"] |= {"wall_hours": None, "trials": len(trials)}
    study.write(params)
    study.succeed("tune")  # those cut off go on
    assert {record["status"] for record in records(study).values()} == {"done"}
    assert before <= set(records(study))


@pytest.mark.faults
def test_services_that_are_away_are_told(reference, tmp_path):
    study = reference["train"].copy(tmp_path / "study")
    for place in study.folder.glob("runs/*"):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    done = study.run("train", RAY_ADDRESS="127.0.0.1:9")
    assert done.returncode == 1
    assert "Ray at 127.0.0.1:9 cannot be reached" in done.stderr
    study.write(tiny_params() | {"cluster": {"storage": "postgresql+psycopg2://nobody@127.0.0.1:9/optuna"}})
    done = study.run("tune")
    assert done.returncode == 1
    assert "The search's database postgresql+psycopg2://nobody@127.0.0.1:9/optuna cannot be used" in done.stderr


def test_a_variant_that_no_network_accepts_is_told(tmp_path):
    params = tiny_params()
    params["ablate"]["variants"]["wrong"] = {"gradient": "sobel"}
    done = StudyFolder(tmp_path / "study", params).run("validate")
    assert done.returncode == 2
    assert "ablate.variants.wrong" in done.stderr


def test_a_stage_without_its_input_names_the_stage_to_run(tmp_path):
    study = StudyFolder(tmp_path / "study", tiny_params())
    for stage, words in (("split", "Fetch the dataset again"), ("tune", "Run the split stage"), ("report", "evaluate")):
        done = study.run(stage)
        assert done.returncode == 3, done.stderr
        assert words in done.stderr


def test_a_missing_archive_is_told(tmp_path):
    params = tiny_params()
    params["data"] = {"dataset": "SIRST", "split": "idx_427"}
    study = StudyFolder(tmp_path / "study", params)
    done = study.run("fetch", DATRANSNET_MIRROR=str(tmp_path / "nothing"))
    assert done.returncode == 3
    assert "DATRANSNET_MIRROR" in done.stderr
    assert {path.name for path in (study.folder / "data/raw").iterdir()} <= {".SIRST.lock"}


def test_a_truncated_image_keeps_the_earlier_split(reference, tmp_path):
    theirs = tmp_path / "theirs"
    shutil.copytree(reference["split"].folder / "data/raw/Synthetic", theirs)
    params = tiny_params()
    params["data"] |= {"dataset": "Own", "source": str(theirs)}
    study = StudyFolder(tmp_path / "study", params)
    study.succeed("fetch", "split")
    manifest = (study.folder / "data/Own/manifest.json").read_bytes()
    image = next((theirs / "images").iterdir())
    image.write_bytes(image.read_bytes()[:60])
    study.succeed("fetch")
    done = study.run("split")
    assert done.returncode == 3, done.stdout + done.stderr
    assert image.name in done.stderr
    assert (study.folder / "data/Own/manifest.json").read_bytes() == manifest


def test_a_file_changed_beneath_fetch_is_somebodys(reference, tmp_path):
    study = reference["split"].copy(tmp_path / "study")
    image = next((study.folder / "data/raw/Synthetic/images").iterdir())
    image.write_bytes(image.read_bytes()[:60])
    done = study.run("split")
    assert done.returncode == 2
    assert image.name in done.stderr
    assert len(image.read_bytes()) == 60


@pytest.mark.faults
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("stage", ["fetch", "split", "train"])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(reference, tmp_path, stage):
    disk = tmp_path / "disk"
    disk.mkdir()
    source = reference[stage].folder
    used = sum(path.stat().st_blocks * 512 for path in source.rglob("*"))
    free = {"fetch": 60_000, "split": 40_000, "train": 1_200_000}[stage]
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + free}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        shutil.copytree(source, disk / "study")
        done = StudyFolder(disk / "study").run(stage)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "No space" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list((disk / "study").rglob("*.partial"))
        assert not (disk / "study/results/train.json").exists()
        for weights in (disk / "study").rglob("record.json"):
            json.loads(weights.read_text(encoding="utf-8"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_status_lists_runs_and_clean_keeps_finished_ones(reference, tmp_path):
    study = reference["whole"].copy(tmp_path / "study")
    victim = next(path for path in study.folder.glob("runs/*/record.json"))
    content = json.loads(victim.read_text(encoding="utf-8")) | {"status": "running"}
    victim.write_text(json.dumps(content), encoding="utf-8")
    listed = study.run("status")
    assert f"{victim.parent.name}  interrupted" in listed.stdout
    assert "8 runs" in listed.stdout
    assert "1 unfinished runs removed" in study.run("clean").stdout
    assert not victim.exists()
    assert len(records(study)) == 7


HEAVY = {"torch", "ray", "mlflow", "pandas", "pydantic"}


def test_help_says_something_and_is_quick_because_nothing_heavy_is_imported(tmp_path):
    done = StudyFolder(tmp_path / "study").run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "Train variants of the winner" in done.stdout
    assert "torch" not in done.stdout
    imported = set(re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "typer" in imported
    assert not imported & HEAVY


def test_no_command_imports_torch_for_its_help():
    code = f"import sys, pipeline.__main__; print(*{HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_pages_own_scripts_run_on_a_study(reference, mlflow_alone, tmp_path):
    study = reference["whole"].copy(tmp_path / "study").folder
    for name in ("own-metric", "mlflow"):
        write_files(ROOT / f"docs/how-to/{name}.md", study)
    assert re.search(r"mean score on targets: 0\.\d+", run("python mean_score.py", study))
    for block in blocks(ROOT / "docs/how-to/mlflow.md", "bash"):
        assert "0 stages sent" in run(block, study)
    (study / "mask.py").write_text(
        (study / "mask.py").read_text(encoding="utf-8").replace("models:/quick@", "models:/tiny@"), encoding="utf-8"
    )
    assert "(2, 64, 64) uint8" in run("python mask.py", study)
