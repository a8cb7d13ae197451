"""A study as a stranger checks it: whatever was changed is found, and what cannot be checked is said."""

import json
import random
import re
import shutil
import subprocess

import pytest

from pipeline.publishing.seal import SEAL, digest_of_file, write_seal
from pipeline.publishing.verification import verify as checks_of
from pipeline.study.study import Study
from tests.conftest import ROOT
from tests.pipeline.conftest import StudyFolder

LICENCE = ("--licence", "https://creativecommons.org/licenses/by/4.0/")
pytestmark = pytest.mark.study


@pytest.fixture
def study(reference, tmp_path):
    study = reference["whole"].copy(tmp_path / "study")
    shutil.copyfile(ROOT / "dvc.yaml", study.folder / "dvc.yaml")
    return study


def verify(folder, *arguments):
    return StudyFolder(folder).run("verify", *arguments)


def sealed(study):
    return [line[66:] for line in (study.folder / SEAL).read_text(encoding="utf-8").splitlines()]


def looked_at(folder):
    """Every check by its title, in this process."""
    return {check.title: check for check in checks_of(Study(folder, with_code=False))}


def checked(said):
    """Title of a check → number of places, and of faults."""
    found = re.findall(r"^([^\n:]*): (\d+) checked, (\d+) wrong", said, re.MULTILINE)
    return {title: (int(looked), int(wrong)) for title, looked, wrong in found}


def test_a_study_that_nobody_touched_is_what_it_says(study):
    before = {name: digest_of_file(study.folder / name) for name in sealed(study)}
    done = verify(study.folder)
    assert done.returncode == 0, done.stderr
    found = checked(done.stdout)
    assert len(found) == 6
    assert all(looked > 0 or "submissions" in title for title, (looked, _) in found.items())
    assert not any(wrong for _, wrong in found.values())
    assert digest_of_file(study.folder / SEAL) in done.stdout
    assert {name: digest_of_file(study.folder / name) for name in sealed(study)} == before


