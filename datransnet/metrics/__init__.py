"""Segmentation and detection metrics under the published conventions, from stored score maps."""

from datransnet.metrics.calibration import Calibration, calibration
from datransnet.metrics.conventions import CONVENTIONS, Convention
from datransnet.metrics.counts import COUNT_FIELDS, Counts, count
from datransnet.metrics.curves import Curve, CurveCounts, Curves, logit_thresholds
from datransnet.metrics.evaluation import Evaluation, evaluate, roc
from datransnet.metrics.hierarchical import (
    HIERARCHICAL,
    HIERARCHICAL_FIELDS,
    HierarchicalScore,
    hierarchical,
    hierarchical_summary,
    hierarchical_terms,
    with_phantoms,
)
from datransnet.metrics.operating import Budget, operating_point
from datransnet.metrics.score import Score, as_columns, ratio, ratios, score, summarise, terms
from datransnet.metrics.targets import TargetRecord, target_records

__all__ = [
    "CONVENTIONS",
    "COUNT_FIELDS",
    "HIERARCHICAL",
    "HIERARCHICAL_FIELDS",
    "Budget",
    "Calibration",
    "Convention",
    "Counts",
    "Curve",
    "CurveCounts",
    "Curves",
    "Evaluation",
    "HierarchicalScore",
    "Score",
    "TargetRecord",
    "as_columns",
    "calibration",
    "count",
    "evaluate",
    "hierarchical",
    "hierarchical_summary",
    "hierarchical_terms",
    "logit_thresholds",
    "operating_point",
    "ratio",
    "ratios",
    "roc",
    "score",
    "summarise",
    "target_records",
    "terms",
    "with_phantoms",
]
