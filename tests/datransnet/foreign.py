"""Two networks as strangers write them, each in a folder of its own with a module name that the other has, too."""

from pathlib import Path

LISTS = '''
import torch
from torch import nn
from utils import block  # a module of this folder, with the most common name there is


class Net(nn.Module):
    """Three channels, probabilities, a list of outputs with the best last, at half of the size."""

    def __init__(self, width):
        super().__init__()
        self.first = block(3, width)
        self.second = block(width, width)
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(2))

    def forward(self, x):
        if x.shape[-1] % 4 or x.shape[-2] % 4:
            raise ValueError("sizes must be multiples of 4")
        x = torch.max_pool2d(self.first(x), 2)
        return [torch.sigmoid(self.heads[0](x)), torch.sigmoid(self.heads[1](self.second(x)))]
'''

CLASSES = '''
import utils
from torch import nn


def build(depth=1, **ignored):
    """A function, not a class; logits of background and target, in a dictionary while it is trained."""
    return Segmenter(depth)


class Segmenter(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.body = nn.Sequential(*(utils.layer(1 if not number else 4, 4) for number in range(depth)))
        self.classify = nn.Conv2d(4, 2, 1)
        self.auxiliary = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x = self.body(x)
        logits = self.classify(x)
        return {"seg": logits, "aux": self.auxiliary(x)} if self.training else logits
'''


def write_lists(folder: Path) -> Path:
    """A checkout with ``net:Net``."""
    folder.mkdir(parents=True)
    (folder / "net.py").write_text(LISTS, encoding="utf-8")
    (folder / "utils.py").write_text(
        "from torch import nn\n\n\ndef block(a, b):\n"
        "    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())\n",
        encoding="utf-8",
    )
    return folder


def write_classes(folder: Path) -> Path:
    """A checkout with ``model.net:build``."""
    (folder / "model").mkdir(parents=True)
    (folder / "model/__init__.py").write_text("", encoding="utf-8")
    (folder / "model/net.py").write_text(CLASSES, encoding="utf-8")
    (folder / "utils.py").write_text(
        "from torch import nn\n\n\ndef layer(a, b):\n"
        "    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU())\n",
        encoding="utf-8",
    )
    return folder
