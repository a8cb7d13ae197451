"""The driver of a sweep is killed again and again (``DATRANSNET_KILLS`` times): nothing is lost, nothing done twice."""

import json
import os
import random
import shutil
import signal
import time

import pytest

from tests.pipeline.conftest import StudyFolder, tiny_params

KILLS = int(os.environ.get("DATRANSNET_KILLS", "0"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800 * (1 + KILLS))]


def sweep(folder, scheduler, concurrent):
    params = tiny_params()
    params["tune"] |= {"trials": 12, "scheduler": scheduler, "concurrent": concurrent, "points": []}
    study = StudyFolder(folder, params)
    study.succeed("fetch", "split")
    return study


def finished(study):
    """Bytes and time of the records of runs that ended."""
    found = {}
    for path in study.folder.glob("runs/*/record.json"):
        if json.loads(path.read_text(encoding="utf-8"))["status"] in ("done", "pruned"):
            found[path.parent.name] = path.read_bytes(), path.stat().st_mtime_ns
    return found


def epochs(study):
    return sum(
        len(json.loads(path.read_text(encoding="utf-8"))["history"]) for path in study.folder.glob("runs/*/record.json")
    )


@pytest.mark.skipif(not KILLS, reason="half an hour: set DATRANSNET_KILLS=20")
@pytest.mark.parametrize(("scheduler", "concurrent"), [("none", 1), ("asha", 2)])
def test_a_driver_may_be_killed_at_any_moment(tmp_path, scheduler, concurrent):
    study = sweep(tmp_path / "killed", scheduler, concurrent)
    whole = StudyFolder(tmp_path / "whole")
    shutil.copytree(study.folder, whole.folder, dirs_exist_ok=True)
    whole.succeed("tune")
    expected = whole.tuned()
    moments = random.Random(scheduler)
    known = {}
    for _ in range(KILLS):
        goal, patience = epochs(study) + moments.randint(0, 3), moments.uniform(0, 25)
        process, started = study.start("tune"), time.monotonic()
        while epochs(study) < goal or (goal == epochs(study) and time.monotonic() - started < patience):
            if process.poll() is not None or time.monotonic() - started > 60:
                break
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()  # and at once again, while Ray's processes of before may still be dying
        now = finished(study)
        assert {key: now[key] for key in known} == known, "a finished trial was touched"
        known = now
    study.succeed("tune")
    study.wait_until_alone()
    found = study.tuned()
    now = finished(study)
    assert {key: now[key] for key in known} == known
    assert len(found["trials"]) == len(expected["trials"]) == 12
    if concurrent == 1:
        assert found == expected
