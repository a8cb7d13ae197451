"""``python -m pipeline sync``: send MLflow what it could not be sent before."""

from datransnet.errors import DATransNetError
from pipeline.console import say
from pipeline.study.study import Study


def sync(study: Study) -> None:
    """Deliver to MLflow what stages could not.

    Raises:
        DATransNetError: if it still cannot be reached.
    """
    from pipeline.tracking.stage_run import sync
    from pipeline.tracking.tracker import Tracker

    tracker = Tracker.of(study)
    try:
        number = sync(tracker)
    except Exception as error:  # whatever the store raises
        raise DATransNetError(f"MLflow at {tracker.place} cannot be used: {error}. Start it and try again.") from error
    say(f"{number} stages sent to {tracker.place}.")
