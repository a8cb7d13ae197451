"""The how-to pages do what they say: their files are written and their commands run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from datransnet.data.synthetic import scene
from tests.conftest import ROOT


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_own_data(tmp_path):
    page = ROOT / "docs/how-to/own-data.md"
    for kind in ("images", "masks"):
        (tmp_path / "my_data" / kind).mkdir(parents=True)
    for index in range(20):
        image, mask, _ = scene(9, index, 40)
        Image.fromarray(image).save(tmp_path / f"my_data/images/{index:04}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"my_data/masks/{index:04}.png")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "profiles").mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (profile,) = blocks(page, "yaml")
    name = re.search(r"profiles/\S+\.yaml", profile)[0]
    (tmp_path / name).write_text(profile)
    commands = "\n".join(["set -e", *blocks(page, "bash")])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "split: MyData random: train" in done.stdout
    assert (tmp_path / "studies/mine/data/MyData/sanitation.json").is_file()
    assert '"seen_in_training": 0' in done.stdout
