"""The gate, as the pure function that it is."""

import math
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from atelier.tasks.evaluation.gate import CanaryResult, Difference, GateConfig, PairedComparison, gate

GOOD: dict[str, Any] = {
    "dataset": "d1", "size_px": 128, "kid": {"metric": "kid_inception", "ratio": 0.5},
    "style": {"encoder": "inception", "ratio": 0.4}, "ssim": {"mean": 0.6},
    "inversion": {"share": 0.0}, "checkerboard": {"ratio": 1.0}, "repetition": {"share": 0.0},
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
        ("repetition.share", 0.26),
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


def test_thresholds_hold_at_the_sizes_that_people_look_at() -> None:
    """A distance is refused where its whole interval is over the limit: few pictures are measured there."""
    at = {
        "kid": {"ratio": 0.65, "ratio_low": 0.55},
        "style": {"ratio": 0.4, "ratio_low": 0.3},
        "repetition": {"share": 0.0},
    }
    perhaps = gate({**GOOD, "sizes": {"256": at}}, None, GateConfig())
    assert perhaps.passed
    assert "kid.ratio at 256 px is 0.65 (95 % interval from 0.55), at most 0.6" in perhaps.reasons
    assert "style.ratio at 256 px is 0.4, at most 0.5" in perhaps.reasons, "an interval would say no more"
    surely = gate({**GOOD, "sizes": {"256": at | {"kid": {"ratio": 0.7, "ratio_low": 0.61}}}}, None, GateConfig())
    assert surely.reasons == ("kid.ratio at 256 px is 0.7 (95 % interval from 0.61), it must be at most 0.6",)
    dotted = gate({**GOOD, "sizes": {"256": at, "512": at | {"repetition": {"share": 0.9}}}}, None, GateConfig())
    assert dotted.reasons == ("repetition.share at 512 px is 0.9, it must be at most 0.25",)


@pytest.mark.parametrize(
    ("key", "gentle", "over", "words"),
    [
        ("kid.ratio", 0.8, 0.81, "at most 0.8 (a first model; 0.6 once a version is prod)"),
        ("style.ratio", 0.75, 0.76, "at most 0.75 (a first model; 0.5 once a version is prod)"),
        ("ssim.mean", 0.25, 0.24, "at least 0.25 (a first model; 0.5 once a version is prod)"),
    ],
)
def test_the_first_model_is_judged_more_gently_and_told_so(key: str, gentle: float, over: float, words: str) -> None:
    passed = gate(with_value(key, gentle), None, GateConfig(), first=True)
    assert any(reason == f"{key} is {gentle:.3g}, {words}" for reason in passed.reasons)
    refused = gate(with_value(key, over), None, GateConfig(), first=True)
    assert refused.reasons == (f"{key} is {over:.3g}, it must be {words}",)
    assert not gate(with_value(key, gentle), None, GateConfig(first_leniency=0), first=True).passed


def test_faults_that_are_seen_refuse_a_first_model_too() -> None:
    for key, value in (("inversion.share", 0.01), ("checkerboard.ratio", 2.1), ("repetition.share", 0.26)):
        assert not gate(with_value(key, value), None, GateConfig(), first=True).passed


def test_what_is_better_than_a_prod_beyond_a_limit_may_replace_it() -> None:
    """Never more gently than a first model is judged, so that no series of nights goes downhill."""
    alike = {"kid_ratio": Difference(0.7, 0.75, -0.06, -0.04)}
    prod = replace(comparison(**alike), metrics=with_value("kid.ratio", 0.75))
    better = gate(with_value("kid.ratio", 0.7), prod, GateConfig())
    assert "kid.ratio is 0.7, at most 0.75 (0.6 once prod keeps it: v1.0.0 has 0.75)" in better.reasons
    assert not gate(with_value("kid.ratio", 0.76), prod, GateConfig()).passed
    bad = replace(prod, metrics=with_value("kid.ratio", 1.4))
    assert not gate(with_value("kid.ratio", 0.9), bad, GateConfig()).passed


COUNTS = {"content_groups": 5, "style_groups": 8}
NEAR_ZERO = {"photos": 0.01, "photos_low": -0.02, "photos_high": 0.04, "stylized": 0.005, "ratio": 0.5}


def test_a_ratio_to_a_distance_near_zero_says_how_many_pictures_would_do() -> None:
    found = gate(with_value("kid", NEAR_ZERO) | {"counts": COUNTS}, None, GateConfig())
    assert found.passed
    assert found.reasons[0].endswith("too few held-out pictures for an interval, about 50 of each would do")


@pytest.mark.parametrize(("difference", "passed"), [(-0.01, True), (0.01, False)])
def test_where_photographs_are_as_near_as_paintings_the_difference_decides(difference: float, passed: bool) -> None:
    kid = {**NEAR_ZERO, "photos": -0.01, "difference_low": difference}
    del kid["ratio"]
    found = gate(with_value("kid", kid) | {"counts": COUNTS}, None, GateConfig())
    assert found.passed == passed
    assert "kid.ratio cannot be told: the distance of the photographs themselves is -0.01" in found.reasons[0]


def comparison(**differences: Difference) -> PairedComparison:
    """A comparison in which both are alike but for what is said."""
    alike = {
        "kid.ratio": Difference(0.5, 0.5, -0.01, 0.01),
        "style.ratio": Difference(0.4, 0.4, -0.01, 0.01),
        "ssim.mean": Difference(0.6, 0.6, -0.01, 0.01),
    }
    return PairedComparison(
        "v1.0.0", alike | {key.replace("_", "."): value for key, value in differences.items()}, (), {}
    )


def test_no_worse_than_prod_even_at_the_worse_bound_of_the_interval() -> None:
    assert gate(GOOD, comparison(), GateConfig()).passed
    assert gate(GOOD, comparison(kid_ratio=Difference(0.44, 0.4, 0.03, 0.05)), GateConfig()).passed
    worse = gate(GOOD, comparison(kid_ratio=Difference(0.46, 0.4, 0.05, 0.07)), GateConfig())
    assert worse.reasons == (
        "kid.ratio is 0.46 where v1.0.0 has 0.4: it differs by +0.06 (95 % interval +0.05 … +0.07), "
        "and may be worse by 0.05",
    )
    assert not gate(GOOD, comparison(ssim_mean=Difference(0.54, 0.6, -0.07, -0.05)), GateConfig()).passed
    assert gate(GOOD, comparison(ssim_mean=Difference(0.7, 0.6, 0.05, 0.2)), GateConfig()).passed


def test_luck_does_not_promote() -> None:
    lucky = gate(GOOD | {"counts": COUNTS}, comparison(kid_ratio=Difference(0.3, 0.4, -0.4, 0.2)), GateConfig())
    assert not lucky.passed
    assert "too few held-out pictures (5 of a domain)" in lucky.reasons[0]
    assert lucky.reasons[0].endswith("about 20 would do")


def test_a_metric_that_the_comparison_lacks_refuses() -> None:
    assert not gate(GOOD, PairedComparison("v1.0.0", {}, (), {}), GateConfig()).passed


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        (CanaryResult("a.png", (0.6, 0.6), (0.3, 0.3), (False, False)), ""),
        (CanaryResult("a.png", (0.5, 0.6), (0.33, 0.3), (True, True)), ""),
        (CanaryResult("a.png", (0.4, 0.6), (0.3, 0.3), (False, False)), "keeps less (SSIM 0.40, prod 0.60)"),
        (CanaryResult("a.png", (0.6, 0.6), (0.4, 0.3), (False, False)), "is further from the style (0.4, prod 0.3)"),
        (CanaryResult("a.png", (0.6, 0.6), (0.3, 0.3), (True, False)), "comes out as a negative"),
        (CanaryResult("a.png", (math.nan, 0.6), (math.nan, 0.3), (False, False)), "keeps less"),
    ],
)
def test_a_canary_must_not_change_for_the_worse(canary: CanaryResult, words: str) -> None:
    decision = gate(GOOD, replace(comparison(), canaries=(canary,)), GateConfig())
    assert decision.passed == (words == "")
    assert words in decision.reasons[0] if words else True
    assert words == "" or decision.reasons[0].startswith("canary picture a.png ")


