"""What DATrans does with the 3×3 neighbourhood of every pixel, without ever storing the neighbourhoods.

``N`` stands for the 9C×HW matrix of neighbourhoods: for every pixel, the C channels at its nine shifts of 0 or ±d
pixels (row-major, reflect padding). Two things are needed of it:

* `neighbourhood_conv`: ``K N`` with a matrix ``K`` for every sample, a 3×3 convolution with kernels of the sample;
* `neighbourhood_moments`: ``N Nᵀ``, the local autocorrelation. Products and norms, over the pixels, of any linear maps
  of the neighbourhoods are small products with it, so none of those maps has to be formed on the image.

The autocorrelation of two shifts depends on their offset and on the window that the sum runs over; windows of
different shifts differ in strips of d pixels along the border. So the sum over their common core is one correlation of
the image with itself, at 13 offsets instead of 81 pairs, and the strips are added piece by piece.

Both work on the d² *phases* of an image, the interleaved subimages of every d-th pixel, in which dilated neighbours are
next to each other: gradients of dilated convolutions are several times slower on a CPU than those of dense ones.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_SHIFTS = list(product((0, 1, 2), repeat=2))
_PAIRS = [(s, t) for s in range(9) for t in range(s, 9)]
"""Pairs of shifts, each once: the other half of the moments is the transpose."""
_OFFSETS = (3, 5)
"""Offsets t - s of such pairs: 0 to 2 rows down, -2 to 2 columns."""


def _phases(x: Tensor, d: int) -> Tensor:
    """B×C×H×W → d²×BC×H/d×W/d, filled with zeros at the end where d does not divide H or W."""
    batch, channels, height, width = x.shape
    if d > 1:
        x = F.pad(x, (0, -width % d, 0, -height % d))
        x = x.reshape(batch * channels, x.shape[2] // d, d, x.shape[3] // d, d).permute(2, 4, 0, 1, 3)
    return x.reshape(d * d, batch * channels, *x.shape[-2:])


def _image(phases: Tensor, batch: int, d: int, height: int, width: int) -> Tensor:
    """The inverse of `_phases`: d²×BC×H/d×W/d → B×C×height×width."""
    h, w = phases.shape[-2:]
    if d > 1:
        phases = phases.unflatten(0, (d, d)).permute(2, 3, 0, 4, 1)
    return phases.reshape(batch, -1, h * d, w * d)[..., :height, :width]


def _correlate(centre: Tensor, context: Tensor, groups: int) -> Tensor:
    """``Σ_u centre(u) context(u + δ)ᵀ`` in every group: N×GO×h×w, N×GI×(h + kh - 1)×(w + kw - 1) → GO×I×kh×kw."""
    kernel = [1 + whole - part for whole, part in zip(context.shape[2:], centre.shape[2:], strict=True)]
    weight = centre.new_empty(centre.shape[1], context.shape[1] // groups, *kernel)
    found: Tensor = torch.ops.aten.convolution_backward(
        centre, context, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, [False, True, False]
    )[1]
    return found


def _spread(centre: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """The adjoint of ``conv2d(·, kernel, groups=groups)``, as a convolution: faster than its own backward."""
    turned = kernel.unflatten(0, (groups, -1)).transpose(1, 2).flip(-1, -2).flatten(0, 1)
    rows, columns = kernel.shape[-2] - 1, kernel.shape[-1] - 1
    return F.conv2d(F.pad(centre, (columns, columns, rows, rows)), turned, groups=groups)


class _SampleConv(torch.autograd.Function):
    """``conv2d(x, kernel, groups=groups)`` with a faster backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.groups = groups
        return F.conv2d(x, kernel, groups=groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, kernel = ctx.saved_tensors
        grad = grad.contiguous()
        return _spread(grad, kernel, ctx.groups), _correlate(grad, x, ctx.groups), None


def neighbourhood_conv(x: Tensor, kernel: Tensor, d: int) -> Tensor:
    """``K N`` of each sample: x B×C×H×W and kernels B×O×C×3×3 → B×O×H×W."""
    batch, _, height, width = x.shape
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, kernel = x.to(dtype), kernel.to(dtype)
    phases = _phases(F.pad(x, (d, d, d, d), mode="reflect"), d)
    out: Tensor = _SampleConv.apply(phases, kernel.flatten(0, 1), batch)  # type: ignore[no-untyped-call]
    return _image(out, batch, d, height, width)


class _Piece(NamedTuple):
    """Equal windows of an extended image (see `_Moments`): where they start, and their size."""

    rows: list[int]
    height: int
    columns: list[int]
    width: int

    def contexts(self, extended: Tensor, d: int) -> list[Tensor]:
        """Views of the windows with what their offsets reach: 2d rows below, 2d columns on both sides."""
        h, w = self.height + 2 * d, self.width + 4 * d
        return [extended[..., r : r + h, c - 2 * d : c - 2 * d + w] for r in self.rows for c in self.columns]

    def phases(self, extended: Tensor, d: int) -> tuple[Tensor, Tensor]:
        """Phases of all windows, and of their contexts; a group of channels for each sample and window."""
        context = torch.stack(self.contexts(extended, d), dim=1).flatten(0, 1)
        window = context[..., : self.height, 2 * d : 2 * d + self.width]
        return _phases(window, d), _phases(context, d)


def _pieces(height: int, width: int, d: int) -> list[_Piece]:
    """The core that the windows of all shifts share; strips along rows; strips along columns; corners.

    The four strips along an axis are the first and last d pixels of the padding and of the image.
    """
    down, across = [0, d, height, height + d], [2 * d, 3 * d, width + 2 * d, width + 3 * d]
    tall, wide = height - 2 * d, width - 2 * d
    return [
        _Piece([2 * d], tall, [4 * d], wide),
        _Piece(down, d, [4 * d], wide),
        _Piece([2 * d], tall, across, d),
        _Piece(down, d, across, d),
    ]


def _strips(like: Tensor) -> Tensor:
    """Which strips the window shifted by -d, 0 and d holds beside the core, 3×4."""
    return like.new_tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])


