"""DATransNet for infrared small target segmentation: the network, its data, training and metrics.

>>> from datransnet import create_model, list_models
>>> model = create_model("datransnet", image_size=256, width=16)
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["create_model", "list_models"]

if TYPE_CHECKING:
    from datransnet.models import create_model, list_models


def __getattr__(name: str) -> Any:
    """Import torch only when a model is asked for, so that a command's ``--help`` is quick."""
    if name in __all__:
        from datransnet import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
