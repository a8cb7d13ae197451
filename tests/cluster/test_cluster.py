"""A sweep on three machines, each a network namespace, that lose each other, die, and lose their tracking server."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.conftest import StudyFolder, tiny_params, wait_for

pytestmark = pytest.mark.cluster

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
TRIALS = 24
QUICK = {  # a machine that is gone is noticed in seconds, not in a minute
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "8",
}


def reason_to_skip() -> str:
    """Why this machine cannot play a cluster, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "no ip command (Debian: iproute2)"
    if not POSTGRES:
        return "no PostgreSQL (Debian: postgresql)"
    made = subprocess.run(["ip", "netns", "add", f"dtn-try-{os.getpid()}"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", f"dtn-try-{os.getpid()}"], capture_output=True, check=False)
    return "" if made.returncode == 0 else "network namespaces cannot be made here"


def command_of(name: str) -> str:
    """A block of the page's commands."""
    page = (ROOT / "cluster/README.md").read_text(encoding="utf-8")
    return re.search(rf"^```bash {name}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]


class Machines:
    """Three hosts on a bridge; the first leads and keeps the databases."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, f"dtn{os.getpid() % 10000}"
        self.network = f"10.213.{os.getpid() % 250}"
        self.names = [f"{self.mark}-{index}" for index in range(3)]
        self.head = f"{self.network}.1"
        self.logs = []

    def address(self, index: int) -> str:
        return f"{self.network}.{index + 1}"

    def make(self) -> None:
        bridge = f"{self.mark}br"
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.network}.254/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        for index, name in enumerate(self.names):
            outer, inner = f"{self.mark}v{index}", f"{self.mark}e{index}"
            run("ip", "netns", "add", name)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
            run("ip", "link", "set", inner, "netns", name)
            run("ip", "link", "set", outer, "master", bridge, "up")
            for device in ("lo", inner):
                run("ip", "netns", "exec", name, "ip", "link", "set", device, "up")
            run("ip", "netns", "exec", name, "ip", "addr", "add", f"{self.address(index)}/24", "dev", inner)

    def unmake(self) -> None:
        for name in self.names:
            for pid in self.pids(name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        while any(self.pids(name) for name in self.names):
            time.sleep(0.1)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"{self.mark}br"], capture_output=True, check=False)
        for log in self.logs:
            log.close()
            print(
                f"--- {log.name}\n{Path(log.name).read_text(encoding='utf-8')[-3000:]}"
            )  # pytest shows it where a test fails

    def pids(self, name: str) -> list[int]:
        done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
        return [int(pid) for pid in done.stdout.split()]

    def start(self, index: int, script: str, user: str | None = None, **environment: str) -> subprocess.Popen:
        """Run a script on a host; what it prints goes into a file."""
        log = (self.folder / f"{index}-{len(self.logs)}.log").open("w", encoding="utf-8")
        self.logs.append(log)
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        known = {"PATH": path, "HEAD": self.head, "HERE": self.address(index), "PGUSER": "postgres", **QUICK}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[index], *as_user, "bash", "-ec", script],
            cwd=self.folder,
            env={**os.environ, **known, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def succeed(self, index: int, script: str, **environment: str) -> None:
        process = self.start(index, script, **environment)
        assert process.wait() == 0, Path(self.logs[-1].name).read_text(encoding="utf-8")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.fixture
def machines():
    """Three machines with Ray, PostgreSQL and MLflow, all started by the commands of the page."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="dtn", dir="/tmp"))
    folder.chmod(0o755)
    found = Machines(folder)
    try:
        found.make()
        yield found
    finally:
        found.unmake()
        shutil.rmtree(folder, ignore_errors=True)


def start_database(machines: Machines) -> None:
    tools = POSTGRES[-1].parent
    place = machines.folder / "postgres"
    place.mkdir()
    shutil.chown(place, "postgres", "postgres")
    script = f"""
    {tools}/initdb -D {place}/data --auth=trust >/dev/null
    echo "host all all {machines.network}.0/24 trust" >> {place}/data/pg_hba.conf
    exec {tools}/postgres -D {place}/data -h {machines.head} -k {place}
    """
    server, log = machines.start(0, script, user="postgres"), Path(machines.logs[-1].name)
    ready = [str(tools / "pg_isready"), "-q", "-h", machines.head]
    wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, server, "PostgreSQL does not start", log)
    for name in ("mlflow", "optuna"):
        run(str(tools / "createdb"), "-h", machines.head, "-U", "postgres", name)


def start_tracking(machines: Machines) -> subprocess.Popen:
    server = machines.start(0, command_of("tracking"), ARTIFACTS=str(machines.folder / "artifacts"))
    log = Path(machines.logs[-1].name)
    asked = ["curl", "-sf", "-o", "/dev/null", f"http://{machines.head}:5000/health"]
    wait_for(lambda: subprocess.run(asked, check=False).returncode == 0, server, "MLflow does not start", log)
    return server


def records(study: StudyFolder) -> dict[str, dict]:
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in study.folder.glob("runs/*/record.json")
    }


def ended(study: StudyFolder) -> int:
    return sum(record["status"] in ("done", "pruned") for record in records(study).values())


def test_a_sweep_survives_what_happens_to_its_machines(machines):
    start_database(machines)
    server = start_tracking(machines)
    ray = f"--num-cpus=1 --temp-dir={machines.folder / 'ray'}"
    machines.succeed(0, command_of("head").rstrip() + f" {ray}")
    for index in (1, 2):
        machines.succeed(index, command_of("worker").rstrip() + " --num-cpus=1")

    params = tiny_params()
    params["tune"] |= {"trials": TRIALS, "concurrent": 3, "bracket": 8, "points": []}
    params["cluster"] = {"storage": f"postgresql+psycopg2://postgres@{machines.head}/optuna"}
    study = StudyFolder(machines.folder / "study", params)
    study.succeed("fetch", "split")
    sweep = f"cd {study.folder}; export PYTHONPATH={ROOT}; {command_of('sweep')}"
    driver = machines.start(0, sweep)
    output = Path(machines.logs[-1].name)

    def reached(number: int) -> None:
        wait_for(lambda: ended(study) >= number, driver, f"{number} trials never ended", output)
        assert driver.poll() is None, output.read_text(encoding="utf-8")

    reached(5)
    run("ip", "link", "set", f"{machines.mark}v1", "down")  # a machine is cut off
    reached(9)
    for pid in machines.pids(machines.names[2]):
        if "raylet" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")[0]:
            os.kill(pid, signal.SIGKILL)  # another one dies
    os.killpg(server.pid, signal.SIGKILL)  # and so does the tracking server
    reached(12)
    start_tracking(machines)
    assert driver.wait() == 0, output.read_text(encoding="utf-8")

    found = (study.folder / "results/tune.json").read_bytes()
    result = study.tuned()
    assert len(result["trials"]) == TRIALS
    assert {trial["status"] for trial in result["trials"]} == {"done", "pruned"}
    keys = {trial["key"] for trial in result["trials"]}
    assert set(records(study)) == keys

    import optuna

    storage = optuna.storages.RDBStorage(params["cluster"]["storage"])
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert len(trials) == TRIALS
    assert {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}

    alone = StudyFolder(machines.folder / "alone", tiny_params() | {"tune": params["tune"] | {"concurrent": 1}})
    alone.succeed("fetch", "split", "tune")  # on this machine, one after the other
    assert (alone.folder / "results/tune.json").read_bytes() == found

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"http://{machines.head}:5000")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.data.tags["run_key"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert len(parents) == 1
    assert len(runs) == 1 + len(children)
    assert set(children) == keys
    assert {run.info.status for run in runs} == {"FINISHED"}
    for key, record in records(study).items():
        points = client.get_metric_history(children[key].info.run_id, "loss")
        assert [point.value for point in points] == [epoch["loss"] for epoch in record["history"]]
