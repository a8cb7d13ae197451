"""The study under DVC: what runs, what does not, and what a change runs again."""

import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.conftest import STAGES, StudyFolder, tiny_params, wait_for
from tests.test_docs import blocks

pytestmark = [pytest.mark.study, pytest.mark.xdist_group("dvc")]  # they share a project


@pytest.fixture(scope="module")
def project(reference, tmp_path_factory) -> Path:
    """A copy of the project with a tiny study, as a repository; what that study trains was trained before."""
    folder = tmp_path_factory.mktemp("project") / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("datransnet", "pipeline", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("dvc.yaml", "Makefile", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(reference["whole"].folder / "runs", folder / "runs", symlinks=True)
    params = tiny_params()
    params["evaluate"]["max_fa"] = 2e-5
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["dvc", "init", "-q"], cwd=folder, check=True, env=environment(folder))
    shutil.copy(ROOT / ".dvcignore", folder)  # else byte code beside the source would be a change of it
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "MLFLOW_TRACKING_URI": ""}


def repro(project: Path, where: str = ".") -> list[str]:
    """Run `dvc repro` and return the stages it ran after the first, which always runs: it only looks."""
    done = subprocess.run(
        ["dvc", "repro"], cwd=project / where, env=environment(project), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("Running stage")]
    first, *others = [line.split("'")[1].split(":")[-1] for line in lines]
    assert first == "check"
    return others


def test_repro_runs_all_then_nothing_then_what_changed(project):
    assert repro(project) == list(STAGES)
    assert repro(project) == []
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    params["ablate"]["variants"]["one_dilation"] = {"dilations": [3]}
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in project.glob("runs/*/weights.safetensors")}
    assert repro(project) == ["ablate", "evaluate", "report"]
    after = {path: path.stat().st_mtime_ns for path in project.glob("runs/*/weights.safetensors")}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1
    assert "one_dilation" in (project / "reports/tables/ablation.csv").read_text(encoding="utf-8")
    command = ["dvc", "metrics", "show", "--json"]
    assert b"basicirstd" in subprocess.check_output(command, cwd=project, env=environment(project))


def test_a_profile_overwrites_nothing_and_shares_finished_runs(project):
    if not (project / "dvc.lock").exists():
        repro(project)
    lock, metrics = (project / "dvc.lock").read_bytes(), (project / "reports/metrics.json").read_bytes()
    (project / "profiles/other.yaml").write_text(
        "study: other\nevaluate: {conventions: [sctransnet]}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pipeline", "profile", "other"]
    subprocess.run(command, cwd=project, env=environment(project), check=True)
    runs = sorted(project.glob("runs/*/weights.safetensors"))
    assert repro(project, "studies/other") == list(STAGES)
    assert sorted(project.glob("runs/*/weights.safetensors")) == runs
    assert (project / "dvc.lock").read_bytes() == lock
    assert (project / "reports/metrics.json").read_bytes() == metrics
    assert "sctransnet" in (project / "studies/other/reports/tables/main.csv").read_text(encoding="utf-8")
    assert repro(project) == []
    assert repro(project, "studies/other") == []


