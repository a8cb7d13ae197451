"""Where MLflow keeps runs: the address of the tracking store, and its schema."""

import os
import sqlite3
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pipeline.study.sqlite import sqlite_address, sqlite_file
from pipeline.study.study import Study

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


@cache
def client_of(uri: str) -> "MlflowClient":
    """The client of a tracking store. It is made once for each process, which takes seconds: MLflow is imported."""
    from mlflow.tracking import MlflowClient

    _read_migrations_anywhere()
    return MlflowClient(tracking_uri=uri)


def store_of(study: Study) -> str:
    """The address of a study's tracking store: ``MLFLOW_TRACKING_URI`` if set, else SQLite in the study's home."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return study.address(given, "MLFLOW_TRACKING_URI")
    return sqlite_address(study.home / "mlruns.db")


def artifacts_of(home: Path, uri: str) -> str | None:
    """Where artifacts go, if the store is a file of SQLite's; a server says so itself."""
    return (home / "mlartifacts").as_uri() if uri.startswith("sqlite") else None


def prepare(uri: str, home: Path) -> "MlflowClient":
    """A client of a tracking store, whose database schema is created first if it is missing.

    MLflow creates a missing schema without checking whether another process is doing so too; two at once leave a
    database that neither can use. Therefore one process creates it here and the others wait.
    """
    file, artifacts = sqlite_file(uri), artifacts_of(home, uri)
    if file is None or artifacts is None:
        return client_of(uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        _read_migrations_anywhere()
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        # One that a client makes would enter the working directory, quotes and all, into SQL.
        SqlAlchemyStore(uri, artifacts)  # type: ignore[no-untyped-call]
        with closing(sqlite3.connect(file)) as database:  # readers do not wait for writers; the file remembers it
            database.execute("pragma journal_mode=wal")
    return client_of(uri)


@cache
def _read_migrations_anywhere() -> None:
    """Let MLflow find how schemas are made if the environment's path has a per cent sign.

    It hands the path on as one with placeholders.
    """
    from mlflow.store.db import utils

    migrations = str(Path(utils.__file__).parents[1] / "db_migrations")
    if "%" in migrations:
        escaped = migrations.replace("%", "%%")
        utils._get_alembic_config = partial(utils._get_alembic_config, alembic_dir=escaped)
