"""The networks. Importing a network's file registers it; every one maps grey images to logits."""

from datransnet.models.acm import ACM
from datransnet.models.alcnet import ALCNet
from datransnet.models.datransnet import DATransNet
from datransnet.models.dnanet import DNANet
from datransnet.models.external import External
from datransnet.models.istdunet import ISTDUNet
from datransnet.models.l2sknet import L2SKUNet
from datransnet.models.mshnet import MSHNet
from datransnet.models.rdian import RDIAN
from datransnet.models.registry import MODELS, Network, complete_arguments, create_model, list_models, network_class
from datransnet.models.resunet import ResUNet
from datransnet.models.sctransnet import SCTransNet
from datransnet.models.uiunet import UIUNet
from datransnet.models.unet import ResidualUNet

__all__ = [
    "ACM",
    "MODELS",
    "RDIAN",
    "ALCNet",
    "DATransNet",
    "DNANet",
    "External",
    "ISTDUNet",
    "L2SKUNet",
    "MSHNet",
    "Network",
    "ResUNet",
    "ResidualUNet",
    "SCTransNet",
    "UIUNet",
    "complete_arguments",
    "create_model",
    "list_models",
    "network_class",
]
