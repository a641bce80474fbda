"""The discriminator: which patches of a picture look like they come from the style domain."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """A score for every overlapping patch: Isola et al. 2017 ("PatchGAN"), spectrally normalised, Miyato et al. 2018.

    Args:
        filters: channels after the first convolution; they double with every further one.
        layers: halvings of the size; 3 see patches of 46 px.
    """

    def __init__(self, filters: int, layers: int) -> None:
        super().__init__()
        channels, modules = 3, list[nn.Module]()
        for layer in range(layers):
            out = filters * 2**layer
            modules += [spectral_norm(nn.Conv2d(channels, out, 4, 2, 1)), nn.LeakyReLU(0.2)]
            channels = out
        modules += [spectral_norm(nn.Conv2d(channels, 1, 4, 1, 1))]
        self.net = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to patch scores (B, 1, h, w); higher is more like the style domain."""
        return self.net(x)  # type: ignore[no-any-return]
