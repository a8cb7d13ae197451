"""Damaged input of every kind ends in a clear error or a counted treatment, and leaves nothing half-written."""

import http.server
import io
import random
import socket
import stat
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from datransnet.data import archives, download
from datransnet.data.catalogue import Card, Source, SplitList, own_card
from datransnet.data.fetch import fetch, fetch_folder, pixel_digest
from datransnet.data.layouts import find_layout
from datransnet.data.splits import split
from datransnet.data.synthetic import scene
from datransnet.errors import DATransNetError

URL = "https://example.org/toy/archive"


def png(array, kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format=kind)
    return file.getvalue()


def whole_files() -> dict[str, bytes]:
    files = {}
    for index in range(6):
        image, mask, _ = scene(0, index, 33)
        files[f"images/t{index}.png"] = png(image)
        files[f"masks/t{index}.png"] = png(mask.astype(np.uint8) * 255)
    files["half/train.txt"] = b"t0\nt1\nt2\nt3\n"
    files["half/test.txt"] = b"t4\nt5\n"
    return files


def packed(files, kind) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"toy/{name}", content)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"toy/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


# Each of these damages the files of a dataset, with a random generator.


def flip(files, rng):
    name = rng.choice(sorted(files))
    content = bytearray(files[name])
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    files[name] = bytes(content)


def cut(files, rng):
    name = rng.choice(sorted(files))
    files[name] = files[name][: rng.randrange(len(files[name]))]


def empty(files, rng):
    files[rng.choice(sorted(files))] = b""


def noise(files, rng):
    files[rng.choice(sorted(files))] = rng.randbytes(rng.randint(1, 400))


def other_type(files, rng):
    name = rng.choice([name for name in sorted(files) if name.endswith(".png")])
    files[name] = rng.choice([b"%PDF-1.4\n", b"GIF89a\x01", b"\x89PNG\r\n\x1a\n", b"<html>404</html>", b"PK\x03\x04"])


def other_mode(files, rng):
    name = rng.choice([name for name in sorted(files) if name.endswith(".png")])
    image = Image.open(io.BytesIO(files[name]))
    file = io.BytesIO()
    image.convert(rng.choice(["1", "P", "RGB", "RGBA", "LA", "I", "CMYK"])).save(file, format="TIFF")
    files[name] = file.getvalue()


def other_size(files, rng):
    shape = rng.randint(1, 40), rng.randint(1, 40)
    files[f"masks/t{rng.randrange(6)}.png"] = png(np.full(shape, 255, dtype=np.uint8))


def swap(files, rng):
    a, b = rng.sample(sorted(files), 2)
    files[a], files[b] = files[b], files[a]


def missing(files, rng):
    del files[rng.choice(sorted(files))]


def lists(files, rng):
    ids = [f"t{n}" for n in range(rng.randint(0, 9))]
    text = rng.choice(["\r\n", "\n", "\r", "\n\n"]).join(rng.sample(ids, len(ids)))
    encoded = text.encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    files[rng.choice(["half/train.txt", "half/test.txt"])] = encoded + rng.choice([b"", b"\n", b"\x00", b"\xff"])


def unicode_names(files, rng):
    index = rng.randrange(6)
    name = rng.choice(["Zielbild_ä", "a\u0308", "目标", "t 0", "t'0", "-rf", "." * 3 + "x", "x" * 200])
    for kind in ("images", "masks"):
        files[f"{kind}/{name}.png"] = files.pop(f"{kind}/t{index}.png")
    if rng.random() < 0.5:
        for part in ("train", "test"):
            files[f"half/{part}.txt"] = files[f"half/{part}.txt"].replace(f"t{index}\n".encode(), f"{name}\n".encode())


WILD = [
    "../escaped.png",
    "/etc/escaped.png",
    "images/../../escaped.png",
    "images\\..\\..\\escaped.png",
    "C:\\escaped.png",
    "images/t0.png/deeper.png",
    "images//t1.png",
    "x" * 300 + ".png",
    "images/t\x01.png",
    "trainval/images/t0.png",
]


def wild_names(files, rng):
    files[rng.choice(WILD)] = png(np.zeros((3, 3), dtype=np.uint8))


def bomb(files, rng):
    files["images/t0.png"] = bytes(archives.LARGEST_FILE + 1) if rng.random() < 0.5 else png_bomb(rng)


def png_bomb(rng) -> bytes:
    """A small file that announces a huge image."""
    content = bytearray(whole_files()["images/t0.png"])
    content[16:24] = rng.randint(20_000, 2**31 - 1).to_bytes(4, "big") * 2
    return bytes(content)


DAMAGES = [flip, cut, empty, noise, other_type, other_mode, other_size, swap, missing, lists]
DAMAGES += [unicode_names, wild_names, bomb]


