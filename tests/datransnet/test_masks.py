"""Masks of every kind that programs write: read as a plain reader reads them, or refused by name."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from datransnet.data.catalogue import own_card
from datransnet.data.dataset import load_folder
from datransnet.data.fetch import fetch_folder
from datransnet.data.masks import read_mask
from datransnet.data.splits import split
from datransnet.errors import DataError

H, W = 24, 32


def truth(seed: int = 0) -> np.ndarray:
    """A mask with two targets."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((H, W), dtype=bool)
    for _ in range(2):
        row, column = rng.integers(0, H - 3), rng.integers(0, W - 3)
        mask[row : row + 3, column : column + 3] = True
    return mask


def palette(mask: np.ndarray, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, *colour])
    return image


def rgba(colours: np.ndarray, transparency: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colours] * 3 + [transparency]).astype(np.uint8), mode="RGBA")


def coloured(mask: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    """Each target in a colour of its own."""
    image = np.zeros((*mask.shape, 3), dtype=np.uint8)
    columns = np.arange(mask.shape[1])[None, :] * np.ones((mask.shape[0], 1))
    image[mask] = colours[0]
    if len(colours) > 1:
        image[mask & (columns >= np.median(columns[mask]))] = colours[1]
    return Image.fromarray(image)


KINDS = {
    "8 bits, 0 and 255": lambda m: Image.fromarray(m.astype(np.uint8) * 255),
    "8 bits, 0 and 1": lambda m: Image.fromarray(m.astype(np.uint8)),
    "8 bits, 0 and 38": lambda m: Image.fromarray(m.astype(np.uint8) * 38),
    "1 bit": Image.fromarray,
    "16 bits, 0 and 1": lambda m: Image.fromarray(m.astype(np.uint16)),
    "16 bits, 0 and 255": lambda m: Image.fromarray(m.astype(np.uint16) * 255),
    "16 bits, 0 and 4095": lambda m: Image.fromarray(m.astype(np.uint16) * 4095),
    "16 bits, 0 and 65535": lambda m: Image.fromarray(m.astype(np.uint16) * 65535),
    "32 bits, 0 and 1": lambda m: Image.fromarray(m.astype(np.int32)),
    "floating point, 0 and 1": lambda m: Image.fromarray(m.astype(np.float32)),
    "palette, dark red": lambda m: palette(m, (128, 0, 0)),
    "palette, grey 1": lambda m: palette(m, (1, 1, 1)),
    "red": lambda m: coloured(m, (255, 0, 0)),
    "red and blue": lambda m: coloured(m, (255, 0, 0), (0, 0, 255)),
    "transparency": lambda m: rgba(np.full(m.shape, 255), m * 255),
    "transparency on black": lambda m: rgba(np.zeros(m.shape), m * 255),
    "colours and transparency alike": lambda m: rgba(m * 255, m * 255),
}


def tif_or_png(image: Image.Image) -> str:
    return "tif" if image.mode in ("I", "F") else "png"


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_read_whatever_its_depth_and_colour(tmp_path, kind):
    image = KINDS[kind](truth())
    path = tmp_path / f"mask.{tif_or_png(image)}"
    image.save(path)
    assert (read_mask(path) == truth()).all()


def lost_palette(mask: np.ndarray) -> Image.Image:
    return palette(mask, (0, 0, 0))


REFUSED = {
    "a palette of one colour": (lost_palette, "palette"),
    "class numbers": (lambda m: Image.fromarray(m.astype(np.uint8) + np.eye(H, W, dtype=np.uint8)), "mask_above"),
    "grey, too faint": (lambda m: Image.fromarray((m * 90 + np.eye(H, W) * 20).astype(np.uint8)), "mask_above"),
    "a dark colour beside a bright one": (lambda m: coloured(m, (255, 0, 0), (0, 90, 0)), "too dark"),
    "colours and transparency differ": (lambda m: rgba(m * 255, m[::-1] * 255), "transparency"),
    "a picture": (lambda m: Image.fromarray(np.linspace(0, 255, m.size).reshape(m.shape).astype(np.uint8)), "an image"),
    "negative values": (lambda m: Image.fromarray(m.astype(np.int32) - 1), "below 0"),
    "no numbers": (lambda m: Image.fromarray(np.where(m, np.nan, 0).astype(np.float32)), "no numbers"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_mask_of_uncertain_meaning_is_refused_by_name(tmp_path, kind):
    make, words = REFUSED[kind]
    path = tmp_path / f"mask.{tif_or_png(make(truth()))}"
    make(truth()).save(path)
    with pytest.raises(DataError, match=words) as refused:
        read_mask(path)
    assert str(path) in str(refused.value)


def test_16_bits_a_colour_are_not_cut_to_8(tmp_path):
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + b"".join(struct.pack(">HHH", *[int(x)] * 3) for x in row) for row in truth())
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 0))
    (tmp_path / "m.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    with pytest.raises(DataError, match="16 bits a colour"):
        read_mask(tmp_path / "m.png")


def test_everything_but_black_is_target_where_that_is_said(tmp_path):
    levels = truth() * 90 + np.eye(H, W) * 20
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", above=0) == (levels > 0)).all()


def write(folder: Path, number: int, mask=KINDS["8 bits, 0 and 255"], image=Image.fromarray, h=H, w=W) -> Path:
    """A folder of images and masks."""
    rng = np.random.default_rng(1)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for index in range(number):
        pixels = rng.integers(0, 200, size=(h, w)).astype(np.uint8)
        image(pixels).save(folder / f"images/i{index}.png")
        mask(truth(index)).save(folder / f"masks/i{index}.png")
    return folder


def refusal(folder: Path, tmp_path: Path, **options: object) -> str:
    """What library and study say of a folder; both refuse it, and neither leaves anything behind."""
    with pytest.raises(DataError) as of_library:
        load_folder(folder)
    raw = tmp_path / "refused"
    fetch_folder(folder, raw / "raw")
    with pytest.raises(DataError) as of_study:
        split(own_card("Own"), raw / "raw", raw / "data", "random", seed=0, **options)
    assert not (raw / "data").exists()
    return f"{of_library.value} {of_study.value}"


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (lambda m: Image.fromarray(np.zeros_like(m, dtype=np.uint8)), "has no target in 8 masks"),
        (lambda m: Image.fromarray((~m).astype(np.uint8) * 255), "probably inverted"),
        (lambda m: Image.fromarray(np.full(m.shape, 255, dtype=np.uint8)), "probably inverted"),
    ],
    ids=["black", "inverted", "white"],
)
def test_masks_that_say_nothing_or_the_opposite_are_refused(tmp_path, mask, words):
    told = refusal(write(tmp_path / "own", 8, mask=mask), tmp_path)
    assert told.count(words) == 2


