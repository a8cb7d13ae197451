"""What DATrans does with the 3×3 neighbourhood of every pixel, without ever storing the neighbourhoods.

``N`` stands for the 9C×HW matrix of neighbourhoods: for every pixel, the C channels at its nine shifts of 0 or ±d
pixels (row-major, reflect padding). Two things are needed of it:

* `neighbourhood_conv`: ``K N`` with a matrix ``K`` for every sample, a 3×3 convolution with kernels of the sample;
* `neighbourhood_moments`: ``N Nᵀ``, the local autocorrelation. Products and norms, over the pixels, of any linear maps
  of the neighbourhoods are small products with it, so none of those maps has to be formed on the image.

The autocorrelation of two shifts depends on their offset and on the window that the sum runs over; windows of
different shifts differ in strips of d pixels along the border. So the sum over their common core is one correlation of
the image with itself, at 13 offsets instead of 81 pairs, and the strips are added piece by piece.

Both take the image already padded (`reflect`), once for both, and the image itself: that is what they keep for the
backward pass, where they pad it again, since that takes less time than the paddings would take memory.
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


def reflect(x: Tensor, d: int) -> Tensor:
    """Reflect-pad B×C×H×W by d pixels on every side."""
    return F.pad(x, (d, d, d, d), mode="reflect")


def _phases(x: Tensor, d: int) -> Tensor:
    """B×C×H×W → d²×BC×H/d×W/d: subimages of every d-th pixel, with zeros at the end where d does not divide H or W."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch * channels, height, width)
    if d == 1:
        return x.unsqueeze(0)
    rows, columns = -(-height // d), -(-width // d)
    phases = x.new_empty(d, d, len(x), rows, columns)
    for i, j in product(range(d), repeat=2):  # one copy each: padding first would copy everything twice
        part = x[:, i::d, j::d]
        phases[i, j, :, : part.shape[1], : part.shape[2]] = part
        phases[i, j, :, part.shape[1] :] = 0
        phases[i, j, :, :, part.shape[2] :] = 0
    return phases.flatten(0, 1)


def _correlate(window: Tensor, context: Tensor, kernel: tuple[int, int], d: int) -> Tensor:
    """``R_δ = Σ_u window(u) context(u + dδ)ᵀ`` of each sample: B×O×H×W, B×I×(H + …)×(W + …) → BO×I×kernel.

    This is the gradient of a dilated convolution's kernel. On the d² phases the convolution is dense, and several times
    faster on a CPU.
    """
    batch, channels = context.shape[:2]
    weight = window.new_empty(batch * window.shape[1], channels, *kernel)
    found: Tensor = torch.ops.aten.convolution_backward(
        _phases(window, d), _phases(context, d), weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], batch,
        [False, True, False],
    )[1]  # fmt: skip
    return found


def _convolve(x: Tensor, kernel: Tensor, d: int) -> Tensor:
    """Dilated convolution without padding, each sample with its kernel: B×I×H×W, BO×I×kh×kw → B×O×…."""
    batch, channels, height, width = x.shape
    # A kernel with strides as if its channels were last would make torch copy the image into that order.
    kernel = kernel.contiguous()
    out = F.conv2d(x.reshape(1, batch * channels, height, width), kernel, dilation=d, groups=batch)
    return out.view(batch, -1, *out.shape[2:])


def _spread(x: Tensor, kernel: Tensor, d: int) -> Tensor:
    """The adjoint of `_convolve`, as a convolution: faster than its own backward. B×O×h×w, BO×I×kh×kw → B×I×…."""
    batch, channels, height, width = x.shape
    around = [d * (side - 1) for side in kernel.shape[2:]]
    turned = kernel.unflatten(0, (batch, -1)).transpose(1, 2).flip(-1, -2).flatten(0, 1).contiguous()
    joined = x.reshape(1, batch * channels, height, width)
    out = F.conv2d(joined, turned, padding=around, dilation=d, groups=batch)
    return out.view(batch, -1, *out.shape[2:])


