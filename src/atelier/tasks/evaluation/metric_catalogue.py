"""The catalogue of metrics: what each number of `reports/evaluation.json` is called, and which direction is better.

Evaluation, gate, comparisons, cross-validation, registry and reports take names, order and directions from here; the
computations are in `atelier.models.metrics`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Metrics = dict[str, Any]  # as reports/evaluation.json holds them


@dataclass(frozen=True)
class Metric:
    """One number. Where it has a 95 % interval, `low` and `high` stand beside it in the file."""

    key: str  # dotted, in reports/evaluation.json
    label: str  # for people, everywhere
    better: Literal["lower", "higher"]
    meaning: str  # one line
    defined: str  # function in atelier that computes it
    paper: str = ""
    compared_with: Literal["style", "photo", ""] = ""  # "" where the number needs the model's pictures alone
    baseline: bool = False  # the same of the untouched photographs, and the ratio to it, stand beside it
    scale: float = 1.0  # shown value = value × scale
    unit: str = ""

    @property
    def section(self) -> str:
        """The part of the file that holds it: "kid" of "kid.stylized"."""
        return self.key.rpartition(".")[0]

    @property
    def ratio(self) -> "Metric":
        """The value as a share of its baseline."""
        assert self.baseline, f"{self.key} has no baseline"
        key, label = f"{self.section}.ratio", f"{self.label} ratio"
        return replace(self, key=key, label=label, baseline=False, scale=1.0, unit="")

    def at_size(self, px: str) -> "Metric":
        """The same at a viewing size, see `viewing_sizes`."""
        return replace(self, key=f"sizes.{px}.{self.key}", label=f"{self.label} at {px} px")

    @property
    def photos(self) -> str:
        """The key of the baseline, "" where there is none."""
        return f"{self.section}.photos" if self.baseline else ""

    @property
    def interval(self) -> tuple[str, str]:
        """The keys of the ends of its 95 % interval."""
        prefix = "ratio_" if self.key.endswith(".ratio") else ""
        return f"{self.section}.{prefix}low", f"{self.section}.{prefix}high"

    @property
    def title(self) -> str:
        """Label with scale and unit, for the head of a row."""
        scaled = f" × {self.scale:g}" if self.scale > 1 else ""
        return f"{self.label}{scaled}{f', {self.unit}' if self.unit else ''}"


KID = Metric(
    "kid.stylized", "KID", "lower", "kernel distance of all pictures to those of the style",
    "models.metrics.kid.polynomial_kernel", "Bińkowski et al. 2018, arXiv:1801.01401",
    compared_with="style", baseline=True, scale=1000,
)  # fmt: skip
FRECHET = Metric(
    "frechet.stylized", "Fréchet distance", "lower", "the same of Gaussians; few pictures raise it",
    "models.metrics.fid.frechet", "Heusel et al. 2017, arXiv:1706.08500", compared_with="style", baseline=True,
)  # fmt: skip
ARTFID = Metric(
    "artfid.stylized", "ArtFID", "lower", "(1 + LPIPS) · (1 + FID): content and style in one number",
    "models.metrics.artfid.artfid", "Wright & Ommer 2022, arXiv:2207.12280", compared_with="style", baseline=True,
)  # fmt: skip
STYLE = Metric(
    "style.stylized", "Style distance", "lower", "distance of the textures (Gram matrices) to the style's",
    "models.metrics.gram.style_kernel", "Gatys et al. 2016", compared_with="style", baseline=True,
)  # fmt: skip
CONTENT = Metric(
    "content.stylized", "Change of content", "lower", "0 is untouched; a ratio of 1 is another photograph",
    "models.metrics.content.content_distances", compared_with="photo", baseline=True,
)  # fmt: skip
DIVERSITY = Metric(
    "diversity.stylized", "Diversity", "higher", "how much the pictures differ from each other",
    "models.metrics.diversity.diversity", baseline=True,
)  # fmt: skip
CHECKERBOARD = Metric(
    "checkerboard.stylized", "Checkerboard", "lower", "peaks of an upsampling grid in the spectrum; 1 is none",
    "models.metrics.checkerboard.checkerboard", "Odena et al. 2016; Zhang et al. 2019, arXiv:1907.06515",
    baseline=True,
)  # fmt: skip
REPETITION = Metric(
    "repetition.share", "Repeating patterns", "lower", "share of pictures with rows of dots or a weave in plain areas",
    "models.metrics.repetition.repetition", compared_with="photo",
)  # fmt: skip
SSIM = Metric(
    "ssim.mean", "SSIM", "higher", "structure kept, by luminance; 1 is the photograph itself",
    "models.metrics.ssim.ssim", "Wang et al. 2004", compared_with="photo",
)  # fmt: skip
PSNR = Metric(
    "psnr.mean", "PSNR", "higher", "nearness of restored pictures to what they were",
    "models.metrics.psnr.psnr", compared_with="photo", unit="dB",
)  # fmt: skip
PSNR_GAIN = Metric(
    "psnr.gain", "PSNR gain", "higher", "by how much they are nearer than the degraded pictures",
    "models.metrics.psnr.psnr", compared_with="photo", unit="dB",
)  # fmt: skip
LPIPS = Metric(
    "lpips.mean", "LPIPS", "lower", "visible difference from the photograph; 0 is the photograph itself",
    "models.metrics.lpips.lpips", "Zhang et al. 2018, arXiv:1801.03924", compared_with="photo",
)  # fmt: skip
INVERSION = Metric(
    "inversion.share", "Inverted pictures", "lower", "share of pictures with light and dark exchanged",
    "models.metrics.inversion.correlation", compared_with="photo",
)  # fmt: skip
CORRELATION = Metric(
    "inversion.correlation", "Luminance correlation", "higher", "mean, with the photograph; below 0 is inverted",
    "models.metrics.inversion.correlation", compared_with="photo",
)  # fmt: skip
MEMORISED = Metric(
    "memorisation.share", "Copies of training pictures", "lower",
    "share of pictures nearer to one than 999 of 1,000 training pictures are to any other",
    "models.metrics.memorisation.Distances",
)  # fmt: skip
MEANS = Metric(
    "means.distance", "Distance of means", "lower", "how far the mean picture is from the real one; noise: above 5",
    "models.metrics.fid.mean_distance", "Heusel et al. 2017, arXiv:1706.08500",
)  # fmt: skip
PRECISION = Metric(
    "manifold.precision", "Precision", "higher", "share of generated pictures that lie among real ones: believable",
    "models.metrics.manifold.precision_recall", "Kynkäänniemi et al. 2019, arXiv:1904.06991",
)  # fmt: skip
RECALL = Metric(
    "manifold.recall", "Recall", "higher", "share of real pictures that lie among generated ones: variety",
    "models.metrics.manifold.precision_recall", "Kynkäänniemi et al. 2019, arXiv:1904.06991",
)  # fmt: skip
DENSITY = Metric(
    "manifold.density", "Density", "higher", "as precision, by how many real ones: 1 for the same distribution",
    "models.metrics.manifold.precision_recall", "Naeem et al. 2020, arXiv:2002.09797",
)  # fmt: skip
COVERAGE = Metric(
    "manifold.coverage", "Coverage", "higher", "share of real pictures with a generated one near",
    "models.metrics.manifold.precision_recall", "Naeem et al. 2020, arXiv:2002.09797",
)  # fmt: skip
PATH_LENGTH = Metric(
    "path_length.mean", "Perceptual path length", "lower", "how abruptly pictures change between two latents",
    "models.metrics.path_length.path_lengths", "Karras et al. 2019, arXiv:1812.04948",
)  # fmt: skip
ATTRIBUTES = Metric(
    "attributes.share", "Attributes given", "higher", "mean share of edits that a classifier recognises",
    "models.metrics.attributes.successes", "Choi et al. 2018, section 5.5",
)  # fmt: skip
EDIT_LPIPS = Metric(
    "attributes.lpips.mean", "LPIPS of edits", "lower", "visible change by an edit, mean",
    "models.metrics.lpips.lpips", "Zhang et al. 2018, arXiv:1801.03924",
)  # fmt: skip
SPEED = Metric(
    "speed.images_per_second", "Speed", "higher", "on one core, at the training size",
    "tasks.evaluation.measures.measure_stylized", unit="pictures a second",
)  # fmt: skip
PARAMETERS = Metric(
    "size.parameters", "Parameters", "lower", "weights of the generator",
    "tasks.evaluation.measures.size_of", scale=1e-6, unit="millions",
)  # fmt: skip
MEGABYTES = Metric(
    "size.megabytes", "File", "lower", "size of the weights on disk", "tasks.evaluation.measures.size_of", unit="MB"
)

METRICS = (
    KID, FRECHET, ARTFID, STYLE, CONTENT, DIVERSITY, CHECKERBOARD, REPETITION, PSNR, PSNR_GAIN, SSIM, LPIPS, INVERSION,
    CORRELATION, MEANS, PRECISION, RECALL, DENSITY, COVERAGE, PATH_LENGTH, MEMORISED, ATTRIBUTES, EDIT_LPIPS, SPEED,
    PARAMETERS, MEGABYTES,
)  # fmt: skip
HEADLINE = (KID.ratio, STYLE.ratio, SSIM)  # shown first; a candidate must not be worse in them than `prod`
GATED = (*HEADLINE, INVERSION, CHECKERBOARD.ratio, REPETITION)  # have a threshold in `gate`
AT_SIZES = (KID, STYLE, CHECKERBOARD, REPETITION)  # measured at the viewing sizes too


def lookup(metrics: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, None when it is not there."""
    found: Any = metrics
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def value(metrics: Mapping[str, Any], key: str) -> float:
    """A number by its dotted key; NaN, which passes no threshold, when it is not there."""
    found = lookup(metrics, key)
    return float(found) if isinstance(found, int | float) else math.nan


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    found: dict[str, Any] = {}
    for name, inner in values.items():
        found |= flat(inner, f"{prefix}{name}.") if isinstance(inner, Mapping) else {f"{prefix}{name}": inner}
    return found


def rounded(value: Any) -> Any:
    """Nested numbers with six significant digits: enough for people, and for telling two models apart."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