def test_masks_of_two_scales_contradict_each_other(tmp_path):
    write(tmp_path / "own", 8)
    Image.fromarray(truth(3).astype(np.uint8)).save(tmp_path / "own/masks/i3.png")
    told = refusal(tmp_path / "own", tmp_path)
    assert told.count("i3.png") == 2
    assert "mask_above" in told
    assert [mask.sum() for mask in load_folder(tmp_path / "own", above=0).masks] == [truth(n).sum() for n in range(8)]


def test_full_scales_of_several_depths_agree(tmp_path):
    write(tmp_path / "own", 8)
    Image.fromarray(truth(3).astype(np.uint16) * 65535).save(tmp_path / "own/masks/i3.png")
    assert (load_folder(tmp_path / "own").masks[3] == truth(3)).all()


@pytest.mark.parametrize(
    ("number", "words"),
    [(8, "all 8 masks have another size"), (6, "6 of 8 masks have another size"), (2, "2 of 8 masks have another")],
)
def test_masks_of_other_sizes_are_told_by_how_many_they_are(tmp_path, number, words):
    folder = write(tmp_path / "own", 8)
    for index in range(number):
        path = folder / f"masks/i{index}.png"
        Image.open(path).resize((2 * W, 2 * H)).save(path)
    with pytest.raises(DataError, match=words) as refused:
        load_folder(folder)
    assert "i0: mask 64×48 for an image of 32×24" in str(refused.value)
    fetch_folder(folder, tmp_path / "raw")
    options = {"seed": 0, "test_share": 0.4, "validation_share": 0.4}
    if number == 2:
        manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", **options)
        assert set(manifest.excluded) == {"i0", "i1"}
    else:
        with pytest.raises(DataError, match=words):
            split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", **options)
    manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "d", "random", mismatch="resize_mask", **options)
    assert len(manifest.items) == 8


def test_a_turned_mask_is_not_squeezed_into_its_image(tmp_path):
    folder = write(tmp_path / "own", 8)
    for path in (folder / "masks").iterdir():
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    assert refusal(folder, tmp_path, mismatch="resize_mask").count("turned by a quarter") == 2


def with_orientation(image: Image.Image, path: Path, orientation: int) -> None:
    """Stored as a camera does that was held turned: a viewer shows the image as given."""
    back = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(back[orientation]) if back[orientation] is not None else image
    stored.save(path, exif=exif)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_images_that_are_stored_turned_lie_under_their_masks_or_are_refused(tmp_path, orientation, ending):
    folder = write(tmp_path / "own", 6)
    upright = {path.stem: np.asarray(Image.open(path)) for path in (folder / "images").iterdir()}
    for path in list((folder / "images").iterdir()):
        image = Image.open(path).copy()
        path.unlink()
        with_orientation(image, path.with_suffix(f".{ending}"), orientation)
    if orientation == 3:
        assert refusal(folder, tmp_path).count("i0") >= 2
        return
    found = load_folder(folder)
    for name, image in zip(found.ids, found.images, strict=True):
        assert np.abs(image.astype(int) - upright[name]).mean() < (30 if ending == "jpg" else 1e-9)
    assert "stored turned" in found.remarks


