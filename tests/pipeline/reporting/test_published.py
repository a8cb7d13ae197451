"""Published numbers: each names its source, and stands beside ours only where it may."""

from dataclasses import replace

from datransnet.data.catalogue import CATALOGUE
from datransnet.metrics import CONVENTIONS
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
    assert same.note.endswith("on the same images to the last: a_1 (why).")
    whole = on(found, excluded={})
    assert "to the last" not in reference_tables(whole, main_table(whole))[0].note
    (apart,) = reference_tables(on(whole, split="idx_427"), main_table(whole))
    assert len(apart.rows) == len([entry for entry in published() if entry.dataset == "SIRST"])


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
