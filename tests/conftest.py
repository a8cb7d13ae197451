"""Where tests find what lies outside the project, and small things to test with."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from datransnet.data.catalogue import SYNTHETIC
from datransnet.data.splits import split
from datransnet.data.synthetic import generate

torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ROOT = Path(__file__).parents[1]
OUTSIDE = Path(os.environ.get("DATRANSNET_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of real datasets: DATRANSNET_MIRROR, or datasets/ beside the project."""
    folder = Path(os.environ.get("DATRANSNET_MIRROR", OUTSIDE / "datasets")).resolve()
    if not folder.is_dir():
        pytest.skip("no mirror of the real datasets: set DATRANSNET_MIRROR to run this test")
    return folder


@pytest.fixture(scope="session")
def golden_metrics() -> Path:
    """Predictions on real masks with the metrics that the released implementations give them."""
    folder = (OUTSIDE / "golden").resolve()
    if not (folder / "metrics.npz").is_file():
        pytest.skip("no golden metrics: they hold real masks and stay outside the project (DATRANSNET_SHARED)")
    return folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small split synthetic dataset."""
    folder = tmp_path_factory.mktemp("scenes")
    generate(folder / "raw", {"train": 9, "val": 4, "test": 4}, size=48, seed=3)
    split(SYNTHETIC, folder / "raw", folder / "data", "generated", mismatch="exclude", validation_share=0.2, seed=0)
    return folder / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests so that no worker waits for another.

    The first test has the reference study made, which takes minutes; then come those that do not need it, and those
    that one worker does one after another before those that any may do.
    """

    def turn(item: pytest.Item) -> int:
        if "reference" not in getattr(item, "fixturenames", ()):
            return 1
        return 2 if item.get_closest_marker("xdist_group") else 3

    items.sort(key=turn)
    last = [item for item in items if turn(item) == 3]
    if last:
        items.remove(last[0])
        items.insert(0, last[0])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  # libraries that still read it
