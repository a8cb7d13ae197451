"""Where a study's files are.

A study is a folder with a ``params.yaml``: the project's root is the default one, ``studies/<profile>/`` are others.
Its data, results and report lie in its folder. Runs and tracking lie in its *home*, the nearest folder above with a
``.dvc``, so that all studies of a project share finished runs and one MLflow.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.support.params import Params, read_params


@dataclass(frozen=True)
class Study:
    """The files of the study in ``folder`` (absolute)."""

    folder: Path

    @classmethod
    def here(cls) -> "Study":
        """The study of the working directory."""
        return cls(Path.cwd())

    @cached_property
    def params(self) -> Params:
        """Its parameters.

        Raises:
            ParameterError: if they hold mistakes.
        """
        return read_params(self.folder / "params.yaml")

    @cached_property
    def home(self) -> Path:
        """Where runs and tracking live."""
        candidates = (self.folder, *self.folder.parents)
        return next((folder for folder in candidates if (folder / ".dvc").is_dir()), self.folder)

    @property
    def raw(self) -> Path:
        """The dataset as fetched."""
        return self.folder / "data" / "raw" / self.params.data.dataset

    @property
    def data(self) -> Path:
        """The dataset as split."""
        return self.folder / "data" / self.params.data.dataset

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.home / "runs"

    @property
    def results(self) -> Path:
        """What stages hand to each other."""
        return self.folder / "results"

    @property
    def models(self) -> Path:
        """Weights."""
        return self.folder / "models"

    @property
    def reports(self) -> Path:
        """What people read."""
        return self.folder / "reports"
