"""One dataset in every layout is one dataset; parts are drawn fairly, and what two splits share is found."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from datransnet.data.catalogue import CATALOGUE, SIRST, Card, Source, own_card
from datransnet.data.dataset import load_folder
from datransnet.data.duplicates import groups, near_duplicates, thumbnail
from datransnet.data.fetch import fetch, fetch_folder
from datransnet.data.layouts import find_layout
from datransnet.data.manifest import Item, Manifest
from datransnet.data.masks import read_mask
from datransnet.data.splits import carve, fold, fold_of, split
from datransnet.data.synthetic import scene
from datransnet.errors import DataError, ParameterError

NUMBER = 24


def place(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def as_datransnet(pairs, lists, folder):
    for part, ids in (("trainval", lists["train"] + lists.get("val", [])), ("test", lists["test"])):
        for id_ in ids:
            place(pairs[id_][0], folder / part / "images" / f"{id_}.png")
            place(pairs[id_][1], folder / part / "masks" / f"{id_}.png")
    return "folders"


def as_basicirstd(pairs, lists, folder):
    for id_, (image, mask) in pairs.items():
        place(image, folder / "OWN/images" / f"{id_}.png")
        place(mask, folder / "OWN/masks" / f"{id_}.png")
    (folder / "OWN/img_idx").mkdir()
    for part, ids in lists.items():
        (folder / f"OWN/img_idx/{part}_OWN.txt").write_bytes("\r\n".join(ids).encode("utf-8-sig"))
    return "OWN"


def as_isnet(pairs, lists, folder):
    for id_, (image, mask) in pairs.items():
        place(image, folder / "IRSTD1k_Img" / f"{id_}.png")
        place(mask, folder / "IRSTD1k_Label" / f"{id_}.png")
    for part, ids in lists.items():
        (folder / f"{part}.txt").write_text("".join(f"{id_}.png\n" for id_ in ids), encoding="utf-8")
    return None  # the lists' folder names the split


def as_sirst_v2(pairs, lists, folder):
    for id_, (image, mask) in pairs.items():
        place(image, folder / "mixed" / f"{id_}.png")
        place(mask, folder / "annotations/masks" / f"{id_}_pixels0.png")
    (folder / "splits").mkdir()
    for part, ids in lists.items():
        (folder / f"splits/{part}_full.txt").write_text("\n".join(ids), encoding="utf-8")
    return "full"


def as_plain(pairs, lists, folder):
    for id_, (image, mask) in pairs.items():
        place(image, folder / "images" / f"{id_}.png")
        place(mask, folder / "masks" / f"{id_}_mask.png")
    (folder / "half").mkdir()
    for part, ids in lists.items():
        (folder / f"half/{part}.txt").write_text("\n".join(ids), encoding="utf-8")
    return "half"


LAYOUTS = [as_datransnet, as_basicirstd, as_isnet, as_sirst_v2, as_plain]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Pairs of a small dataset, and its lists."""
    folder = tmp_path_factory.mktemp("own")
    pairs = {}
    for index in range(NUMBER):
        image, mask, _ = scene(5, index, 40)
        pairs[f"s{index:02}"] = paths = (folder / f"{index}.png", folder / f"{index}_m.png")
        Image.fromarray(image).save(paths[0])
        Image.fromarray(mask.astype(np.uint8) * 255).save(paths[1])
    ids = list(pairs)
    return pairs, {"train": ids[:16], "test": ids[16:]}


