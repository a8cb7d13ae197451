"""A part of a split dataset in memory, as uint8: the datasets of the field are small, decoding is not free."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datransnet.data.images import Luminance, Truth, read_image, read_mask
from datransnet.data.layouts import find_pairs
from datransnet.data.manifest import Manifest, Part, pair_digest
from datransnet.errors import DataError


@dataclass(frozen=True)
class Images:
    """Images with their masks; sizes may differ.

    Attributes:
        ids: N names.
        images: N arrays H×W, uint8.
        masks: N arrays H×W, bool.
    """

    ids: list[str]
    images: list[Luminance]
    masks: list[Truth]

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, places: Sequence[int]) -> "Images":
        """The images at some places."""
        return Images(
            [self.ids[place] for place in places],
            [self.images[place] for place in places],
            [self.masks[place] for place in places],
        )


def load_part(folder: Path, *parts: Part) -> Images:
    """Parts of a dataset written by `datransnet.data.splits.split`, every image checked against the manifest.

    Raises:
        DataError: if a file is missing, damaged, or not the manifest's.
    """
    manifest = Manifest.read(folder / "manifest.json")
    loaded = Images([], [], [])
    for item in manifest.items:
        if item.part in parts:
            place = folder / ("test" if item.part == "test" else "trainval")
            image = read_image(place / "images" / f"{item.id}.png")
            mask = read_mask(place / "masks" / f"{item.id}.png")
            if pair_digest(image, mask) != item.digest:
                raise DataError(f"{place}: {item.id} is not the image of the manifest. Run the split stage again.")
            loaded.ids.append(item.id)
            loaded.images.append(image)
            loaded.masks.append(mask)
    if not len(loaded):
        raise DataError(f"{folder} has no image in its {' or '.join(parts)} part.")
    return loaded


def load_folder(folder: Path) -> Images:
    """Every pair of ``folder/images`` and ``folder/masks``, in the order of ids.

    Raises:
        DataError: if a folder or a partner is missing, a file is damaged, or a mask has not its image's size.
    """
    loaded = Images([], [], [])
    for name, (image_path, mask_path) in sorted(find_pairs(folder).items()):
        image, mask = read_image(image_path), read_mask(mask_path)
        if image.shape != mask.shape:
            raise DataError(f"{mask_path} is {mask.shape}, its image {image.shape}. Mend or remove the pair.")
        loaded.ids.append(name)
        loaded.images.append(image)
        loaded.masks.append(mask)
    return loaded
