"""Reading, fetching, splitting and generating data, and every way it can be wrong."""

import http.server
import io
import tarfile
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from datransnet.data.archives import extract
from datransnet.data.catalogue import CATALOGUE, SIRST, SYNTHETIC, Card, Source, SplitList, find_card
from datransnet.data.dataset import load_part
from datransnet.data.download import git_blob_hash, obtain
from datransnet.data.fetch import fetch, pixel_digest
from datransnet.data.images import read_image
from datransnet.data.layouts import FOLDERS, find_layout, read_list
from datransnet.data.manifest import Manifest
from datransnet.data.masks import read_mask
from datransnet.data.splits import split
from datransnet.data.synthetic import generate, scene
from datransnet.errors import DataError

URL = "https://example.org/toy/archive.tar.gz"


def png(array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()


def toy_files() -> dict[str, bytes]:
    files = {}
    for index in range(6):
        image, mask, _ = scene(0, index, 40)
        files[f"images/t{index}.png"] = png(image)
        files[f"masks/t{index}_pixels0.png"] = png(mask.astype(np.uint8) * 255)
    files["lists/train.txt"] = b"t0\r\nt1.png\nt2\nt3"
    files["lists/test.txt"] = b"t4\nt5\n"
    return files


def pack(path, files, root="toy-1/"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(root + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A card, and a mirror that serves its archive."""
    place = tmp_path / "unpacked"
    files = toy_files()
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    folders = ("images", "masks", "lists")
    monkeypatch.setenv("DATRANSNET_MIRROR", str(tmp_path / "mirror"))
    pack(tmp_path / "mirror/example.org/toy/archive.tar.gz", toy_files())
    return Card(
        name="Toy",
        sources=(Source("a page", URL, folders),),
        pixels=pixel_digest(find_layout(place).pairs),
        lists=tuple(
            SplitList(None, name, git_blob_hash(files[name])) for name in ("lists/train.txt", "lists/test.txt")
        ),
        splits={"half": {"train": "lists/train.txt", "test": "lists/test.txt"}},
        terms="none",
        citation="none",
    )


def split_toy(toy, raw, folder, **changes):
    options = {"mismatch": "exclude", "validation_share": 0.25, "seed": 1} | changes
    return split(toy, raw, folder, "half", **options)


def test_fetch_and_split_write_one_layout(toy, tmp_path):
    fetch(toy, tmp_path / "raw")
    manifest = split_toy(toy, tmp_path / "raw", tmp_path / "data")
    assert Counter(item.part for item in manifest.items) == {"train": 3, "val": 1, "test": 2}
    assert len(list((tmp_path / "data/trainval/masks").iterdir())) == 4
    assert load_part(tmp_path / "data", "test").ids == ["t4", "t5"]
    assert Manifest.read(tmp_path / "data/manifest.json") == manifest


def test_the_carved_validation_depends_on_its_seed_alone(toy, tmp_path):
    fetch(toy, tmp_path / "raw")
    parts = [
        split_toy(toy, tmp_path / "raw", tmp_path / "data", seed=seed, validation_share=0.5).ids("val")
        for seed in (1, 1, 2, 3, 4)
    ]
    assert parts[0] == parts[1]
    assert len({tuple(ids) for ids in parts}) > 1


def test_a_corrupt_archive_leaves_nothing_behind(toy, tmp_path):
    archive = tmp_path / "mirror/example.org/toy/archive.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"archive\.tar\.gz (is damaged|does not hold)"):
        fetch(toy, tmp_path / "raw")
    assert {path.name for path in tmp_path.glob("*raw*")} <= {".raw.lock"}


def test_other_content_is_refused_and_the_old_one_stays(toy, tmp_path):
    fetch(toy, tmp_path / "raw")
    pack(tmp_path / "mirror/example.org/toy/archive.tar.gz", toy_files() | {"lists/test.txt": b"t4\n"})
    with pytest.raises(DataError, match=r"as published: its list lists/test\.txt differs"):
        fetch(toy, tmp_path / "raw")
    assert read_list(tmp_path / "raw/lists/test.txt") == ["t4", "t5"]


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    pack(tmp_path / "evil.tar.gz", {"images/../../escaped.png": b"x"})
    with pytest.raises(DataError, match="not safe"):
        extract(tmp_path / "evil.tar.gz", tmp_path / "inner" / "folder", ("images",))
    assert not list(tmp_path.rglob("escaped.png"))


def test_links_in_an_archive_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        info = tarfile.TarInfo("root/images/a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    extract(tmp_path / "links.tar", tmp_path / "out", ("images",))
    assert not (tmp_path / "out").exists()


def test_a_mirror_without_the_file_says_where_to_put_it(toy, tmp_path):
    elsewhere = SplitList("https://example.org/other.txt", "other.txt", "0")
    with pytest.raises(DataError, match=r"put it at <folder>/example\.org/other\.txt"):
        fetch(replace(toy, lists=(*toy.lists, elsewhere)), tmp_path / "raw")
    with pytest.raises(DataError, match=r"has no example\.org/gone\.zip\. .*by hand \(a page\).*by-hand/Toy\.zip"):
        fetch(replace(toy, sources=(Source("a page", "https://example.org/gone.zip"),)), tmp_path / "raw")


def test_git_blob_hash_is_gits():
    assert git_blob_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_a_truncated_image_is_named(toy, tmp_path):
    fetch(toy, tmp_path / "raw")
    image = tmp_path / "raw/images/t2.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(DataError, match=r"t2\.png is damaged"):
        split_toy(toy, tmp_path / "raw", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("gone", "words"), [("images/t1.png", "masks have no images"), ("masks/t1_pixels0.png", "t1")])
def test_a_lonely_image_or_mask_is_named(toy, tmp_path, gone, words):
    fetch(toy, tmp_path / "raw")
    (tmp_path / "raw" / gone).unlink()
    with pytest.raises(DataError, match=words):
        split_toy(toy, tmp_path / "raw", tmp_path / "data")


def test_an_id_in_two_parts_is_a_leak(toy, tmp_path):
    fetch(toy, tmp_path / "raw")
    (tmp_path / "raw/lists/test.txt").write_text("t4\nt0\n", encoding="utf-8")
    with pytest.raises(DataError, match="t0 is in train and in test"):
        split_toy(toy, tmp_path / "raw", tmp_path / "data")


@pytest.mark.parametrize(("mismatch", "images"), [("exclude", 5), ("resize_mask", 6)])
def test_a_mask_of_another_size_is_treated_as_told(toy, tmp_path, mismatch, images):
    fetch(toy, tmp_path / "raw")
    mask = np.zeros((80, 81), dtype=np.uint8)  # twice the image's, but for rounding
    mask[10:14, 20:24] = 255
    (tmp_path / "raw/masks/t3_pixels0.png").write_bytes(png(mask))
    manifest = split_toy(toy, tmp_path / "raw", tmp_path / "data", mismatch=mismatch)
    assert len(manifest.items) == images
    assert "mask 81×80 for an image of 40×40" in (manifest.excluded | manifest.treated)["t3"]


def test_an_altered_image_is_refused(scenes, tmp_path):
    import shutil

    shutil.copytree(scenes, tmp_path / "data")
    victim = next((tmp_path / "data/test/images").iterdir())
    victim.write_bytes(png(np.zeros((48, 48), dtype=np.uint8)))
    with pytest.raises(DataError, match=f"{victim.stem} is not the image"):
        load_part(tmp_path / "data", "test")


def test_an_altered_manifest_is_refused(scenes, tmp_path):
    text = (scenes / "manifest.json").read_text(encoding="utf-8")
    (tmp_path / "manifest.json").write_text(text.replace('"part": "val"', '"part": "train"', 1), encoding="utf-8")
    with pytest.raises(DataError, match="altered"):
        Manifest.read(tmp_path / "manifest.json")


def test_modes_are_read_as_luminance(tmp_path):
    colour = np.zeros((2, 2, 3), dtype=np.uint8)
    colour[..., 0] = 200
    Image.fromarray(colour).save(tmp_path / "rgb.png")
    Image.fromarray(colour).quantize(2).save(tmp_path / "palette.png")
    Image.fromarray(np.dstack([colour, np.full((2, 2), 7, dtype=np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(np.array([[0, 65535], [257, 32896]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "rgb.png").max() == round(0.299 * 200)
    assert (read_image(tmp_path / "rgba.png") == read_image(tmp_path / "rgb.png")).all()
    assert (read_image(tmp_path / "palette.png") == read_image(tmp_path / "rgb.png")).all()
    assert read_image(tmp_path / "deep.png").tolist() == [[0, 255], [1, 128]]


def test_grey_mask_pixels_below_half_are_background(tmp_path):
    Image.fromarray(np.array([[0, 64, 127, 128, 255]], dtype=np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, False, False, True, True]]


def test_two_masks_of_an_image_are_told(tmp_path):
    for name in ("images/a.png", "masks/a.png", "masks/a_mask.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(np.zeros((4, 4), dtype=np.uint8)))
    with pytest.raises(DataError, match="1 masks have no images: a_mask"):
        find_layout(tmp_path)


def test_scenes_do_not_depend_on_how_many_there_are(tmp_path):
    for number in (3, 6):
        generate(tmp_path / str(number), {"train": number, "test": 2}, size=40, seed=9)
    for name in ("images/train_00002.png", "masks/test_00001.png"):
        assert (tmp_path / "3" / name).read_bytes() == (tmp_path / "6" / name).read_bytes()


def test_targets_have_the_contrast_they_were_set_to():
    found = [target for index in range(40) for target in scene(5, index, 64)[2]]
    assert len(found) > 20
    assert all(2 <= target.scr <= 12 and target.pixels >= 1 for target in found)


def test_a_brighter_target_is_further_above_its_surroundings():
    ratios = []
    for index in range(80):
        image, mask, targets = scene(11, index, 64)
        if len(targets) == 1:
            (target,) = targets
            row, column, extent = (
                int(target.row),
                int(target.column),
                3 * int(np.ceil(2 * target.sigma * target.elongation)),
            )
            window = np.s_[max(0, row - extent) : row + extent + 1, max(0, column - extent) : column + extent + 1]
            around = image[window][~mask[window]]
            ratios.append(((image[mask].max() - around.mean()) / target.clutter, target.scr))
    measured, wanted = np.array(ratios).T
    assert np.corrcoef(measured, wanted)[0, 1] > 0.9


@pytest.mark.parametrize("card", CATALOGUE.values(), ids=lambda card: card.name)
def test_every_card_is_complete(card):
    assert card.terms
    assert card.citation
    assert all({"train", "test"} <= set(parts) or name == FOLDERS for name, parts in card.splits.items())
    assert all(find_card(alias.upper()) is card for alias in (card.name, *card.aliases))


@pytest.fixture(scope="module")
def sirst(mirror, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sirst")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATRANSNET_MIRROR", str(mirror))
        fetch(SIRST, folder / "raw")
    return folder


@pytest.mark.parametrize(
    ("name", "mismatch", "targets"),
    [
        ("idx_427", "resize_mask", {"train": 327, "val": 97, "test": 109}),
        ("idx_427", "exclude", {"train": 327, "val": 97, "test": 108}),
        ("50_50", "resize_mask", {"trainval": 270, "test": 263}),
    ],
)
def test_sirst_has_the_published_targets(sirst, name, mismatch, targets):
    manifest = split(SIRST, sirst / "raw", sirst / name, name, mismatch=mismatch, validation_share=0.2, seed=0)
    found = {part: counts["targets"] for part, counts in manifest.summary().items()}
    found["trainval"] = found["train"] + found["val"]
    assert {part: found[part] for part in targets} == targets
    assert set(manifest.excluded | manifest.treated) == {"Misc_111"}


def test_synthetic_is_not_fetched():
    assert SYNTHETIC.sources == ()


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that serves a folder, and the list of what it was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "site"))

        def log_message(self, *arguments):
            asked.append(self.path)

    (tmp_path / "site").mkdir()
    (tmp_path / "site/list.txt").write_text("a\nb\n", encoding="utf-8")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{site.server_port}", asked
        site.shutdown()


def test_a_file_is_downloaded_once(server, tmp_path, monkeypatch):
    address, asked = server
    monkeypatch.delenv("DATRANSNET_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        assert obtain(f"{address}/list.txt").read_text(encoding="utf-8") == "a\nb\n"
    assert asked == ["/list.txt"]


def test_an_address_that_does_not_answer_is_told(server, tmp_path, monkeypatch):
    address, _ = server
    monkeypatch.delenv("DATRANSNET_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for url in (f"{address}/other.txt", "http://127.0.0.1:9/list.txt"):
        with pytest.raises(DataError, match="cannot be downloaded"):
            obtain(url)
    assert not list((tmp_path / "cache").rglob("*.txt"))
