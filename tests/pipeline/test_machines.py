"""Locales, paths and machines that others have: what works on one works on all, or says in a sentence why not."""

import json
import multiprocessing
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
import venv
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from filelock import FileLock
from PIL import Image

from datransnet.engine.recipe import Recipe
from datransnet.errors import DATransNetError, ParameterError
from pipeline.parallel import session
from pipeline.search.memory import open_memory, storage_of
from pipeline.study.handover import Best, Searches, Tuned, write_result
from pipeline.study.sqlite import sqlite_address, sqlite_file
from pipeline.study.study import Study
from pipeline.tracking.stage_run import StageRun
from pipeline.tracking.store import prepare, store_of
from pipeline.tracking.tracker import Tracker
from tests.conftest import ROOT
from tests.pipeline.conftest import StudyFolder, tiny_params, wait_for
from tests.pipeline.tracking.test_tracking import DATA

ODD = 'it\'s "50%" é#1?c=%20d $HOME & b\\c'
"""A folder that shells, make, addresses or formats take apart."""
LOCALES = {"en_US.ISO-8859-1": "latin-1", "zh_CN.GBK": "gbk", "en_US.ANSI_X3.4-1968": "ascii"}


@pytest.fixture(scope="session")
def locales(tmp_path_factory) -> Path:
    """A folder of locales whose encodings are not UTF-8."""
    folder = tmp_path_factory.getbasetemp() / "locales"
    folder.mkdir(exist_ok=True)
    for name in LOCALES:
        language, _, encoding = name.partition(".")
        command = ["localedef", "-i", language, "-f", encoding, str(folder / name)]
        if not shutil.which("localedef") or subprocess.run(command, capture_output=True, check=False).returncode > 1:
            pytest.skip("no localedef, or none of its sources (Debian: locales)")
    return folder


