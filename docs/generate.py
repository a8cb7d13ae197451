"""Write what is generated in the documentation: the reference pages, and the results in the README.

``make docs`` writes from the working tree; ``python docs/generate.py --check`` only says what is stale, with exit code
1. It holds the README's results against the tables as git's index has both: a study that somebody has just run changes
its tables in the working tree, by rounding at least, and makes no committed page stale.
"""

import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from inspect import formatannotation
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MODULES = (
    "datransnet",
    "datransnet.classical",
    "datransnet.models.official",
    "datransnet.metrics",
    "datransnet.weights",
    "datransnet.engine.fit",
)
BEGIN, END = "<!-- results: written by make docs -->\n", "<!-- end of results -->\n"
BOARD_BEGIN, BOARD_END = "<!-- benchmark: written by make docs -->\n", "<!-- end of benchmark -->\n"
BOARD = "docs/results/benchmark/leaderboard.md"
"""The committed benchmark's table of all datasets, which is on the README's first screen."""


def models_in(annotation: object) -> list[type[BaseModel]]:
    """Sections that a field's type speaks of."""
    if inspect.isclass(annotation) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def kind(annotation: object) -> str:
    """A type as a person reads it."""
    if get_origin(annotation) is Annotated:
        return kind(get_args(annotation)[0])
    if get_origin(annotation) in (dict, list):
        return f"{get_origin(annotation).__name__}[{', '.join(map(kind, get_args(annotation)))}]"
    text = re.sub(
        r"\b(?:typing|pydantic\.types|datransnet(?:\.\w+)*|pipeline(?:\.\w+)*)\.", "", formatannotation(annotation)
    )
    return text.replace("|", "or")


def bounds(metadata: list[object]) -> str:
    """Bounds of a field."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(item, name)}" for item in metadata for name, sign in signs.items() if hasattr(item, name)
    ]
    return ", ".join(found)


def params_page() -> str:
    """``docs/reference/params.md``."""
    from datransnet.data.batch_recipe import BatchRecipe
    from datransnet.engine.recipe import Recipe
    from pipeline.study.params import Params

    lines = [
        "# params.yaml",
        "",
        "`python -m pipeline validate` checks all of this. Written from the code by `make docs`.",
    ]
    queue, seen = [("", Params)], set()
    while queue:
        path, model = queue.pop(0)
        if model in seen:
            continue
        seen.add(model)
        lines += ["", f"## {path or 'Top level'}", "", inspect.getdoc(model) or "", ""]
        lines += ["| key | type | bounds | default |", "|---|---|---|---|"]
        for name, field in model.model_fields.items():
            usual = field.get_default(call_default_factory=True, validated_data={})
            default = "required" if usual is PydanticUndefined else f"`{usual!r}`"
            if isinstance(usual, BaseModel):
                default = "see there"
            lines.append(f"| `{name}` | {kind(field.annotation)} | {bounds(field.metadata)} | {default} |")
            queue += [(f"{path}.{name}".strip("."), inner) for inner in models_in(field.annotation)]
    lines += [
        "",
        "## recipe",
        "",
        "```text",
        inspect.getdoc(Recipe) or "",
        "",
        inspect.getdoc(BatchRecipe) or "",
        "```",
        "",
        "| key | default |",
        "|---|---|",
    ]
    lines += [f"| `{field.name}` | `{field.default!r}` |" for field in dataclasses.fields(Recipe)]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """``docs/reference/commands.md``."""
    lines = [
        "# Commands",
        "",
        "Written from the code by `make docs`. Exit codes: 0 done; 1 something failed; 2 bad parameters or",
    ]
    lines += ["arguments; 3 bad or missing data; 130 interrupted."]
    for package in ("pipeline", "datransnet"):
        group = typer.main.get_command(importlib.import_module(f"{package}.__main__").app)
        lines += ["", f"## python -m {package}", "", group.help or ""]
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            lines += [
                "",
                f"### {name}",
                "",
                (command.help or "").strip(),
                "",
                "| option | | default |",
                "|---|---|---|",
            ]
            for option in command.params:
                shown = ", ".join([*option.opts, *option.secondary_opts])
                default = "required" if option.required else f"`{option.default}`"
                lines.append(f"| `{shown}` | {getattr(option, 'help', None) or ''} | {default} |")
    return "\n".join(lines) + "\n"


def dataclasses_in(annotation: object) -> list[type]:
    """Dataclasses that a field's type speaks of."""
    if inspect.isclass(annotation) and get_origin(annotation) is None and dataclasses.is_dataclass(annotation):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in dataclasses_in(part)]


