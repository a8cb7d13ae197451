"""Ray's session ends without taking the stage with it."""

import subprocess
import sys

# Ray often takes a quarter of a second to destruct its worker, and ends a process in which another thread frees one of
# its references meanwhile. The thread of MLflow's system metrics allocates, and so collects what failed trials left: a
# sweep once ended like that, with no word of ours.
COLLECTING = """
import gc, threading, time
import ray
from pipeline.parallel.session import ray_session
from pipeline.study.read_params import parse_params
from tests.pipeline.conftest import tiny_params

def allocate():
    while ray.is_initialized():
        time.sleep(0.001)
    time.sleep(0.1)
    kept = []
    while not over.is_set():
        kept.append([])
        if len(kept) > 300_000:
            kept.clear()

over, thread = threading.Event(), threading.Thread(target=allocate)
with ray_session(parse_params(tiny_params(), "tiny")):
    thread.start()
    gc.collect()
    gc.set_threshold(100_000, 10, 10)  # out of reach for the main thread, in reach for the other
    cycle = [ray.put(0)]
    cycle.append(cycle)
    del cycle
assert gc.isenabled()
over.set()
thread.join()
print("alive")
"""


def test_what_another_thread_collects_while_ray_ends_does_not_end_the_stage():
    done = subprocess.run([sys.executable, "-c", COLLECTING], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["alive"], done.stderr
