"""Segmentation and detection metrics under the published conventions, from stored score maps."""

from datransnet.metrics.calibration import Calibration, calibration
from datransnet.metrics.conventions import CONVENTIONS, Convention
from datransnet.metrics.counts import COUNT_FIELDS, Counts, count
from datransnet.metrics.curves import Curve, CurveCounts, Curves, logit_thresholds, operating_point
from datransnet.metrics.evaluation import Evaluation, evaluate, roc
from datransnet.metrics.score import Score, as_columns, ratios, score, summarise
from datransnet.metrics.targets import TargetRecord, target_records

__all__ = [
    "CONVENTIONS",
    "COUNT_FIELDS",
    "Calibration",
    "Convention",
    "Counts",
    "Curve",
    "CurveCounts",
    "Curves",
    "Evaluation",
    "Score",
    "TargetRecord",
    "as_columns",
    "calibration",
    "count",
    "evaluate",
    "logit_thresholds",
    "operating_point",
    "ratios",
    "roc",
    "score",
    "summarise",
    "target_records",
]