def test_sha256sum_reads_the_seal(study):
    done = subprocess.run(["sha256sum", "-c", "--strict", SEAL], cwd=study.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == len(sealed(study))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_single_byte_is_missed(study, seed):
    rng, names = random.Random(seed), sealed(study)
    chosen = rng.sample(names, len(names) // 2)
    for name in chosen:
        path = study.folder / name
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    faults = looked_at(study.folder)["files, as sealed"].faults
    assert faults == dict.fromkeys(chosen, "has changed")


@pytest.mark.parametrize("place", range(0, 66, 5))
def test_a_change_of_the_seal_is_a_change(study, place):
    path = study.folder / SEAL
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert looked_at(study.folder)["files, as sealed"].faults


def test_what_was_added_or_removed_is_told(study):
    (study.folder / "models/train/0123456789abcdef.safetensors").write_bytes(b"better")
    (study.folder / "results/notes.txt").write_text("mine", encoding="utf-8")
    (study.folder / "reports/metrics.json").unlink()
    faults = looked_at(study.folder)["files, as sealed"].faults
    assert faults == {  # not the notes, which are somebody's own
        "models/train/0123456789abcdef.safetensors": "was added",
        "reports/metrics.json": "is missing",
    }


def lies():
    """What somebody may write who then seals it again: file, what is changed, and which check finds it."""

    def metric(content):
        content["runs"][0]["scores"]["basicirstd"]["iou"] += 0.01

    def count(content):
        content["runs"][0]["counts"]["basicirstd"]["intersection"][0] += 1

    def validation(content):
        content["runs"][0]["val_iou"] += 0.01

    def seed(content):
        content["runs"][0]["run"]["seed"] += 1

    def digest(content):
        content["dataset"]["digest"] = "0" * 64

    evaluation = "results/evaluation/evaluation.json"
    yield evaluation, metric, "counts and metrics, from stored scores"
    yield evaluation, count, "counts and metrics, from stored scores"
    yield evaluation, digest, "images and masks, as the manifest has them"
    yield "results/train.json", validation, "runs, as they are called and as their stages have them"
    yield "results/train.json", seed, "runs, as they are called and as their stages have them"


@pytest.mark.parametrize(("name", "lie", "title"), list(lies()), ids=lambda each: getattr(each, "__name__", None))
def test_a_lie_that_was_sealed_again_is_found_by_what_it_follows_from(study, name, lie, title):
    path = study.folder / name
    content = json.loads(path.read_text(encoding="utf-8"))
    lie(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    write_seal(Study(study.folder))
    found = looked_at(study.folder)
    assert not found["files, as sealed"].faults
    assert found[title].faults


def test_a_table_that_was_improved_and_sealed_again_is_found(study):
    path = study.folder / "reports/tables/main.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    values = lines[1].split(",")
    column = lines[0].split(",").index("iou")
    values[column] = str(float(values[column]) + 0.01)
    path.write_text("\n".join([lines[0], ",".join(values), *lines[2:]]) + "\n", encoding="utf-8")
    write_seal(Study(study.folder))
    done = verify(study.folder)
    assert "main.csv holds other numbers" in done.stdout
    assert done.returncode == 1


def test_weights_that_predict_something_else_are_found(study):
    assert verify(study.folder, ".", "--predict").returncode == 0
    first, second = sorted((study.folder / "models/train").glob("*.safetensors"))[:2]
    shutil.copyfile(second, first)
    write_seal(Study(study.folder))
    done = verify(study.folder, ".", "--predict")
    assert done.returncode == 1
    assert f"({first.stem}) predicts other scores" in done.stdout


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    done = verify(tmp_path)
    assert (done.returncode, "no params.yaml" in done.stderr) == (2, True)


# Exports


@pytest.fixture
def exported(study, tmp_path):
    out = tmp_path / "published"
    done = study.run("export", ".", *LICENCE, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def test_an_export_leaves_the_images_out_and_says_what_that_means(study, exported):
    assert not list(exported.glob("data/**/*.png"))
    shutil.rmtree(study.folder)
    done = verify(exported)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the images are not here" in done.stdout
    assert checked(done.stdout)["counts and metrics, from stored scores"] == (0, 0)
    # With the data, everything is checked.
    StudyFolder(exported).succeed("fetch", "split")
    done = verify(exported)
    assert done.returncode == 0, done.stdout + done.stderr
    assert checked(done.stdout)["counts and metrics, from stored scores"][0] > 0
    assert "not checked" not in done.stdout


def test_an_export_describes_each_of_its_files(exported):
    graph = json.loads((exported / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    described = {entity["@id"]: entity for entity in graph if "sha256" in entity}
    assert set(described) == files - {"ro-crate-metadata.json"}
    assert all(digest_of_file(exported / name) == entity["sha256"] for name, entity in described.items())
    data = json.loads((exported / "croissant.json").read_text(encoding="utf-8"))["distribution"][0]
    assert digest_of_file(exported / data["contentUrl"]) == data["sha256"]


def test_images_go_along_where_their_terms_allow_it(study, tmp_path):
    out = tmp_path / "with images"
    done = study.run("export", ".", *LICENCE, "--out", str(out), "--images")
    assert done.returncode == 0, done.stderr
    found = checked(verify(out).stdout)
    assert all(looked > 0 or "submissions" in title for title, (looked, _) in found.items())
    assert not any(wrong for _, wrong in found.values())


def test_nothing_is_exported_that_is_not_as_it_was_sealed(study, tmp_path):
    (study.folder / "reports/metrics.json").write_text("{}", encoding="utf-8")
    done = study.run("export", ".", *LICENCE, "--out", str(tmp_path / "out"))
    assert (done.returncode, "metrics.json is not as it was sealed" in done.stderr) == (1, True)
    assert not (tmp_path / "out").exists()
    done = study.run("export", ".", *LICENCE, "--out", ".")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    (study.folder / "dvc.yaml").unlink()
    done = study.run("export", ".", *LICENCE, "--out", str(tmp_path / "out"))
    assert (done.returncode, "has no dvc.yaml" in done.stderr) == (2, True)
