"""The manifest of a split dataset: which image is in which part, and a digest that every result carries."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from datransnet.atomic import write_text
from datransnet.data.images import Levels, Luminance, Truth
from datransnet.errors import DataError

SCHEMA = 2
Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


def pair_digest(image: Luminance, mask: Truth) -> str:
    """sha256 of an image's and its mask's sizes and pixels, so that file formats do not matter."""
    digest = hashlib.sha256(repr((image.shape, mask.shape)).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def image_digest(image: Luminance) -> str:
    """First 16 hexadecimal digits of the sha256 of an image's size and pixels: enough to know it again anywhere."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()[:16]


def content_digest(pairs: Iterable[tuple[str, str]]) -> str:
    """sha256 over ids and the digests of their pairs, `pair_digest`: the same for every layout, packing and split."""
    return hashlib.sha256("".join(f"{digest} {id_}\n" for id_, digest in sorted(pairs)).encode()).hexdigest()


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        id: its name.
        part: train, val or test.
        height: in pixels.
        width: in pixels.
        targets: how many there are.
        digest: of its pixels and mask, see `pair_digest`.
        image: of its pixels alone, see `image_digest`.
    """

    id: str
    part: Part
    height: int
    width: int
    targets: int
    digest: str
    image: str


@dataclass(frozen=True)
class Manifest:
    """What a split dataset holds.

    Attributes:
        dataset: name of the dataset.
        split: name of the split.
        items: images in the order of ids.
        excluded: id → why it was left out.
        treated: id → what was done to it.
        levels: which stored values of its images became black and white.
        remarks: what a person should know about the files and the parts, in sentences.
    """

    dataset: str
    split: str
    items: tuple[Item, ...]
    excluded: dict[str, str] = field(default_factory=dict)
    treated: dict[str, str] = field(default_factory=dict)
    levels: Levels = "full"
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 over ids, parts and pixel digests."""
        text = "".join(
            f"{item.digest} {item.part} {item.id}\n" for item in sorted(self.items, key=lambda item: item.id)
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def content(self) -> str:
        """`content_digest` of its images: those left out do not count."""
        return content_digest((item.id, item.digest) for item in self.items)

    def ids(self, part: Part) -> list[str]:
        """Ids of a part, in order."""
        return [item.id for item in self.items if item.part == part]

    def summary(self) -> dict[str, dict[str, int]]:
        """Images, targets and images without a target, by part."""
        images, targets, empty = Counter[str](), Counter[str](), Counter[str]()
        for item in self.items:
            images[item.part] += 1
            targets[item.part] += item.targets
            empty[item.part] += item.targets == 0
        return {part: {"images": images[part], "targets": targets[part], "empty": empty[part]} for part in PARTS}

    def write(self, path: Path) -> None:
        """Write as JSON."""
        digests = {"digest": self.digest, "content": self.content}
        content = {"schema": SCHEMA, **digests, "summary": self.summary(), **asdict(self)}
        write_text(path, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read and check against its own digest.

        Raises:
            DataError: if it is missing, of another schema, or altered.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError) as error:
            raise DataError(f"The manifest {path} is missing or unreadable ({error}). Run the split stage.") from error
        if content.get("schema") != SCHEMA:
            raise DataError(
                f"The manifest {path} has schema {content.get('schema')}, not {SCHEMA}. Run the split stage."
            )
        items = tuple(Item(**item) for item in content["items"])
        levels = content.get("levels", "full")  # manifests of earlier versions have neither this nor remarks
        manifest = cls(
            content["dataset"],
            content["split"],
            items,
            content["excluded"],
            content["treated"],
            tuple(levels) if isinstance(levels, list) else levels,
            tuple(content.get("remarks", ())),
        )
        if manifest.digest != content["digest"]:
            raise DataError(f"The manifest {path} was altered: its digest does not fit. Run the split stage.")
        return manifest