def _chosen(device: torch.device) -> Tensor:
    """Where each of `_PAIRS` lies among (shift s, offset t - s)."""
    down, across = zip(
        *((_SHIFTS[t][0] - _SHIFTS[s][0], _SHIFTS[t][1] - _SHIFTS[s][1]) for s, t in _PAIRS), strict=True
    )
    places = [15 * s + 5 * i + j + 2 for (s, _), i, j in zip(_PAIRS, down, across, strict=True)]
    return torch.tensor(places, device=device)


class _Moments(torch.autograd.Function):
    """``N Nᵀ`` of a reflect-padded image B×C×(H + 2d)×(W + 2d), H and W more than 2d → B×9×9×C×C."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, d: int) -> Tensor:
        batch, channels = padded.shape[:2]
        extended = F.pad(padded, (2 * d, 2 * d, 0, 2 * d))  # offsets beyond the image meet zeros, and are never used
        ctx.save_for_backward(extended)
        ctx.d = d
        sums = []
        for piece in _pieces(padded.shape[2] - 2 * d, padded.shape[3] - 2 * d, d):
            grid = len(piece.rows), len(piece.columns)
            found = _correlate(*piece.phases(extended, d), groups=batch * grid[0] * grid[1])
            sums.append(found.view(batch, *grid, -1))
        core, along_rows, along_columns, corners = sums
        strips = _strips(padded)
        columns = along_columns + torch.einsum("sl,blmk->bsmk", strips, corners)
        windows = (
            core + torch.einsum("sl,blmk->bsmk", strips, along_rows) + torch.einsum("tm,bsmk->bstk", strips, columns)
        )
        by_offset = windows.reshape(batch, 9, channels, channels, 15).permute(0, 1, 4, 2, 3).flatten(1, 2)
        half = by_offset[:, _chosen(padded.device)]
        first, second = zip(*_PAIRS, strict=True)
        moments = padded.new_empty(batch, 9, 9, channels, channels)
        moments[:, second, first] = half.transpose(-1, -2)
        moments[:, first, second] = half
        return moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (extended,) = ctx.saved_tensors
        d, (batch, channels, height, width) = ctx.d, extended.shape
        first, second = zip(*_PAIRS, strict=True)
        half = grad[:, first, second]
        mirrored = grad[:, second, first].transpose(-1, -2).clone()
        mirrored[:, [pair for pair, (s, t) in enumerate(_PAIRS) if s == t]] = 0
        by_offset = grad.new_zeros(batch, 9 * 15, channels, channels)
        by_offset[:, _chosen(grad.device)] = half + mirrored
        windows = by_offset.view(batch, 9, 15, channels, channels).permute(0, 1, 3, 4, 2).reshape(batch, 3, 3, -1)
        strips = _strips(grad)
        columns = torch.einsum("tm,bstk->bsmk", strips, windows)
        kernels = [
            windows.sum(dim=(1, 2), keepdim=True),
            torch.einsum("sl,bstk->blk", strips, windows).unsqueeze(2),
            columns.sum(dim=1, keepdim=True),
            torch.einsum("sl,bsmk->blmk", strips, columns),
        ]
        to_extended = torch.zeros_like(extended)
        for piece, kernel in zip(_pieces(height - 4 * d, width - 6 * d, d), kernels, strict=True):
            count = len(piece.rows) * len(piece.columns)
            weight = kernel.reshape(-1, channels, *_OFFSETS)
            window, context = piece.phases(extended, d)
            to_context = _image(
                _spread(window, weight, batch * count), batch * count, d, piece.height + 2 * d, piece.width + 4 * d
            )
            to_window = F.conv2d(context, weight, groups=batch * count)
            to_context[..., : piece.height, 2 * d : 2 * d + piece.width] += _image(
                to_window, batch * count, d, piece.height, piece.width
            )
            parts = to_context.unflatten(0, (batch, count)).unbind(1)
            for view, part in zip(piece.contexts(to_extended, d), parts, strict=True):
                view += part
        return to_extended[..., : height - 2 * d, 2 * d : width - 2 * d], None


@dataclass(frozen=True)
class Moments:
    """Sums over the pixels of each sample of its neighbourhoods ``N``, centred by the sample's channel means.

    Linear maps see the nine shifts of C channels as one axis, shift-major: `maps` brings a kernel into that form.

    Attributes:
        mean: B×9C, the channel means, nine times.
        first: B×9C, sums of the centred neighbourhoods (not zero: the windows of the shifts differ at the border).
        second: B×9C×9C, their ``N Nᵀ``.
        area: pixels.
    """

    mean: Tensor
    first: Tensor
    second: Tensor
    area: int

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """Products over the pixels ``(a N)(b N)ᵀ`` of two linear maps, I×9C and J×9C → B×I×J."""
        a_mean, b_mean = self.mean @ a.T, self.mean @ b.T
        a_sum, b_sum = self.first @ a.T + self.area * a_mean, self.first @ b.T
        return (
            a @ self.second @ b.T + a_mean.unsqueeze(2) * b_sum.unsqueeze(1) + a_sum.unsqueeze(2) * b_mean.unsqueeze(1)
        )

    def squares(self, a: Tensor) -> Tensor:
        """Squared norms over the pixels of the rows of ``a N``, I×9C → B×I; never negative."""
        mean, first = self.mean @ a.T, self.first @ a.T
        centred = (a @ self.second * a).sum(-1)
        return (centred + mean * (2 * first + self.area * mean)).clamp_min(0)


def maps(kernel: Tensor) -> Tensor:
    """O×C×3×3 → O×9C as `Moments` wants it."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def neighbourhood_moments(x: Tensor, d: int) -> Moments:
    """First and second moments of the neighbourhoods of B×C×H×W, H and W more than 2d.

    The moments are those of x minus a constant, so the constant needs no gradient: in float32 it keeps small
    differences of large values apart from rounding.
    """
    height, width = x.shape[2:]
    mean = x.detach().mean(dim=(2, 3), keepdim=True)
    padded = F.pad(x - mean, (d, d, d, d), mode="reflect")
    down, across = (_windows(length, d, x) for length in (height, width))
    first = (down @ padded @ across.T).flatten(2).transpose(1, 2).flatten(1)
    blocks: Tensor = _Moments.apply(padded, d)  # type: ignore[no-untyped-call]
    second = blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return Moments(mean.flatten(1).repeat(1, 9), first, second, height * width)


def _windows(length: int, d: int, like: Tensor) -> Tensor:
    """Indicators of the windows of the three shifts in a padded axis, 3×(length + 2d)."""
    places = torch.arange(length + 2 * d, device=like.device)
    start = torch.tensor([[0], [d], [2 * d]], device=like.device)
    return ((places >= start) & (places < start + length)).to(like)
