"""A convolution followed by batch norm; outside of training, as one convolution."""

import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """``norm(conv(x))``; B×C_in×H×W → B×C_out×….

    In evaluation the norm is a scale and a shift of each channel, which the kernel takes over: one pass less over the
    feature map.
    """
    if norm.training or norm.running_mean is None or norm.running_var is None:
        out: Tensor = norm(conv(x))
        return out
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    bias = shift if conv.bias is None else shift + conv.bias * scale
    return F.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), bias, conv.stride, conv.padding, conv.dilation)
