"""Watchdog of training: stops a run that diverged or collapsed, with the reason and remedies.

A run is compared with its own history, so that losses of any scale work. A fault must persist, because healthy
adversarial training oscillates; only NaN and Inf stop a run at once. The history is not part of a checkpoint: a resumed
run is watched anew.
"""

import math
from collections import deque
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any, NoReturn

from torch import Tensor
from torch.nn import functional as F

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.metrics.diversity import diversity
from atelier.models.metrics.inversion import correlation
from atelier.models.metrics.repetition import repetition
from atelier.models.pixels import luminance

MEMORY = 1000  # log points
ORDINARY = (1.0, 100.0)  # range of a usual loss before there is a history: losses here are of the order of 1
PERFECT = 0.999  # accuracy; healthy discriminators of small datasets reach 0.99
CHANCE = 0.02  # distance of the accuracy from ½ at chance level
VANISHED = 0.01  # share of earlier, large gradient norms
NOTHING = 1e-6  # a gradient norm that counts as zero
CELLS = 8  # a side: images are compared coarsely, so that shifted equal textures count as equal
LEAST_VARIED = 0.01  # mean distance of two images, 0…1 a colour, under which the inputs are not diverse themselves


class TrainingStopped(RuntimeError):  # noqa: N818  not an error of the code
    """The training diverged or collapsed; the message has the symptom and remedies."""


