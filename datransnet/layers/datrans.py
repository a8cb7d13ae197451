"""Dynamic Attention Transformer (DATrans, arXiv 2409.19599, section II): attention between channels of gradients.

For dilations ``d_1 … d_n`` and ``h = d_tra / n``, with ``∇_d x`` the 8C differences between the eight neighbours at
distance ``d`` (reflect padding, row-major, centre left out) and the pixel itself:

* keys and values ``K_d, V_d = W ∇_d x`` (8h channels a dilation), queries ``Q_d = W x`` (h channels a dilation);
* per head ``A = softmax(IN(Q̂ K̂ᵀ / √area))`` over the keys, where ``^`` is L2 normalisation **over the pixels**,
  ``IN`` an instance norm of the head's score map and ``area`` the pixel count at the size the network was built for;
* out ``= ReLU(BN(W (A V)))``.

Keys and values are linear in the nine pixels of a neighbourhood, so neither they nor the 8C differences need to exist:

* values are used as ``A V`` only, which is a 3×3 convolution whose kernel ``A W_v`` differs per sample; the output's
  1×1 convolution joins that kernel where it makes it no larger;
* keys are used as ``Q Kᵀ`` and by their norms only, which follow from the local autocorrelation of ``x`` (see
  `datransnet.layers.neighbourhood`). Where that would cost more multiply-adds (`moments_pay`), keys are formed, by one
  dilated convolution.

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
from datransnet.layers.neighbourhood import maps, neighbourhood_conv, neighbourhood_moments, reflect

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
        """Attention of the queries on each dilation's keys: n tensors B×n×h×(8h/n).

        Args:
            x: B×C×H×W, float32 or wider: what is summed over the pixels needs it.
            padded: x, reflect-padded by each dilation.
        """
        queries = torch.stack(_weights(self.queries), dim=1).flatten(0, 1).to(x.dtype)
        products, squares = [], []
        query_squares = x.new_empty(0)
        for weight, source, d in zip(_weights(self.keys), padded, self.dilations, strict=True):
            keys = neighbour_kernel(weight.flatten(1), self.gradient).to(x.dtype)
            if not torch.compiler.is_exporting() and moments_pay(len(keys), x, d):
                q, k = maps(F.pad(queries, (1, 1, 1, 1))), maps(keys)
                moments = neighbourhood_moments(source, x, d)
                products.append(moments.inner(q, k))
                squares.append(moments.squares(k))
                query_squares = moments.squares(q)
            else:
                q, k = F.conv2d(x, queries).flatten(2), F.conv2d(source, keys, dilation=d).flatten(2)
                products.append(q @ k.transpose(1, 2))
                squares.append((k * k).sum(-1))
                query_squares = (q * q).sum(-1)
        key_squares = torch.cat([square.unflatten(1, (self.heads, 1, -1)) for square in squares], dim=-1)
        norms = [s.clamp_min(1e-24).sqrt() for s in (query_squares.unflatten(1, (self.heads, -1, 1)), key_squares)]
        scores = torch.cat([self._own(product) for product in products], dim=-1) / (norms[0] * norms[1])
        scores = scores / self.area**0.5
        weights = F.instance_norm(scores, eps=1e-5).softmax(dim=-1)
        return list(weights.split(weights.shape[-1] // self.heads, dim=-1))

    def _own(self, product: Tensor) -> Tensor:
        """Of the products of all queries and keys, those within a head: B×nh×8h → B×n×h×8h/n."""
        blocks = product.unflatten(2, (self.heads, -1)).unflatten(1, (self.heads, -1))
        own: Tensor = blocks.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        return own

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        _, norm, activation = self.out
        # Inside, pixels are summed over: channels first. Outside, convolutions mix channels: last.
        attended = self.attended(x.contiguous()).contiguous(memory_format=torch.channels_last)
        out: Tensor = activation(norm(attended))
        return out

    def attended(self, x: Tensor) -> Tensor:
        """The attention's output after its 1×1 convolution, B×C×H×W → B×C×H×W."""
        projection = self.out[0]
        assert isinstance(projection, nn.Conv2d)
        mixing = projection.weight.flatten(1)
        # Kernels of a sample's own cannot be exported for a batch of any size: there the values are formed.
        formed = torch.compiler.is_exporting()
        fold = not formed and mixing.shape[0] <= mixing.shape[1]
        padded = [reflect(x, d) for d in self.dilations]
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            attention = self.attention(x.to(wide), [source.to(wide) for source in padded])
        outputs = []
        for weight, values, source, d in zip(attention, _weights(self.values), padded, self.dilations, strict=True):
            if formed:
                v = F.conv2d(source, neighbour_kernel(values.flatten(1), self.gradient), dilation=d)
                each = weight @ v.flatten(2).unflatten(1, (self.heads, -1))
                outputs.append(each.flatten(1, 2).unflatten(2, x.shape[2:]))
            else:
                kernel = (weight.to(values.dtype) @ values.flatten(1).unflatten(0, (self.heads, -1))).flatten(1, 2)
                kernel = neighbour_kernel(mixing @ kernel if fold else kernel, self.gradient)
                outputs.append(neighbourhood_conv(source, x, kernel, d))
        total = sum(outputs[1:], outputs[0])
        out: Tensor = total if fold else projection(total)
        return out


def moments_pay(keys: int, x: Tensor, d: int) -> bool:
    """Whether the autocorrelation is cheaper than forming the keys, forward and backward together.

    The rule compares multiply-adds. The autocorrelation takes 15 C² + 30 C² for each pixel and 3 (9C)² for each key;
    forming the keys takes 27 C for each pixel and key. The autocorrelation's count is doubled, because it also copies
    the image: so the rule chooses what ``make bench`` measures to be faster on a CPU. On other devices nothing has been
    measured yet, so keys are formed there.
    """
    channels, height, width = x.shape[1:]
    if min(height, width) <= 2 * d or x.device.type != "cpu":
        return False
    area = height * width
    return 90 * channels**2 * area + 6 * keys * (9 * channels) ** 2 < 27 * channels * keys * area
