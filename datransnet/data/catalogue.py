"""The datasets of the field: where each comes from, what identifies its content, its splits and its known faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from datransnet.data.layouts import FOLDERS


@dataclass(frozen=True)
class Source:
    """An archive, a tar or zip, that holds a dataset.

    Attributes:
        page: where a person finds it.
        url: where a program finds it; a mirror serves the same path. None where there is no such address.
        folders: the folders in it that are wanted, each with as many of those above it as tell it from others of its
            name; all if empty, or where the archive has none of them.
    """

    page: str
    url: str | None = None
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitList:
    """A published list of ids.

    Attributes:
        url: where it is published; None where it comes with the images.
        path: where it goes, relative to the dataset's folder.
        blob: its git blob hash.
    """

    url: str | None
    path: str
    blob: str


@dataclass(frozen=True)
class Card:
    """Everything the code knows about a dataset; adding one is adding its card.

    Attributes:
        name: as printed, and as the folder is called.
        splits: published split → part (train, val, test) → path of the list, relative to the dataset's folder; empty
            for a split that lies in folders. Without a published ``val`` one is carved from the training list.
        terms: licence or terms of use.
        citation: what to cite.
        aliases: other spellings in the literature.
        images: how many there are; 0 where any number is right.
        sources: where it can be had, the first to be tried first; empty where it is generated.
        pixels: sha256 over ids and decoded pixels of all images and masks, `datransnet.data.manifest.content_digest`:
            the same however files are encoded and packed. None where it is not known beforehand: then the first fetch
            on a machine records it, and later ones must match.
        lists: split lists whose content is known.
        faults: known faults, as the report states them.
    """

    name: str
    splits: Mapping[str, Mapping[str, str]]
    terms: str
    citation: str
    aliases: tuple[str, ...] = ()
    images: int = 0
    sources: tuple[Source, ...] = ()
    pixels: str | None = None
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


def _of_github(repository: str, commit: str, *folders: str) -> Source:
    """A repository on GitHub as it was at a commit."""
    return Source(
        f"https://github.com/{repository}", f"https://github.com/{repository}/archive/{commit}.tar.gz", folders
    )


_GROUNDING = "Cavalry5245/Grounding-DINO-IRSTD", "e1555ef9110a5757db3d4f6de09a3bd81b3b6153"

SIRST = Card(
    name="SIRST",
    aliases=("NUAA-SIRST", "SIRST-v1"),
    images=427,
    sources=(_of_github("YimianDai/sirst", "84302ab351af09dde227aa13ee9887f081bc3d4f", "images", "masks", "idx_427"),),
    pixels="89e09d05565972961892b9fa45dab5c7def399f49cb21edfe4496956b21a71fe",
    lists=(
        SplitList(None, "idx_427/train.txt", "6062bc35dec1ba5c737ad02d7e89487481bb70b7"),
        SplitList(None, "idx_427/val.txt", "3a828e16bb7bc3d6dec0864b0309009942826626"),
        SplitList(None, "idx_427/test.txt", "c490d5694d30ad13174d854971ef671e3e914ba3"),
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
    aliases=("nudt_sirst", "NUDT"),
    images=1327,
    sources=(
        _of_github(
            "fengyiwu98/L2SKNet",
            "65e7b7210511f8a3649138f30faa647c22a70339",
            "data/NUDT-SIRST/images",
            "data/NUDT-SIRST/masks",
        ),
        _of_github(*_GROUNDING, "dataset/NUDT-SIRST/images", "dataset/NUDT-SIRST/masks"),
        Source("the Baidu link in the README of https://github.com/YeRen123455/Infrared-Small-Target-Detection"),
    ),
    pixels="bfc4735366c4ba8912faf9c67d56ce9056e101dbf55adb705a66bef28a722166",
    lists=(
        SplitList(_DNA + "NUDT-SIRST/50_50/train.txt", "50_50/train.txt", "583ab0fd1445ff6c1e2c457804c796693503d022"),
        SplitList(_DNA + "NUDT-SIRST/50_50/test.txt", "50_50/test.txt", "ff1a02496844a648a7b2561e7dea1b2e4603cfaf"),
    ),
    splits={"50_50": {"train": "50_50/train.txt", "test": "50_50/test.txt"}},
    terms="no licence stated by the authors; research use",
    citation="Li et al., Dense Nested Attention Network for Infrared Small Target Detection, IEEE TIP 2023",
    faults=("19 masks are copies of another image's",),
)

IRSTD_1K = Card(
    name="IRSTD-1K",
    aliases=("irstd_1k", "IRSTD-1k", "IRSTD1K"),
    images=1001,
    sources=(
        _of_github(*_GROUNDING, "dataset/IRSTD-1k/IRSTD1k_Img", "dataset/IRSTD-1k/IRSTD1k_Label"),
        Source(
            "the Google Drive link in the README of https://github.com/RuiZhang97/ISNet",
            "https://drive.google.com/uc?id=1JoGDGF96v4CncKZprDnoIor0k1opaLZa",
        ),
    ),
    pixels="8bcbf5c2144ae32dfcfcd06c59ff2843655cb31373201e6f5a5ae3e9b8923b94",
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
    faults=(
        "85 masks hold values besides 0 and 255",
        "XDU682, XDU794, XDU812 and XDU886 are nearly black",
    ),
)

SIRST_V2 = Card(
    name="SIRST-V2",
    aliases=("sirst_v2", "Open-SIRST-V2"),
    images=1024,
    sources=(
        _of_github(
            "YimianDai/open-sirst-v2",
            "a927e5c67a7d2e22c7c96b54703ffe9ae01a1f35",
            "mixed",
            "annotations/masks",
            "splits",
        ),
    ),
    pixels="8a997c826cbb774336969d5185420588f2b76a79d099806164bf63f6628d5ab5",
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
    sources=(Source("the link in the README of https://github.com/Tianfang-Zhang/AGPCNet"),),
    splits={FOLDERS: {}},
    terms="no licence stated by the authors; research use",
    citation="Zhang et al., Attention-Guided Pyramid Context Networks for Detecting Infrared Small Target, TAES 2023",
    faults=("images are augmented copies of SIRST: none of its protocols is independent of SIRST's",),
)

DENSE_SIRST = Card(
    name="DenseSIRST",
    aliases=("dense_sirst",),
    images=1024,
    sources=(
        _of_github(
            "GrokCV/DenseSIRST",
            "6f538c5070c38ecaa2b00f76859ca41be0a1a517",
            "SIRSTdevkit/PNGImages",
            "SIRSTdevkit/SIRST/BinaryMask",
        ),
        Source(
            "the Google Drive link in the README of https://github.com/GrokCV/DenseSIRST",
            "https://drive.google.com/uc?id=1PY0d1WuCjf_3wAIjDSNhYxREVK27OLzl",
            ("SIRSTdevkit/PNGImages", "SIRSTdevkit/SIRST/BinaryMask"),
        ),
    ),
    splits={},
    terms="no licence stated by the authors; research use",
    citation="Xiao et al., Background Semantics Matter: Cross-Task Feature Exchange Network for Clustered Infrared "
    "Small Target Detection With Sky-Annotated Dataset, arXiv 2407.20078",
    faults=("images have the names of SIRST-V2's, with targets added: neither set is independent of the other",),
)

SYNTHETIC = Card(
    name="Synthetic",
    aliases=("synthetic",),
    splits={"generated": {part: f"generated/{part}.txt" for part in ("train", "val", "test")}},
    terms="generated by this project (MIT)",
    citation="none",
)

CATALOGUE = {card.name: card for card in (SIRST, NUDT_SIRST, IRSTD_1K, SIRST_V2, SIRST_AUG, DENSE_SIRST, SYNTHETIC)}


def own_card(name: str) -> Card:
    """The card of a person's own dataset."""
    return Card(name=name, splits={}, terms="the owner's", citation="none")


def find_card(name: str) -> Card | None:
    """The card of a published dataset by any of its names, in any case; None where there is none.

    >>> find_card("nuaa-sirst").name
    'SIRST'
    """
    names = {alias.lower(): card for card in CATALOGUE.values() for alias in (card.name, *card.aliases)}
    return names.get(name.lower())
