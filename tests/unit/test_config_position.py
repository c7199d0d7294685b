"""Exits in the configuration: what goes together, and what of it the core reads."""

import msgspec
import pytest

import configs
from core.errors import ConfigError


def test_exits_of_the_core_are_those_of_the_configuration():
    config = configs.load("backtest", ["exits.partial_takes=[1.5, 0.25, 3, 0.5]", "exits.break_even_atr=2"])
    exits = config.decision_params().exits
    assert (exits.take_atr, exits.take_fraction) == ((1.5, 3.0, 0.0), (0.25, 0.5, 0.0))
    for name, value in msgspec.structs.asdict(config.exits).items():
        assert name == "partial_takes" or getattr(exits, name) == value


def test_no_part_of_the_profit_is_taken_unless_it_is_asked_for():
    exits = configs.load("backtest").decision_params().exits
    assert exits.take_atr == exits.take_fraction == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("[2, 0.5, 4]", "3 numbers are not pairs; give a profit and a share each"),
        ("[1, 0.1, 2, 0.1, 3, 0.1, 4, 0.1]", "4 pairs are above the limit 3; choose fewer"),
        ("[3, 0.5, 2, 0.5]", "the profits [3.0, 2.0] do not rise; put the nearest first"),
        ("[1, 0.5, 2, 0.6]", "the shares sum to 1.1, above the limit 1; choose smaller ones"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(pairs, message):
    with pytest.raises(ConfigError) as error:
        configs.load("backtest", [f"exits.partial_takes={pairs}"])
    assert str(error.value) == f"exits.partial_takes: {message}"
