"""Score maps of other people's published weights have the numbers that their authors print.

The maps and the datasets stay outside the project. Which script gave which number, and where a printed one differs from
what its own script gives, stands in docs/explanation/published.md.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from datransnet.data.catalogue import CATALOGUE
from datransnet.data.fetch import fetch
from datransnet.data.images import read_image
from datransnet.data.layouts import find_layout
from datransnet.data.loader import to_input
from datransnet.data.score_maps import OtherSize, Reading, find_predictions
from datransnet.metrics import score
from datransnet.weights import Foreign
from tests.conftest import OUTSIDE


@dataclass(frozen=True)
class Published:
    """What a set of score maps is to give: metric → number as printed (IoU, nIoU, F1 and Pd in %, Fa in 1e-6)."""

    maps: str
    dataset: str
    test: str
    convention: str
    printed: dict[str, str]
    images: int
    mismatch: OtherSize | None = None


RPCANET = {"iou": "70.37", "f1": "82.61", "pd": "95.41", "fa": "74.2"}
PUBLISHED = (
    Published("lesps_acm-nudt", "NUDT-SIRST", "50_50/test.txt", "lesps",
              {"iou": "57.42", "pd": "91.75", "fa": "39.733"}, 664),
    Published("lesps_acm-sirst_50_50", "SIRST", "50_50/test.txt", "lesps",
              {"iou": "64.929", "pd": "90.87", "fa": "12.76"}, 214, "resize_mask"),  # printed 64.92, cut not rounded
    Published("lesps_alcnet-irstd1k", "IRSTD-1K", "img_idx/test_IRSTD-1K.txt", "lesps",
              {"iou": "62.03", "pd": "90.91", "fa": "42.46"}, 201),
    Published("acm_unet-sirst_idx_427-512", "SIRST", "idx_427/test.txt", "basicirstd",
              {"iou": "71.52", "niou": "72.81"}, 86, "resize_mask"),
    Published("rpcanet-sirst_idx_427-256", "SIRST", "idx_427/test.txt", "rpcanet",
              RPCANET, 86, "resize_mask_by_corners"),
    Published("lrpcanet-nudt", "NUDT-SIRST", "50_50/test.txt", "rpcanet",
              {"iou": "92.3764", "f1": "96.0372", "pd": "98.4127", "fa": "17.9132"}, 664),  # printed 92.37, cut
    Published("lrpcanet-nudt", "NUDT-SIRST", "50_50/test.txt", "basicirstd", {"iou": "92.3952"}, 664),
)  # fmt: skip


@pytest.fixture(scope="module")
def datasets(mirror, tmp_path_factory):
    """The published datasets by name, each fetched once."""
    folder, fetched = tmp_path_factory.mktemp("published"), set()

    def of(name):
        if name not in fetched:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DATRANSNET_MIRROR", str(mirror))
                fetch(CATALOGUE[name], folder / name)
            fetched.add(name)
        return folder / name

    return of


@pytest.fixture(scope="module")
def golden_published():
    folder = (OUTSIDE / "golden" / "published").resolve()
    if not folder.is_dir():
        pytest.skip("no score maps of published weights: they stay outside the project (DATRANSNET_SHARED)")
    return folder


def shown(measured, printed):
    """What was measured, with as many digits as are printed."""
    return {
        name: f"{getattr(measured, name) * (1e6 if name == 'fa' else 100):.{len(text.partition('.')[2])}f}"
        for name, text in printed.items()
    }


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: f"{entry.maps}-{entry.convention}")
def test_published_weights_have_the_numbers_that_their_authors_print(entry, golden_published, datasets, tmp_path):
    root = datasets(entry.dataset)
    masks = next(iter(find_layout(root).pairs.values()))[1].parent
    with np.load(golden_published / f"{entry.maps}.npz") as maps:
        for id_ in maps.files:
            scores = maps[id_]
            np.save(tmp_path / f"{id_}.npy", scores / np.float32(255) if scores.dtype == np.uint8 else scores)
    found = find_predictions(tmp_path, masks, Reading(ids=root / entry.test, mismatch=entry.mismatch))
    assert (len(found.ids), found.missing) == (entry.images, [])
    pairs = (found.pair(place) for place in range(len(found.ids)))
    measured = score(pairs, entry.convention)
    assert shown(measured, entry.printed) == entry.printed


def test_grey_mask_pixels_count_as_in_the_released_script(golden_published, datasets, tmp_path):
    """The same maps of IRSTD-1K, whose masks hold grey pixels: what the rule is worth."""
    root = datasets("IRSTD-1K")
    masks = next(iter(find_layout(root).pairs.values()))[1].parent
    with np.load(golden_published / "lesps_alcnet-irstd1k.npz") as maps:
        for id_ in maps.files:
            np.save(tmp_path / f"{id_}.npy", maps[id_] / np.float32(255))
    found = find_predictions(tmp_path, masks, Reading(ids=root / "img_idx/test_IRSTD-1K.txt"))
    pairs = [found.pair(place) for place in range(len(found.ids))]
    assert sum(((mask > 0) & (mask < 1)).any() for _, mask in pairs) > 0
    shown = {name: f"{100 * score(pairs, name).iou:.4f}" for name in ("sctransnet", "lesps")}
    assert shown == {"sctransnet": "62.0586", "lesps": "62.0312"}


@dataclass(frozen=True)
class Checkpoint:
    """What a published checkpoint is to give on a test part, by its authors' script."""

    file: str
    model: str
    dataset: str
    test: str
    printed: dict[str, str]


