"""Records are kept whole, and a key depends on everything that a run is."""

import multiprocessing
from dataclasses import replace

import pytest

from datransnet.engine.recipe import Recipe
from pipeline.runs.record import RunFolder, all_records
from tests.pipeline.records import RUN, history, record


def test_a_record_reads_back_as_written(tmp_path):
    folder = RunFolder(tmp_path, RUN.key)
    written = record(status="done", history=history(2))
    folder.write(written)
    assert folder.read() == written
    assert folder.read().run.key == RUN.key


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"data_digest": "x"},
        {"source": "x"},
        {"recipe": Recipe(epochs=4)},
        {"model": {"name": "datransnet"}},
    ],
)
def test_the_key_depends_on_everything_a_run_is(change):
    assert replace(RUN, **change).key != RUN.key
    assert replace(RUN).key == RUN.key


def hold(path, said):
    with RunFolder(path, RUN.key).locked():
        said.send("held")
        multiprocessing.parent_process().join()


def test_a_run_that_a_process_holds_is_running_and_else_interrupted(tmp_path):
    folder = RunFolder(tmp_path, RUN.key)
    folder.write(record())
    context = multiprocessing.get_context("spawn")
    heard, said = context.Pipe(duplex=False)
    process = context.Process(target=hold, args=(tmp_path, said))
    process.start()
    said.close()  # so that its death is heard, too
    try:
        assert heard.recv() == "held"
        assert [found.status for _, found in all_records(tmp_path)] == ["running"]
    finally:
        process.kill()
        process.join()
    assert [found.status for _, found in all_records(tmp_path)] == ["interrupted"]
