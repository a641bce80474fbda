"""The catalogue of metrics: each key once, computed by a function that exists."""

import importlib

import pytest

from atelier.tasks.evaluation.metric_catalogue import GATED, HEADLINE, KID, METRICS, SSIM, Metric, flat, lookup, value


def test_keys_and_labels_are_unique() -> None:
    assert len({one.key for one in METRICS}) == len({one.label for one in METRICS}) == len(METRICS)
    assert [one.key for one in HEADLINE] == ["kid.ratio", "style.ratio", "ssim.mean"]
    assert set(HEADLINE) < set(GATED)


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.key)
def test_the_function_that_computes_it_exists(metric: Metric) -> None:
    module, _, name = f"atelier.{metric.defined}".rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_ratio_and_interval() -> None:
    assert (KID.title, KID.photos, KID.interval) == ("KID × 1000", "kid.photos", ("kid.low", "kid.high"))
    ratio = KID.ratio
    assert (ratio.key, ratio.title, ratio.photos) == ("kid.ratio", "KID ratio", "")
    assert ratio.interval == ("kid.ratio_low", "kid.ratio_high")
    assert SSIM.interval == ("ssim.low", "ssim.high")


def test_values_by_key() -> None:
    metrics = {"kid": {"ratio": 0.5, "metric": "kid_inception"}}
    assert value(metrics, "kid.ratio") == 0.5
    assert value(metrics, "kid.metric") != value(metrics, "kid.metric"), "a text is NaN"
    assert lookup(metrics, "style.ratio") is None
    assert flat(metrics) == {"kid.ratio": 0.5, "kid.metric": "kid_inception"}