def test_a_mask_that_was_drawn_on_what_the_file_stores_stays_on_it(tmp_path):
    folder = write(tmp_path / "own", 6)
    for path in (folder / "images").iterdir():
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(path).copy().save(path, exif=exif)
    found = load_folder(folder)
    assert all(image.shape == (H, W) for image in found.images)
    assert (found.masks[0] == truth(0)).all()


def test_images_and_masks_that_are_turned_alike_are_brought_upright_together(tmp_path):
    folder = write(tmp_path / "own", 6)
    for path in [*(folder / "images").iterdir(), *(folder / "masks").iterdir()]:
        with_orientation(Image.open(path).copy(), path, 3)
    assert (load_folder(folder).masks[0] == truth(0)).all()


@pytest.mark.parametrize(("kind", "ending"), [("images", "tif"), ("masks", "tif"), ("images", "png")])
def test_several_pictures_in_a_file_are_refused_by_name(tmp_path, kind, ending):
    folder = write(tmp_path / "own", 6)
    path = folder / kind / "i2.png"
    pages = [Image.open(path).copy(), Image.open(folder / kind / "i3.png").copy()]
    path.unlink()
    pages[0].save(path.with_suffix(f".{ending}"), save_all=True, append_images=pages[1:])
    assert refusal(folder, tmp_path).count(f"i2.{ending} holds 2 images") == 2


@pytest.mark.parametrize(("target", "beside"), [(1, 255), (170, 85), (255, 100)])
def test_levels_that_are_classes_are_refused_where_they_are_in_many_masks(tmp_path, target, beside):
    def classes(mask):
        other = np.roll(mask, 8, axis=1) & ~mask
        return Image.fromarray((mask * target + other * beside).astype(np.uint8))

    assert "mask_above" in refusal(write(tmp_path / "own", 8, mask=classes), tmp_path)


@pytest.mark.parametrize("white", [128, 140])
def test_jpeg_masks_whose_white_is_hardly_target_are_refused(tmp_path, white):
    write(tmp_path / "own", 8)
    for number in range(8):
        (tmp_path / f"own/masks/i{number}.png").unlink()
        grey = Image.fromarray(truth(number).astype(np.uint8) * white)
        grey.save(tmp_path / f"own/masks/i{number}.jpg", quality=90)
    assert "none of which is certainly target" in refusal(tmp_path / "own", tmp_path)


def test_jpeg_masks_are_read_but_not_as_all_that_is_not_black(tmp_path):
    Image.fromarray(truth().astype(np.uint8) * 255).save(tmp_path / "m.jpg", quality=95)
    assert (read_mask(tmp_path / "m.jpg") == truth()).mean() > 0.99
    with pytest.raises(DataError, match="JPEG"):
        read_mask(tmp_path / "m.jpg", above=0)


def test_transparency_in_one_file_and_colour_in_the_others_contradict(tmp_path):
    folder = write(tmp_path / "own", 8)
    rgba(np.zeros((H, W)), np.where(np.arange(W)[None] < 12, 255, 0) + np.zeros((H, 1))).save(folder / "masks/i3.png")
    assert refusal(folder, tmp_path).count("i3.png") == 2


def test_a_dark_picture_among_the_masks_is_refused(tmp_path):
    folder = write(tmp_path / "own", 8)
    picture = (30 + 25 * np.sin(np.arange(H * W).reshape(H, W) / 50)).astype(np.uint8)
    picture[3:6, 3:6] = 255
    Image.fromarray(picture).save(folder / "masks/i3.png")
    assert refusal(folder, tmp_path).count("looks like an image") == 2


def test_targets_that_vanish_in_resizing_are_counted(tmp_path):
    folder = write(tmp_path / "own", 8)
    mask = np.zeros((8 * H, 8 * W), dtype=np.uint8)
    mask[1, 1] = mask[100:130, 100:130] = 255
    Image.fromarray(mask).save(folder / "masks/i3.png")
    fetch_folder(folder, tmp_path / "raw")
    options = {"seed": 0, "test_share": 0.3, "validation_share": 0.3, "mismatch": "resize_mask"}
    manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", **options)
    assert "1 masks lost targets in being resized (i3)" in " ".join(manifest.remarks)