def call(*command: str | bytes, where: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the project as a person would, without a terminal."""
    known = {**os.environ, "MLFLOW_TRACKING_URI": "", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-m", *command], cwd=where, env=known, capture_output=True, check=False)


# Locales


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("package", ["datransnet", "pipeline"])
def test_every_help_is_printed_in_any_locale(locales, locale, package):
    known = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    verbs = [
        line[4:]
        for part in known.split("## python -m ")
        if part.startswith(f"{package}\n")
        for line in part.split("\n")
        if line.startswith("### ")
    ]
    assert verbs
    for verb in verbs:
        shown = call(package, verb, "--help", LC_ALL=locale, LOCPATH=str(locales))
        assert (shown.returncode, shown.stderr) == (0, b""), verb
        assert b"--help" in shown.stdout


@pytest.mark.parametrize("locale", LOCALES)
def test_an_error_names_any_file_in_any_locale(locales, locale, tmp_path):
    for name in (b"\xff\xfe", "红外 é".encode()):
        shown = call("pipeline", "profile", name, where=tmp_path, LC_ALL=locale, LOCPATH=str(locales))
        assert shown.returncode == 2
        assert shown.stderr.startswith(b"Error: There is no profile")
        assert b"Traceback" not in shown.stderr


def test_what_is_printed_is_what_the_terminal_shows(locales, tmp_path):
    folder = tmp_path / "é红"
    study = StudyFolder(folder, tiny_params())
    expected = {"en_US.ISO-8859-1": b"\xe9\\u7ea2", "zh_CN.GBK": "é红".encode("gbk"), "C.UTF-8": "é红".encode()}
    for locale, name in expected.items():
        shown = call("pipeline", "validate", where=study.folder, LC_ALL=locale, LOCPATH=str(locales))
        assert shown.returncode == 0, shown.stderr
        assert name in shown.stdout
    chosen = call(
        "pipeline", "validate", where=folder, LC_ALL="zh_CN.GBK", LOCPATH=str(locales), PYTHONIOENCODING="utf-8"
    )
    assert "é红".encode() in chosen.stdout


@pytest.mark.faults
@pytest.mark.study
def test_a_study_is_the_same_in_any_locale(locales, tmp_path):
    """Names of files are part of the data's digest, and that of every run's key."""
    params = tiny_params() | {"train": {"seeds": 1}}
    params["data"] |= {"dataset": "Own", "source": "bilder é红外", "split": "random"}
    params["recipe"]["epochs"] = 2
    for kind in ("images", "masks"):
        (tmp_path / "bilder é红外" / kind).mkdir(parents=True)
    for index in range(20):
        picture = Image.new("L", (40, 40), index)
        picture.putpixel((20, index + 3), 255)
        for kind in ("images", "masks"):
            picture.point(lambda x, kind=kind: x if kind == "images" else 255 * (x > 250)).save(
                tmp_path / f"bilder é红外/{kind}/szene é红 {index}.png"
            )
    found = {}
    names = ("C.UTF-8", "en_US.ISO-8859-1", "zh_CN.GBK")
    for name in names:
        home = tmp_path / f"studie é {name}"
        study = StudyFolder(home, params)
        (home / ".dvc").mkdir()
        shutil.copytree(tmp_path / "bilder é红外", home / "bilder é红外")
        (home / "results").mkdir()
        best = Best("k", 0.5, {"name": "datransnet", "image_size": 32, "width": 4}, Recipe(**params["recipe"]))
        write_result(home / "results/tune.json", Searches({"datransnet": Tuned(best, [], ["iou"], {}, [])}))
        for stage in ("fetch", "split", "train"):
            done = call("pipeline", stage, where=home, LC_ALL=name, LOCPATH=str(locales))
            assert done.returncode == 0, done.stderr
            assert b"WARNING" not in done.stderr, done.stderr
        found[name] = [
            run["key"] for run in json.loads((home / "results/train.json").read_text(encoding="utf-8"))["runs"]
        ]
        found[name].append((home / "data/Own/manifest.json").read_text(encoding="utf-8"))
        assert {path.name for path in study.folder.iterdir()} >= {"runs", "mlruns.db", "mlartifacts"}
    assert all(found[name] == found["C.UTF-8"] for name in names)


# Optimised Python


@pytest.mark.study
def test_without_docstrings_and_asserts_networks_are_fitted(scenes, tmp_path):
    options = ["--epochs", "1", "--view", "crop", "--size", "32", "-a", "width=4"]
    done = call("datransnet", "fit", str(scenes), "--out", str(tmp_path / "out"), *options, PYTHONOPTIMIZE="2")
    assert done.returncode == 0, done.stderr
    for package in ("datransnet", "pipeline"):
        assert call(package, "--help", PYTHONOPTIMIZE="2").returncode == 0


# Paths


@pytest.mark.parametrize("name", [ODD, "{x} {SCHEMA_VERSION}"])
def test_databases_and_artifacts_are_where_they_are_said_to_be(name, tmp_path, monkeypatch):
    home = tmp_path / "above" / name
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (home / "note.txt").write_text("x", encoding="utf-8")
    study = Study(home)
    assert sqlite_file(store_of(study)) == home / "mlruns.db"
    tracker = Tracker(store_of(study), "toy", home, DATA)
    stage = StageRun(tracker, "train", "one", {"a": 1}, files=[home / "note.txt"], failed=False)
    stage.close()
    kept = tracker.client().download_artifacts(stage.id, "note.txt", str(tmp_path))
    assert Path(kept).read_text(encoding="utf-8") == "x"
    optuna.create_study(storage=optuna.storages.RDBStorage(sqlite_address(home / "search.db")))
    assert (home / "search.db").stat().st_size
    assert [path.name for path in (tmp_path / "above").iterdir()] == [name]
    assert {path.name for path in home.iterdir()} - {"mlruns.db-shm", "mlruns.db-wal"} == {
        "mlartifacts",
        "mlruns.db",
        "mlruns.db.lock",
        "note.txt",
        "runs",  # where the lock lies
        "search.db",
    }
    assert [path.name for path in (home / "runs").iterdir()] == [".tracking.lock"]


PREPARE = """
import sys
from pathlib import Path
import mlflow
from pipeline.tracking.store import prepare

assert "50%" in mlflow.__file__
prepare("sqlite:///" + sys.argv[1], Path(sys.argv[1]).parent).search_experiments()
"""


def test_mlflow_works_in_an_environment_whose_path_has_a_per_cent_sign(tmp_path):
    import mlflow

    (tmp_path / "50%").symlink_to(Path(mlflow.__file__).parents[1])
    known = {**os.environ, "PYTHONPATH": f"{tmp_path / '50%'}:{ROOT}"}
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "x.db")]
    done = subprocess.run(command, env=known, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    shown = call("pipeline", "status", where=folder)
    assert (shown.returncode, shown.stdout) == (2, b"")
    assert b"Rename" in shown.stderr


def environment_at(folder: Path) -> None:
    """An environment in a folder's .venv with the packages of this one."""
    venv.create(folder / ".venv")
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    lines = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "all.pth").write_text("\n".join(lines), encoding="utf-8")
    (folder / ".venv/.ready").touch()