def laid(layout, own, tmp_path, seed=0, **options):
    source, raw = tmp_path / "source", tmp_path / "raw"
    name = layout(*own, source)
    fetch_folder(source, raw)
    found = find_layout(raw)
    name = name or next(iter(found.lists))
    return split(own_card("Own"), raw, tmp_path / "data", name, seed=seed, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_dataset(own, tmp_path, layout):
    manifest = laid(layout, own, tmp_path)
    reference = laid(as_plain, own, tmp_path / "reference")
    assert manifest.content == reference.content
    assert manifest.digest == reference.digest
    assert manifest.ids("test") == own[1]["test"]
    assert len(load_folder(tmp_path / "source")) == NUMBER
    again = find_layout(tmp_path / "data")  # what we write is a layout too
    assert set(again.pairs) == set(own[0])


def test_the_real_sirst_is_the_same_in_every_layout(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("DATRANSNET_MIRROR", str(mirror))
    fetch(SIRST, tmp_path / "raw")
    options = {"mismatch": "resize_mask", "seed": 0}
    published = {name: split(SIRST, tmp_path / "raw", tmp_path / name, name, **options) for name in SIRST.splits}
    assert published["idx_427"].content == published["50_50"].content
    pairs = find_layout(tmp_path / "raw").pairs
    lists = {part: published["idx_427"].ids(part) for part in ("train", "val", "test")}
    for number, layout in enumerate(LAYOUTS):
        source = tmp_path / f"laid{number}"
        name = layout(pairs, lists, source)
        raw = tmp_path / f"raw{number}"
        fetch_folder(source, raw)
        name = name or next(iter(find_layout(raw).lists))
        manifest = split(own_card("SIRST-again"), raw, tmp_path / f"data{number}", name, **options)
        assert manifest.content == published["idx_427"].content
        if layout is not as_datransnet:  # which has no validation part of its own
            assert manifest.digest == published["idx_427"].digest
    learnt = {item.image for item in published["50_50"].items if item.part != "test"}
    assert sum(item.image in learnt for item in published["idx_427"].items if item.part == "test") == 44


def test_the_near_duplicates_of_the_real_sirst_are_found(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("DATRANSNET_MIRROR", str(mirror))
    fetch(SIRST, tmp_path / "raw")
    manifest = split(SIRST, tmp_path / "raw", tmp_path / "data", "50_50", seed=0)
    found = json.loads((tmp_path / "data/sanitation.json").read_text(encoding="utf-8"))
    assert found["modes"] == {"RGB": 378, "L": 28, "RGBA": 15, "P": 5}  # and Misc_111, left out
    assert list(found["mismatched"]) == ["Misc_111"]
    assert found["duplicates"] == []
    assert [sorted(id_ for id_, _ in pair) for pair in found["near_duplicates"]] == [["Misc_27", "Misc_31"]]
    assert len(manifest.items) == found["images"] == 426


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ((), "fits no layout; it holds nothing"),
        (("pictures", "masks"), "fits no layout; it holds masks, pictures"),
        (("images", "masks", "mixed", "annotations/masks"), "fits 2 layouts"),
        (("a/images", "a/masks", "b/images", "b/masks"), r"fits 2 layouts \(a/ with images and masks; b/"),
    ],
)
def test_a_folder_of_no_or_two_layouts_is_told(tmp_path, folders, words):
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataError, match=words):
        find_layout(tmp_path)


def test_an_id_in_both_folders_leaks(own, tmp_path):
    as_datransnet(*own, tmp_path / "source")
    place(own[0]["s00"][0], tmp_path / "source/test/images/s00.png")
    place(own[0]["s00"][1], tmp_path / "source/test/masks/s00.png")
    with pytest.raises(DataError, match="s00 is in trainval and in test"):
        find_layout(tmp_path / "source")


def test_masks_of_zeros_and_ones_are_read_as_such(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    for path in (tmp_path / "source/masks").iterdir():
        Image.fromarray(read_mask(path).astype(np.uint8)).save(path)
    fetch_folder(tmp_path / "source", tmp_path / "raw")
    expected = laid(as_plain, own, tmp_path / "reference").content
    for above in (127, 0):
        manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "half", seed=0, mask_above=above)
        assert manifest.content == expected
    assert "another highest value" in " ".join(manifest.remarks)


def test_folds_are_disjoint_whole_and_alike(own, tmp_path):
    manifests = [
        split(own_card("Own"), laid_raw(own, tmp_path, number), tmp_path / f"d{number}", f"fold_{number}_of_4", seed=1)
        for number in (1, 2, 3, 4)
    ]
    tests = [set(manifest.ids("test")) for manifest in manifests]
    assert set.union(*tests) == set(own[0])
    assert sum(map(len, tests)) == NUMBER
    assert max(map(len, tests)) - min(map(len, tests)) <= 1
    assert all(manifest.ids("val") for manifest in manifests)


def laid_raw(own, tmp_path, number):
    as_plain(*own, tmp_path / f"s{number}")
    fetch_folder(tmp_path / f"s{number}", tmp_path / f"r{number}")
    return tmp_path / f"r{number}"


