"""Published numbers: each names its source, and stands beside ours only where it may."""

from dataclasses import replace
from itertools import pairwise

from scipy import stats

from datransnet.data.catalogue import CATALOGUE
from datransnet.metrics import CONVENTIONS
from pipeline.reporting.planning import spread_in
from pipeline.reporting.power import resolution
from pipeline.reporting.published import published, reference_tables
from pipeline.reporting.result_tables import main_table
from tests.pipeline.reporting.test_result_tables import evaluation


def on(found, **changes):
    """The same evaluation on other data."""
    return replace(found, dataset=replace(found.dataset, **changes))


def test_published_numbers_stand_beside_ours_only_where_they_may():
    found = evaluation()
    assert reference_tables(found, main_table(found)) == []
    found = on(found, name="SIRST", split="50_50")
    same, apart = reference_tables(found, main_table(found))
    assert same.rows[0]["method"] == "DATransNet, this study"
    assert {row["convention"] for row in same.rows} == {"basicirstd"}
    assert ("DNA-Net", "74.81") in {(row["method"], row["IoU (%)"]) for row in same.rows}
    assert "DNA-Net †" in {row["method"] for row in apart.rows}
    reasons = {row["method"]: row["why not"] for row in apart.rows}
    assert reasons["HDNet †"] == "split idx_427; convention not known"
    assert "on the same images to the last: a_1 (why)." in same.note
    whole = on(found, excluded={})
    assert "to the last" not in reference_tables(whole, main_table(whole))[0].note
    (apart,) = reference_tables(on(whole, split="idx_427"), main_table(whole))
    assert len(apart.rows) == len([entry for entry in published() if entry.dataset == "SIRST"])


def test_a_published_pd_has_its_exact_interval_and_gaps_are_held_against_the_images():
    found = on(evaluation(seeds=3), name="SIRST", split="50_50")
    same, _ = reference_tables(found, main_table(found))
    here = [entry for entry in published() if (entry.dataset, entry.split) == ("SIRST", "50_50")]
    entry = next(entry for entry in here if entry.iou == 74.815)
    row = next(row for row in same.rows if row["method"] == entry.method and row["Fa (1e-6)"] == f"{entry.fa:.2f}")
    low, high = stats.binomtest(round(entry.pd * 0.9), 90).proportion_ci(method="exact")
    assert row["Pd (%)"] == f"{entry.pd:.2f} [{100 * low:.1f}, {100 * high:.1f}]"
    ious = sorted(entry.iou for entry in here if entry.convention == "basicirstd" and entry.iou)
    least = 100 * resolution(spread_in(found), 90)
    below = sum(above - below < least for below, above in pairwise(ious))
    assert f"Of the {len(ious) - 1} gaps between neighbouring published IoUs" in same.note
    assert f"{below} are below {least:.2f} points, which is the least that 90 images tell" in same.note


def test_fa_of_the_areas_rule_stands_as_such():
    """BasicIRSTD's classical rows are older than its change of rule, LESPS's table too."""
    classical = [entry for entry in published() if "after scaling" in entry.source]
    lesps = [entry for entry in published() if entry.source.startswith("LESPS")]
    assert (len(classical), len(lesps)) == (36, 3)
    assert {entry.convention for entry in (*classical, *lesps)} == {"sctransnet"}
    assert CONVENTIONS["sctransnet"].fa == "areas"


def test_every_published_number_names_its_source():
    for entry in published():  # reading it has checked its keys and types
        assert entry.source
        assert entry.dataset in CATALOGUE
        assert entry.split is None or entry.split in CATALOGUE[entry.dataset].splits
        assert entry.convention is None or entry.convention in CONVENTIONS
