"""``python -m pipeline``: one verb a stage, and a few to look around. Stages are imported when they run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from datransnet.exits import as_command, in_any_locale
from pipeline.study.process import end_with_parent, run_own_code, with_docstrings

if TYPE_CHECKING:  # it imports pydantic
    from pipeline.study.study import Study

app = typer.Typer(
    help="The stages of the study in the working directory, and commands to look at it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

STAGES = {
    "check": "See that nothing of yours lies where the study writes.",
    "fetch": "Fetch or generate the dataset.",
    "split": "Split it into train, validation and test parts.",
    "tune": "Search hyperparameters with Ray Tune and Optuna.",
    "train": "Train the winner on all seeds.",
    "ablate": "Train variants of the winner.",
    "evaluate": "Score all runs on the test part.",
    "report": "Render tables, figures and the report.",
}

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress: only how the stage ended.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


@contextmanager
def _studying(debug: bool) -> Iterator["Study"]:
    """The study of the working directory, for a block that is run as a command."""
    with as_command(debug):
        from pipeline.study.study import Study

        study = Study.here()
        run_own_code(study.project, study.home, Path(__file__).resolve().parents[1])
        end_with_parent()
        yield study


def _add_stage(name: str, text: str) -> None:
    @app.command(name, help=text)
    def stage(quiet: Quiet = False, debug: Debug = False) -> None:
        if quiet:
            from pipeline.console import be_quiet

            be_quiet()
        with _studying(debug) as study:
            from pipeline.study.outputs import check_outputs

            check_outputs(study)  # also where a stage is not started by DVC
            main_of(name)(study)


def main_of(stage: str) -> Callable[["Study"], None]:
    """A stage's function. Each is imported where it is run: `tune`, for one, imports Ray."""
    main: Callable[[Study], None] = import_module(f"pipeline.{stage}").main
    return main


for _name, _text in STAGES.items():
    _add_stage(_name, _text)


