"""The best network as an MLflow model: registered with an alias, loaded by ``mlflow.pyfunc``, served over HTTP.

MLflow stores a copy of this code with the model and calls `_load_pyfunc` when the model is loaded.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from datransnet.data.images import Levels, to_luminance
from datransnet.engine.memory_format import ready
from datransnet.engine.predict import predict_image
from datransnet.engine.recipe import Recipe
from datransnet.foreign_code import COPIES, copy_code
from datransnet.models import Network
from datransnet.weights import learnt_levels, load_weights, read_card
from pipeline.runs.source import PACKAGES, ROOT

REQUIREMENTS = ("torch", "numpy", "scipy", "pillow", "safetensors", "filelock", "annotated-types")
"""What a served model needs besides MLflow."""
JUDGED = "judged"
"""The tag of a version that was compared with the champion."""


@dataclass(frozen=True)
class Segmenter:
    """A trained network as a function from images to scores and masks; ``levels`` are those it has learnt from."""

    network: Network
    recipe: Recipe
    levels: Levels = "full"

    def predict(self, images: npt.NDArray[Any], params: dict[str, Any] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Scores in [0, 1] and masks (score above ``params["threshold"]``) of grey images B×H×W.

        Their values are 0 to 255, or, where the network has learnt from other levels, counts as the files hold them.
        """
        grey = [to_luminance(image, self.levels) for image in np.asarray(images)]
        scores = np.stack([predict_image(self.network, image, self.recipe) for image in grey]).astype(np.float32)
        return {"scores": scores, "mask": (scores > (params or {}).get("threshold", 0.5)).astype(np.uint8)}


def _load_pyfunc(path: str) -> Segmenter:
    network, recipe = load_weights(Path(path))
    return Segmenter(ready(network), recipe, learnt_levels(Path(path)))


def register(client: Any, uri: str, run: str, name: str, folder: Path) -> None:
    """Register the network in ``folder`` (weights and card) as a version of model ``name``, once.

    The first version is the ``champion``. A new version replaces it if its validation IoU is higher, or if it was
    trained on other data or under another protocol. The one of the two that is not champion is the ``challenger``.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    card = read_card(folder)
    known = client.search_model_versions(f"name = '{name}'")
    if any(found.tags.get("run_key") == card["key"] and JUDGED in found.tags for found in known):
        return
    size, kind = (-1, -1, -1), np.dtype("uint8" if learnt_levels(folder) == "full" else "uint16")
    signature = ModelSignature(
        inputs=Schema([TensorSpec(kind, size)]),
        outputs=Schema([TensorSpec(np.dtype("float32"), size, "scores"), TensorSpec(np.dtype("uint8"), size, "mask")]),
        params=ParamSchema([ParamSpec("threshold", "double", 0.5)]),
    )
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run), TemporaryDirectory() as scratch:
        code = [str(ROOT / package) for package in PACKAGES]
        if card["model"]["name"] == "external":
            copy_code(Path(card["model"]["source"]), card["model"]["files"], Path(scratch))
            code.append(str(Path(scratch) / COPIES))
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module=__name__,
            data_path=str(folder),
            code_paths=code,
            signature=signature,
            input_example=np.zeros((1, 32, 32), kind),
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
        )
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="The best network of the study, by validation IoU.")
    tags = {
        "run_key": card["key"],
        "val_iou": str(card["val_iou"]),
        "basis": f"{card['data_digest']} {card['protocol']}",
    }
    new = client.create_model_version(name, logged.model_uri, run, tags=tags, model_id=logged.model_id)
    champion = client.get_registered_model(name).aliases.get("champion")
    if champion is None:
        client.set_registered_model_alias(name, "champion", new.version)
    else:
        held = client.get_model_version(name, champion).tags
        better = held["basis"] != tags["basis"] or card["val_iou"] > float(held["val_iou"])
        client.set_registered_model_alias(name, "champion", new.version if better else champion)
        client.set_registered_model_alias(name, "challenger", champion if better else new.version)
    client.set_model_version_tag(name, new.version, JUDGED, "yes")  # last: what was cut off before is registered again
