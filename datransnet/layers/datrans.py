"""Dynamic Attention Transformer (DATrans, arXiv 2409.19599, section II): attention between channels of gradients.

For dilations ``d_1 … d_n`` and ``h = d_tra / n``, with ``∇_d x`` the 8C differences between the eight neighbours at
distance ``d`` (reflect padding, row-major, centre left out) and the pixel itself:

* keys and values ``K_d, V_d = W ∇_d x`` (8h channels a dilation), queries ``Q_d = W x`` (h channels a dilation);
* per head ``A = softmax(IN(Q̂ K̂ᵀ / √area))`` over the keys, where ``^`` is L2 normalisation **over the pixels**,
  ``IN`` an instance norm of the head's score map and ``area`` the pixel count at the size the network was built for;
* out ``= ReLU(BN(W (A V)))``.

Two exact rewrites keep the 8C-channel tensor and the values from ever existing:

* a 1×1 convolution of differences *is* one dilated 3×3 convolution of ``x`` (`neighbour_kernel`);
* ``A V`` is linear in the neighbourhood too, so it is a 3×3 convolution whose kernel ``A W_v`` differs per sample.

Parity with released checkpoints:

* A head is not a dilation. The released code stacks the dilations *behind* the channels and reads the result as heads,
  so channel ``c`` of dilation ``i`` is flat index ``c·n + i``. Queries are interleaved that way; keys and values are
  not, since a head's softmax sums over its keys in any order, as long as both agree.
* ``area`` is a constant of the network, not of the image at hand: the scores' variance is near the norm's eps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.errors import ParameterError

NEIGHBOURS = 8
GRADIENTS = ("difference", "plain")


def neighbour_kernel(weight: Tensor, gradient: str) -> Tensor:
    """The 3×3 kernel of a 1×1 convolution over eight neighbours: (…, 8C) → (…, C, 3, 3).

    ``gradient="difference"`` reads neighbour minus centre, so the centre tap is minus the sum of the others;
    ``"plain"`` reads the neighbours alone.
    """
    taps = weight.unflatten(-1, (NEIGHBOURS, -1))
    centre = -taps.sum(-2, keepdim=True) if gradient == "difference" else torch.zeros_like(taps[..., :1, :])
    half = NEIGHBOURS // 2
    window = torch.cat([taps[..., :half, :], centre, taps[..., half:, :]], dim=-2)
    kernel: Tensor = window.transpose(-1, -2).unflatten(-1, (3, 3))
    return kernel


def _weights(convolutions: nn.ModuleList) -> list[Tensor]:
    return [conv.weight for conv in convolutions if isinstance(conv, nn.Conv2d)]


class DynamicAttentionTransformer(nn.Module):
    """DATrans block on a skip connection; B×C×H×W → B×C×H×W, H and W larger than every dilation.

    Args:
        channels: C.
        d_tra: channels of the attention's output, over all dilations; a multiple of n² for n dilations.
        dilations: distances of the neighbours, in pixels of this level (the paper's shifts).
        area: pixels of this level at the size the network is built for.
        gradient: ``"difference"`` (the paper) or ``"plain"`` neighbours (ablation).

    Raises:
        ParameterError: if the dilations do not divide ``d_tra`` or the gradient is unknown.
    """

    def __init__(
        self, channels: int, d_tra: int, dilations: tuple[int, ...], area: float, gradient: str = "difference"
    ) -> None:
        super().__init__()
        heads = len(dilations)
        if heads == 0 or d_tra % heads**2:
            raise ParameterError(f"d_tra = {d_tra} must be a multiple of the square of the {heads} dilations.")
        if gradient not in GRADIENTS:
            raise ParameterError(f"gradient = {gradient!r} must be one of {', '.join(GRADIENTS)}.")
        self.dilations, self.heads, self.head_channels = dilations, heads, d_tra // heads
        self.area, self.gradient = area, gradient
        keys = NEIGHBOURS * self.head_channels
        self.queries = nn.ModuleList(nn.Conv2d(channels, self.head_channels, 1, bias=False) for _ in dilations)
        self.keys = nn.ModuleList(nn.Conv2d(NEIGHBOURS * channels, keys, 1, bias=False) for _ in dilations)
        self.values = nn.ModuleList(nn.Conv2d(NEIGHBOURS * channels, keys, 1, bias=False) for _ in dilations)
        self.out = nn.Sequential(nn.Conv2d(d_tra, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())

    def attention(self, x: Tensor, padded: list[Tensor]) -> list[Tensor]:
        """Attention of the queries on each dilation's keys: n tensors B×n×h×(8h/n)."""
        interleaved = torch.stack(_weights(self.queries), dim=1).flatten(0, 1)
        q = F.conv2d(x, interleaved).flatten(2).unflatten(1, (self.heads, -1))
        products, norms = [], []
        for weight, dilation, source in zip(_weights(self.keys), self.dilations, padded, strict=True):
            kernel = neighbour_kernel(weight.flatten(1), self.gradient)
            k = F.conv2d(source, kernel, dilation=dilation).flatten(2).unflatten(1, (self.heads, -1))
            products.append(q @ k.transpose(-1, -2))
            norms.append(torch.linalg.vector_norm(k, dim=-1))
        eps = 1e-12
        q_norm = torch.linalg.vector_norm(q, dim=-1).clamp_min(eps).unsqueeze(-1)
        k_norm = torch.cat(norms, dim=-1).clamp_min(eps).unsqueeze(-2)
        scores = torch.cat(products, dim=-1) / (q_norm * k_norm) / self.area**0.5
        weights = F.instance_norm(scores, eps=1e-5).softmax(dim=-1)
        return list(weights.split(weights.shape[-1] // self.heads, dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        batch, _, height, width = x.shape
        padded = [F.pad(x, (d, d, d, d), mode="reflect") for d in self.dilations]
        attended = []
        values = _weights(self.values)
        for index, weights in enumerate(self.attention(x, padded)):
            projection = values[index].flatten(1).unflatten(0, (self.heads, -1))
            kernel = neighbour_kernel(weights @ projection, self.gradient).flatten(0, 2)
            source = padded[index].flatten(0, 1).unsqueeze(0)
            attended.append(F.conv2d(source, kernel, dilation=self.dilations[index], groups=batch))
        out: Tensor = self.out(sum(attended[1:], attended[0]).view(batch, -1, height, width))
        return out
