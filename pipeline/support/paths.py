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
    """The files of the study in ``folder`` (absolute); ``gpus`` is the share of a GPU that was measured."""

    folder: Path
    gpus: float | None = None

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
        params = read_params(self.folder / "params.yaml")
        if self.gpus is None:
            return params
        return params.model_copy(update={"resources": params.resources.model_copy(update={"gpus": self.gpus})})

    @cached_property
    def home(self) -> Path:
        """Where runs and tracking live."""
        candidates = (self.folder, *self.folder.parents)
        return next((folder for folder in candidates if (folder / ".dvc").is_dir()), self.folder)

    def named(self, path: str) -> Path:
        """A path as the parameters name it: absolute, from the user's home folder, or from the project's root."""
        return self.home / Path(path).expanduser()

    @property
    def raw(self) -> Path:
        """The dataset as fetched."""
        return self.folder / "data" / "raw" / self.params.data.dataset

    @property
    def data(self) -> Path:
        """The dataset as split.

        An out of DVC's, which an experiment checks out by force before any stage: so it lies where nobody keeps files.
        """
        return self.folder / "data" / ".split" / self.params.data.dataset

    @property
    def shown(self) -> Path:
        """A link to the dataset as split, where people look for it."""
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
