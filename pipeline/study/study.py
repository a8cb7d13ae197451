"""Where a study's files are.

A study is a folder with a ``params.yaml``: the project's root is the default one, ``studies/<profile>/`` are others.
Its data, results and report lie in its folder. Runs and tracking lie in its *home*, the nearest folder above with a
``.dvc``, so that all studies of a project share finished runs and one MLflow.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datransnet.data.manifest import Manifest
from datransnet.errors import ParameterError
from datransnet.foreign_code import code_digest, remember_place
from pipeline.study.arguments import Arguments
from pipeline.study.params import Model, Params
from pipeline.study.read_params import read_params
from pipeline.study.sqlite import SQLITE, sqlite_address, sqlite_file


@dataclass(frozen=True)
class Study:
    """The files of the study in ``folder`` (absolute).

    Attributes:
        folder: absolute.
        gpus: the share of a GPU that was measured; None before.
        with_code: whether code of external networks must be here; reading a finished study does without.
    """

    folder: Path
    gpus: float | None = None
    with_code: bool = True

    @classmethod
    def here(cls) -> "Study":
        """The study of the working directory.

        Raises:
            ParameterError: if its path cannot be written in an address, as databases and MLflow want it.
        """
        folder = Path.cwd()
        try:
            str(folder).encode()
        except UnicodeEncodeError:
            raise ParameterError(f"The path {folder} holds bytes that are not UTF-8. Rename that folder.") from None
        return cls(folder)

    @cached_property
    def params(self) -> Params:
        """Its parameters.

        Raises:
            ParameterError: if they hold mistakes.
        """
        params = read_params(self.folder / "params.yaml")
        if not self.with_code:
            return params
        if params.model.name == "external":
            params = params.model_copy(update={"model": Model(**self._located(params.model.arguments(), "model"))})
        external = {
            name: contender.model_copy(update={"model": self._located(contender.model, f"networks.{name}")})
            for name, contender in params.networks.items()
            if "source" in contender.model or contender.model.get("name", params.model.name) != params.model.name
            if contender.model.get("name", params.model.name) == "external"
        }
        if external:
            params = params.model_copy(update={"networks": params.networks | external})
        if self.gpus is None:
            return params
        return params.model_copy(update={"resources": params.resources.model_copy(update={"gpus": self.gpus})})

    def _located(self, model: Arguments, where: str) -> Arguments:
        """An external network with where its code lies and what it is."""
        given = model.get("source")
        if not given:
            raise ParameterError(f"{where}: source is missing: the folder of the external network's code.")
        source = self.named(str(given)).resolve()
        files = code_digest(source)
        remember_place(source, files)
        return {**model, "source": str(source), "files": files}

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of its data.

        Raises:
            DataError: if the split stage did not run.
        """
        return Manifest.read(self.data / "manifest.json")

    @cached_property
    def project(self) -> Path:
        """The nearest folder with a ``.dvc``, else the study's own."""
        candidates = (self.folder, *self.folder.parents)
        return next((folder for folder in candidates if (folder / ".dvc").is_dir()), self.folder)

    @cached_property
    def home(self) -> Path:
        """Where runs and tracking live: in the project.

        ``dvc exp run --temp`` and ``--queue`` run a copy of the project under its ``.dvc/tmp/exps`` and delete that
        copy. Its home is the project itself, which keeps what was trained, and where other experiments find it.
        """
        copied = (folder for folder in self.project.parents if folder.parts[-3:] == (".dvc", "tmp", "exps"))
        return next((folder.parents[2] for folder in copied), self.project)

    def address(self, given: str, name: str) -> str:
        """A database's address as a person gives it in ``name``, for a process in any working directory.

        A relative file of SQLite's is one of the study's home.

        Raises:
            ParameterError: if a file is meant whose path holds a question mark, which begins options.
        """
        found, file = SQLITE.fullmatch(given), sqlite_file(given)
        if found is None or file is None:
            return given
        options = found["options"] or ""
        if "/" in options.partition("=")[0]:
            raise ParameterError(f"{name}: in the address {given} a question mark begins options. Write it as %3F.")
        return sqlite_address(self.home / file) + options

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
