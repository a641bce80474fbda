"""What is wished is said in a form that tells one job from another, and what a method lacks is refused by name."""

from typing import Any

import numpy as np
import pytest

from atelier.models.configs import CONFIGS
from atelier.models.controls import Controls, Style, check_controls
from atelier.models.methods import METHODS


def test_every_method_says_what_it_honours() -> None:
    assert {name: method.Config for name, method in METHODS.items()} == CONFIGS
    known = set(Controls.__dataclass_fields__)
    assert all(set(names) <= known for names in (config.controls for config in CONFIGS.values()))


def test_only_what_was_said_is_recorded() -> None:
    assert Controls().changed() == {}
    assert Controls(0.5, "b2a", to=("Young", "-Male")).changed() == {
        "strength": 0.5, "direction": "b2a", "to": ["Young", "-Male"],
    }  # fmt: skip


def test_styles_are_told_apart_by_their_pixels_weights_and_masks() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    other = pixels.copy()
    other[0, 0, 0] = 1
    mask = np.zeros((2, 2), np.uint8)
    said = [
        str(Controls(styles=(style,)).changed())
        for style in (
            Style("a"),
            Style("a", 0.5),
            Style("a", 1.0, pixels),
            Style("a", 1.0, pixels.reshape(2, 8, 3)),
            Style("a", 1.0, other),
            Style("a", 1.0, other, mask),
        )
    ]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_is_a_share(strength: float) -> None:
    with pytest.raises(ValueError, match="strength must be between 0 and 1"):
        Controls(strength)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_above_nothing(weight: float) -> None:
    with pytest.raises(ValueError, match="the weight of style 'x' must be above 0"):
        Controls(styles=(Style("x", weight),))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"style_weight": 0.0}, "style_weight must be above 0"),
        ({"style_weight": float("nan")}, "style_weight must be above 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"stroke": 0.1}, "stroke must be a number from 0.2 to 8, .* or full to paint at full size, not 0.1"),
        ({"stroke": float("nan")}, "stroke must be a number"),
        ({"stroke": "wide"}, "stroke must be a number .* not 'wide'"),
        ({"to": ("Young", "-Male", "-Young")}, "'Young' is asked for twice"),
    ],
)
def test_a_wish_that_no_method_can_fulfil_is_refused(said: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Controls(**said)


def test_what_a_method_lacks_is_refused_by_name() -> None:
    check_controls(CONFIGS["cyclegan"], Controls(0.5, "b2a"))
    with pytest.raises(ValueError, match="cpgan has no control 'direction': it has strength"):
        check_controls(CONFIGS["cpgan"], Controls(direction="b2a"))
    with pytest.raises(ValueError, match="cyclegan has no control 'preserve-color': it has strength, direction"):
        check_controls(CONFIGS["cyclegan"], Controls(preserve_color=True))
    check_controls(CONFIGS["gatys"], Controls(stroke="full"))
    with pytest.raises(ValueError, match="color has no control 'stroke': it has strength"):
        check_controls(CONFIGS["color"], Controls(stroke=2.0))