def downloaded(folder: Path) -> Path:
    """The project with a tiny study as one downloads it: without a repository; and an environment."""
    for name in ("datransnet", "pipeline", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "Makefile", "pyproject.toml", "requirements.txt", ".dvcignore", ".dvc/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    params = tiny_params()
    params["recipe"]["epochs"] = params["tune"]["epochs"] = 2
    params["tune"] |= {"trials": 2, "grace": 1}
    params |= {"train": {"seeds": 1}, "ablate": {"seeds": 1}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    environment_at(folder)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder, with nothing of this environment."""
    known = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL", "MLFLOW"))}
    known["PATH"] = os.pathsep.join(
        path for path in known["PATH"].split(os.pathsep) if path != str(Path(sys.executable).parent)
    )
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=folder, env=known | environment, capture_output=True, encoding="utf-8", check=False
    )


WITHOUT_GIT = ("--eval", "told: ; @$(WITHOUT_GIT)", "told")
"""What `make setup` does when packages are installed."""


@pytest.mark.faults
@pytest.mark.study
def test_a_download_in_any_folder_runs_the_whole_study(tmp_path):
    folder = downloaded(tmp_path / ODD)
    told = make(folder, *WITHOUT_GIT)
    assert told.returncode == 0, told.stderr
    done = make(folder, "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING: MLflow" not in done.stderr
    assert f"report      {folder / 'reports/report.html'}" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [ODD]
    with closing(sqlite3.connect(folder / "mlruns.db")) as database:
        stages = {row[0] for row in database.execute("select value from tags where key = 'stage'")}
    assert stages >= {"tune", "train", "ablate", "evaluate", "report"}
    again = make(folder, "repro")
    assert re.findall(r"Running stage '(\w+)'", again.stdout) == ["check"]  # which only looks


def test_a_mirror_is_named_from_where_make_is_called(tmp_path):
    """A study's commands run in its own folder, from where a relative path leads elsewhere."""
    folder = tmp_path / ODD / "project"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder.parent / "my  mirror").mkdir()
    show = ("--eval", "shown: ; @printenv DATRANSNET_MIRROR", "shown")
    for given, expected in (("../my  mirror", folder.parent / "my  mirror"), (str(folder.parent), folder.parent)):
        shown = make(folder, *show, DATRANSNET_MIRROR=given).stdout.removesuffix("\n")
        assert Path(shown).is_absolute()
        assert Path(shown).resolve() == expected
        named = make(folder, f"DATRANSNET_MIRROR={given.replace('$', '$$')}", *show).stdout.removesuffix("\n")
        assert named == shown
    assert make(folder, *show, DATRANSNET_MIRROR="").stdout.strip() == ""


def test_cleaning_keeps_an_environment_that_was_not_made_here(tmp_path):
    folder = downloaded(tmp_path / "a 'b")
    (folder / ".venv/.ready").unlink()
    assert "kept" in make(folder, "clean").stdout
    assert (folder / ".venv/bin/python").exists()
    (folder / ".venv/.ready").touch()
    done = make(folder, "clean")
    assert done.returncode == 0, done.stderr
    assert not (folder / ".venv").exists()


# A download, and somebody else's repository


@pytest.mark.parametrize("above", ["nothing", "a repository", "one that ignores it"])
def test_dvc_works_in_a_download_wherever_it_lies(above, tmp_path):
    if above != "nothing":
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    if above == "one that ignores it":
        (tmp_path / ".gitignore").write_text("*\n", encoding="utf-8")
    folder = downloaded(tmp_path / "project")
    told = make(folder, *WITHOUT_GIT)
    assert told.returncode == 0, told.stderr
    done = make(folder, "--eval", "shown: ; @python -m dvc repro split", "shown")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "data/Synthetic/manifest.json").exists()
    assert (folder / ".dvc/config.local").exists() == (above != "a repository")


