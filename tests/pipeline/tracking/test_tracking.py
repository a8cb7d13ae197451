"""Tracking: every point arrives once, whatever dies; and what MLflow's users expect to find is there."""

import json
import logging
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import pytest

from datransnet.data.synthetic import scene
from datransnet.engine.predict import predict_image
from datransnet.weights import load_weights
from pipeline.runs.record import RunFolder
from pipeline.runs.run import Called
from pipeline.tracking import follower
from pipeline.tracking.champion import register
from pipeline.tracking.follower import Follower
from pipeline.tracking.stage_run import StageRun, sync
from pipeline.tracking.tracker import Tracker
from pipeline.tracking.training_run import TrainingRun
from tests.conftest import ROOT
from tests.pipeline.conftest import StudyFolder, answers, end, free_port, interruptible, tiny_params, wait_for
from tests.pipeline.records import RUN, history, record

RUNS = int(os.environ.get("DATRANSNET_RUNS", "12"))
DATA = {"name": "Toy half", "digest": "d" * 40, "summary": {"train": {"images": 3, "targets": 4, "empty": 0}}}


def tracker_at(folder: Path, uri: str = "") -> Tracker:
    return Tracker(uri or f"sqlite:///{folder / 'mlruns.db'}", "toy", folder, DATA)


@pytest.fixture
def tracker(tmp_path):
    return tracker_at(tmp_path)


FULL = Called("full", "datransnet")


def opened(tracker: Tracker, **parent: object) -> StageRun:
    made = StageRun(tracker, "train", "one", {"a": {"b": 1}}, **parent)
    made.open()
    return made


def test_sending_a_record_again_doubles_nothing(tracker):
    parent = opened(tracker).id
    assert opened(tracker).id == parent
    report = TrainingRun(tracker, parent, "train", FULL)
    for epochs in (1, 1, 3, 2, 3):  # also late and repeated
        report.deliver(record(history=history(epochs)))
        TrainingRun(tracker, parent, "train", FULL).deliver(record(history=history(epochs)))
    report.deliver(record(status="done", history=history(3)))
    client = tracker.client()
    children = client.search_runs(["1"], f"tags.`run_key` = '{RUN.key}'")
    assert len(children) == 1
    points = client.get_metric_history(children[0].info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]
    assert children[0].info.status == "FINISHED"
    assert children[0].data.params["model.width"] == "4"
    (data,) = children[0].inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("Toy half", "d" * 36)
    assert json.loads(data.dataset.profile) == DATA["summary"]


def test_a_run_that_was_cut_off_while_it_was_made_is_completed(tracker):
    parent, client = opened(tracker).id, tracker.client()
    tags = {"mlflow.parentRunId": parent, "run_key": RUN.key}
    made = client.create_run("1", tags=tags).info.run_id
    TrainingRun(tracker, parent, "train", FULL).deliver(record(status="done", history=history(1)))
    (child,) = client.search_runs(["1"], f"tags.`run_key` = '{RUN.key}'")
    assert child.info.run_id == made
    assert child.data.params["model.width"] == "4"
    assert child.inputs.dataset_inputs


def test_a_failed_run_says_why_in_mlflow(tracker):
    failed = record(status="failed", reason="the loss is nan")
    TrainingRun(tracker, opened(tracker).id, "train", FULL).deliver(failed)
    (child,) = tracker.client().search_runs(["1"], f"tags.`run_key` = '{RUN.key}'")
    assert (child.info.status, child.data.tags["reason"]) == ("FAILED", "the loss is nan")


def test_results_are_entered_wherever_a_training_is(tracker):
    with opened(tracker) as parent:
        TrainingRun(tracker, parent.id, "train", FULL).deliver(record(status="done", history=history(1)))
        parent.results, parent.note = {RUN.key: {"test_iou": 0.5}}, "**best**"
    for _ in range(2):  # a stage that runs again enters them again
        opened(tracker, results={RUN.key: {"test_iou": 0.5}}).close()
    client = tracker.client()
    (child,) = client.search_runs(["1"], f"tags.`run_key` = '{RUN.key}'")
    assert [point.value for point in client.get_metric_history(child.info.run_id, "test_iou")] == [0.5]
    assert client.get_run(parent.id).data.tags["mlflow.note.content"] == "**best**"
    late = replace(parent, results={RUN.key: {"test_iou": 0.3}}, moment=parent.moment + 1, note="")
    late.close()  # evaluated otherwise, and worse
    assert client.get_run(child.info.run_id).data.metrics["test_iou"] == 0.3
    replace(parent, results={RUN.key: {"test_iou": 0.9}}, moment=parent.moment - 1, note="").close()
    assert client.get_run(child.info.run_id).data.metrics["test_iou"] == 0.3  # what comes late is not what is latest


