"""Random configurations: every value that the schema allows."""

import math

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

import configs
from configs.schema import SECTIONS, AppConfig
from configs.section import Setting, settings_of

__all__ = ["trees"]


def values(setting: Setting) -> st.SearchStrategy:
    """Draw any value that a setting allows, whole numbers for fractions included."""
    match setting.type:
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, high)
        case inspect.FloatType(ge=low, le=high):
            return (
                st.floats(low, high) | st.integers(math.ceil(low), math.floor(high))
                if high >= 1
                else st.floats(low, high)
            )
        case inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case inspect.VarTupleType(item_type=inspect.Metadata(type=inspect.FloatType(ge=low, le=high))):
            return st.lists(st.floats(low, high), max_size=5).map(tuple)
        case inspect.VarTupleType(item_type=inspect.LiteralType(values=words)):
            return st.lists(st.sampled_from(words), max_size=5, unique=True).map(tuple)
        case _:
            return st.nothing()


@st.composite
def trees(draw: st.DrawFn) -> AppConfig:
    """Draw a whole configuration; names, paths and intervals from short lists."""
    config = configs.load("backtest")
    base, decision = draw(st.sampled_from([("1m", "15m"), ("1m", "1m"), ("5m", "1h"), ("3m", "1d")]))
    special = {
        "market.base_interval": base,
        "market.decision_interval": decision,
        "market.instruments": draw(st.sampled_from([("BTCUSDT.BINANCE",), ("ETHUSDT-PERP.BINANCE", "X1.BINANCE")])),
        "exits.partial_takes": draw(st.sampled_from([(), (2.5, 0.5), (1.0, 0.2, 2.0, 0.3, 4.0, 0.5)])),
        "catalog.path": draw(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1)),
    }
    sections = {}
    for name, section in SECTIONS.items():
        drawn = msgspec.structs.asdict(getattr(config, name))
        for setting in settings_of(section):
            if setting.path in special:
                drawn[setting.name] = special[setting.path]
            elif not values(setting).is_empty:
                drawn[setting.name] = draw(values(setting))
        sections[name] = drawn
    least = min(sections["sizing"]["full_confidence"], sections["ensemble"]["min_confidence"])
    sections["ensemble"]["min_confidence"] = least
    longest = min(
        sections["venue"]["recv_window_ms"], math.ceil(sections["orders"]["submit_timeout_seconds"] * 1e3) - 1
    )
    sections["venue"]["recv_window_ms"] = max(longest, 100)
    sections["orders"]["submit_timeout_seconds"] = max(sections["orders"]["submit_timeout_seconds"], 0.101)
    return AppConfig(environment="backtest", **{name: SECTIONS[name](**drawn) for name, drawn in sections.items()})