def test_a_random_split_depends_on_its_seed(own, tmp_path):
    raw = laid_raw(own, tmp_path, 0)
    drawn = [
        split(own_card("Own"), raw, tmp_path / "data", "random", seed=seed, test_share=0.25).ids("test")
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == NUMBER // 4


@pytest.mark.parametrize("name", ["fold_0_of_5", "fold_6_of_5", "fold_1_of_1"])
def test_a_fold_that_does_not_exist_is_told(name):
    with pytest.raises(ParameterError, match=r"fold_1_of_\d"):
        fold_of(name)


def test_an_unknown_split_names_those_that_there_are(own, tmp_path):
    with pytest.raises(ParameterError, match="Did you mean 'half'"):
        split(own_card("Own"), laid_raw(own, tmp_path, 0), tmp_path / "data", "halve", seed=0)


def many(number):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, size=number)
    return [Item(f"i{n}", "train", 9, 9, int(targets[n]), "", "") for n in range(number)]


def test_near_duplicates_stay_on_one_side():
    items = many(60)
    alike = [(f"i{n}", f"i{n + 1}") for n in range(0, 30, 2)]
    pixels = {item.id: 5 * item.targets for item in items}
    for seed in range(5):
        part = {item.id: item.part for item in carve(items, alike, pixels, 0.3, "val", seed)}
        assert all(part[a] == part[b] for a, b in alike)
        part = {item.id: item.part for item in fold(items, alike, pixels, 2, 5, seed)}
        assert all(part[a] == part[b] for a, b in alike)


def test_a_carved_part_has_the_distribution_of_the_whole():
    items = many(300)
    pixels = {item.id: 0 for item in items}
    whole = Counter(item.targets for item in items)
    part = Counter(item.targets for item in carve(items, [], pixels, 0.2, "val", 3) if item.part == "val")
    assert sum(part.values()) == 60
    assert all(abs(part[n] - whole[n] / 5) < 2 for n in whole)  # a block of five may straddle two kinds


def test_near_duplicates_are_shifted_and_noisy_copies_not_other_scenes(monkeypatch):
    rng = np.random.default_rng(0)
    images = [scene(1, index, 96)[0] for index in range(12)]
    copy = np.clip(images[3] * 0.8 + 20 + rng.normal(0, 2, images[3].shape), 0, 255).astype(np.uint8)
    monkeypatch.setattr("datransnet.data.duplicates._BLOCK", 3)
    found = near_duplicates([thumbnail(image) for image in [*images, copy, images[5][1:, 1:]]])
    assert found == [(3, 12), (5, 13)]
    assert groups(4, [(0, 2), (2, 3)]).tolist() == [0, 1, 0, 0]
    still = [thumbnail(image) for image in [images[0]] * 5]
    assert near_duplicates(still) == [(0, 1), (0, 2), (0, 3), (0, 4)]  # not every pair of a fixed camera's frames
    assert near_duplicates([thumbnail(np.full((50, 50), 7, dtype=np.uint8))] * 2) == []


def test_an_older_manifest_asks_for_the_split_stage(scenes, tmp_path):
    path = tmp_path / "manifest.json"
    content = json.loads((scenes / "manifest.json").read_text(encoding="utf-8")) | {"schema": 1}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"schema 1.*Run the split stage"):
        Manifest.read(path)


def test_every_dataset_of_the_field_has_its_card():
    assert set(CATALOGUE) == {"SIRST", "NUDT-SIRST", "IRSTD-1K", "SIRST-V2", "SIRST-Aug", "DenseSIRST", "Synthetic"}
    assert [card.images for card in CATALOGUE.values()] == [427, 1327, 1001, 1024, 9070, 1024, 0]


