"""A real Slurm on three machines, each a network namespace: an array of workers."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from socket import gethostname

import pytest

from tests.cluster.test_cluster import QUICK, Machines, reason_to_skip, run
from tests.conftest import ROOT
from tests.pipeline.conftest import StudyFolder, tiny_params, wait_for
from tests.pipeline.test_study import records

pytestmark = pytest.mark.slurm

CONFIG = """
ClusterName=test
SlurmctldHost={host}({leader})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock
SlurmctldPort=6817
SlurmdPort=6818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
TCPTimeout=2
KillWait=30
SchedulerParameters=sched_interval=1,batch_sched_delay=1,requeue_delay=1
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
"""


class Slurm(Machines):
    """The machines with Slurm: its controller here, a daemon in each namespace."""

    def begin(self) -> None:
        folder = self.folder
        for name in ("state", "spool-n0", "spool-n1", "spool-n2"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        places = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        run("munged", "--force", *(f"--{option}={folder}/munge.{end}" for option, end in places.items()))
        nodes = "\n".join(
            f"NodeName=n{index} NodeHostname=n{index} NodeAddr={self.address(index)} CPUs=1 RealMemory=2000"
            for index in range(3)
        )
        content = CONFIG.format(host=gethostname(), leader=f"{self.network}.254", folder=folder, nodes=nodes)
        (folder / "slurm.conf").write_text(content, encoding="utf-8")
        self.known = {**os.environ, **QUICK, "SLURM_CONF": f"{folder}/slurm.conf", "PYTHONPATH": str(ROOT)}
        log = (folder / "slurmctld.log").open("w", encoding="utf-8")
        self.logs.append(log)
        self.controller = subprocess.Popen(["slurmctld", "-D"], env=self.known, stdout=log, stderr=log)
        for index in range(3):
            self.boot(index)
        wait_for(lambda: self.said("sinfo", "-h", "-o", "%t %D").strip() == "idle 3", self.controller, "no nodes")

    def boot(self, index: int) -> None:
        """Start a node's daemon, which sees its own network, processes and folder of Ray, as on a machine of its own.

        It also sees this machine's /sys, where it looks for control groups.
        """
        log = (self.folder / f"n{index}-{len(self.logs)}.log").open("w", encoding="utf-8")
        self.logs.append(log)
        inside = ["nsenter", f"--net=/var/run/netns/{self.names[index]}", "unshare", "--mount", "--pid", "--fork"]
        Path("/tmp/ray").mkdir(exist_ok=True)
        # The shell is the machine's first process, which has to take leave of those whose parents are gone.
        start = f"mount -t tmpfs none /tmp/ray && slurmd -D -N n{index}; exit"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.Popen(
            [*inside, "--mount-proc", "sh", "-c", start], env={**self.known, "PATH": path}, stdout=log, stderr=log
        )

    def said(self, *command: str) -> str:
        done = subprocess.run(command, env=self.known, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def submit(
        self, study: StudyFolder, script: str, *options: str, command: Sequence[str] = (), **environment: str
    ) -> str:
        done = subprocess.run(
            ["sbatch", "--parsable", *options, str(ROOT / "cluster/slurm" / script), *command],
            cwd=study.folder,
            env={**self.known, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def end(self) -> None:
        self.said("scancel", "--full", "--signal=KILL", "--user=root")
        self.controller.kill()
        self.controller.wait()
        with (self.folder / "munge.pid").open(encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGTERM)


@pytest.fixture
def slurm():
    if reason := reason_to_skip():
        pytest.skip(reason)
    if not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))):
        pytest.skip("no Slurm (Debian: slurmctld, slurmd, slurm-client, munge)")
    folder = Path(tempfile.mkdtemp(prefix="dtn", dir="/tmp"))
    folder.chmod(0o755)
    found = Slurm(folder)
    try:
        found.make()
        found.begin()
        yield found
    finally:
        if hasattr(found, "controller"):
            found.end()
        found.unmake()
        shutil.rmtree(folder, ignore_errors=True)


def outputs(study: StudyFolder) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(study.folder.glob("slurm-*.out")))


def test_an_array_of_workers_loses_a_node_and_is_requeued_at_its_limit(slurm):
    params = tiny_params()
    params["recipe"]["epochs"] = 200  # a training takes longer than a job may
    params["train"]["seeds"], params["ablate"] = 3, {"seeds": 1, "variants": {"plain": {"gradient": "plain"}}}
    study = StudyFolder(slurm.folder / "study", params)
    study.succeed("fetch", "split")
    job = slurm.submit(study, "work.sbatch", "--array=0-7", "--time=1", "--signal=B:USR1@40")

    def training() -> set[str]:
        """Nodes with a task that runs."""
        return set(slurm.said("squeue", "-h", "-j", job, "-t", "RUNNING", "-o", "%N").split())

    wait_for(lambda: len(training()) == 3 and records(study), slurm.controller, "nothing runs")
    time.sleep(5)
    for pid in slurm.pids(slurm.names[2]):  # the machine dies
        os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        return bool(re.search(r"Restarts=[1-9]", slurm.said("scontrol", "show", "job", job)))

    wait_for(restarted, slurm.controller, "no task was requeued")
    slurm.boot(2)
    wait_for(lambda: not slurm.said("squeue", "-h", "-j", job).strip(), slurm.controller, "the jobs never end")
    assert "Interrupted" in outputs(study), outputs(study)  # a task was ended at its limit, and went back
    assert "Nothing is lacking" in study.run("plan").stdout, outputs(study)
    found = records(study)
    assert {record["status"] for record in found.values()} <= {"done", "pruned"}
    before = {path: path.stat().st_mtime_ns for path in study.folder.glob("runs/*/weights.safetensors")}
    study.succeed("tune", "train", "ablate")
    assert {path: path.stat().st_mtime_ns for path in study.folder.glob("runs/*/weights.safetensors")} == before
    assert set(records(study)) == set(found)
    alone = StudyFolder(slurm.folder / "alone", params)
    alone.succeed("fetch", "split", "tune")
    assert alone.searches() == study.searches()


def test_a_sweep_inside_an_allocation_finds_what_one_machine_finds(slurm):
    params = tiny_params()
    params["tune"]["trials"] = 12
    study = StudyFolder(slurm.folder / "study", params)
    study.succeed("fetch", "split")
    # As for a user whose home all nodes share, where the script leaves Ray's token. And of the short times of `QUICK`
    # one is too short: `ray stop` may take longer, and who asked for it would be ended.
    as_usual = {
        "RAY_AUTH_MODE": "token",
        "HOME": str(slurm.folder),
        "RAY_gcs_rpc_server_reconnect_timeout_s": "60",
    }
    job = slurm.submit(study, "sweep.sbatch", "--nodes=3", "--time=30", command=["sleep", "infinity"], **as_usual)
    # Ray says so when all three are there.
    wait_for(lambda: "Running command on head node" in outputs(study), slurm.controller, "the cluster never begins")
    slurm.said("scancel", job)
    wait_for(lambda: not slurm.said("squeue", "-h", "-j", job).strip(), slurm.controller, "the job never ends")
    assert "Restarts=0" in slurm.said("scontrol", "show", "job", job)  # who cancels a job does not want it back
    job = slurm.submit(study, "sweep.sbatch", "--nodes=3", "--time=30", **as_usual)
    wait_for(lambda: not slurm.said("squeue", "-h", "-j", job).strip(), slurm.controller, "the job never ends")
    assert "JobState=COMPLETED" in slurm.said("scontrol", "show", "job", job), outputs(study)
    assert (slurm.folder / ".ray/auth_token").exists()
    assert outputs(study).count("Running command on head node") == 2
    alone = StudyFolder(slurm.folder / "alone", params)
    alone.succeed("fetch", "split", "tune")
    assert alone.searches() == study.searches(), outputs(study)
