"""Segmentation and detection metrics under the published conventions, from stored score maps."""

from datransnet.metrics.conventions import CONVENTIONS, Convention
from datransnet.metrics.counts import COUNT_FIELDS, Counts, count
from datransnet.metrics.curves import Curve, Curves, roc
from datransnet.metrics.score import Score, as_columns, ratios, score, summarise
from datransnet.metrics.targets import TargetRecord, target_records

__all__ = [
    "CONVENTIONS",
    "COUNT_FIELDS",
    "Convention",
    "Counts",
    "Curve",
    "Curves",
    "Score",
    "TargetRecord",
    "as_columns",
    "count",
    "ratios",
    "roc",
    "score",
    "summarise",
    "target_records",
]