def test_images_behind_links_are_copied_and_circles_end(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    (tmp_path / "source/images").rename(tmp_path / "elsewhere")
    (tmp_path / "source/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "source/half/back").symlink_to(tmp_path / "source")
    fetch_folder(tmp_path / "source", tmp_path / "raw")
    assert len(find_layout(tmp_path / "raw").pairs) == NUMBER
    assert not (tmp_path / "raw/images").is_symlink()


def test_a_link_that_leads_nowhere_is_named(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    (tmp_path / "source/images/s00.png").unlink()
    (tmp_path / "source/images/s00.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(DataError, match="s00"):
        fetch_folder(tmp_path / "source", tmp_path / "raw")


FOREIGN = ["images/._s00.png", "masks/.DS_Store", "masks/Thumbs.db", "images/.ipynb_checkpoints/s00-checkpoint.png",
           "__MACOSX/images/._s00.png", "images/@eaDir/s00.png", "images/desktop.ini"]  # fmt: skip


def test_files_of_other_systems_are_left_out_everywhere_and_counted(own, tmp_path, monkeypatch):
    as_plain(*own, tmp_path / "source")
    for name in FOREIGN:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(b"\0\5\x16\7")
    assert "files are left out" in load_folder(tmp_path / "source").remarks
    assert len(fetch_folder(tmp_path / "source", tmp_path / "raw")) >= 5
    assert not [name for name in FOREIGN if (tmp_path / "raw" / name).exists()]
    shutil.make_archive(str(tmp_path / "by-hand/ByHand"), "zip", tmp_path / "source")
    monkeypatch.setenv("DATRANSNET_MIRROR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    card = Card("ByHand", {}, "none", "none", sources=(Source("a page"),))
    assert len(fetch(card, tmp_path / "unpacked").foreign) >= 5
    assert len(find_layout(tmp_path / "unpacked").pairs) == NUMBER


@pytest.mark.parametrize(
    ("names", "split_name"),
    [
        (("trainval.txt", "test.txt"), "lists"),
        (("TRAIN.TXT", "Test.txt"), "lists"),
        (("train_mine.txt", "test_mine.txt"), "mine"),
        (("mine_train.txt", "mine-test.txt"), "mine"),
        (("trainlist.txt", "testlist.txt"), "lists"),
        (("training.txt", "testing.txt"), "lists"),
    ],
)
@pytest.mark.parametrize("line", ["{}", "{}.png", "images/{}.png", "images\\{}.png", "{}.png masks/{}.png", "{}.PNG"])
def test_lists_are_known_by_the_fields_names_and_lines(own, tmp_path, names, split_name, line):
    pairs, lists = own
    as_plain(pairs, lists, tmp_path / "source")
    shutil.rmtree(tmp_path / "source/half")
    (tmp_path / "source/lists").mkdir()
    for name, part in zip(names, ("train", "test"), strict=True):
        text = "\n".join(line.format(id_, id_) for id_ in lists[part])
        (tmp_path / "source/lists" / name).write_text(text, encoding="utf-8")
    fetch_folder(tmp_path / "source", tmp_path / "raw")
    manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", split_name, seed=0)
    assert manifest.ids("test") == lists["test"]


def test_two_lists_of_one_name_are_both_named(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    (tmp_path / "source/other/half").mkdir(parents=True)
    (tmp_path / "source/other/half/train.txt").write_text("s00", encoding="utf-8")
    with pytest.raises(DataError, match=r"source/half/train\.txt and .*source/other/half/train\.txt are two lists"):
        fetch_folder(tmp_path / "source", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_images_in_no_list_are_counted_and_strange_ids_named(own, tmp_path):
    pairs, lists = own
    as_plain(pairs, {"train": lists["train"][2:], "test": lists["test"]}, tmp_path / "source")
    fetch_folder(tmp_path / "source", tmp_path / "raw")
    manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "half", seed=0)
    assert "2 images are in no list of half and are left out (s00, s01)" in manifest.remarks
    (tmp_path / "raw/half/test.txt").write_text("s20\nnobody.png", encoding="utf-8")
    with pytest.raises(DataError, match="1 ids of split half have no image: nobody"):
        split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "half", seed=0)


def test_errors_name_the_persons_path(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    (tmp_path / "source/masks/s03_mask.png").unlink()
    with pytest.raises(DataError, match="1 images have no masks: s03") as refused:
        fetch_folder(tmp_path / "source", tmp_path / "raw")
    assert str(tmp_path / "source") in str(refused.value)
    assert "partial" not in str(refused.value)


def cameras(folder, frames, number):
    """Frames of fixed cameras, named in the order of time."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for camera in range(number):
        background = scene(8, camera, 64)[0].astype(float)
        for frame in range(frames):
            image, mask = background + rng.normal(size=background.shape) * 2, np.zeros(background.shape, dtype=np.uint8)
            row, column = 5 + frame % 50, 5 + 3 * frame % 50
            mask[row : row + 3, column : column + 3] = 255
            pixels = np.clip(image + 60 * (mask > 0), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"images/c{camera}_{frame}.png")
            Image.fromarray(mask).save(folder / f"masks/c{camera}_{frame}.png")
    return folder


@pytest.mark.parametrize(("frames", "number"), [(40, 1), (20, 2)])
def test_frames_of_few_cameras_say_why_they_cannot_be_drawn_and_what_to_set(tmp_path, frames, number):
    cameras(tmp_path / "raw", frames, number)
    with pytest.raises(DataError, match=rf"only {number} groups of near duplicates .* data\.grouping to order"):
        split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", seed=0)


def test_shares_that_groups_do_not_allow_are_said(tmp_path):
    cameras(tmp_path / "raw", 15, 3)
    manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", seed=0)
    assert [manifest.summary()[part]["images"] for part in ("train", "val", "test")] == [15, 15, 15]
    assert any("test part has 33% of the images instead of 20%" in remark for remark in manifest.remarks)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("grouping", ["order", "none"])
def test_grouping_can_be_cut_by_time_or_turned_off(tmp_path, number, grouping):
    cameras(tmp_path / "raw", 60 // number, number)
    manifest = split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", seed=0, grouping=grouping)
    assert [manifest.summary()[part]["images"] for part in ("train", "val", "test")] == [38, 10, 12]
    assert any("have a near duplicate among those that train" in remark for remark in manifest.remarks)
    last = number - 1
    if grouping == "order":  # as a person counts: c0_9 before c0_10
        assert set(manifest.ids("test")) == {f"c{last}_{frame}" for frame in range(60 // number - 12, 60 // number)}
        folds = [
            split(own_card("Own"), tmp_path / "raw", tmp_path / "d", f"fold_{n}_of_5", seed=0, grouping="order").ids(
                "test"
            )
            for n in (1, 5)
        ]
        assert set(folds[0]) == {f"c0_{frame}" for frame in range(12)}
        assert not set(folds[0]) & set(folds[1])


def test_images_in_folders_below_and_of_kinds_that_are_not_read_are_told(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    for kind, ending in (("images", ""), ("masks", "_mask")):
        Image.open(tmp_path / f"source/{kind}/s05{ending}.png").save(tmp_path / f"source/{kind}/s05{ending}.gif")
        (tmp_path / f"source/{kind}/s05{ending}.png").unlink()
    assert "s05.gif" in load_folder(tmp_path / "source").remarks
    assert "images/s05.gif" in fetch_folder(tmp_path / "source", tmp_path / "raw")
    for kind, ending in (("images", ""), ("masks", "_mask")):
        (tmp_path / f"source/{kind}/seq1").mkdir()
        (tmp_path / f"source/{kind}/s01{ending}.png").rename(tmp_path / f"source/{kind}/seq1/s01{ending}.png")
    for read in (load_folder, lambda folder: fetch_folder(folder, tmp_path / "again")):
        with pytest.raises(DataError, match=r"source/images holds folders with images \(seq1\)"):
            read(tmp_path / "source")


def test_a_name_that_is_not_utf_8_is_told(own, tmp_path):
    as_plain(*own, tmp_path / "source")
    for kind, ending in (("images", ""), ("masks", "_mask")):
        path = tmp_path / f"source/{kind}/s01{ending}.png"
        path.rename(path.with_name(f"\udcff{ending}.png"))
    with pytest.raises(DataError, match="not UTF-8"):
        fetch_folder(tmp_path / "source", tmp_path / "raw")


def test_names_that_only_look_like_numbers_are_sorted(tmp_path):
    cameras(tmp_path / "raw", 20, 1)
    for kind in ("images", "masks"):
        for path in (tmp_path / "raw" / kind).iterdir():
            path.rename(path.with_stem(f"{path.stem}²"))
    assert (
        len(split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "random", seed=0, grouping="order").items) == 20
    )


def test_more_folds_than_images_are_told(own, tmp_path):
    with pytest.raises(DataError, match="cannot be 9999999999 folds"):
        split(own_card("Own"), laid_raw(own, tmp_path, 0), tmp_path / "data", "fold_1_of_9999999999", seed=0)
