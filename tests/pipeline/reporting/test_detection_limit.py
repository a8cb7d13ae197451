"""How faint a target may be."""

import pandas as pd

from pipeline.reporting.detection_limit import detection_limit, limit_table


def test_the_detection_limit_counts_each_target_once_and_by_its_size():
    rows = [
        {"key": key, "id": "a", "row": n, "column": 0.0, "pixels": 4 if n < 6 else 30, "scr": scr, "detected": hit}
        for key in ("first", "second")
        for n, (scr, hit) in enumerate([(-1, 0), (1, 0), (5, 1), (5, key == "first"), (9, 1), (30, 1), (5, 1), (25, 1)])
    ]
    limit = detection_limit(pd.DataFrame(rows))
    small = limit[limit["size"] == "small"].set_index("low")
    assert small["number"].to_dict() == {0.0: 2, 4.0: 2, 8.0: 1, 20.0: 1}
    assert small["pd"].to_dict() == {0.0: 0.0, 4.0: 0.75, 8.0: 1.0, 20.0: 1.0}
    assert (limit["pd_low"] <= limit["pd"]).all()
    table = limit_table(limit, 4.0)
    assert table.rows[0]["local SCR"] == "0 to 2"
    assert table.rows[-1] == {
        "size": "large", "local SCR": "20 and more", "targets": "1", "Pd (%)": "100.0", "interval (%)": "[20.7, 100.0]"
    }  # fmt: skip
