"""Draw the validation IoU of trainings by ``python -m datransnet fit``, epoch by epoch, one line a network.

``python docs/networks_curve.py FOLDER`` reads every training below FOLDER, also those that have not ended, and writes
docs/results/basicirstd-recipe.{md,svg,csv}.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from datransnet.atomic import write_text
from datransnet.commands.fit import CHECKPOINT
from datransnet.engine.checkpoint import load_checkpoint

OUT = Path(__file__).parent / "results"
NAME = "basicirstd-recipe"


def histories(folder: Path) -> pd.DataFrame:
    """Every epoch of every training: network, epoch, loss, IoU, Pd, Fa and seconds."""
    frames = []
    for plan in sorted(folder.glob("*/training.json")):
        state = load_checkpoint(plan.with_name(CHECKPOINT))
        if state:
            name = json.loads(plan.read_text(encoding="utf-8"))["model"]["name"]
            frames.append(pd.DataFrame(state["history"]).assign(network=name))
    columns = ["network", "epoch", "loss", "val_iou", "val_pd", "val_fa", "seconds"]
    return pd.concat(frames)[columns].astype({"epoch": int})


def draw(frame: pd.DataFrame) -> None:
    """One line a network, over epochs and over hours."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for name, rows in frame.groupby("network"):
        left.plot(rows["epoch"], rows["val_iou"], label=name)
        right.plot(rows["seconds"].cumsum() / 3600, rows["val_iou"], label=name)
    left.set(xlabel="epoch", ylabel="IoU on the validation part", ylim=(0, 1), title="NUDT-SIRST 50_50, 256²")
    right.set(xlabel="hours on one core", title="the same over time")
    left.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(OUT / f"{NAME}.svg", metadata={"Date": None})


def page(frame: pd.DataFrame) -> str:
    """The last and the best epoch of each network, with how it was measured."""
    rows = [
        {
            "network": name,
            "epochs": int(each["epoch"].max()),
            "hours on one core": f"{each['seconds'].sum() / 3600:.2f}",
            "IoU at the last": f"{each['val_iou'].iloc[-1]:.4f}",
            "best IoU": f"{each['val_iou'].max():.4f}",
            "Pd at the last": f"{each['val_pd'].iloc[-1]:.4f}",
            "Fa at the last (1e-6)": f"{1e6 * each['val_fa'].iloc[-1]:.1f}",
        }
        for name, each in frame.groupby("network")
    ]
    return "\n\n".join(
        [
            "# Four cheap networks in BasicIRSTD's recipe",
            "Validation IoU on NUDT-SIRST `50_50` (a fifth of the training part, near duplicates together), after "
            "as many of the recipe's 400 epochs as two cores gave: windows of 256², batches of 16, Adam, soft IoU, "
            "images normalised by the training part's statistics. One seed (42) each. Hours are those of the clock, "
            "one thread a training on an AMD EPYC, other work beside it at times: an idle machine comes further.",
            pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True),
            f"![Validation IoU over epochs and hours]({NAME}.svg)",
            f"Every epoch is in [{NAME}.csv]({NAME}.csv). Command, in the folder of profile `nudt`:",
            "```bash\npython -m datransnet fit data/.split/NUDT-SIRST --out OUT --model acm --epochs 400 \\\n"
            "  --batch-size 16 --lr 5e-4 --schedule multistep --loss soft_iou --view crop --size 256 "
            "--target-share 0.5 --augment --normalise dataset\n```\n",
        ]
    )


if __name__ == "__main__":
    frame = histories(Path(sys.argv[1]))
    draw(frame)
    with (OUT / f"{NAME}.csv").open("w", encoding="utf-8") as file:
        frame.round(6).to_csv(file, index=False)
    write_text(OUT / f"{NAME}.md", page(frame))
    print(frame.groupby("network")[["epoch", "val_iou"]].max())