def test_the_revision_is_the_projects_own_or_unknown(tmp_path):
    project = tmp_path / "above/project"
    for name in ("datransnet", "pipeline"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = "from pipeline.runs.provenance import git_revision; print(git_revision())"

    def revision(**environment: str) -> str:
        known = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        known.pop("DATRANSNET_REVISION", None)
        command = [sys.executable, "-c", script]
        return subprocess.run(
            command, cwd=project, env=known, capture_output=True, text=True, check=True
        ).stdout.strip()

    def commit(folder: Path) -> str:
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], cwd=folder, check=True)
        return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True)[:12]

    assert revision() == "unknown"
    commit(tmp_path / "above")
    assert revision() == "unknown"
    assert revision(PATH="/nowhere") == "unknown"
    own = commit(project)
    assert revision() == own
    (project / "pipeline/__init__.py").write_text("", encoding="utf-8")
    assert revision() == f"{own}-dirty"


# Addresses, ports and sockets


WHO_IMPORTS = """
import os, sys

class Listener:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            with open(os.environ["WHO_IMPORTS"], "a") as file:
                print(os.getpid(), file=file)

sys.meta_path.insert(0, Listener())
"""


@pytest.mark.study
def test_relative_addresses_are_files_of_the_home_and_workers_have_nothing_to_do_with_mlflow(reference, tmp_path):
    """Ray's workers have a working directory of their own."""
    home = tmp_path / "home"
    (home / ".dvc").mkdir(parents=True)
    study = reference["tune"].copy(home / "studies" / "tiny") if (home / "studies").mkdir() is None else None
    params = tiny_params() | {"cluster": {"storage": "sqlite:///kept/my search.db"}}
    params["tune"] |= {"trials": 2}
    study.write(params)
    (home / "kept").mkdir()
    (tmp_path / "listening").mkdir()
    (tmp_path / "listening/sitecustomize.py").write_text(WHO_IMPORTS, encoding="utf-8")
    heard = {"PYTHONPATH": f"{tmp_path / 'listening'}:{ROOT}", "WHO_IMPORTS": str(tmp_path / "importers")}
    process = study.start("tune", MLFLOW_TRACKING_URI="sqlite:///my%20runs.db", **heard)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "WARNING" not in errors
    assert (tmp_path / "importers").read_text(encoding="utf-8").split() == [str(process.pid)]
    found = {path.relative_to(home).as_posix() for path in home.rglob("*.db")}
    assert found == {"my runs.db", "kept/my search.db"}
    with closing(sqlite3.connect(home / "my runs.db")) as database:
        (children,) = database.execute("select count(*) from tags where key = 'run_key'").fetchone()
    assert children == len(list((home / "runs").glob("*/record.json")))
    assert not list(home.rglob("unsent/*"))


def test_an_address_whose_path_has_a_question_mark_is_refused(tmp_path, monkeypatch):
    study = Study(tmp_path)
    assert sqlite_file(study.address("sqlite:///what%3F/x.db", "name")) == tmp_path / "what?/x.db"
    assert study.address("sqlite:////a/x.db?timeout=9", "name") == "sqlite:////a/x.db?timeout=9"
    for other in ("postgresql://host/x", "http://host:5000", "sqlite://", "sqlite:///:memory:"):
        assert study.address(other, "name") == other
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///what?/x.db")
    with pytest.raises(ParameterError, match=r"MLFLOW_TRACKING_URI.*%3F"):
        store_of(study)


def test_a_port_that_is_taken_is_said_with_the_remedy(tmp_path):
    StudyFolder(tmp_path / "a 'b", tiny_params())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        shown = call("pipeline", "ui", "--port", port, where=tmp_path / "a 'b")
    assert shown.returncode == 1
    assert b"PORT=" in shown.stderr
    assert b"--port" in shown.stderr
    assert port.encode() in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_make_ui_is_the_command_with_the_port():
    for port in ("5077", "a b"):
        told = make(ROOT, "--dry-run", "--assume-old=.venv/.ready", "ui", f"PORT={port}").stdout
        assert f"python -m pipeline ui --port '{port}'" in told
        told = make(ROOT, "--dry-run", "--assume-old=.venv/.ready", "ui-search", f"PORT={port}").stdout
        assert f"python -m pipeline ui --search --port '{port}'" in told


