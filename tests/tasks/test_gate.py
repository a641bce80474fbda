"""The gate, as the pure function that it is."""

import math
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from atelier.tasks.gate import GateConfig, gate

GOOD: dict[str, Any] = {
    "dataset": "d1", "size_px": 128, "kid": {"metric": "kid_inception", "ratio": 0.5},
    "style": {"encoder": "inception", "ratio": 0.4}, "ssim": {"mean": 0.6},
    "inversion": {"share": 0.0}, "checkerboard": {"ratio": 1.0},
}  # fmt: skip


def with_value(key: str, value: object) -> dict[str, Any]:
    section, _, name = key.partition(".")
    return {**GOOD, section: {**GOOD[section], name: value} if name else value}


def test_a_good_first_model_passes() -> None:
    decision = gate(GOOD, None, GateConfig())
    assert decision.passed
    assert "kid.ratio is 0.5, at most 0.6" in decision.reasons


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kid.ratio", 0.61),
        ("style.ratio", 0.51),
        ("ssim.mean", 0.49),
        ("inversion.share", 0.01),
        ("checkerboard.ratio", 2.1),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_each_threshold_refuses_alone(key: str, value: float, broken: bool) -> None:
    decision = gate(with_value(key, math.nan if broken else value), None, GateConfig())
    assert not decision.passed
    assert [r.split(" is ")[0] for r in decision.reasons] == [key]


def test_a_missing_metric_refuses() -> None:
    decision = gate({k: v for k, v in GOOD.items() if k != "ssim"}, None, GateConfig())
    assert decision.reasons == ("ssim.mean is missing, it must be at least 0.5",)


def test_worse_than_prod_beyond_the_tolerance_is_refused() -> None:
    prod = with_value("kid.ratio", 0.4)
    assert gate(with_value("kid.ratio", 0.44), prod, GateConfig()).passed
    refused = gate(with_value("kid.ratio", 0.46), prod, GateConfig())
    assert refused.reasons == ("kid.ratio is 0.46, it must be at most 0.45 (prod has 0.4)",)
    assert not gate(with_value("ssim.mean", 0.54), GOOD, GateConfig()).passed


def test_numbers_of_another_dataset_are_not_compared() -> None:
    prod = {**with_value("kid.ratio", 0.1), "dataset": "d0"}
    decision = gate(GOOD, prod, GateConfig())
    assert decision.passed
    assert "not compared with prod, which was measured with another dataset" in decision.reasons


def test_pydantic_reads_the_config_and_refuses_unknown_keys() -> None:
    assert TypeAdapter(GateConfig).validate_python({"min_ssim": 0.7}).min_ssim == 0.7
    with pytest.raises(ValidationError):
        TypeAdapter(GateConfig).validate_python({"min_sim": 0.7})


def test_models_that_edit_or_generate_are_held_to_what_they_have() -> None:
    edits = {**GOOD, "kind": "edits", "kid": {"metric": "kid_inception", "stylized": 0.01}, "style": {}}
    assert gate(edits, None, GateConfig()).passed
    assert not gate({**edits, "ssim": {"mean": 0.1}}, None, GateConfig()).passed
    assert not gate({**edits, "ssim": {"mean": 0.51}}, {**edits, "ssim": {"mean": 0.6}}, GateConfig()).passed
    generates = {
        key: value for key, value in {**edits, "kind": "generates"}.items() if key not in ("ssim", "inversion")
    } | {"frechet": {"stylized": 100.0}}
    assert gate(generates, None, GateConfig()).passed
    assert not gate({**generates, "checkerboard": {"ratio": 5.0}}, None, GateConfig()).passed
    better = {**generates, "frechet": {"stylized": 90.0}}
    assert gate(better, generates, GateConfig()).passed
    refused = gate(generates, better, GateConfig())
    assert refused.reasons == ("frechet.stylized is 100, it must be at most 94.5 (prod has 90)",)
    assert "not compared with prod" in " ".join(gate(generates, edits, GateConfig()).reasons)
    assert not gate({k: v for k, v in GOOD.items() if k != "ssim"}, None, GateConfig()).passed, "a painter has all"
