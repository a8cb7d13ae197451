"""A study removes nothing that it has not written: whatever the parameters name, and whatever lies where it writes."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datransnet.data.synthetic import scene
from datransnet.errors import ParameterError
from pipeline import fetch, split
from pipeline.study.outputs import FILES, FOLDERS, PAGES, check_outputs
from pipeline.study.study import Study
from tests.conftest import ROOT
from tests.pipeline.conftest import tiny_params
from tests.pipeline.test_dvc import environment

pytestmark = pytest.mark.study


def write_scenes(folder: Path, number: int = 12) -> None:
    """A person's only copy."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(number):
        image, mask, _ = scene(9, index, 32)
        Image.fromarray(image).save(folder / f"images/p{index}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"masks/p{index}.png")


def digests(folder: Path) -> dict[str, str]:
    """Every file of a person's, by its name; what tools keep for themselves is none."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in (".png", ".npy", ".txt")
    }


PLACES = {
    "is what fetch writes": ("data/raw/MyData", {"source": "data/raw/MyData"}),
    "is what split writes": ("data/MyData", {"source": "data/MyData"}),
    "contains it": ("data/raw/MyData", {"source": "data"}),
    "is the project": ("data/raw/MyData", {"source": "."}),
    "lies in it": ("data/MyData/mine", {"source": "data/MyData/mine"}),
    "lies in a later stage's": ("results/evaluation/mine", {"source": "results/evaluation/mine"}),
    "lies among models": ("models/train", {"source": "models/train"}),
    "goes there by dots": ("data/MyData", {"source": "studies/../data/MyData"}),
    "is a link to it": ("data/MyData", {"source": "linked", "link": ("linked", "data/MyData")}),
    "holds a link to it": ("data/MyData", {"source": "mine", "link": ("mine/images", "data/MyData/images")}),
    "is where a link of ours leads": ("elsewhere", {"source": "elsewhere", "link": ("data/MyData", "elsewhere")}),
    "is a peer's": ("results/evaluation", {"peer": "results/evaluation"}),
    "is a peer's among tables": ("reports/tables/theirs", {"peer": "reports/tables/theirs"}),
    "is a peer's among runs": ("runs/theirs", {"peer": "runs/theirs"}),
    "is named by nobody": ("data/MyData", {"source": "other"}),
    "is named by nobody, in a later stage's": ("models/best", {"source": "other"}),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A project with nothing run."""
    folder = tmp_path_factory.mktemp("outputs") / "project"
    for name in ("datransnet", "pipeline", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "Makefile", "requirements.txt", "pyproject.toml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["dvc", "init", "-q"], cwd=folder, check=True, env=environment(folder))
    for key, value in (("user.email", "a@b.c"), ("user.name", "a")):
        subprocess.run(["git", "config", key, value], cwd=folder, check=True)
    return folder


def laid(template: Path, folder: Path, kind: str) -> Path:
    """The project with a person's files in a place, and parameters that name one."""
    place, named = PLACES[kind]
    shutil.copytree(template, folder, symlinks=True)
    write_scenes(folder / place)
    if named.get("source") == "other":
        write_scenes(folder / "other")
    if "link" in named:
        link, target = (folder / name for name in named["link"])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    if named.get("source") == "mine":
        shutil.copytree(folder / place / "masks", folder / "mine/masks")
    params = tiny_params()
    if "source" in named:
        params["data"] |= {"dataset": "MyData", "source": named["source"], "split": "random"}
    else:
        params["evaluate"]["peers"] = {"Theirs": named["peer"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, encoding="utf-8", check=False
    )


@pytest.mark.parametrize("kind", PLACES)
def test_a_path_or_a_place_that_endangers_files_is_refused(template, tmp_path, kind):
    study = Study(laid(template, tmp_path / "project", kind))
    with pytest.raises(ParameterError) as refused:
        check_outputs(study)
    assert PLACES[kind][0].split("/")[-1] in str(refused.value)
    assert "Move" in str(refused.value) or "Keep" in str(refused.value) or "move" in str(refused.value)


STARTS = ["is what fetch writes", "is what split writes", "is a peer's", "is named by nobody"]


@pytest.mark.parametrize("kind", STARTS)
def test_nothing_of_a_persons_is_removed_by_any_command(template, tmp_path, kind):
    folder = laid(template, tmp_path / "project", kind)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/.ready").touch()
    before = digests(folder)
    for command in (("validate",), *((stage,) for stage in ("fetch", "split", "evaluate"))):
        done = run(folder, sys.executable, "-m", "pipeline", *command)
        assert done.returncode == 2, f"{command}: {done.stdout}{done.stderr}"
    done = run(folder, "make", "repro")
    assert done.returncode == 2
    assert PLACES[kind][0] in done.stderr  # the reason is ours, not make's
    assert "Running stage" not in done.stdout
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "-qm", "study")
    for command in (("repro",), ("exp", "run", "--set-param", "train.seeds=1")):
        done = run(folder, "dvc", *command)
        assert done.returncode != 0, done.stdout + done.stderr
        assert "exited with 2" in done.stderr
    assert {name: found for name, found in digests(folder).items() if ".dvc/" not in name} == before


def own_study(template: Path, folder: Path) -> Study:
    """A study of a person's dataset, fetched and split."""
    study = Study(laid(template, folder, "is named by nobody"))
    shutil.rmtree(folder / "data")
    for stage in (fetch, split):
        stage.main(study)
    check_outputs(study)
    return study


def test_a_copy_that_a_person_has_changed_is_theirs(template, tmp_path):
    study = own_study(template, tmp_path / "project")
    with (study.raw / "masks/p0.png").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ParameterError, match=r"masks/p0\.png"):
        check_outputs(study)


def test_a_copied_project_knows_its_files(template, tmp_path):
    own_study(template, tmp_path / "project")
    shutil.copytree(tmp_path / "project", tmp_path / "copy", symlinks=True, copy_function=shutil.copyfile)  # new times
    check_outputs(Study(tmp_path / "copy"))


def test_the_only_copy_left_is_not_replaced(template, tmp_path):
    study = own_study(template, tmp_path / "project")
    shutil.rmtree(study.folder / "other")
    with pytest.raises(ParameterError, match="may be the only copy left"):
        check_outputs(study)


@pytest.mark.parametrize("place", ["data/MyData", "data/raw/MyData", "models/best"])
def test_a_file_where_a_folder_is_written_is_refused(template, tmp_path, place):
    study = Study(laid(template, tmp_path / "project", "is named by nobody"))
    shutil.rmtree(study.folder / "data")
    (study.folder / place).parent.mkdir(parents=True, exist_ok=True)
    (study.folder / place).write_text("mine", encoding="utf-8")
    with pytest.raises(ParameterError, match="is a file"):
        check_outputs(study)


def test_files_of_other_systems_among_a_studys_own_stop_nothing(template, tmp_path):
    study = own_study(template, tmp_path / "project")
    (study.raw / ".DS_Store").write_bytes(b"x")
    (study.data / "test/images/._a.png").write_bytes(b"x")
    check_outputs(study)


def test_a_dataset_cannot_be_called_as_the_folder_of_all(template, tmp_path):
    folder = laid(template, tmp_path / "project", "is named by nobody")
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["dataset"] = "Raw"
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    done = run(folder, sys.executable, "-m", "pipeline", "validate")
    assert done.returncode == 2
    assert "give yours another name" in done.stderr


def test_files_put_among_a_finished_studys_own_are_noticed_before_anything_runs(reference, tmp_path):
    study = reference["whole"].copy(tmp_path / "study")
    assert study.run("check").returncode == 0
    for name in ("data/Synthetic/trainval/images/mine.png", "data/raw/Synthetic/notes.txt", "models/best/mine.pth",
                 "reports/tables/mine.md", "reports/figures/mine.png", "results/evaluation/mine.npz"):  # fmt: skip
        path = study.folder / name
        path.write_bytes(b"mine")
        done = study.run("report")
        assert done.returncode == 2
        assert path.name in done.stderr
        assert path.read_bytes() == b"mine"
        path.unlink()
    assert study.run("check").returncode == 0


def test_a_dataset_that_dvc_brought_is_known_by_its_manifest(reference, tmp_path):
    study = reference["whole"].copy(tmp_path / "study")
    (study.folder / "data/.split/.Synthetic.inventory.json").unlink()
    assert study.run("check").returncode == 0


def test_every_out_of_the_study_is_guarded():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    named = [out for stage in stages.values() for out in (*stage.get("outs", []), *stage.get("metrics", []))]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in named]
    guarded = {*FILES, *PAGES, *FOLDERS, "data/raw/${data.dataset}", "data/.split/${data.dataset}"}
    assert all(guarded & {out, *map(str, Path(out).parents)} for out in outs)
    assert all(any(guard in (out, *map(str, Path(out).parents)) for out in outs) for guard in guarded)
    assert stages["check"]["always_changed"]
    first = next(iter(stages["check"]["outs"]))
    assert first in stages["fetch"]["deps"]


def test_clean_leaves_what_no_run_has_written(reference, tmp_path):
    study = reference["train"].copy(tmp_path / "study")
    record = next(iter(study.folder.glob("runs/*/record.json")))
    content = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps(content | {"status": "failed"}), encoding="utf-8")
    (record.parent / "notes.txt").write_text("mine", encoding="utf-8")
    done = study.run("clean")
    assert done.returncode == 0
    assert [path.name for path in record.parent.iterdir()] == ["notes.txt"]
    assert "stays" in done.stdout