def test_what_a_killed_stage_left_running_is_ended_by_one_with_other_parameters(tracker):
    killed = opened(tracker)
    TrainingRun(tracker, killed.id, "train", FULL).deliver(record(history=history(1)))
    RunFolder(tracker.home / "runs", RUN.key).path.mkdir(parents=True)
    RunFolder(tracker.home / "runs", RUN.key).write(record(history=history(2)))
    gone = subprocess.Popen(["true"])
    gone.wait()
    client = tracker.client()
    client.set_tag(killed.id, "driver", f"elsewhere:{gone.pid}")
    with StageRun(tracker, "train", "two", {}):
        assert client.get_run(killed.id).info.status == "RUNNING"  # perhaps it is, on that machine
    client.set_tag(killed.id, "driver", f"{gethostname()}:{gone.pid}")
    with StageRun(tracker, "train", "two", {}) as living:
        states = {run.info.run_id: run.info.status for run in client.search_runs(["1"])}
        assert sorted(states.values()) == ["KILLED", "KILLED", "RUNNING"]
        assert states[living.id] == "RUNNING"
    (child,) = client.search_runs(["1"], f"tags.`run_key` = '{RUN.key}'")
    assert child.data.metrics["epoch"] == 2


def test_all_parameters_arrive_however_many(tracker):
    many = {f"p{number}": number for number in range(230)}
    run = StageRun(tracker, "tune", "one", many).open()
    assert len(tracker.client().get_run(run).data.params) == 230
    assert StageRun(tracker, "tune", "one", many | {"p0": 1, "new": 2}).open() == run
    known = tracker.client().get_run(run).data.params
    assert (known["p0"], known["new"]) == ("0", "2")


def test_an_experiment_that_was_deleted_holds_runs_again(tracker):
    with opened(tracker) as parent:
        pass
    tracker.client().delete_experiment("1")
    with opened(tracker) as again:
        assert again.id == parent.id
    assert not list(tracker.unsent.glob("*"))