CHECKPOINTS = (
    Checkpoint("lesps_acm", "acm", "NUDT-SIRST", "50_50/test.txt", {"iou": "57.42", "pd": "91.75", "fa": "39.733"}),
    Checkpoint("lesps_acm", "acm", "SIRST", "50_50/test.txt", {"iou": "64.929", "pd": "90.87", "fa": "12.76"}),
    Checkpoint("lesps_alcnet", "alcnet", "IRSTD-1K", "img_idx/test_IRSTD-1K.txt", {"iou": "62.03", "pd": "90.91"}),
    Checkpoint("lesps_alcnet", "alcnet", "SIRST", "50_50/test.txt", {"iou": "67.895", "pd": "92.78", "fa": "37.11"}),
)
LESPS_MEAN, LESPS_STD, LESPS_STEP = 95.010, 41.511, 32


@pytest.mark.parametrize("entry", CHECKPOINTS, ids=lambda entry: f"{entry.model}-{entry.dataset}")
def test_published_checkpoints_score_what_their_authors_print(entry, golden_published, datasets, tmp_path):
    """Their script pads normalised images by zeros to the next multiple of 32, and by 32 where they are one."""
    source = golden_published / "weights" / f"{entry.file}.pth.tar"
    network, recipe = Foreign(entry.model, mean=LESPS_MEAN, std=LESPS_STD).load(source)
    assert recipe.normalise == "dataset"
    root = datasets(entry.dataset)
    pairs = find_layout(root).pairs
    for id_ in (root / entry.test).read_text(encoding="utf-8").split():
        image = read_image(pairs[id_][0])
        height, width = image.shape
        grey = to_input(np.array(image)[None]) - network.mean  # a border of the mean is one of zeros once normalised
        border = [0, LESPS_STEP - width % LESPS_STEP, 0, LESPS_STEP - height % LESPS_STEP]
        with torch.no_grad():
            logits = network(torch.nn.functional.pad(grey, border) + network.mean)[0, 0, :height, :width]
        np.save(tmp_path / f"{id_}.npy", logits.sigmoid().numpy())
    masks = next(iter(pairs.values()))[1].parent
    found = find_predictions(tmp_path, masks, Reading(ids=root / entry.test, mismatch="resize_mask"))
    measured = score((found.pair(place) for place in range(len(found.ids))), "lesps")
    assert shown(measured, entry.printed) == entry.printed