def test_what_is_odd_is_counted_and_said(tmp_path):
    folder = write(tmp_path / "own", 6, mask=KINDS["red and blue"])
    found = load_folder(folder)
    assert "6 masks are coloured" in found.remarks
    grey = np.asarray(Image.open(folder / "masks/i0.png")).max(axis=2)
    grey[0, 0] = 60
    Image.fromarray(grey).save(folder / "masks/i0.png")
    assert "1 masks have places too faint to count as target" in load_folder(folder).remarks


# A property: whatever a folder holds, its files stay as they are, and masks are read as a plain reader reads them.


def plain_target(path: Path) -> np.ndarray | None:
    """A mask as somebody would read it by hand: what differs from the background, if that is sure; else None."""
    with Image.open(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            return None
        shown = ImageOps.exif_transpose(image)
        array = np.asarray(shown.convert("RGBA") if shown.mode in ("P", "RGBA", "LA") else shown).astype(float)
    if array.ndim == 3 and array.shape[2] == 4:
        seen = array[..., :3].max(axis=2)
        array = array[..., 3] if np.ptp(seen) == 0 else seen
    elif array.ndim == 3:
        array = array.max(axis=2)
    levels = np.unique(array)
    if len(levels) > 2 or levels[0] != 0:
        return None
    target = array > 0
    return None if target.mean() > 0.5 else target


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: contents of files, and where links lead."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
).filter(lambda name: name.strip("."))  # behind dots alone ".png" is no ending, to Pillow neither


def files_of(kinds: list[str]) -> st.SearchStrategy[list[tuple[str, str, int, bool]]]:
    """Name of each file, the kind of its mask, its orientation, and whether the mask is turned with it."""
    one = st.tuples(NAMES, st.sampled_from(kinds), st.sampled_from([1, 1, 1, 1, 6]), st.booleans())
    return st.lists(one, min_size=4, max_size=10, unique_by=lambda each: each[0].casefold())


FILES = st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2).flatmap(files_of)  # many kinds contradict
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@given(FILES, st.booleans(), st.sampled_from(["images", "linked"]), st.sampled_from(["none", "foreign", "lists"]))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_no_file_of_the_owner_changes_and_no_mask_is_read_otherwise(tmp_path, files, upper, way, beside):
    shutil.rmtree(tmp_path)
    source = tmp_path / "own"
    for kind in ("images", "masks"):
        (source / kind).mkdir(parents=True)
    ending = ".PNG" if upper else ".png"
    for number, (name, kind, orientation, both) in enumerate(files):
        mask = KINDS[kind](truth(number))
        path = source / "masks" / (name + (ending if tif_or_png(mask) == "png" else ".tif"))
        image = Image.fromarray(np.random.default_rng(number).integers(0, 255, size=(H, W)).astype(np.uint8))
        with_orientation(image, source / "images" / f"{name}{ending}", orientation)
        with_orientation(mask, path, orientation if both and mask.mode not in ("P", "1") else 1)
    if beside == "foreign":
        (source / "images/._a.png").write_bytes(b"\0\5\x16\7")
        (source / "masks/.ipynb_checkpoints").mkdir()
        (source / "masks/.ipynb_checkpoints/a-checkpoint.png").write_bytes(b"no image")
    if beside == "lists":
        (source / "half").mkdir()
        ids = [name for name, *_ in files]
        (source / "half/TRAIN.txt").write_text("\n".join(ids[::2]), encoding="utf-8")
        (source / "half/test.txt").write_text("\n".join(f"images/{id_}{ending}" for id_ in ids[1::2]), encoding="utf-8")
    if way == "linked":
        (tmp_path / "elsewhere").mkdir()
        (source / "images").rename(tmp_path / "elsewhere/images")
        (source / "images").symlink_to(tmp_path / "elsewhere/images")
    before, expected = tree(tmp_path), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {path.stem: plain_target(path) for path in (source / "masks").iterdir() if path.is_file()}
    try:
        loaded = load_folder(source)
    except DataError:
        pass
    else:
        for name, mask in zip(loaded.ids, loaded.masks, strict=True):
            reference = next(mask for other, mask in expected.items() if same(other, name))
            assert reference is not None
            assert (mask == reference).all()
    raw = tmp_path / "study"
    try:
        fetch_folder(source, raw / "raw")
        manifest = split(own_card("Own"), raw / "raw", raw / "data", "half" if beside == "lists" else "random", seed=0)
    except DataError:
        pass
    else:
        for item in manifest.items:
            part = "test" if item.part == "test" else "trainval"
            written = np.asarray(Image.open(raw / "data" / part / "masks" / f"{item.id}.png")) > 0
            reference = next(mask for name, mask in expected.items() if same(name, item.id))
            assert reference is not None
            assert (written == reference).all()
    shutil.rmtree(raw, ignore_errors=True)
    assert tree(tmp_path) == before


def same(name: str, other: str) -> bool:
    """Whether two names are one in Unicode's composed form."""
    import unicodedata

    return unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