def test_searches_are_shown_in_a_browser_and_their_absence_is_told(reference, tmp_path):
    without = StudyFolder(tmp_path / "empty", tiny_params()).run("ui", "--search")
    assert (without.returncode, "There was no search" in without.stderr) == (2, True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = reference["whole"].start("ui", "--search", "--port", port)
    try:

        def studies() -> Any:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies") as answer:
                return json.load(answer)["study_summaries"]

        (shown,) = wait_for(studies, server, "the dashboard does not start")
        assert shown["study_name"].startswith("tiny-")
    finally:
        server.kill()
        server.communicate()


@pytest.mark.faults
@pytest.mark.study
@pytest.mark.parametrize(
    ("name", "optimise"),
    [("scratch-of-a-batch-system/" * 5 + "tmp", ""), ("kürz", "2")],
    ids=["long", "not ASCII, -OO"],
)
def test_a_stage_trains_the_same_whatever_the_folder_for_temporary_files_and_without_docstrings_and_asserts(
    reference, tmp_path, name, optimise
):
    study = reference["train"].copy(tmp_path / "study")
    (tmp_path / name).mkdir(parents=True)
    done = study.run("train", TMPDIR=str(tmp_path / name), PYTHONOPTIMIZE=optimise)
    assert done.returncode == 0, done.stderr
    expected, found = ((s.folder / "results/train.json").read_bytes() for s in (reference["ablate"], study))
    assert found == expected


def test_rays_own_folder_goes_with_it_and_where_there_is_none_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 90)))
    with session._temporary() as folder:
        assert len(f"{folder}/{session.SOCKET}") <= session.SOCKET_BYTES
        (Path(folder) / "session").mkdir()
    assert not Path(folder).exists()
    monkeypatch.setattr(session, "SHORT", (str(tmp_path / "nowhere"),))
    with pytest.raises(DATransNetError, match="Set RAY_TMPDIR"), session._temporary():
        pass
    monkeypatch.setenv("RAY_TMPDIR", "/short")
    with session._temporary() as folder:
        assert folder is None


MEET = """
import torch
import torch.distributed as dist
from datransnet.engine.distributed import together

def accompany(device):
    dist.all_reduce(torch.ones(1))

if __name__ == "__main__":
    with together(2, "cpu", accompany):
        total = torch.ones(1)
        dist.all_reduce(total)
        print(int(total))
"""


def test_processes_that_train_together_meet_in_any_folder(tmp_path):
    folder = tmp_path / ODD / ("long" * 30)
    folder.mkdir(parents=True)
    (tmp_path / "meet.py").write_text(MEET, encoding="utf-8")
    known = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "meet.py")]
    done = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    assert done.stdout == "2\n", done.stderr


# Two at once


def begin(home: Path, number: int, ready: Any) -> None:
    """Be the first of a project to track and to search, or one of them."""
    study = Study(home)
    study.__dict__["params"] = _parsed()
    ready.wait(120)
    tracker = Tracker(sqlite_address(home / "mlruns.db"), f"study-{number % 2}", home, DATA)
    StageRun(tracker, "train", str(number), {"a": 1}).open()
    open_memory(study, study.params.tune, f"sweep-{number % 2}")


def _parsed() -> Any:
    from pipeline.study.read_params import parse_params

    return parse_params(tiny_params(), "tiny")


@pytest.mark.faults
def test_several_first_studies_begin_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    for attempt in range(2):
        home = tmp_path / str(attempt)
        home.mkdir()
        ready = context.Barrier(3)
        beginners = [context.Process(target=begin, args=(home, number, ready)) for number in range(3)]
        for beginner in beginners:
            beginner.start()
        for beginner in beginners:
            beginner.join()
        assert [beginner.exitcode for beginner in beginners] == [0] * 3
        client = prepare(sqlite_address(home / "mlruns.db"), home)
        experiments = {found.name: found.experiment_id for found in client.search_experiments()}
        assert experiments.keys() == {"Default", "study-0", "study-1"}
        assert len(client.search_runs([experiments["study-0"]])) == 2
        study = Study(home)
        study.__dict__["params"] = _parsed()
        assert set(optuna.get_all_study_names(storage_of(study))) == {"sweep-0", "sweep-1"}


@pytest.mark.faults
@pytest.mark.study
def test_two_that_ask_for_the_same_search_share_it(reference, tmp_path):
    home = tmp_path / "home"
    (home / ".dvc").mkdir(parents=True)
    studies = [reference["tune"].copy(home / name) for name in ("one", "two")]
    started = [study.start("tune") for study in studies]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    one, two = (study.tuned() for study in studies)
    assert one == two
    assert sum("another process runs this very search" in out for out, _ in ended) == 1
    assert len(one["trials"]) == tiny_params()["tune"]["trials"]
    with FileLock(next((home / "runs/.ray").glob("*.lock")), timeout=0):
        pass