def test_pydantic_reads_the_config_and_refuses_unknown_keys() -> None:
    assert TypeAdapter(GateConfig).validate_python({"min_ssim": 0.7}).min_ssim == 0.7
    with pytest.raises(ValidationError):
        TypeAdapter(GateConfig).validate_python({"min_sim": 0.7})


def test_models_that_edit_or_generate_are_held_to_what_they_have() -> None:
    edits = {**GOOD, "kind": "edits", "kid": {"metric": "kid_inception", "stylized": 0.01}, "style": {}}
    assert gate(edits, None, GateConfig()).passed
    assert not gate({**edits, "ssim": {"mean": 0.1}}, None, GateConfig()).passed
    prod = PairedComparison("v1.0.0", {"ssim.mean": Difference(0.51, 0.6, -0.1, -0.08)}, (), {})
    assert not gate({**edits, "ssim": {"mean": 0.51}}, prod, GateConfig()).passed
    restores = {**edits, "kind": "restores", "psnr": {"mean": 30.0, "gain": 6.0}}
    assert gate(restores, None, GateConfig()).passed
    worse = gate({**restores, "psnr": {"mean": 24.1, "gain": 0.1}}, None, GateConfig())
    assert worse.reasons == ("psnr.gain is 0.1, it must be at least 0.5",)
    generates = {
        key: value for key, value in {**edits, "kind": "generates"}.items() if key not in ("ssim", "inversion")
    } | {"frechet": {"stylized": 100.0}, "memorisation": {"share": 0.008}, "means": {"distance": 0.3}}
    assert gate(generates, None, GateConfig()).passed
    assert not gate({**generates, "checkerboard": {"ratio": 5.0}}, None, GateConfig()).passed
    copied = gate({**generates, "memorisation": {"share": 0.025}}, None, GateConfig())
    assert copied.reasons == ("memorisation.share is 0.025, it must be at most 0.01",)
    assert not gate({**generates, "memorisation": {}}, None, GateConfig()).passed, "what was not audited may be copied"
    noise = gate({**generates, "means": {"distance": 5.31}}, None, GateConfig(), first=True)
    assert noise.reasons == ("means.distance is 5.31, it must be at most 2.5",)
    assert not gate({**generates, "means": {}}, None, GateConfig(), first=True).passed
    beside = PairedComparison("v1.0.0", {}, (), {"frechet": {"stylized": 99.0}})
    assert gate({**generates, "means": {"distance": 5.3}}, beside, GateConfig()).passed, (
        "a prod says how good it can be"
    )
    better = PairedComparison("v1.0.0", {}, (), {"frechet": {"stylized": 90.0}})
    assert gate({**generates, "frechet": {"stylized": 94.0}}, better, GateConfig()).passed
    refused = gate(generates, better, GateConfig())
    assert refused.reasons == ("frechet.stylized is 100, it must be at most 94.5 (v1.0.0 has 90)",)
    assert not gate({k: v for k, v in GOOD.items() if k != "ssim"}, None, GateConfig()).passed, "a painter has all"