def explained(kind_: type) -> tuple[str, dict[str, str]]:
    """What a dataclass's docstring says of it, and of each of its attributes."""
    about, _, rest = (inspect.getdoc(kind_) or "").partition("\nAttributes:\n")
    lines = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", rest, re.MULTILINE)
    return about.strip(), {name: " ".join(text.split()) for name, text in lines}


def results_page() -> str:
    """``docs/reference/results.md``."""
    from datransnet.engine.recipe import Recipe
    from datransnet.metrics import Score
    from pipeline.runs.trained import TrainedRuns
    from pipeline.scoring.costs import Costs
    from pipeline.scoring.evaluation import StudyEvaluation
    from pipeline.study.handover import Searches

    lines = [
        "# results/",
        "",
        "What stages hand to each other; written from the code by `make docs`. Every file has `schema: 1`.",
        "",
        "```python",
        "from pathlib import Path",
        "from pipeline.study.handover import Searches, read_result",
        "",
        'searches = read_result(Path("results/tune.json"), Searches, "tune")',
        "```",
    ]
    queue: list[tuple[str, type]] = [("", kind_) for kind_ in (Searches, TrainedRuns, StudyEvaluation, Costs)]
    seen: set[type] = {Recipe}  # params.md has it
    while queue:
        level, kind_ = queue.pop(0)
        if kind_ in seen:
            continue
        seen.add(kind_)
        about, attributes = explained(kind_)
        lines += ["", f"##{level} {kind_.__name__}", "", about, "", "| key | type | |", "|---|---|---|"]
        inner: list[tuple[str, type]] = []
        for name, annotation in get_type_hints(kind_).items():
            if name in {field.name for field in dataclasses.fields(kind_)}:
                lines.append(f"| `{name}` | {kind(annotation)} | {attributes[name]} |")
                inner += [("#", found) for found in dataclasses_in(annotation)]
        queue = inner + queue
    assert Score in seen
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """``docs/reference/python.md``."""
    lines = ["# Python", "", "The public names of the library, written from their docstrings by `make docs`."]
    for name in MODULES:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None) or [
            key for key, value in vars(module).items() if getattr(value, "__module__", "") == name and key[0] != "_"
        ]
        lines += ["", f"## {name}", "", inspect.getdoc(module) or ""]
        for key in sorted(public, key=str.lower):
            value = getattr(module, key)
            if not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            lines += ["", f"### {key}", "", "```python", f"{key}{signature(value)}", "```", ""]
            lines += ["```text", inspect.getdoc(value) or "", "```"]
    return "\n".join(lines) + "\n"


def signature(value: object) -> str:
    """A signature without defaults that print an address."""
    try:
        return str(inspect.signature(value))  # type: ignore[arg-type]
    except ValueError:
        return "(…)"


def in_tree(name: str) -> str:
    """A file of the working tree; empty where there is none."""
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def in_index(name: str) -> str:
    """A file as git's index has it; empty where it has none, where this is no repository, and where there is no git."""
    command = ["git", "-C", str(ROOT), "show", f":./{name}"]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


STUDIES = {
    "default, synthetic": "reports",
    "SIRST `idx_427`, width 8, CPU": "studies/sirst/reports",
    "NUDT-SIRST `50_50`, width 8, CPU": "studies/nudt/reports",
    "IRSTD-1K `800_201`, width 8, CPU": "studies/irstd1k/reports",
}
"""Studies whose results the README shows, by title."""


