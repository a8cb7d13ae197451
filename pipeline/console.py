"""What a person sees while a stage works: one live table on a terminal, plain lines otherwise."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from pipeline.study.status import Status

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PLAIN_INTERVAL = 20.0
"""Seconds between two plain progress lines."""

_quiet = False


def be_quiet() -> None:
    """Show no progress in this process, only how each stage ends."""
    global _quiet
    _quiet = True


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def duration(seconds: float) -> str:
    """Seconds for a person.

    >>> duration(42), duration(95), duration(7265)
    ('42 s', '1 min 35 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass(frozen=True)
class Row:
    """One run as the table shows it: its label, state, epochs done and planned, and best validation IoU so far."""

    name: str
    state: Status
    epoch: int
    epochs: int
    best_iou: float


class Progress:
    """Progress of a stage's runs; use as a context and call `update` as often as convenient."""

    def __init__(self, stage: str, total: int) -> None:
        self.stage, self.total = stage, total
        self.started = time.monotonic()
        self._seen: list[tuple[float, float]] = []  # when the share of done work was first looked at, and first grew
        self._last_line = self.started
        self._last_text = ""
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        if sys.stdout.isatty() and not _quiet:
            from rich.live import Live

            self._live = Live(refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, value, trace)

    def update(self, rows: Sequence[Row], use: str = "") -> None:
        """Show the runs as they stand, and what of the machines is in use."""
        if _quiet:
            return
        text = self._summary(rows) + (f"; {use}" if use else "")
        if self._live:
            self._live.update(self._table(rows, text))
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL and text != self._last_text:
            self._last_line, self._last_text = time.monotonic(), text
            say(text)

    def finish(self, rows: Sequence[Row]) -> None:
        """Say how the stage ended."""
        best = max(rows, key=lambda row: row.best_iou, default=None)
        states = ", ".join(
            f"{sum(row.state == state for row in rows)} {state}" for state in sorted({row.state for row in rows})
        )
        tail = f"; best validation IoU {best.best_iou:.4f} ({best.name})" if best else ""
        say(f"{self.stage}: {states or 'nothing to do'}{tail}; {duration(time.monotonic() - self.started)}")

    def _summary(self, rows: Sequence[Row]) -> str:
        share = sum(_share(row) for row in rows)
        ended = sum(row.state.ended for row in rows)
        best = max((row.best_iou for row in rows), default=0.0)
        pruned = sum(row.state is Status.PRUNED for row in rows)
        epochs = (f"{pruned} pruned, " if pruned else "") + f"{sum(row.epoch for row in rows)} epochs"
        text = f"{self.stage}: {ended}/{self.total} runs ended, {epochs}, best validation IoU {best:.4f}"
        return text + self._left(share)

    def _left(self, share: float) -> str:
        """How long the rest takes, of ``total`` runs of which ``share`` is done, at the speed since work first showed.

        What was done before this start, and the time until the first epoch, in which processes start, do not count.
        """
        moment = time.monotonic()
        if not self._seen or self._seen[0][1] == share:
            self._seen = [(moment, share)]
        elif len(self._seen) == 1:
            self._seen.append((moment, share))
        if len(self._seen) < 2 or share - self._seen[1][1] <= 0.2:
            return ""
        since, done = self._seen[1]
        return f", about {duration((moment - since) / (share - done) * (self.total - share))} left"

    def _table(self, rows: Sequence[Row], title: str) -> "Table":
        from rich.table import Table

        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in ("run", "state", "epoch", "best IoU"):
            table.add_column(column, justify="left" if column in ("run", "state") else "right")
        for row in [row for row in rows if row.state is Status.RUNNING] or rows[-4:]:
            table.add_row(row.name, row.state, f"{row.epoch}/{row.epochs}", f"{row.best_iou:.4f}")
        return table


def _share(row: Row) -> float:
    return 1.0 if row.state.ended else row.epoch / row.epochs