def call(project: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=project, env=environment(project), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def committed(project, tmp_path) -> Path:
    """The finished study, committed, with a remote that has its results."""
    repro(project)
    call(project, "git", "config", "user.email", "a@b.c")
    call(project, "git", "config", "user.name", "a")
    call(project, "dvc", "remote", "add", "--force", "--default", "store", str(tmp_path / "store"))
    call(project, "git", "add", "--all")
    call(project, "git", "commit", "--quiet", "--message", "study", "--allow-empty")
    call(project, "dvc", "push")
    return project


def test_a_second_clone_pulls_and_renders_the_same_report_without_training(committed, tmp_path):
    second = tmp_path / "second"
    call(tmp_path, "git", "clone", "--quiet", str(committed), str(second))
    assert not (second / "reports/report.html").exists()
    call(second, "dvc", "pull")
    report = second / "reports/report.html"
    assert report.read_bytes() == (committed / "reports/report.html").read_bytes()
    report.unlink()
    call(second, "dvc", "repro", "--force", "--single-item", "report")
    assert report.read_bytes() == (committed / "reports/report.html").read_bytes()
    assert set(repro(second)) <= {"fetch"}  # raw data are generated or downloaded, not pushed
    assert not list(second.glob("runs/*/*.safetensors"))


def test_an_experiment_changes_a_parameter_and_its_numbers_stand_side_by_side(committed):
    shown = json.loads(call(committed, "dvc", "metrics", "show", "--json"))
    before = shown[""]["data"]["reports/metrics.json"]["data"]
    assert before == json.loads((committed / "reports/metrics.json").read_text(encoding="utf-8"))
    plots = json.loads(call(committed, "dvc", "plots", "show", "--json"))
    assert {"ROC", "Pd-Fa", "training"} <= {name.split("::")[-1] for name in plots.get("data", plots)}
    for block in blocks(ROOT / "docs/how-to/experiments.md", "bash")[:2]:  # the third is what `committed` does
        call(committed, "bash", "-ec", block)
    columns, *rows = list(csv.reader((committed / "experiments.csv").open(encoding="utf-8")))
    tried = next(dict(zip(columns, row, strict=True)) for row in rows if "looser" in row)
    (changed,) = {tried[name] for name in columns if re.fullmatch(r"(params\.yaml:)?evaluate\.max_fa", name)}
    assert changed == "5e-05"
    assert repro(committed) == []


def trained(project: Path) -> dict[str, int]:
    """Runs that are done, and when."""
    return {path.parent.name: path.stat().st_mtime_ns for path in project.glob("runs/*/weights.safetensors")}


def put_back(project: Path) -> None:
    call(project, "git", "checkout", "--quiet", "--", "params.yaml", "dvc.lock", "reports")
    call(project, "dvc", "checkout", "--quiet")


def ended(project: Path) -> int:
    """How many queued experiments ended, well or not."""
    shown = call(project, "dvc", "queue", "status")
    return shown.count("Success") + shown.count("Failed")


@pytest.mark.faults
def test_what_queued_and_temporary_experiments_train_is_kept(committed):
    before, seeds = trained(committed), tiny_params()["train"]["seeds"] + 1
    stopped = len(list(committed.glob("runs/*/record.json"))) - len(before)  # by the search
    change = ["--set-param", f"train.seeds={seeds}", "--set-param"]  # all ask for the same training
    for name in ("one", "two"):
        looser = f"evaluate.max_fa={3 if name == 'one' else 4}e-5"
        call(committed, "dvc", "exp", "run", "--queue", *change, looser, "--name", name)
    call(committed, "dvc", "queue", "start", "--jobs", "2")
    try:
        while ended(committed) < 2:  # its workers are no processes of ours
            time.sleep(0.5)
    finally:
        call(committed, "dvc", "queue", "stop", "--kill")
    assert call(committed, "dvc", "queue", "status").count("Success") == 2
    after = trained(committed)
    assert {key: after[key] for key in before} == before
    (new,) = after.keys() - before.keys()
    assert len(list(committed.glob("runs/*/record.json"))) == len(after) + stopped
    with closing(sqlite3.connect(committed / "mlruns.db")) as database:
        known = database.execute("select count(*) from tags where key = 'run_key' and value = ?", [new]).fetchone()
    assert known == (1,)
    call(committed, "dvc", "exp", "run", "--temp", *change, "evaluate.max_fa=5e-5", "--name", "temporary")
    for name in ("one", "temporary"):
        call(committed, "dvc", "exp", "apply", name)
        repro(committed)
        put_back(committed)
    assert trained(committed) == after


def test_a_profiles_temporary_experiment_runs_its_own_code_and_has_the_projects_home(project, tmp_path):
    copy = tmp_path / "project/.dvc/tmp/exps/standalone/one"
    for folder in (tmp_path / "project", copy):
        (folder / ".dvc").mkdir(parents=True, exist_ok=True)
        for name in ("datransnet", "pipeline"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    changed = copy / "pipeline/commands/status.py"
    changed.write_text(changed.read_text(encoding="utf-8").replace("runs in {", "RUNS in {"), encoding="utf-8")
    (copy / "studies/other").mkdir(parents=True)
    installed = {**environment(project), "PYTHONPATH": str(tmp_path / "project")}
    command = [sys.executable, "-m", "pipeline", "status"]
    shown = subprocess.check_output(command, cwd=copy / "studies/other", env=installed, text=True)
    assert shown == f"0 RUNS in {tmp_path / 'project/runs'}.\n"


def test_a_failing_stage_is_not_cached(project):
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    good = (project / "params.yaml").read_text(encoding="utf-8")
    params["ablate"]["variants"]["wrong"] = {"gradient": "sobel"}
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    failed = subprocess.run(
        ["dvc", "repro"], cwd=project, env=environment(project), capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert "ablate.variants.wrong" in failed.stdout + failed.stderr
    (project / "params.yaml").write_text(good, encoding="utf-8")
    repro(project)
    assert repro(project) == []


def in_background() -> None:
    """Be as a shell starts what it does not wait for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.faults
def test_nothing_outlives_a_killed_dvc(project, tmp_path):
    shell = shutil.which("dash") or "/bin/sh"  # DVC runs a stage in the person's; this one may stay between the two
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    params["recipe"]["epochs"] = 10_000  # no training ends by itself
    folder = tmp_path / "killed"
    shutil.copytree(project, folder, symlinks=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    study = StudyFolder(folder)
    before = set(folder.glob("runs/*"))
    marked = {**environment(folder), "TEST_MARK": study.mark, "SHELL": shell}
    log = tmp_path / "dvc.log"
    with log.open("w", encoding="utf-8") as output:
        told = {"stdout": output, "stderr": output}
        dvc = subprocess.Popen(["dvc", "repro", "train"], cwd=folder, env=marked, preexec_fn=in_background, **told)
    wait_for(lambda: {path.parent for path in folder.glob("runs/*/checkpoint.pt")} - before, dvc, "no training", log)
    dvc.kill()
    assert dvc.wait() == -signal.SIGKILL
    study.wait_until_alone()
    cut = [path for path in folder.glob("runs/*/record.json") if path.parent not in before]
    assert {json.loads(path.read_text(encoding="utf-8"))["status"] for path in cut} <= {"interrupted", "running"}
    assert cut