def board_rows(text: str) -> str:
    """The rows of a table in Markdown, without the spaces that line up its columns."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rows[1] = ["---"] * len(rows[0])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def readme_page(read: Callable[[str], str]) -> str:
    """The README with the benchmark, and each study's results under its first convention, as ``read`` reads them."""
    page = read("README.md")
    if board := read(BOARD):
        before, rest = page.split(BOARD_BEGIN)
        page = before + BOARD_BEGIN + board_rows(board) + BOARD_END + rest.split(BOARD_END)[1]
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    rows = ["| study | convention | seeds | IoU (%) | nIoU (%) | Pd (%) | Fa (1e-6) |", "|---|---|---|---|---|---|---|"]
    for title, folder in STUDIES.items():
        first = ""
        for line in read(f"{folder}/tables/main.md").splitlines():
            if not line.startswith("| DATransNet"):
                continue
            model, convention, seeds, iou, niou, _, pd, fa, *_ = (cell.strip() for cell in line.strip("| ").split("|"))
            first = first or convention
            if convention == first:
                told = title + model.removeprefix("DATransNet")
                rows.append(f"| [{told}]({folder}/tables) | {convention} | {seeds} | {iou} | {niou} | {pd} | {fa} |")
    return before + BEGIN + "\n".join(rows) + "\n" + END + after


def networks_page() -> str:
    """``docs/reference/networks.md``."""
    import torch

    from datransnet.classical import METHODS
    from datransnet.engine.cost import parameters_of
    from datransnet.models import MODELS, create_model, list_models

    measured = json.loads((ROOT / "benchmarks/results/networks.json").read_text(encoding="utf-8"))
    costs = {row["name"]: row for row in measured["networks"]}
    lines = [
        "# Networks",
        "",
        "`python -m datransnet info --all` prints this table with your machine's milliseconds; written by `make docs`.",
        "",
        "| name | network | paper | parameters | G multiply-adds | ms | licence of the original | printed IoU, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in list_models():
        about = MODELS[name].about
        with torch.device("meta"):
            parameters = parameters_of(create_model(name))
        printed = ", ".join(f"{dataset} {value:.1f}" for dataset, value in about.printed)
        paper = f"{about.paper}, {about.reference}"
        cost = costs[name]
        lines.append(
            f"| `{name}` | {about.title or name} | {paper} | {parameters:,} | {cost['multiply_adds'] / 1e9:.2f} | "
            f"{cost['forward_ms']:.0f} | {about.licence} | {f'{printed} ({about.source})' if printed else ''} |"
        )
    lines += [
        "",
        f"Multiply-adds and milliseconds of one image of {measured['size']}², {measured['threads']} threads of an "
        f"{measured['device']} (`{measured['command']}`).",
        "Each network but `unet` is held against outputs of a public copy in double precision. Where the original has",
        "no licence, nobody may copy it; these are written anew. Each printed table has its own rules: BasicIRSTD's",
        "numbers are of the last of 400 epochs, DRPCA-Net's and SCTransNet's of the best epoch on the test part. They",
        "are no ranking.",
        "",
        "A network that lies elsewhere is [external](../how-to/external-network.md).",
        "",
        "## Methods without training",
        "",
        "`python -m datransnet evaluate DATA --method NAME`; each image's map is scaled by its own maximum.",
        "",
        "| name | |",
        "|---|---|",
    ]
    for name in METHODS:
        first = (inspect.getdoc(METHODS[name]) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"| `{name}` | {first} |")
    return "\n".join(lines) + "\n"


PAGES = {
    "docs/reference/networks.md": networks_page,
    "docs/reference/params.md": params_page,
    "docs/reference/commands.md": commands_page,
    "docs/reference/python.md": python_page,
    "docs/reference/results.md": results_page,
}


def main() -> None:
    """Write the pages, or say which are stale."""
    texts = {name: page() for name, page in PAGES.items()}
    if "--check" not in sys.argv:
        for name, text in (texts | {"README.md": readme_page(in_tree)}).items():
            (ROOT / name).write_text(text, encoding="utf-8")
        return
    stale = [name for name, text in texts.items() if not (ROOT / name).exists() or in_tree(name) != text]
    if (readme := in_index("README.md")) and readme_page(in_index) != readme:
        stale.append("README.md")
    if stale:
        sys.exit(f"stale: {', '.join(stale)}. Run make docs, and commit README.md with the tables it shows.")


if __name__ == "__main__":
    main()
