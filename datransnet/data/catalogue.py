"""The datasets of the field: where each comes from, what identifies its content, its splits and its known faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from datransnet.data.layouts import FOLDERS


@dataclass(frozen=True)
class Archive:
    """The archive of a dataset, a tar or zip.

    Attributes:
        page: where a person finds it.
        url: where a program finds it; a mirror serves the same path. None where the authors offer no address.
        folders: names of the folders in it that are wanted; all if empty.
        digest: sha256 of the ``sha256sum`` lines, sorted by path, of the images and lists in these folders; so it stays
            the same if a host packs the archive anew. None where it is not known beforehand: then the first fetch on a
            machine records it, and later ones must match.
    """

    page: str
    url: str | None = None
    folders: tuple[str, ...] = ()
    digest: str | None = None


@dataclass(frozen=True)
class SplitList:
    """A published list of ids.

    Attributes:
        url: where it is published.
        path: where it goes, relative to the dataset's folder.
        blob: its git blob hash.
    """

    url: str
    path: str
    blob: str


@dataclass(frozen=True)
class Card:
    """Everything the code knows about a dataset; adding one is adding its card.

    Attributes:
        name: as printed, and as the folder is called.
        aliases: other spellings in the literature.
        images: how many there are; 0 where any number is right.
        archive: its images, or None where it is generated.
        lists: split lists published elsewhere.
        splits: published split → part (train, val, test) → path of the list, relative to the dataset's folder; empty
            for a split that lies in folders. Without a published ``val`` one is carved from the training list.
        terms: licence or terms of use.
        citation: what to cite.
        faults: known faults, as the report states them.
    """

    name: str
    splits: Mapping[str, Mapping[str, str]]
    terms: str
    citation: str
    aliases: tuple[str, ...] = ()
    images: int = 0
    archive: Archive | None = None
    lists: tuple[SplitList, ...] = ()
    faults: tuple[str, ...] = field(default=())


_DNA = (
    "https://raw.githubusercontent.com/YeRen123455/Infrared-Small-Target-Detection/"
    "21584be00d19bc3080c78deee0953af250bed99b/dataset/"
)
_BASIC = (
    "https://raw.githubusercontent.com/XinyiYing/BasicIRSTD/95650c3970da070473ae7cbd98d1d610aa69fd5b/"
    "datasets/IRSTD-1K/img_idx/"
)

SIRST = Card(
    name="SIRST",
    aliases=("NUAA-SIRST", "SIRST-v1"),
    images=427,
    archive=Archive(
        page="https://github.com/YimianDai/sirst",
        url="https://github.com/YimianDai/sirst/archive/84302ab351af09dde227aa13ee9887f081bc3d4f.tar.gz",
        folders=("images", "masks", "idx_427"),
        digest="40b518df627075d806af584599b4c60ff420affc3e36df0407ee8a1e0c344110",
    ),
    lists=(
        SplitList(_DNA + "NUAA-SIRST/50_50/train.txt", "50_50/train.txt", "3a03889fbd1bd7c7c48297ff91a1193b06bfe33d"),
        SplitList(_DNA + "NUAA-SIRST/50_50/test.txt", "50_50/test.txt", "4037f77b2657b8ccb5af73d8202606395e54278f"),
    ),
    splits={
        "idx_427": {"train": "idx_427/train.txt", "val": "idx_427/val.txt", "test": "idx_427/test.txt"},
        "50_50": {"train": "50_50/train.txt", "test": "50_50/test.txt"},
    },
    terms="no licence stated by the authors; research use",
    citation="Dai et al., Asymmetric Contextual Modulation for Infrared Small Target Detection, WACV 2021",
    faults=("Misc_111: mask 592×400 for an image of 325×220",),
)

NUDT_SIRST = Card(
    name="NUDT-SIRST",
    aliases=("nudt_sirst",),
    images=1327,
    archive=Archive(
        page="the Baidu link in the README of https://github.com/YeRen123455/Infrared-Small-Target-Detection"
    ),
    lists=(
        SplitList(_DNA + "NUDT-SIRST/50_50/train.txt", "50_50/train.txt", "583ab0fd1445ff6c1e2c457804c796693503d022"),
        SplitList(_DNA + "NUDT-SIRST/50_50/test.txt", "50_50/test.txt", "ff1a02496844a648a7b2561e7dea1b2e4603cfaf"),
    ),
    splits={"50_50": {"train": "50_50/train.txt", "test": "50_50/test.txt"}},
    terms="no licence stated by the authors; research use",
    citation="Li et al., Dense Nested Attention Network for Infrared Small Target Detection, IEEE TIP 2023",
)

IRSTD_1K = Card(
    name="IRSTD-1K",
    aliases=("irstd_1k", "IRSTD-1k", "IRSTD1K"),
    images=1001,
    archive=Archive(
        page="the Google Drive link in the README of https://github.com/RuiZhang97/ISNet",
        url="https://drive.google.com/uc?id=1JoGDGF96v4CncKZprDnoIor0k1opaLZa",
    ),
    lists=(
        SplitList(
            _BASIC + "train_IRSTD-1K.txt", "img_idx/train_IRSTD-1K.txt", "a50635c522fa43f6d76aaecf54a3356e02c0ef25"
        ),
        SplitList(
            _BASIC + "test_IRSTD-1K.txt", "img_idx/test_IRSTD-1K.txt", "4c47da0238f15a002a0214469a42d54c8863863b"
        ),
    ),
    splits={"800_201": {"train": "img_idx/train_IRSTD-1K.txt", "test": "img_idx/test_IRSTD-1K.txt"}},
    terms="MIT",
    citation="Zhang et al., ISNet: Shape Matters for Infrared Small Target Detection, CVPR 2022",
    faults=("85 masks hold values besides 0 and 255",),
)

SIRST_V2 = Card(
    name="SIRST-V2",
    aliases=("sirst_v2", "Open-SIRST-V2"),
    images=1024,
    archive=Archive(
        page="https://github.com/YimianDai/open-sirst-v2",
        url="https://github.com/YimianDai/open-sirst-v2/archive/a927e5c67a7d2e22c7c96b54703ffe9ae01a1f35.tar.gz",
        folders=("mixed", "masks", "splits"),
    ),
    splits={
        "full": {"train": "splits/train_full.txt", "val": "splits/val_full.txt", "test": "splits/test_full.txt"},
    },
    terms="no licence stated by the authors; research use",
    citation="Dai et al., One-Stage Cascade Refinement Networks for Infrared Small Target Detection, IEEE TGRS 2023",
    faults=("510 of its images hold no target",),
)

SIRST_AUG = Card(
    name="SIRST-Aug",
    aliases=("sirst_aug",),
    images=9070,
    archive=Archive(page="the link in the README of https://github.com/Tianfang-Zhang/AGPCNet"),
    splits={FOLDERS: {}},
    terms="no licence stated by the authors; research use",
    citation="Zhang et al., Attention-Guided Pyramid Context Networks for Detecting Infrared Small Target, TAES 2023",
    faults=("images are augmented copies of SIRST: none of its protocols is independent of SIRST's",),
)

SYNTHETIC = Card(
    name="Synthetic",
    aliases=("synthetic",),
    splits={"generated": {part: f"generated/{part}.txt" for part in ("train", "val", "test")}},
    terms="generated by this project (MIT)",
    citation="none",
)

CATALOGUE = {card.name: card for card in (SIRST, NUDT_SIRST, IRSTD_1K, SIRST_V2, SIRST_AUG, SYNTHETIC)}


def own_card(name: str) -> Card:
    """The card of a person's own dataset."""
    return Card(name=name, splits={}, terms="the owner's", citation="none")


def spellings() -> dict[str, str]:
    """Names of datasets by every spelling of the literature, in lower case.

    >>> spellings()["nuaa-sirst"]
    'SIRST'
    """
    return {alias.lower(): card.name for card in CATALOGUE.values() for alias in (card.name, *card.aliases)}