class Watchdog:
    """Checks the metrics and samples of one run.

    Args:
        method_config: settings of the method; messages name only parameters that it has.
        weights: of its losses; those without a weight, or with 0, are not checked.
    """

    def __init__(self, config: WatchdogConfig, method_config: MethodConfig, weights: Mapping[str, float]) -> None:
        self.config, self._method_config = config, method_config
        self._losses = {name for name, weight in weights.items() if weight}
        self._past: dict[str, deque[tuple[int, float]]] = {}
        self._alike, self._inverted, self._patterned = 0, 0, 0  # sample points in a row
        self._told_apart = False  # whether the outputs have been diverse once

    def losses(self, step: int, metrics: Mapping[str, float]) -> None:
        """Check the metrics of a log point; the verdict is the same on all ranks.

        Args:
            metrics: by name, means since the last log point. A method gives the accuracy of each discriminator
                as "discriminator_accuracy…", the loss that the generator has from it as "adversarial…" of the same
                ending, and the norm of their gradient as "discriminator_gradient_norm".

        Raises:
            TrainingStopped: something is wrong, and has been for long enough.
        """
        if not self.config.enabled:
            return
        if broken := [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]:
            others = f" and so on, {len(broken)} of {len(metrics)} metrics" if len(broken) > 3 else ""
            self._stop(
                step,
                ", ".join(broken[:3]) + others,
                "set train.loop.precision: float32",
                "lower optimizer.generator_lr",
                "lower optimizer.discriminator_lr",
                "set optimizer.clip_norm",
            )
        for name, value in metrics.items():
            self._past.setdefault(name, deque(maxlen=MEMORY)).append((step, value))
        for name in metrics:
            if name in self._losses:
                self._diverged(step, name)
        for name in metrics:
            if name.startswith("discriminator_accuracy"):
                which = name.removeprefix("discriminator_accuracy")
                self._won(step, which)
                self._gave_up(step, which)

    def samples(self, step: int, content: Tensor, painted: Tensor) -> None:
        """Check the outputs of a sample point.

        Args:
            content: uint8 (B, 3, H, W), different pictures.
            painted: uint8 (B, 3, H, W), what the generator makes of them; or makes from noise, to be as varied as they.

        Raises:
            TrainingStopped: they have been all alike, or negatives, or full of dots, for long enough.
        """
        if not self.config.enabled or len(content) < 2:
            return
        c = self.config
        before, after = (F.adaptive_avg_pool2d(x.float().cpu() / 255, CELLS).flatten(1) for x in (content, painted))
        varied, kept = diversity(before.numpy()), diversity(after.numpy())
        # the distance of two images grows with the root of their number of values
        share = kept / varied if varied > LEAST_VARIED * before.shape[1] ** 0.5 else 1.0
        self._told_apart = self._told_apart or share >= 2 * c.least_diversity or step >= c.diverse_from
        self._alike = self._alike + 1 if self._told_apart and share < c.least_diversity else 0
        if self._alike >= c.sample_patience:
            generates = self._method_config.generates
            made = "generated, beside pictures of the style," if generates else "painted from different pictures"

            self._stop(
                step,
                f"mode collapse: what is {made} differs {share:.3f} times as much as those "
                f"do, under {c.least_diversity} at the last {self._alike} sample points",
                "lower optimizer.generator_lr",
                "raise content_weight",
                "raise cycle_weight",
                "raise nce_weight",
                "lower adversarial_weight",
                "set diffaugment",
                "lower train.loop.watchdog.least_diversity if that is wanted",
            )
        if self._method_config.generates:
            return
        pictures = content.float().cpu() / 255, painted.float().cpu() / 255
        self._painted_negatives(step, *pictures)
        self._painted_patterns(step, *pictures)

    def _painted_negatives(self, step: int, before: Tensor, after: Tensor) -> None:
        """Stop at pictures (B, 3, H, W) in [0, 1] with light and dark exchanged."""
        c = self.config
        similar = correlation(luminance(before), luminance(after)).median().item()
        self._inverted = self._inverted + 1 if similar < c.least_correlation else 0
        if self._inverted >= c.sample_patience:
            self._stop(
                step,
                f"colour inversion: the luminance of what is painted has a median correlation of {similar:.2f} with "
                f"the original's, under {c.least_correlation} at the last {self._inverted} sample points",
                "raise luminance_weight",
                "raise identity_weight",
                "raise content_weight",
                "lower train.loop.watchdog.least_correlation if that is wanted",
            )

    def _painted_patterns(self, step: int, before: Tensor, after: Tensor) -> None:
        """Stop at pictures (B, 3, H, W) in [0, 1] whose plain areas are full of dots, stripes or checkers."""
        c = self.config
        score = repetition(before, after).nanmedian().item()  # NaN, which is not over any limit, without plain areas
        self._patterned = self._patterned + 1 if score > c.most_repetition else 0
        if self._patterned >= c.repetition_patience:
            self._stop(
                step,
                f"repeating pattern: {score:.2f} of what is painted into plain areas repeats, as rows of dots do, over "
                f"{c.most_repetition} at the last {self._patterned} sample points",
                "raise total_variation_weight",
                "lower adversarial_weight",
                "raise identity_weight",
                "raise content_weight",
                "lower optimizer.generator_lr",
                "raise train.loop.watchdog.most_repetition if that is wanted",
            )

    def _diverged(self, step: int, name: str) -> None:
        """Stop at a loss that stays many times its usual size."""
        window, earlier = self._window(name, self.config.patience)
        if len(earlier) < self.config.patience:
            return
        usual = min(max(median(abs(value) for value in earlier), ORDINARY[0]), ORDINARY[1])
        least = min(abs(value) for _, value in window)
        # a loss that starts high and falls is not diverged
        if least > self.config.divergence * usual and least >= min(abs(value) for value in earlier):
            scores = name.startswith(("adversarial", "discriminator", "r1", "gradient"))
            self._stop(
                step,
                f"the loss {name} diverged: {window[-1][1]:.4g}, and over {self.config.divergence:g} times its usual "
                f"{usual:.3g} since step {window[0][0]}",
                *(["lower optimizer.discriminator_lr"] if scores else []),
                "lower optimizer.generator_lr",
                "set optimizer.clip_norm",
                "set train.loop.warm_up_steps",
                "set train.loop.precision: float32",
            )

    def _won(self, step: int, which: str) -> None:
        """Stop at a perfect discriminator, from which the generator learns nothing."""
        patience = self.config.discriminator_patience
        accuracies, _ = self._window(f"discriminator_accuracy{which}", patience)
        adversarial, _ = self._window(f"adversarial{which}", patience)
        if f"adversarial{which}" not in self._losses or len(adversarial) < patience:
            return
        half = patience // 2
        first, second = (fmean(value for _, value in part) for part in (adversarial[:half], adversarial[half:]))
        if min(value for _, value in accuracies) >= PERFECT and second >= first:
            self._stop(
                step,
                f"discriminator{which} collapsed: it has told {accuracies[-1][1]:.2%} of the patches right since step "
                f"{accuracies[0][0]}, and the generator's adversarial loss only went from {first:.4g} to {second:.4g}",
                "lower optimizer.discriminator_lr",
                "reconsider optimizer.generator_lr",
                "set diffaugment",
                "raise r1_weight",
                "lower discriminator_filters",
            )

    def _gave_up(self, step: int, which: str) -> None:
        """Stop at a discriminator at chance level without gradients."""
        patience = self.config.discriminator_patience
        accuracies, _ = self._window(f"discriminator_accuracy{which}", patience)
        norms, earlier = self._window("discriminator_gradient_norm", patience)
        if len(norms) < patience or max(abs(value - 0.5) for _, value in accuracies) > CHANCE:
            return
        large = sorted(earlier)[int(0.9 * len(earlier))] if earlier else 0.0
        if max(value for _, value in norms) < max(VANISHED * large, NOTHING):
            self._stop(
                step,
                f"discriminator{which} collapsed: it has told {accuracies[-1][1]:.1%} of the patches right, as by "
                f"chance, since step {accuracies[0][0]}, and its gradient vanished: {norms[-1][1]:.2g}, before "
                f"{large:.2g}",
                "lower optimizer.discriminator_lr",
                "set optimizer.clip_norm",
                "lower r1_weight",
                "raise discriminator_filters",
            )

    def _window(self, name: str, count: int) -> tuple[list[tuple[int, float]], list[float]]:
        """The last `count` (step, value) of a metric, or as many as there are, and the values before them."""
        past = list(self._past.get(name, ()))
        return past[-count:], [value for _, value in past[:-count]]

    def _stop(self, step: int, seen: str, *remedies: str) -> NoReturn:
        """Stop, with the remedies ("verb parameter") whose parameters there are."""
        known = []
        for remedy in remedies:
            verb, parameter = remedy.split(" ", 1)
            if parameter.startswith("train."):
                known.append(remedy)
            elif (value := self._value(parameter)) is not None:
                known.append(f"{verb} train.{self._method_config.name}.{parameter} (now {value})")
        raise TrainingStopped(f"training was stopped at step {step}: {seen}; try one of: {', '.join(known)}")

    def _value(self, parameter: str) -> Any:
        """The value of a dotted parameter of the method; None if it has no such parameter."""
        value: Any = self._method_config
        for name in parameter.split("."):
            value = getattr(value, name, None)
        return value
