"""Which base fits is a matter of its architecture, not of its name."""

import pytest

from atelier.flows.config.defaults import demo_params
from atelier.models.card import ModelCard
from atelier.models.configs import CONFIGS
from atelier.models.configs.initial_weights import adapted, fits
from atelier.tasks.registry.base_models import check_starter, list_bases, with_base
from atelier.tasks.registry.starter_models import list_starters
from atelier.tasks.training.config import TrainConfig


def test_a_base_fits_with_the_settings_that_it_names() -> None:
    for method in ("cpgan", "fast", "cut", "cyclegan", "adain"):
        config = CONFIGS[method]()
        bases = list_bases(config)
        for base in bases:
            (card,) = (ModelCard.read(one.folder) for one in list_starters() if one.name == base.name)
            assert fits(card.settings, base.config)
            assert {name: getattr(base.config, name) for name in base.changes} == base.changes
        assert [len(base.changes) for base in bases] == sorted(len(base.changes) for base in bases)


def test_a_training_starts_from_a_base_where_one_fits() -> None:
    config = with_base(TrainConfig())
    assert config.starts_from_starter
    check_starter(config)
    assert f'start_from: "{config.start_from}"' in demo_params()
    scratch = TrainConfig(method="dcgan")
    assert with_base(scratch) == scratch


def test_what_does_not_fit_is_refused_with_what_does() -> None:
    (card,) = (ModelCard.read(one.folder) for one in list_starters() if one.name == "starter/paintings")
    assert adapted(TrainConfig().adain, card.settings) is None
    with pytest.raises(ValueError, match=r"What fits adain: no starter model; scratch"):
        check_starter(TrainConfig(method="adain", start_from="starter/any-style"))
    with pytest.raises(ValueError, match="there is no model 'starter/none'"):
        check_starter(TrainConfig(start_from="starter/none"))