def test_what_cannot_be_delivered_holds_up_nothing_else(tracker):
    for name in ("first", "second"):
        (tracker.unsent / f"{name}.json").parent.mkdir(exist_ok=True)
        content = StageRun(tracker, "train", name, {})._plain()
        (tracker.unsent / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    broken = json.loads((tracker.unsent / "first.json").read_text(encoding="utf-8")) | {"metrics": {"a//b/../c": 1.0}}
    (tracker.unsent / "first.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(Exception, match="Invalid"):
        sync(tracker)
    runs = tracker.client().search_runs(["1"], "tags.identity = 'second'")
    assert [run.info.status for run in runs] == ["FAILED"]


def test_what_a_dead_server_did_not_get_is_delivered_once(tmp_path, caplog):
    (tmp_path / "runs" / RUN.key).mkdir(parents=True)
    written = record(status="done", history=history(3))
    RunFolder(tmp_path / "runs", RUN.key).write(written)
    with StageRun(tracker_at(tmp_path, "http://127.0.0.1:9"), "train", "one", {}) as parent:
        assert parent.id is None
        parent.follow(lambda: {RUN.key: FULL})
        parent.metrics = {"best": 0.3}
    assert "Nothing is lost" in caplog.text
    tracker = tracker_at(tmp_path)
    assert (sync(tracker), sync(tracker)) == (1, 0)
    client = tracker.client()
    runs = client.search_runs(["1"])
    assert {run.data.tags["stage"]: run.info.status for run in runs} == {"train": "FINISHED"}
    assert len(runs) == 2
    (child,) = (run for run in runs if "run_key" in run.data.tags)
    assert len(client.get_metric_history(child.info.run_id, "loss")) == 3


def losses(tracker: Tracker) -> list[float]:
    """Of the one training that MLflow shows."""
    client = tracker.client()
    (child,) = client.search_runs(["1"], f"tags.`run_key` = '{RUN.key}'")
    return [point.value for point in client.get_metric_history(child.info.run_id, "loss")]


def test_only_records_that_have_changed_are_sent_and_all_of_what_they_hold(tracker):
    children, folder = {}, RunFolder(tracker.home / "runs", RUN.key)
    following = Follower(tracker, opened(tracker).id, "train", lambda: children)
    assert following.follow() == 0
    children |= {RUN.key: FULL, "k" * 16: Called("a run that never began", "datransnet")}
    assert following.follow() == 0
    folder.path.mkdir(parents=True)
    for number, epochs in enumerate((1, 4), 1):
        folder.write(record(history=history(epochs)))
        os.utime(folder.record_file, ns=(number, number))  # a clock that is coarse makes no difference here
        assert (following.follow(), following.follow()) == (1, 0)
        assert losses(tracker) == [1 / epoch for epoch in range(1, epochs + 1)]


def test_a_stage_follows_its_trainings_while_they_train(tracker, monkeypatch):
    monkeypatch.setattr(follower, "PAUSE", 0.01)
    folder, known = RunFolder(tracker.home / "runs", RUN.key), threading.Event()
    folder.path.mkdir(parents=True)
    deliver = TrainingRun.deliver

    def delivered(run: TrainingRun, written: Any) -> None:
        deliver(run, written)
        known.set()

    monkeypatch.setattr(TrainingRun, "deliver", delivered)
    with StageRun(tracker, "train", "one", {}) as parent:
        parent.follow(lambda: {RUN.key: FULL})
        for epochs in (1, 2):
            folder.write(record(history=history(epochs)))
            os.utime(folder.record_file, ns=(epochs, epochs))  # a clock that is coarse makes no difference here
            known.wait()
            known.clear()
        assert losses(tracker)[0] == 1
    assert losses(tracker) == [1, 1 / 2]
    assert parent.children == {RUN.key: FULL}


def test_that_a_server_is_away_is_told_once_and_what_came_meanwhile_arrives(tracker, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(follower, "PAUSE", 0.01)
    folder, looks = RunFolder(tmp_path / "runs", RUN.key), []
    folder.path.mkdir(parents=True)
    folder.write(record(history=history(3)))
    parent, deliver, back = opened(tracker).id, TrainingRun.deliver, threading.Event()

    def away(run: TrainingRun, written: Any) -> None:
        looks.append(len(looks))
        if len(looks) <= 3:
            raise OSError("away")
        deliver(run, written)
        back.set()

    monkeypatch.setattr(TrainingRun, "deliver", away)
    following = Follower(tracker, parent, "train", lambda: {RUN.key: FULL})
    following.start()
    back.wait()
    following.end()
    assert caplog.text.count("Nothing is lost") == 1
    assert losses(tracker) == [1, 1 / 2, 1 / 3]


BROKEN_STORE = """
import sqlite3, sys
from pathlib import Path
from pipeline.tracking.stage_run import StageRun
from tests.pipeline.tracking.test_tracking import tracker_at

home = Path(sys.argv[1])
with StageRun(tracker_at(home), "train", "one", {}) as stage:
    with sqlite3.connect(home / "mlruns.db") as database:
        database.execute("drop table latest_metrics")
    stage.metrics = {"best": 0.3}
"""


def test_a_store_that_breaks_is_told_in_one_line(tmp_path):
    """MLflow logs what it raises with a traceback; what the stage says is enough."""
    command = [sys.executable, "-c", BROKEN_STORE, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stderr.splitlines() if "FutureWarning" not in line)
    assert "no such table: latest_metrics" in line
    assert "Nothing is lost" in line
    assert len(list((tmp_path / "unsent").iterdir())) == 1


def test_what_waits_is_delivered_in_the_order_in_which_it_came(tmp_path):
    """Evaluate's results belong to trainings that are delivered first, though the alphabet has them later."""
    RunFolder(tmp_path / "runs", RUN.key).path.mkdir(parents=True)
    RunFolder(tmp_path / "runs", RUN.key).write(record(status="done", history=history(1)))
    dead = tracker_at(tmp_path, "http://127.0.0.1:9")
    with StageRun(dead, "train", "one", {}) as stage:
        stage.children = {RUN.key: FULL}
    with StageRun(dead, "evaluate", "one", {}) as stage:
        stage.results, stage.git = {RUN.key: {"test_iou": 0.5}}, "then"
    tracker = tracker_at(tmp_path)
    assert sync(tracker) == 2
    (training,) = tracker.trainings(RUN.key)
    assert tracker.client().get_run(training).data.metrics["test_iou"] == 0.5
    (evaluated,) = tracker.client().search_runs(["1"], "tags.stage = 'evaluate'")
    assert evaluated.data.tags["git"] == "then"


def write_runs(folder: Path, parent: str, number: int, ready: Any) -> None:
    """Send some runs of twenty epochs, an epoch at a time."""
    logging.basicConfig(filename=folder / f"{number}.log")
    try:
        tracker = tracker_at(folder)
        tracker.client().get_run(parent)
    except BaseException:
        ready.abort()  # nobody waits for who does not come
        raise
    ready.wait()
    for seed in range(RUNS):
        run, report = replace(RUN, seed=1000 * number + seed), TrainingRun(tracker, parent, "train", FULL)
        for epochs in range(1, 21):
            status = "running" if epochs < 20 else "done"
            known = record(history=history(epochs), status=status, run=run)
            report.deliver(known)


@pytest.mark.faults
def test_eight_processes_write_at_once_and_nothing_is_lost(tracker, tmp_path):
    parent = opened(tracker)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(8)
    writers = [context.Process(target=write_runs, args=(tmp_path, parent.id, n, ready)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert [(tmp_path / f"{number}.log").read_text(encoding="utf-8") for number in range(8)] == [
        ""
    ] * 8  # not "database is locked"
    with sqlite3.connect(tmp_path / "mlruns.db") as database:
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
        (points,) = database.execute("select count(*) from metrics where key = 'loss'").fetchone()
        (doubled,) = database.execute(
            "select count(*) from (select 1 from metrics where key='loss' group by run_uuid, step having count(*) > 1)"
        ).fetchone()
    assert (points, doubled) == (8 * RUNS * 20, 0)


class Server:
    """MLflow's tracking server on a SQLite file, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = self.folder / "server.log"
        with log.open("a", encoding="utf-8") as output:
            told = {"stdout": output, "stderr": output}
            self.process = subprocess.Popen(command, env=environment, process_group=0, **told)
        wait_for(lambda: answers(f"{self.uri}/health"), self.process, "the tracking server does not start", log)

    def kill(self) -> None:
        end(self.process)


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def points(database: Path, stage: str) -> dict[str, list[tuple[int, float]]]:
    """Steps and losses of each training of a stage, as the database has them."""
    query = (
        "select k.value, m.step, m.value from metrics m join tags s using (run_uuid) join tags k using (run_uuid) "
        "where m.key = 'loss' and s.key = 'stage' and s.value = ? and k.key = 'run_key' order by 1, 2"
    )
    found: dict[str, list[tuple[int, float]]] = {}
    with sqlite3.connect(database) as connection:
        for key, step, value in connection.execute(query, [stage]):
            found.setdefault(key, []).append((step, value))
    return found


def recorded(study: StudyFolder, stage: str) -> dict[str, list[tuple[int, float]]]:
    """The same from the records."""
    keys = [
        run["key"] for run in json.loads((study.folder / f"results/{stage}.json").read_text(encoding="utf-8"))["runs"]
    ]
    histories = {
        key: json.loads((study.folder / f"runs/{key}/record.json").read_text(encoding="utf-8"))["history"]
        for key in keys
    }
    return {key: [(int(e["epoch"]), e["loss"]) for e in epochs] for key, epochs in histories.items()}


@pytest.mark.faults
@pytest.mark.study
def test_a_server_that_dies_during_a_study_gets_every_point_once(reference, tmp_path, server):
    study = reference["train"].copy(tmp_path / "study")
    params = tiny_params()
    params["recipe"]["epochs"] = 40
    study.write(params)
    process = study.start("train", MLFLOW_TRACKING_URI=server.uri)
    wait_for(lambda: points(tmp_path / "server.db", "train"), process, "nothing arrives")
    server.kill()
    known = {path: path.stat().st_mtime_ns for path in study.folder.glob("runs/*/record.json")}

    def goes_on() -> bool:
        """Training does not wait for the server; the stage may even have ended."""
        return any(path.stat().st_mtime_ns > moment for path, moment in known.items()) or process.poll() == 0

    wait_for(goes_on, process, "training fails with its server")
    server.start()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert study.run("sync", MLFLOW_TRACKING_URI=server.uri).returncode == 0  # should the stage have ended before it
    assert points(tmp_path / "server.db", "train") == recorded(study, "train")
    assert {len(found) for found in recorded(study, "train").values()} == {40}


@pytest.mark.faults
@pytest.mark.study
def test_a_study_without_its_server_is_sent_later(reference, tmp_path, server):
    study = reference["train"].copy(tmp_path / "study")
    whole = (reference["whole"].folder / "results/train.json").read_bytes()
    done = study.run("train", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "cannot be used" in done.stderr
    assert (study.folder / "results/train.json").read_bytes() == whole
    still = study.run("sync", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (still.returncode, "Start it and try again" in still.stderr) == (1, True)
    for number in (1, 0):
        assert f"{number} stages sent" in study.run("sync", MLFLOW_TRACKING_URI=server.uri).stdout
    assert points(tmp_path / "server.db", "train") == recorded(study, "train")
    assert tracker_at(tmp_path, server.uri).client().get_registered_model("tiny").aliases == {"champion": "1"}


@pytest.fixture
def champion(reference, mlflow_alone, monkeypatch):
    """Address of the whole study's registered model, and its folder."""
    import mlflow

    folder = reference["whole"].folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlruns.db'}")
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    return "models:/tiny@champion", folder / "models/best"


@pytest.mark.study
def test_the_champion_loads_and_predicts_as_the_library_does(champion):
    import mlflow

    address, folder = champion
    images = np.stack([scene(5, index, 32)[0] for index in range(2)])
    model = mlflow.pyfunc.load_model(address)
    found = model.predict(images, params={"threshold": 0.2})
    network, recipe = load_weights(folder)
    expected = np.stack([predict_image(network, image, recipe) for image in images])
    np.testing.assert_allclose(found["scores"], expected, atol=1e-6)
    np.testing.assert_array_equal(found["mask"], found["scores"] > 0.2)
    assert {spec.name for spec in model.metadata.signature.outputs} == {"scores", "mask"}
    assert model.metadata.saved_input_example_info is not None


@pytest.mark.study
def test_the_champion_is_served(champion, tmp_path):
    address, folder = champion
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", address, "--env-manager", "local"]
    environment = {**os.environ, "PYTHONPATH": ""}
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=interruptible,
        )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ping"), process, "the scoring server does not start", log)
        image = scene(5, 0, 32)[0]
        body = json.dumps({"inputs": image[None].tolist(), "params": {"threshold": 0.1}}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        found = json.load(urllib.request.urlopen(request))["predictions"]
    finally:
        end(process)
    network, recipe = load_weights(folder)
    np.testing.assert_array_equal(found["mask"][0], predict_image(network, image, recipe) > 0.1)


@pytest.mark.study
def test_a_better_network_becomes_champion_and_the_old_one_challenger(reference, tmp_path):
    tracker = tracker_at(tmp_path)
    parent = opened(tracker)
    for key, val_iou, digest in (
        ("a", 0.5, "d"),
        ("b", 0.7, "d"),
        ("c", 0.6, "d"),
        ("c", 0.6, "d"),
        ("e", 0.1, "other"),
    ):
        folder = tmp_path / "best"
        shutil.copytree(reference["whole"].folder / "models/best", folder, dirs_exist_ok=True)
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        (folder / "card.json").write_text(
            json.dumps(card | {"key": key, "val_iou": val_iou, "data_digest": digest}), encoding="utf-8"
        )
        register(tracker.client(), tracker.uri, str(parent.id), "toy", folder)
        versions = {found.version: found for found in tracker.client().search_model_versions("name = 'toy'")}
        named = tracker.client().get_registered_model("toy").aliases
        aliases = {alias: versions[number].tags["run_key"] for alias, number in named.items()}
        expected = {"a": {"champion": "a"}, "b": {"champion": "b", "challenger": "a"}}
        expected |= {"c": {"champion": "b", "challenger": "c"}, "e": {"champion": "e", "challenger": "b"}}
        assert aliases == expected[key]
    assert len(versions) == 4


def test_no_library_reports_home():
    code = "import pipeline, os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'], os.environ['RAY_USAGE_STATS_ENABLED'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["true", "0"]