class _SampleConv(torch.autograd.Function):
    """`_convolve` with a faster backward than autograd's."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, x: Tensor, kernel: Tensor, d: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.d = d
        return _convolve(padded, kernel, d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, None]:
        x, kernel = ctx.saved_tensors
        grad = grad.contiguous()  # once for both
        return _spread(grad, kernel, ctx.d), None, _correlate(grad, reflect(x, ctx.d), (3, 3), ctx.d), None


def neighbourhood_conv(padded: Tensor, x: Tensor, kernel: Tensor, d: int) -> Tensor:
    """``K N`` of each sample: an image B×C×H×W, also padded by d, and kernels B×O×C×3×3 → B×O×H×W.

    Gradients go to ``padded`` and the kernels.
    """
    if torch.is_autocast_enabled(padded.device.type):
        dtype = torch.get_autocast_dtype(padded.device.type)
        padded, x, kernel = padded.to(dtype), x.to(dtype), kernel.to(dtype)
    out: Tensor = _SampleConv.apply(padded, x, kernel.flatten(0, 1), d)  # type: ignore[no-untyped-call]
    return out


class _Piece(NamedTuple):
    """Equal windows of an extended image (see `_Moments`): where they start, and their size."""

    rows: list[int]
    height: int
    columns: list[int]
    width: int

    @property
    def is_core(self) -> bool:
        """Whether this is the one large window; the others are thin or small."""
        return len(self.rows) == len(self.columns) == 1

    def contexts(self, extended: Tensor, d: int) -> list[Tensor]:
        """Views of the windows with what their offsets reach: 2d rows below, 2d columns on both sides."""
        h, w = self.height + 2 * d, self.width + 4 * d
        return [extended[..., r : r + h, c - 2 * d : c - 2 * d + w] for r in self.rows for c in self.columns]

    def gather(self, extended: Tensor, d: int) -> Tensor:
        """The contexts of all samples and windows, one after the other: B·windows×C×…."""
        views = self.contexts(extended, d)
        return views[0] if len(views) == 1 else torch.stack(views, dim=1).flatten(0, 1)

    def window(self, context: Tensor, d: int) -> Tensor:
        """A view of the windows themselves in their contexts."""
        return context[..., : self.height, 2 * d : 2 * d + self.width]


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
    """Which of the four border strips each window holds beside the core, 3×4.

    Rows are the windows shifted by -d, 0 and d; columns are the strips in their order along the axis::

        strip   0   1  core  2   3
        -d      x   x   x
         0          x   x    x
        +d              x    x   x
    """
    return like.new_tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])


def _chosen(device: torch.device) -> Tensor:
    """Where each of `_PAIRS` lies among (shift s, offset t - s)."""
    places = []
    for s, t in _PAIRS:
        down, across = (b - a for a, b in zip(_SHIFTS[s], _SHIFTS[t], strict=True))
        places.append(15 * s + 5 * down + across + 2)
    return torch.tensor(places, device=device)


def _extended(padded: Tensor, mean: Tensor, d: int) -> Tensor:
    """The image minus its mean, between 2d columns of zeros on both sides and above 2d rows of zeros.

    Offsets that lead beyond the image meet these zeros; such products are not used in the end.
    """
    batch, channels, height, width = padded.shape
    extended = padded.new_empty(batch, channels, height + 2 * d, width + 4 * d)
    extended[..., height:, :] = 0
    extended[..., : 2 * d] = 0
    extended[..., width + 2 * d :] = 0
    extended[..., :height, 2 * d : width + 2 * d].copy_(padded).sub_(mean)
    return extended


class _Moments(torch.autograd.Function):
    """Sums over the pixels of ``N`` and ``N Nᵀ`` of a reflect-padded image minus a constant, H and W more than 2d.

    B×C×(H + 2d)×(W + 2d), B×C×H×W and B×C×1×1, of which only the first gets a gradient → B×9×C and B×9×9×C×C.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, x: Tensor, mean: Tensor, d: int) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = padded.shape
        extended = _extended(padded, mean, d)
        ctx.save_for_backward(x, mean)
        ctx.d = d
        sums = []
        for piece in _pieces(height - 2 * d, width - 2 * d, d):
            context = piece.gather(extended, d)
            window = piece.window(context, d)
            if piece.is_core:
                products = _correlate(window, context, _OFFSETS, d)
            else:
                products = window.flatten(2) @ F.unfold(context, _OFFSETS, dilation=d).transpose(1, 2)
            # What is summed over a piece: products of window and context at every offset, and the window itself.
            both = torch.cat([products.reshape(len(context), -1), window.sum(dim=(2, 3))], dim=1)
            sums.append(both.view(batch, len(piece.rows), len(piece.columns), -1))
        core, along_rows, along_columns, corners = sums
        strips = _strips(padded)
        columns = along_columns + torch.einsum("sl,blmk->bsmk", strips, corners)
        windows = core + torch.einsum("sl,blmk->bsmk", strips, along_rows)
        windows = (windows + torch.einsum("tm,bsmk->bstk", strips, columns)).flatten(1, 2)
        first, products = windows[..., -channels:].clone(), windows[..., :-channels]
        by_offset = products.unflatten(2, (channels, channels, -1)).permute(0, 1, 4, 2, 3).flatten(1, 2)
        half = by_offset[:, _chosen(padded.device)]
        one, other = zip(*_PAIRS, strict=True)
        second = padded.new_empty(batch, 9, 9, channels, channels)
        second[:, other, one] = half.transpose(-1, -2)
        second[:, one, other] = half
        return first, second

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_first: Tensor, to_second: Tensor) -> tuple[Tensor, None, None, None]:
        x, mean = ctx.saved_tensors
        extended = _extended(reflect(x, ctx.d), mean, ctx.d)
        d, (batch, channels, height, width) = ctx.d, extended.shape
        one, other = zip(*_PAIRS, strict=True)
        mirrored = to_second[:, other, one].transpose(-1, -2).clone()
        mirrored[:, [pair for pair, (s, t) in enumerate(_PAIRS) if s == t]] = 0
        by_offset = to_second.new_zeros(batch, 9 * 15, channels, channels)
        by_offset[:, _chosen(extended.device)] = to_second[:, one, other] + mirrored
        products = by_offset.unflatten(1, (9, 15)).permute(0, 1, 3, 4, 2).flatten(2)
        windows = torch.cat([products, to_first], dim=2).unflatten(1, (3, 3))
        strips = _strips(extended)
        columns = torch.einsum("tm,bstk->bsmk", strips, windows)
        shares = [
            windows.sum(dim=(1, 2)),
            torch.einsum("sl,bstk->blk", strips, windows),
            columns.sum(dim=1),
            torch.einsum("sl,bsmk->blmk", strips, columns),
        ]
        to_extended = torch.zeros_like(extended)
        for piece, share in zip(_pieces(height - 4 * d, width - 6 * d, d), shares, strict=True):
            context = piece.gather(extended, d)
            window = piece.window(context, d)
            kernel = share.reshape(len(context), -1)[:, :-channels]
            if piece.is_core:
                weight = kernel.reshape(-1, channels, *_OFFSETS)
                to_context, to_window = _spread(window, weight, d), _convolve(context, weight, d)
            else:
                weight = kernel.unflatten(1, (channels, -1))
                unfolded = weight.transpose(1, 2) @ window.flatten(2)
                to_context = F.fold(unfolded, (context.shape[2], context.shape[3]), _OFFSETS, dilation=d)
                to_window = (weight @ F.unfold(context, _OFFSETS, dilation=d)).view(window.shape)
            to_window += share.reshape(len(context), -1, 1, 1)[:, -channels:]
            piece.window(to_context, d).add_(to_window)
            parts = to_context.unflatten(0, (batch, -1)).unbind(1)
            for view, part in zip(piece.contexts(to_extended, d), parts, strict=True):
                view += part
        return to_extended[..., : height - 2 * d, 2 * d : width - 2 * d], None, None, None


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
        constant = a_mean.unsqueeze(2) * b_sum.unsqueeze(1) + a_sum.unsqueeze(2) * b_mean.unsqueeze(1)
        return a @ self.second @ b.T + constant

    def squares(self, a: Tensor) -> Tensor:
        """Squared norms over the pixels of the rows of ``a N``, I×9C → B×I; never negative."""
        mean, first = self.mean @ a.T, self.first @ a.T
        centred = (a @ self.second * a).sum(-1)
        return (centred + mean * (2 * first + self.area * mean)).clamp_min(0)


def maps(kernel: Tensor) -> Tensor:
    """O×C×3×3 → O×9C as `Moments` wants it."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def neighbourhood_moments(padded: Tensor, x: Tensor, d: int) -> Moments:
    """First and second moments of the neighbourhoods of an image B×C×H×W, also padded by d; H and W above 2d.

    They are those of the image minus a constant, which needs no gradient: in float32 it keeps small differences of
    large values apart from rounding. Gradients go to ``padded``.
    """
    area = (padded.shape[2] - 2 * d) * (padded.shape[3] - 2 * d)
    mean = padded.detach().mean(dim=(2, 3), keepdim=True)
    first, second = _Moments.apply(padded, x, mean, d)  # type: ignore[no-untyped-call]
    return Moments(
        mean.flatten(1).repeat(1, 9), first.flatten(1), second.transpose(2, 3).flatten(3, 4).flatten(1, 2), area
    )