@app.command()
def validate(
    schema: Annotated[
        bool, typer.Option("--schema", help="Keys, types and ranges only; do not build networks.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Check params.yaml and say everything that is wrong with it."""
    with _studying(debug) as study:
        from pipeline.commands.validate import validate

        validate(study, schema)


@app.command()
def status(debug: Debug = False) -> None:
    """List the runs: key, state, epochs, best validation IoU, what was trained, and why a run failed."""
    with _studying(debug) as study:
        from pipeline.commands.status import status

        status(study)


@app.command()
def plan(debug: Debug = False) -> None:
    """List what a study still has to train."""
    with _studying(debug) as study:
        from pipeline.commands.plan import plan

        plan(study)


@app.command()
def work(
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop between two epochs before these are over; else at the end.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Train what a study lacks, without a stage: any number of these may share the work."""
    with _studying(debug) as study:
        from pipeline.commands.work import work

        work(study, minutes)


@app.command()
def pack(
    out: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    size: Annotated[float | None, typer.Option(min=0, help="Largest size of a part, in MiB.")] = None,
    debug: Debug = False,
) -> None:
    """Pack what a study lacks, with all that training it needs, for a machine that shares nothing."""
    with _studying(debug) as study:
        from pipeline.commands.pack import pack

        pack(study, out, size)


@app.command()
def unpack(
    folder: Annotated[Path, typer.Argument(help="Where the packed list was worked on, or its runs.")],
    debug: Debug = False,
) -> None:
    """Take over what was trained elsewhere from a packed list."""
    with _studying(debug) as study:
        from pipeline.commands.unpack import unpack

        unpack(study, folder)


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Keys of finished runs, or unique beginnings; the first is the reference.")
    ],
    debug: Debug = False,
) -> None:
    """Compare runs: differing parameters, data and environment, test metrics with intervals; prints Markdown."""
    with _studying(debug) as study:
        from pipeline.commands.compare import compare_runs

        compare_runs(study, runs)


@app.command()
def power(
    difference: Annotated[
        float | None, typer.Option("--difference", help="Points of IoU: how many trainings tell them?")
    ] = None,
    debug: Debug = False,
) -> None:
    """Say what more trainings could tell, and what they would cost; prints Markdown."""
    with _studying(debug) as study:
        from pipeline.commands.power import show_power

        show_power(study, difference)


@app.command()
def transfer(
    studies: Annotated[list[Path], typer.Argument(help="Folders of finished studies, at least two.")],
    out: Annotated[Path | None, typer.Option(help="A folder for the tables as CSV, Markdown and LaTeX.")] = None,
    debug: Debug = False,
) -> None:
    """Score the winners of studies on each other's test parts; prints Markdown."""
    with as_command(debug):
        from pipeline.commands.transfer import show_transfer

        show_transfer(studies, out)


@app.command()
def leaderboard(
    studies: Annotated[list[Path], typer.Argument(help="Folders of finished studies.")],
    out: Annotated[Path | None, typer.Option(help="A folder for the page, the figure and the tables.")] = None,
    debug: Debug = False,
) -> None:
    """Put finished studies into one table: networks, datasets, places with what is left open, cost; prints Markdown."""
    with as_command(debug):
        from pipeline.commands.leaderboard import show_leaderboard

        show_leaderboard(studies, out)


@app.command()
def submit(
    name: Annotated[str, typer.Option(help="What the leaderboard calls it.")],
    study: Annotated[Path, typer.Argument(help="Folder of the study, whose data are split.")] = Path(),
    scores: Annotated[list[Path] | None, typer.Option(help="A folder of score maps; once for each training.")] = None,
    weights: Annotated[list[Path] | None, typer.Option(help="A file of weights; once for each training.")] = None,
    by: Annotated[str, typer.Option(help="Who submits it.")] = "",
    source: Annotated[str, typer.Option(help="Address of where it can be had.")] = "",
    selected_on: Annotated[
        Literal["validation", "test", "unknown"], typer.Option(help="What chose the weights.")
    ] = "unknown",
    model: Annotated[str, typer.Option(help="Network of a published checkpoint.")] = "datransnet",
    image_size: Annotated[int, typer.Option(min=1, help="Size it was trained at, in pixels.")] = 256,
    mean: Annotated[float, typer.Option(help="What is subtracted from its images, of 0 … 255.")] = 0.0,
    std: Annotated[float, typer.Option(help="What they are divided by.")] = 255.0,
    debug: Debug = False,
) -> None:
    """Enter somebody else's score maps or weights into a study's leaderboard."""
    with as_command(debug):
        from datransnet.weights import Foreign
        from pipeline.commands.submit import submit
        from pipeline.scoring.submission import Origin

        origin = Origin(name, by, source, selected_on)
        submit(study, origin, scores or [], weights or [], Foreign(model, image_size, mean, std))


@app.command()
def verify(
    study: Annotated[Path, typer.Argument(help="Folder of a finished study, or of an exported one.")] = Path(),
    predict: Annotated[
        bool, typer.Option("--predict", help="Also predict one test image of each run again, from its weights.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Check a study as a stranger: files, data, runs, and every number again from stored scores."""
    with as_command(debug):
        from pipeline.commands.verify import verify_study

        verify_study(study, predict)


@app.command()
def export(
    study: Annotated[Path, typer.Argument(help="Folder of a finished study.")],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
    licence: Annotated[str, typer.Option(help="Address of the licence under which you give it away.")],
    images: Annotated[bool, typer.Option("--images", help="With the split images, if their terms allow it.")] = False,
    debug: Debug = False,
) -> None:
    """Write a finished study as a folder to publish, with metadata as RO-Crate and Croissant."""
    with as_command(debug):
        from pipeline.commands.export import export_study

        export_study(study, out, images, licence)


@app.command()
def sync(debug: Debug = False) -> None:
    """Send MLflow what it could not be sent before."""
    with _studying(debug) as study:
        from pipeline.commands.sync import sync

        sync(study)


@app.command()
def clean(debug: Debug = False) -> None:
    """Remove runs that did not finish; finished ones stay."""
    with _studying(debug) as study:
        from pipeline.commands.clean import clean

        clean(study)


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="A file of profiles/, without its ending.")], debug: Debug = False
) -> None:
    """Make studies/NAME from params.yaml and profiles/NAME.yaml."""
    with _studying(debug) as study:
        from pipeline.commands.profile import write_study

        write_study(study, name)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of 127.0.0.1 where the UI will be.")] = 5000,
    search: Annotated[bool, typer.Option("--search", help="Optuna's dashboard of the searches instead.")] = False,
    debug: Debug = False,
) -> None:
    """Compare runs in the MLflow UI, or look at searches in Optuna's dashboard."""
    with _studying(debug) as study:
        from pipeline.commands.ui import serve_searches, serve_ui

        (serve_searches if search else serve_ui)(study, port)


@app.command()
def where(debug: Debug = False) -> None:
    """Say where the report, the MLflow UI and the best model are."""
    with _studying(debug) as study:
        from pipeline.commands.where import where

        where(study)


def main() -> None:
    """The command ``datransnet-study``, and ``python -m pipeline``."""
    with_docstrings()
    in_any_locale()
    app(prog_name="datransnet-study" if sys.argv[0].endswith("datransnet-study") else "python -m pipeline")


if __name__ == "__main__":
    main()
