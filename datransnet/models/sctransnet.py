"""SCTransNet (Yuan et al., TGRS 2024, arXiv 2401.15583): skips of a U-Net attend across all levels' channels.

    size   encoder           skip               decoder
    H      inc               m1 + f1            up_decoder1 → out       32 channels
    H/2    down_encoder1     m2 + f2            up_decoder2             64
    H/4    down_encoder2     m3 + f3            up_decoder3             128
    H/8    down_encoder3     m4 + f4            up_decoder4             256
    H/16   down_encoder4                                                256

m1 … m4 are what the channel transformer makes of f1 … f4. It adds them once inside, so that each skip counts twice, as
published. What the network returns is ``out``; the fused ``d0`` is supervised in training only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datransnet.layers.conv_norm import conv_norm
from datransnet.layers.residual import ResidualBlock
from datransnet.models.about import About, iou
from datransnet.models.padded import PaddedNetwork
from datransnet.models.registry import MODELS

CHANNELS = (32, 64, 128, 256)
PATCHES = (16, 8, 4, 2)
ALL = sum(CHANNELS)
LAYERS = 4
EXPANSION = 2.66


class _PixelNorm(nn.Module):
    """Layer norm over the channels of each pixel; B×C×H×W → B×C×H×W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        out: Tensor = self.body(x.movedim(1, -1)).movedim(-1, 1)
        return out


