"""``python -m pipeline``: one verb a stage, and a few to look around. Stages are imported when they run."""

import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from datransnet.exits import in_any_locale, run_command

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


def _run(module: str, debug: bool, function: str = "main", **options: object) -> None:
    def command() -> None:
        from pipeline.support.parent import end_with_parent, run_own_code
        from pipeline.support.paths import Study

        study = Study.here()
        run_own_code(study)
        end_with_parent()
        if module.removeprefix("pipeline.") in STAGES:
            from pipeline.support.outputs import check_outputs

            check_outputs(study)  # also where a stage is not started by DVC
        getattr(import_module(module), function)(study, **options)

    raise typer.Exit(run_command(command, debug))


def _add_stage(name: str, text: str) -> None:
    @app.command(name, help=text)
    def stage(quiet: Quiet = False, debug: Debug = False) -> None:
        if quiet:
            from pipeline.support.console import be_quiet

            be_quiet()
        _run(f"pipeline.{name}", debug)


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
    _run("pipeline.support.inspection", debug, "validate", schema=schema)


@app.command()
def status(debug: Debug = False) -> None:
    """List the runs: key, what, state, reason."""
    _run("pipeline.support.inspection", debug, "status")


@app.command()
def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Keys of finished runs, or unique beginnings; the first is the reference.")
    ],
    debug: Debug = False,
) -> None:
    """Compare runs: differing parameters, data and environment, test metrics with intervals; prints Markdown."""
    _run("pipeline.support.comparison", debug, runs=runs)


@app.command()
def sync(debug: Debug = False) -> None:
    """Send MLflow what it could not be sent before."""
    _run("pipeline.support.inspection", debug, "sync")


@app.command()
def clean(debug: Debug = False) -> None:
    """Remove runs that did not finish; finished ones stay."""
    _run("pipeline.support.inspection", debug, "clean")


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="A file of profiles/, without its ending.")], debug: Debug = False
) -> None:
    """Make studies/NAME from params.yaml and profiles/NAME.yaml."""
    _run("pipeline.support.profiles", debug, "write_study", name=name)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of 127.0.0.1, where the UI will be.")] = 5000,
    debug: Debug = False,
) -> None:
    """Compare runs in the MLflow UI."""
    _run("pipeline.support.ui", debug, port=port)


@app.command()
def where(debug: Debug = False) -> None:
    """Say where the report, the MLflow UI and the best model are."""
    _run("pipeline.support.inspection", debug, "where")


def _with_docstrings() -> None:
    """Start again, as the same process, where PYTHONOPTIMIZE=2 left docstrings out: Ray cannot be imported without."""
    if sys.flags.optimize > 1 and os.environ.get("PYTHONOPTIMIZE") != "1":
        os.environ["PYTHONOPTIMIZE"] = "1"
        os.execv(sys.executable, [sys.executable, *(word for word in sys.orig_argv[1:] if word != "-OO")])


if __name__ == "__main__":
    _with_docstrings()
    in_any_locale()
    app(prog_name="python -m pipeline")
