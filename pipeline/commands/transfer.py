"""``python -m pipeline transfer``: the winners of finished studies on each other's test parts."""

from collections.abc import Sequence
from pathlib import Path

from datransnet.atomic import atomic_path, write_text
from datransnet.errors import ParameterError
from pipeline.console import say
from pipeline.reporting.page import page
from pipeline.reporting.transfer_table import transfer_tables
from pipeline.scoring.transfer import transfer
from pipeline.study.study import Study


def show_transfer(folders: Sequence[Path], out: Path | None) -> None:
    """Print Markdown, and write the same tables where asked.

    Args:
        folders: of the studies.
        out: where the page, CSV, Markdown and LaTeX go, or None.

    Raises:
        ParameterError: if a folder is no study, or as `transfer` says.
        DataError: as `transfer` says.
    """
    for folder in folders:
        if not (folder / "params.yaml").is_file():
            raise ParameterError(f"{folder} is no study: it has no params.yaml. `make repro PROFILE=NAME` makes one.")
    found = transfer([Study(folder.resolve()) for folder in folders], lambda what: say(f"transfer: {what}"))
    tables = transfer_tables(found)
    for table in tables[:-1]:
        say(table.markdown)
    if out is not None:
        with atomic_path(out) as partial:
            for table in tables:
                table.write(partial)
            names = list(dict.fromkeys(each.trained_on for each in found))
            write_text(partial / "transfer.html", page("transfer.html", studies=names, shown=tables))
        say(f"All of it: {out}/transfer.html")