def outcome(work) -> str:
    """What became of some work: "whole", or the error's class; any other exception fails the test."""
    try:
        work()
    except DATransNetError as error:
        return type(error).__name__ if "\n" not in str(error) and len(str(error)) < 1200 else str(error)
    return "whole"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_folders_and_archives(tmp_path, monkeypatch, damage):
    """20 archives and 20 folders of each damage, 520 in all."""
    monkeypatch.setenv("DATRANSNET_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(archives, "LARGEST_FILE", 200_000)  # so that a bomb is quick to make
    seen = []
    for number in range(40):
        rng = random.Random(f"{damage.__name__} {number}")
        files = whole_files()
        damage(files, rng)
        place = tmp_path / str(number)
        (place / "raw").mkdir(parents=True)  # what was there before stays if anything is wrong
        if number % 2:
            for name, content in files.items():
                path = place / "source" / name.replace("\\", "_").lstrip("/").replace("../", "").replace("\x01", "_")
                if len(path.name) < 250 and not any(parent.is_file() for parent in path.parents):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            seen.append(outcome(lambda p=place: fetch_folder(p / "source", p / "raw")))
        else:
            url = f"{URL}{number}.{rng.choice(['zip', 'tar.gz'])}"
            target = tmp_path / "mirror" / url.removeprefix("https://")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(packed(files, url.rpartition(".")[2]))
            card = Card(f"Toy{number}", {}, "none", "none", sources=(Source("a page", url),))
            seen.append(outcome(lambda c=card, p=place: fetch(c, p / "raw")))
        assert seen[-1] in ("whole", "DataError")
        if seen[-1] == "whole":
            options = {"seed": 0, "mismatch": rng.choice(["exclude", "resize_mask"])}
            card = own_card("Own")
            seen[-1] = outcome(lambda c=card, p=place, o=options: split(c, p / "raw", p / "data", "half", **o))
            assert seen[-1] in ("whole", "DataError", "ParameterError")
            assert (place / "data/manifest.json").exists() == (seen[-1] == "whole")
        else:
            assert list((place / "raw").iterdir()) == []
        written = {"raw", ".raw.lock", ".raw.inventory.json", "source", "data", ".data.inventory.json"}
        assert {path.name for path in place.iterdir()} <= written
    assert len(seen) == 40
    assert not (tmp_path / "escaped.png").exists()
    if damage in (cut, empty, noise, other_type, missing, bomb):
        assert seen.count("whole") < 20  # most of these cannot be a dataset
    if damage is other_mode:
        assert seen.count("whole") > 20  # and these can be read
    if damage is other_size:
        assert 10 < seen.count("whole") <= 20  # and such a mask can be left out, but not resized: it has another shape


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("number", range(10))
def test_damaged_archive_bytes(tmp_path, kind, number):
    rng = random.Random(number)
    content = bytearray(packed(whole_files(), kind))
    for _ in range(rng.randint(1, 30)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    if number % 3 == 0:
        content = content[: rng.randrange(len(content))]
    (tmp_path / f"a.{kind}").write_bytes(bytes(content))
    (tmp_path / "out").mkdir()
    assert outcome(lambda: archives.extract(tmp_path / f"a.{kind}", tmp_path / "out")) in ("whole", "DataError")


def test_links_lead_nowhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        link = zipfile.ZipInfo("images/a.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    archives.extract(tmp_path / "links.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_member_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("images/a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("images/a.png", b"2")
    with pytest.raises(DATransNetError, match="twice"):
        archives.extract(tmp_path / "twice.zip", tmp_path / "out")


def test_more_than_the_limit_in_all_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(packed(whole_files(), "zip"))
    for limit, value in (("LARGEST_TOTAL", 3000), ("MOST_FILES", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(archives, limit, value)
            with pytest.raises(DATransNetError, match="not safe to unpack"):
                archives.extract(tmp_path / "a.zip", tmp_path / limit)


def write(files: dict[str, bytes], folder) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Faults(http.server.BaseHTTPRequestHandler):
    """Serves one file and, at random, drops, stalls, ignores ranges, lies about the length or sends wrong bytes."""

    content, faulty = b"", 0.7
    rng = random.Random(0)

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-") or 0)
        fault = (
            self.rng.choice(["drop", "stall", "longer", "reset", "no range"]) if self.rng.random() < self.faulty else ""
        )
        start = 0 if fault == "no range" else start
        body = self.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(body) + (500 if fault == "longer" else 0)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if fault == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body[: self.rng.randrange(len(body))] if fault in ("drop", "stall") else body)
        self.wfile.flush()
        if fault == "stall":
            self.connection.recv(1)  # until the client gives up
        self.close_connection = True


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server with faults, and the card of what it serves."""
    files = whole_files() | {f"images/big{n}.txt": random.Random(n).randbytes(900_000) for n in range(3)}
    Faults.content = packed(files, "tar.gz")
    monkeypatch.setattr(random, "uniform", lambda low, high: low)  # do not wait between retries
    monkeypatch.delenv("DATRANSNET_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(files, tmp_path / "whole")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faults) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/toy.tar.gz"
        pixels = pixel_digest(find_layout(tmp_path / "whole").pairs)
        yield Card("Toy", {}, "none", "none", sources=(Source("a page", url),), pixels=pixels)
        server.shutdown()


def test_a_download_ends_verified_or_with_an_error(site, tmp_path, monkeypatch):
    """20 fetches through random faults; each one that fails leaves nothing but what the next goes on from."""
    ends = []
    for number in range(20):
        Faults.rng = random.Random(number)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{number}"))
        folder = tmp_path / f"raw{number}"
        with monkeypatch.context() as patch:
            patch.setattr(download, "TIMEOUT", (60.0, 1.0))  # what a server that stalls costs
            ends.append(outcome(lambda f=folder: fetch(site, f)))
        if ends[-1] == "whole":
            assert contents(folder) == contents(tmp_path / "whole")
        else:
            assert not folder.exists()
            monkeypatch.setattr(Faults, "faulty", 0)
            fetch(site, folder)
            monkeypatch.setattr(Faults, "faulty", 0.7)
            assert contents(folder) == contents(tmp_path / "whole")
    assert set(ends) <= {"whole", "DataError"}
    assert ends.count("whole") >= 10


def test_wrong_bytes_are_not_kept(site, tmp_path, monkeypatch):
    monkeypatch.setattr(Faults, "faulty", 0)
    files = whole_files()
    right, wrong = Faults.content, packed(files | {"images/t0.png": files["images/t1.png"]}, "tar.gz")
    Faults.content = wrong
    with pytest.raises(DATransNetError, match=r"as published: the pixels .* It was removed\. Fetch again"):
        fetch(site, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    Faults.content = right
    fetch(site, tmp_path / "raw")
    assert contents(tmp_path / "raw") == contents(tmp_path / "whole")


class Repositories(http.server.BaseHTTPRequestHandler):
    """Serves archives by path, slowly; what is not among them is gone."""

    archives: ClassVar[dict[str, bytes]] = {}

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        content = self.archives.get(self.path)
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        for start in range(0, len(content or b""), 2**12):
            self.wfile.write(content[start : start + 2**12])
            time.sleep(0.01)


def encoded_anew(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same pixels in other files: colour with three equal channels, and BMP."""
    again = {}
    for name, content in files.items():
        if name.endswith(".png"):
            pixels = np.asarray(Image.open(io.BytesIO(content)))
            colour = name.startswith("images/")
            again[name if colour else name.replace(".png", ".bmp")] = png(
                np.stack([pixels] * 3, axis=2) if colour else pixels, "PNG" if colour else "BMP"
            )
    return again


@pytest.fixture
def repositories(tmp_path, monkeypatch):
    """Four public places: one is gone, one has a wrong pixel, one lacks an image, one packs and encodes otherwise."""
    files = whole_files()
    pixels = np.asarray(Image.open(io.BytesIO(files["images/t2.png"]))).copy()
    pixels[7, 7] ^= 1
    in_a_project = {f"sets/Toy/{name}": content for name, content in encoded_anew(files).items()}
    others = {f"sets/Other/{name}": content for name, content in files.items()}
    Repositories.archives = {
        "/wrong.zip": packed(files | {"images/t2.png": png(pixels)}, "zip"),
        "/fewer.zip": packed({name: content for name, content in files.items() if "t3" not in name}, "zip"),
        "/project.tar.gz": packed(in_a_project | others, "tar.gz"),
        "/train.txt": files["half/train.txt"],
        "/test.txt": files["half/test.txt"],
    }
    monkeypatch.delenv("DATRANSNET_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(files, tmp_path / "whole")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repositories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        lists = tuple(
            SplitList(f"{address}/{part}.txt", f"half/{part}.txt", download.git_blob_hash(files[f"half/{part}.txt"]))
            for part in ("train", "test")
        )
        yield Card(
            "Toy",
            {"half": {"train": "half/train.txt", "test": "half/test.txt"}},
            "none",
            "none",
            images=6,
            sources=(
                Source("gone", f"{address}/gone.zip"),
                Source("no address"),
                Source("wrong", f"{address}/wrong.zip"),
                Source("fewer", f"{address}/fewer.zip"),
                Source("project", f"{address}/project.tar.gz", ("sets/Toy/images", "sets/Toy/masks")),
            ),
            pixels=pixel_digest(find_layout(tmp_path / "whole").pairs),
            lists=lists,
        )
        server.shutdown()


def test_the_next_source_is_used_where_one_is_gone_or_holds_something_else(repositories, tmp_path):
    fetched = fetch(repositories, tmp_path / "raw")
    assert fetched.source.endswith("/project.tar.gz")
    gone, wrong, fewer = fetched.passed_over
    assert "gone.zip cannot be downloaded" in gone
    assert "wrong.zip does not hold Toy as published: the pixels" in wrong
    assert "fewer.zip holds 5 images, Toy has 6" in fewer
    assert pixel_digest(find_layout(tmp_path / "raw").pairs) == repositories.pixels
    kept = [path.name for path in (tmp_path / "cache").rglob("*.zip")]
    assert kept == []  # what is not the dataset is not kept
    manifest = split(repositories, tmp_path / "raw", tmp_path / "data", "half", seed=0)
    assert manifest.content == repositories.pixels
    assert len(manifest.ids("test")) == 2


def test_without_a_good_source_everything_is_told_and_nothing_left(repositories, tmp_path):
    bad = replace(repositories, sources=repositories.sources[:4])
    with pytest.raises(DATransNetError, match=r"gone\.zip.*wrong\.zip.*fewer\.zip.*by hand \(gone; no address; wrong"):
        fetch(bad, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_an_empty_folder_that_a_person_placed_is_told_as_such(repositories, tmp_path):
    (download.cache_folder() / "by-hand/Toy").mkdir(parents=True)
    with pytest.raises(DATransNetError, match=r"by-hand/Toy fits no layout; it holds nothing"):
        fetch(repositories, tmp_path / "raw")


def test_what_a_person_placed_is_used_or_refused(repositories, tmp_path):
    place = download.cache_folder() / "by-hand/Toy.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(Repositories.archives["/wrong.zip"])
    with pytest.raises(DATransNetError, match=r"by-hand/Toy\.zip does not hold Toy .*Replace .* or remove it"):
        fetch(repositories, tmp_path / "raw")
    assert place.exists()
    place.write_bytes(packed(encoded_anew(whole_files()), "zip"))
    assert fetch(repositories, tmp_path / "raw").source == str(place)


def test_several_processes_fetch_once(site, tmp_path, monkeypatch):
    monkeypatch.setattr(Faults, "faulty", 0)
    workers = [threading.Thread(target=fetch, args=(site, tmp_path / f"raw{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(4):
        assert contents(tmp_path / f"raw{number}") == contents(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "cache").rglob("*.part")] == []


def test_several_processes_fetch_into_one_folder(site, tmp_path, monkeypatch):
    monkeypatch.setattr(Faults, "faulty", 0)
    failed = []

    def work():
        try:
            fetch(site, tmp_path / "raw")
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failed == []
    assert contents(tmp_path / "raw") == contents(tmp_path / "whole")


def test_all_unreadable_files_are_told_at_once(tmp_path):
    files = whole_files()
    for number in (0, 2, 3, 4):
        files[f"images/t{number}.png"] = b"no image"
    for name, content in files.items():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(content)
    with pytest.raises(DATransNetError, match=r"t0\.png is damaged.*t2\.png.*t3\.png.* 1 more files"):
        split(own_card("Own"), tmp_path / "raw", tmp_path / "data", "half", seed=0)


def test_the_first_digest_is_recorded_and_later_ones_must_match(tmp_path, monkeypatch):
    monkeypatch.delenv("DATRANSNET_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    card = Card("ByHand", {}, "none", "none", sources=(Source("https://example.org/page"),))
    with pytest.raises(
        DATransNetError, match=r"ByHand has no address.*example.org/page\) and put it at .*by-hand/ByHand"
    ):
        fetch(card, tmp_path / "raw")
    place = download.cache_folder() / "by-hand/ByHand.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(packed(whole_files(), "zip"))
    fetch(card, tmp_path / "raw")
    fetch(card, tmp_path / "raw")
    files = whole_files()
    place.write_bytes(packed(files | {"images/t0.png": files["images/t1.png"]}, "zip"))
    with pytest.raises(DATransNetError, match=r"as fetched first .*the pixels"):
        fetch(card, tmp_path / "raw")
    listed = replace(card, splits={"half": {"train": "half/train.txt", "test": "half/test.txt"}})
    place.write_bytes(packed(files, "zip"))
    fetch(listed, tmp_path / "raw")
    place.write_bytes(packed(files | {"half/test.txt": b"t5\n"}, "zip"))
    with pytest.raises(DATransNetError, match=r"as fetched first .*half/test\.txt"):
        fetch(listed, tmp_path / "raw")
    assert contents(tmp_path / "raw") == files
    assert place.exists()  # a person put it there
