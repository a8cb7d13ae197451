"""The documentation does what it says: commands run, generated pages are current, links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from datransnet.data.synthetic import scene
from tests.conftest import ROOT
from tests.datransnet.test_official import published_weights
from tests.pipeline.conftest import tiny_params

PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "cluster/README.md"] if path.is_file()
)


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page whose first line names a file."""
    for block in [*blocks(page, "python"), *blocks(page, "yaml")]:
        if name := re.match(r"# (\S+\.(?:py|yaml))\n", block):
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(block, encoding="utf-8")


def run(script: str, folder: Path, source: Path = ROOT) -> str:
    """Run a page's commands with its code; returns what they print."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(source), "MLFLOW_TRACKING_URI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the code, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("datransnet", "pipeline", "profiles", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("dvc.yaml", "pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params()), encoding="utf-8")
    return tmp_path


def write_scenes(folder: Path, seed: int, number: int) -> None:
    """A user's folder of images and masks."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(number):
        image, mask, _ = scene(seed, index, 40)
        Image.fromarray(image).save(folder / f"images/{index:04}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"masks/{index:04}.png")


def test_the_library_as_the_readme_shows_it(tmp_path):
    """Its commands as they stand, but for the length of the training, in a folder that has what they name."""
    (commands,) = (block for block in blocks(ROOT / "README.md", "bash") if "datransnet fit" in block)
    write_scenes(tmp_path / "FOLDER", 9, 20)
    write_scenes(tmp_path / "OTHER", 10, 4)
    shutil.copytree(tmp_path / "OTHER/masks", tmp_path / "DIR")  # score maps and masks: all right
    shutil.copy(tmp_path / "OTHER/images/0001.png", tmp_path)
    out = run(commands.replace("--size 128 --epochs 40", "--size 32 --epochs 1"), tmp_path)
    assert '"iou": 1.0' in out
    assert {"detections.csv", "0001_scores.png"} <= {path.name for path in (tmp_path / "DIR").iterdir()}
    assert (tmp_path / "model.onnx").is_file()
    torch.save({"state_dict": published_weights()}, tmp_path / "checkpoint.pth.tar")
    (script,) = blocks(ROOT / "README.md", "python")
    mask = "import numpy as np\nmask = np.eye(8) > 0\npairs = [(0.9 * mask, mask)]\n"
    (tmp_path / "script.py").write_text(f"{mask}{script}print(result.iou, logits.shape)\n", encoding="utf-8")
    assert run("python script.py", tmp_path) == "1.0 torch.Size([1, 1, 300, 225])\n"


def test_own_data(tmp_path):
    page = ROOT / "docs/how-to/own-data.md"
    write_scenes(tmp_path / "my_data", 9, 20)
    (tmp_path / ".dvc").mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    write_files(page, tmp_path)
    out = run("\n".join(blocks(page, "bash")), tmp_path)
    assert "split: MyData random: train" in out
    assert (tmp_path / "studies/mine/data/MyData/sanitation.json").is_file()
    assert '"seen_in_training": 0' in out


def test_own_model(project):
    page = ROOT / "docs/how-to/own-model.md"
    write_files(page, project)
    out = run("\n".join(blocks(page, "bash")), project, source=project)
    assert re.search(r"\d+ passed", out)
    assert "valid (study plain)" in out


def test_own_convention(project):
    page = ROOT / "docs/how-to/own-metric.md"
    out = run("\n".join(blocks(page, "bash")), project, source=project)
    assert "Convention(name='scaled', scaled=True, fa='components'" in out


def generate(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "docs/generate.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_generated_pages_are_current():
    done = generate(ROOT, "--check")
    assert done.returncode == 0, done.stderr


def test_results_are_checked_as_they_are_committed(project):
    """What a study has just written is not what the README must show; what is committed is."""
    for folder in ("docs/reference", "benchmarks/results"):
        (project / folder).mkdir(parents=True)
    for name in ("README.md", "docs/generate.py", "benchmarks/results/networks.json"):
        shutil.copy(ROOT / name, project / name)
    row = "| DATransNet | basicirstd | 2 | 71.00 | 68.70 | 83.04 | 89.58 | 45.78 | 0.068 |\n"
    row += row.replace("DATransNet", "DATransNet, without near duplicates").replace("71.00", "70.50")
    row += row.replace("basicirstd", "sctransnet").replace("70.50", "60.60")
    for folder in ("reports/tables", "studies/sirst/reports/tables"):
        (project / folder).mkdir(parents=True)
        (project / folder / "main.md").write_text(row, encoding="utf-8")
    run("python docs/generate.py; git init --quiet; git add README.md reports studies", project, source=project)
    assert generate(project, "--check").returncode == 0
    shown = (project / "README.md").read_text(encoding="utf-8")
    assert "[default, synthetic, without near duplicates](reports/tables) | basicirstd | 2 | 70.50" in shown
    assert "60.60" not in shown  # of each study the first convention

    (project / "reports/tables/main.md").write_text(row.replace("71.00", "71.01"), encoding="utf-8")
    assert generate(project, "--check").returncode == 0
    run("git add reports", project)
    stale = generate(project, "--check")
    assert (stale.returncode, stale.stderr.split(".md")[0]) == (1, "stale: README")
    run("python docs/generate.py; git add README.md", project, source=project)
    assert "71.01" in (project / "README.md").read_text(encoding="utf-8")
    assert generate(project, "--check").returncode == 0

    shutil.rmtree(project / ".git")  # no repository, nothing committed: the other pages can still be checked
    (project / "README.md").write_text("", encoding="utf-8")
    assert generate(project, "--check").returncode == 0
    (project / "docs/reference/params.md").write_text("", encoding="utf-8")
    stale = generate(project, "--check")
    assert (stale.returncode, stale.stderr.split(".md")[0]) == (1, "stale: docs/reference/params")


def is_committed(path: Path) -> bool:
    """Whether git's index has a file or folder, which a study that is running may just be writing anew."""
    command = ["git", "ls-files", "--error-unmatch", str(path)]
    return bool(shutil.which("git")) and subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists() or is_committed(page.parent / target), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_exist(page):
    """Every command and option of the project that a page shows is one; what they do is tested where they live."""
    known = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    commands = {
        package: dict(re.findall(r"### (\w+)\n(.*?)(?=\n##|\Z)", part, re.DOTALL))
        for package, part in re.findall(r"## python -m (\w+)\n(.*?)(?=\n## |\Z)", known, re.DOTALL)
    }
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"`make ([a-z][a-z-]*)|^make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert "".join(target) in targets
    for package, verb, rest in re.findall(
        r"python -m (datransnet|pipeline) (\w+)([^\n`#]*)", page.read_text(encoding="utf-8")
    ):
        assert verb in commands[package], f"{package} {verb}"
        for option in re.findall(r"\s(--?[a-z][a-z-]*)", rest):
            assert f"{option}`" in commands[package][verb] or f"{option}," in commands[package][verb], (
                f"{verb} {option}"
            )


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180