class _CrossAttention(nn.Module):
    """Each level's channels attend to the channels of all levels together (SSCA); the pixels are the features.

    Scores are normalised as a whole map (instance norm), before the softmax over all levels' channels.
    """

    def __init__(self) -> None:
        super().__init__()
        for level, channels in enumerate(CHANNELS, 1):
            self.add_module(f"mhead{level}", nn.Conv2d(channels, channels, 1, bias=False))
            query = nn.Conv2d(channels, channels, 3, padding=1, groups=channels // 2, bias=False)
            self.add_module(f"q{level}", query)
            self.add_module(f"project_out{level}", nn.Conv2d(channels, channels, 1, bias=False))
        self.mheadk = nn.Conv2d(ALL, ALL, 1, bias=False)
        self.k = nn.Conv2d(ALL, ALL, 3, padding=1, groups=ALL, bias=False)
        self.mheadv = nn.Conv2d(ALL, ALL, 1, bias=False)
        self.v = nn.Conv2d(ALL, ALL, 3, padding=1, groups=ALL, bias=False)

    def forward(self, levels: list[Tensor], together: Tensor) -> list[Tensor]:
        """Four B×C_i×h×w and B×ΣC_i×h×w → four B×C_i×h×w."""
        key = F.normalize(self.k(self.mheadk(together)).flatten(2), dim=2)
        value = self.v(self.mheadv(together)).flatten(2)
        attended = []
        for number, level in enumerate(levels, 1):
            query = self.get_submodule(f"q{number}")(self.get_submodule(f"mhead{number}")(level)).flatten(2)
            scores = F.normalize(query, dim=2) @ key.transpose(1, 2) / ALL**0.5
            weights = F.instance_norm(scores[:, None])[:, 0].softmax(2)
            out = (weights @ value).unflatten(2, level.shape[-2:])
            attended.append(self.get_submodule(f"project_out{number}")(out))
        return attended


class _ChannelScale(nn.Module):
    """Efficient channel attention: a kernel of three over neighbouring channels' means; B×C×H×W → the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        scores: Tensor = self.conv(x.mean((2, 3))[:, None])
        return x * scores[:, 0, :, None, None].sigmoid()


class _FeedForward(nn.Module):
    """Two depthwise kernels side by side between two projections (CFN); B×C×H×W → B×C×H×W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = int(EXPANSION * channels)
        self.project_in = nn.Conv2d(channels, 2 * inner, 1, bias=False)
        self.dwconv3x3 = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.dwconv5x5 = nn.Conv2d(inner, inner, 5, padding=2, groups=inner, bias=False)
        self.project_out = nn.Conv2d(2 * inner, channels, 1, bias=False)
        self.eca = _ChannelScale()

    def forward(self, x: Tensor) -> Tensor:
        """B×C×H×W → B×C×H×W."""
        narrow, wide = self.project_in(x).chunk(2, 1)
        both = torch.cat([self.dwconv3x3(narrow).relu(), self.dwconv5x5(wide).relu()], 1)
        out: Tensor = self.eca(self.project_out(both))
        return out


class _Layer(nn.Module):
    """One layer of the channel transformer: attention across levels, then each level's own feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_norm = _PixelNorm(ALL)
        self.channel_attn = _CrossAttention()
        for level, channels in enumerate(CHANNELS, 1):
            self.add_module(f"attn_norm{level}", _PixelNorm(channels))
            self.add_module(f"ffn_norm{level}", _PixelNorm(channels))
            self.add_module(f"ffn{level}", _FeedForward(channels))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Four B×C_i×h×w → the same."""
        normed = [self.get_submodule(f"attn_norm{number}")(level) for number, level in enumerate(levels, 1)]
        attended = self.channel_attn(normed, self.attn_norm(torch.cat(levels, 1)))
        out = []
        for number, (level, change) in enumerate(zip(levels, attended, strict=True), 1):
            summed = level + change
            out.append(summed + self.get_submodule(f"ffn{number}")(self.get_submodule(f"ffn_norm{number}")(summed)))
        return out


class _Reconstruction(nn.Module):
    """A level of patches → its pixels; B×C×h×w → B×C×(h·s)×(w·s)."""

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.conv = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """B×C×h×w → B×C×(h·s)×(w·s)."""
        enlarged = F.interpolate(x, scale_factor=self.patch, mode="bilinear", align_corners=False)
        return conv_norm(self.conv, self.norm, enlarged).relu()


class ChannelTransformer(nn.Module):
    """Four levels → four levels of the same shapes, with every level's patches at the size of the deepest."""

    def __init__(self) -> None:
        super().__init__()
        for level, (channels, patch) in enumerate(zip(CHANNELS, PATCHES, strict=True), 1):
            embedding = nn.ModuleDict({"patch_embeddings": nn.Conv2d(channels, channels, patch, patch)})
            self.add_module(f"embeddings_{level}", embedding)
            self.add_module(f"reconstruct_{level}", _Reconstruction(channels, patch))
        norms = {f"encoder_norm{level}": _PixelNorm(channels) for level, channels in enumerate(CHANNELS, 1)}
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer() for _ in range(LAYERS)), **norms})

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Four B×C_i×H_i×W_i → the same."""
        numbered = list(enumerate(features, 1))
        levels = [self.get_submodule(f"embeddings_{number}.patch_embeddings")(x) for number, x in numbered]
        for layer in self.encoder["layer"].children():
            levels = layer(levels)
        return [
            self.get_submodule(f"reconstruct_{number}")(self.encoder[f"encoder_norm{number}"](levels[number - 1])) + x
            for number, x in numbered
        ]


class _ChannelCrossAttention(nn.Module):
    """Scales a skip's channels by its own means and those of what is below it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp_x = nn.Sequential(nn.Flatten(), nn.Linear(channels, channels))
        self.mlp_g = nn.Sequential(nn.Flatten(), nn.Linear(channels, channels))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Two B×C×H×W → B×C×H×W."""
        scores: Tensor = (self.mlp_x(skip.mean((2, 3))) + self.mlp_g(deep.mean((2, 3)))) / 2
        return (skip * scores.sigmoid()[..., None, None]).relu()


class _UpBlock(nn.Module):
    """Twice as large (nearest), joined with the scaled skip, two convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.coatt = _ChannelCrossAttention(in_channels // 2)
        pairs = ((in_channels, out_channels), (out_channels, out_channels))
        self.nConvs = nn.ModuleList(
            nn.ModuleDict({"conv": nn.Conv2d(a, b, 3, padding=1), "norm": nn.BatchNorm2d(b)}) for a, b in pairs
        )

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """B×(C/2)×H×W and B×(C/2)×2H×2W → B×C_out×2H×2W."""
        up = F.interpolate(deep, scale_factor=2)
        x = torch.cat([self.coatt(up, skip), up], 1)
        for unit in self.nConvs:
            assert isinstance(unit, nn.ModuleDict)
            conv, norm = unit["conv"], unit["norm"]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            x = conv_norm(conv, norm, x).relu()
        return x


@MODELS.register("sctransnet")
class SCTransNet(PaddedNetwork):
    """The whole network; 11,202,995 parameters.

    Left out, because nothing depends on them: position embeddings (of images of 256 pixels) and 64 scalars beside the
    attention.
    """

    channels_last = True
    about = About(
        "SCTransNet", "Yuan et al., TGRS 2024", "arXiv 2401.15583", 2024, "none", iou(77.50, 94.09, 68.03), "its README"
    )
    multiple = 16
    dead = (r".*\.position_embeddings$", r".*\.q[1-4]_attn[1-4]$")

    def __init__(self) -> None:
        super().__init__()
        self.inc = nn.Sequential(ResidualBlock(1, 32))
        self.down_encoder1 = nn.Sequential(ResidualBlock(32, 64))
        self.down_encoder2 = nn.Sequential(ResidualBlock(64, 128))
        self.down_encoder3 = nn.Sequential(ResidualBlock(128, 256))
        self.down_encoder4 = nn.Sequential(ResidualBlock(256, 256))
        self.mtc = ChannelTransformer()
        self.up_decoder4 = _UpBlock(512, 128)
        self.up_decoder3 = _UpBlock(256, 64)
        self.up_decoder2 = _UpBlock(128, 32)
        self.up_decoder1 = _UpBlock(64, 32)
        self.outc = nn.Conv2d(32, 1, 1)
        for level, channels in ((5, 256), (4, 128), (3, 64), (2, 32)):
            self.add_module(f"gt_conv{level}", nn.Sequential(nn.Conv2d(channels, 1, 1)))
        self.outconv = nn.Conv2d(5, 1, 1)
        self._initialise()

    def heads(self, image: Tensor, sides: bool) -> dict[str, Tensor]:
        """Logits at full size; with `sides` those of four levels (``gt2`` … ``gt5``) and of all fused (``d0``), too."""
        features = [self.inc(image)]
        for encoder in (self.down_encoder1, self.down_encoder2, self.down_encoder3, self.down_encoder4):
            features.append(encoder(F.max_pool2d(features[-1], 2)))
        decoded = [features.pop()]
        skips = [mixed + plain for mixed, plain in zip(self.mtc(features), features, strict=True)]
        for decoder in (self.up_decoder4, self.up_decoder3, self.up_decoder2, self.up_decoder1):
            decoded.append(decoder(decoded[-1], skips.pop()))
        logits = {"out": self.outc(decoded.pop())}
        if not sides:
            return logits
        levels = {
            f"gt{level}": F.interpolate(
                self.get_submodule(f"gt_conv{level}")(feature),
                scale_factor=2 ** (level - 1),
                mode="bilinear",
                align_corners=True,
            )
            for level, feature in zip((5, 4, 3, 2), decoded, strict=True)
        }
        d0 = self.outconv(torch.cat([*reversed(levels.values()), logits["out"]], 1))
        return logits | levels | {"d0": d0}

    def _initialise(self) -> None:
        """As the authors' training script does: Kaiming normal, norms around 1."""
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.02)
                nn.init.zeros_(module.bias)
