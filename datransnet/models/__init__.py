"""The networks. Importing a network's file registers it; every one maps images in [0, 1] to logits."""

from datransnet.models.datransnet import DATransNet
from datransnet.models.registry import MODELS, Network, complete_arguments, create_model, list_models
from datransnet.models.unet import ResidualUNet

__all__ = ["MODELS", "DATransNet", "Network", "ResidualUNet", "complete_arguments", "create_model", "list_models"]
