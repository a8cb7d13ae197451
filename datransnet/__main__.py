"""``python -m datransnet``: train, score, run, export and look at a network, with PyTorch alone."""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

from datransnet.engine.recipe import Recipe
from datransnet.errors import ParameterError
from datransnet.exits import as_command, in_any_locale

if TYPE_CHECKING:
    from datransnet.weights import Foreign

app = typer.Typer(
    help="Train, score, run, export and look at networks for infrared small targets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Weights = Annotated[Path, typer.Option(help="models/best of a study, the OUT of fit, or a published .pth.tar.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1 …")]
Published = Annotated[str, typer.Option("--model", help="The network that a published .pth.tar is of.")]
Size = Annotated[int, typer.Option(min=32, help="Size that a published .pth.tar was trained at.")]
Normalise = Annotated[
    str | None,
    typer.Option(help="MEAN,STD that a published .pth.tar had subtracted from images (of 0 … 255), and divided by."),
]
MaskAbove = Annotated[
    int,
    typer.Option(min=0, max=254, help="Mask pixels with a level above this (of 255) are target; 0: all but black."),
]
LEVELS = "Which stored values become black and white: full, minmax, percentile, or LOW,HIGH (for thermal counts)."
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


def _foreign(model: str, image_size: int, normalise: str | None) -> "Foreign":
    """What three options say of a published checkpoint.

    Raises:
        ParameterError: if ``normalise`` is no mean and deviation.
    """
    from datransnet.weights import Foreign

    if normalise is None:
        return Foreign(model, image_size)
    try:
        mean, std = map(float, normalise.split(","))
    except ValueError:
        mean, std = 0.0, 0.0
    if not (0 < std <= 255 and 0 <= mean <= 255):
        raise ParameterError(
            f"--normalise {normalise} must be a mean and a deviation in 0 … 255, such as 101.06,34.62."
        )
    return Foreign(model, image_size, mean, std)


def _explained() -> dict[str, str]:
    """What the docstrings of the recipe, and of the batch recipe that it extends, say of each hyperparameter.

    Under PYTHONOPTIMIZE=2 there are no docstrings: nothing.
    """
    docs = "\n".join(inspect.getdoc(kind) or "" for kind in reversed(Recipe.__mro__[:-1]))
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", docs, re.MULTILINE)
    texts = {name: " ".join(text.split()).replace("``", "") for name, text in found}
    return {name: text[0].upper() + text[1:] for name, text in texts.items()}


def _option(hint: Any, text: str) -> Any:
    """A hyperparameter's type with its bounds and explanation, as an option of a command."""
    kind, *bounds = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    limits = {}
    for bound in bounds:
        for name, key in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if hasattr(bound, name):
                limits[key] = getattr(bound, name)
    excluded = {getattr(bound, name) for bound in bounds for name in ("gt", "lt") if hasattr(bound, name)}

    def check(value: Any) -> Any:
        if value in excluded:
            raise typer.BadParameter(f"{value} itself is out of range.")
        return value

    return Annotated[kind, typer.Option(callback=check, help=text, **limits)]


def _with_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes ``**recipe`` one option for each hyperparameter, with its bounds and default."""
    hints, texts = get_type_hints(Recipe, include_extras=True), _explained()
    kept = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    added = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=f.default,
            annotation=_option(hints[f.name], texts.get(f.name, "")),
        )
        for f in fields(Recipe)
    ]
    command.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    command.__annotations__ |= {parameter.name: parameter.annotation for parameter in added}
    return command


@app.command()
@_with_recipe
def fit(
    data: Annotated[Path, typer.Argument(help="Folder with images/ and masks/, or with trainval/ and test/.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, card, history and checkpoint.")],
    model: Annotated[str, typer.Option(help="Name of the network.")] = "datransnet",
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", "-a", help="Argument of the network, as name=value: -a width=8."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initial weights, order and augmentation.")] = 42,
    share: Annotated[
        float, typer.Option(min=0.05, max=0.5, help="Share of images for validation, if DATA has no validation part.")
    ] = 0.2,
    mask_above: MaskAbove = 127,
    levels: Annotated[str, typer.Option(help=LEVELS)] = "full",
    device: Device = "cpu",
    debug: Debug = False,
    **recipe: Any,
) -> None:
    """Train a network.

    The same command goes on where it was stopped.
    """
    with as_command(debug):
        from datransnet.commands.fit import fit_command

        fit_command(data, out, model, argument or [], Recipe(**recipe), seed, share, mask_above, levels, device)


@app.command()
def evaluate(
    data: Annotated[
        Path | None, typer.Argument(help="Folder with images/ and masks/, or with trainval/ and test/.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A folder with weights.safetensors, or a .pth.tar.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Instead of a network: a method without training (datransnet/classical).")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Instead of a network: a folder of anyone's score maps (png, npy, mat).")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="The masks of --scores.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out masks without a score map, and count them.")
    ] = False,
    ids: Annotated[
        Path | None, typer.Option(help="A list of the images of --scores to score; all if not given.")
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="The maps of --scores hold logits.")] = False,
    mismatch: Annotated[
        str | None,
        typer.Option(
            help="Masks whose size is not their score map's: exclude them, resize_mask, or resize_mask_by_corners, as "
            "OpenCV does. Refused if not given."
        ),
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Part of a split dataset: train, val, or test (the default).")
    ] = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(help="Metric definition (datransnet/metrics/conventions.py); may be repeated, all if not given."),
    ] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Scores above it are targets.")] = 0.5,
    curves: Annotated[Path | None, typer.Option(help="CSV file for ROC, precision-recall and Pd-Fa curves.")] = None,
    model: Published = "datransnet",
    image_size: Size = 256,
    normalise: Normalise = None,
    mask_above: MaskAbove = 127,
    device: Device = "cpu",
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Score also where images were seen in training, and count them.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Score a network or a method on images with masks, or anyone's score maps on their masks; prints JSON."""
    conventions = tuple(convention or ())
    with as_command(debug):
        from datransnet.commands.evaluate import classical_command, evaluate_command, score_command

        if method is not None and data is not None and (weights, scores, masks) == (None, None, None):
            classical_command(data, method, part, conventions, threshold, curves, mask_above)
            return
        if scores is not None and masks is not None and (data, weights, method) == (None, None, None):
            how = (allow_missing, mask_above, ids, logits, mismatch)
            score_command(scores, masks, conventions, threshold, curves, *how)
            return
        if data is None or weights is None or (scores, masks, method) != (None, None, None):
            raise ParameterError("Give either DATA and --weights, or --scores and --masks, or DATA and --method.")
        foreign = _foreign(model, image_size, normalise)
        evaluate_command(data, weights, part, conventions, threshold, curves, foreign, mask_above, device, allow_leak)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files of any size, or folders of them.")],
    weights: Weights,
    out: Annotated[Path, typer.Option(help="Folder for score maps, overlays and detections.csv.")],
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Scores above it are targets.")] = 0.5,
    model: Published = "datransnet",
    image_size: Size = 256,
    normalise: Normalise = None,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Write score maps, overlays and a table of detections."""
    with as_command(debug):
        from datransnet.commands.predict import predict_command

        predict_command(images, weights, out, threshold, _foreign(model, image_size, normalise), device)


@app.command()
def export(
    weights: Weights,
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    height: Annotated[int, typer.Option(min=1, help="Size of the images it will take, in pixels.")] = 256,
    width: Annotated[int, typer.Option(min=1, help="Size of the images it will take, in pixels.")] = 256,
    model: Published = "datransnet",
    image_size: Size = 256,
    normalise: Normalise = None,
    debug: Debug = False,
) -> None:
    """Write ONNX (any batch, one size) and compare its logits with PyTorch's."""
    with as_command(debug):
        from datransnet.engine.export import export_onnx
        from datransnet.weights import learnt_levels, load_weights

        levels = learnt_levels(weights)
        difference = export_onnx(
            load_weights(weights, _foreign(model, image_size, normalise))[0], out, height, width, levels
        )
        print(f"{out}: logits within {difference:.1e} of PyTorch's.")
        if levels != "full":
            print(f"It takes images whose values were scaled to 0 … 1 by levels {levels}, as in training.")


@app.command()
def info(
    model: Annotated[str, typer.Option(help="Name of the network.")] = "datransnet",
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", "-a", help="Argument of the network, as name=value: -a width=8."),
    ] = None,
    height: Annotated[int, typer.Option(min=1, help="Size of the image whose operations count, in pixels.")] = 256,
    width: Annotated[int, typer.Option(min=1, help="Size of the image whose operations count, in pixels.")] = 256,
    every: Annotated[bool, typer.Option("--all", help="A table of all networks instead.")] = False,
    debug: Debug = False,
) -> None:
    """Print a network's layers, live and dead parameters, operations and size; or a table of all networks."""
    with as_command(debug):
        from datransnet.commands.info import all_command, info_command

        if every:
            all_command(height, width)
        else:
            info_command(model, argument or [], height, width)


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="One of the datasets, by any of its names; all if none.")] = None,
    debug: Debug = False,
) -> None:
    """List the published datasets: splits, sources, known faults, terms, and how to cite them."""
    with as_command(debug):
        from datransnet.commands.data import data_command

        data_command(name)


def main() -> None:
    """The command ``datransnet``, and ``python -m datransnet``."""
    in_any_locale()
    app(prog_name="datransnet" if sys.argv[0].endswith("datransnet") else "python -m datransnet")


if __name__ == "__main__":
    main()
