"""What stages hand to each other."""

import json

import pytest

from datransnet.errors import DataError
from pipeline.study.handover import read_result, write_result


def test_results_of_another_schema_are_refused(tmp_path):
    write_result(tmp_path / "x.json", {"a": 1})
    assert read_result(tmp_path / "x.json", "tune")["a"] == 1
    (tmp_path / "x.json").write_text(json.dumps({"schema": 0}), encoding="utf-8")
    with pytest.raises(DataError, match="Run the tune stage again"):
        read_result(tmp_path / "x.json", "tune")
