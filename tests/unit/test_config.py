"""The configuration: what is in it, what it refuses and in which words, its hash, its overlays."""

import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from msgspec import inspect

import configs
from commands.config import rendered
from configs.schema import SECTIONS, AppConfig, Ensemble, Risk
from configs.section import Setting, settings_of
from core.bars import INTERVALS_NS
from core.ensemble import METHODS
from core.errors import ConfigError
from tests.unit.config_trees import trees

HERE = Path(configs.__file__).parent
ROOT = HERE.parent
SETTINGS = [setting for section in SECTIONS.values() for setting in settings_of(section)]
NUMBERS = [s for s in SETTINGS if isinstance(s.type, inspect.IntType | inspect.FloatType)]
LIMITS = [s for s in SETTINGS if s.safer]


def ids(setting: Setting) -> str:
    return setting.path


def above(setting: Setting) -> float:
    high = setting.type.le
    return high + 1 if isinstance(setting.type, inspect.IntType) else math.nextafter(high, math.inf)


def below(setting: Setting) -> float:
    low = setting.type.ge
    return low - 1 if isinstance(setting.type, inspect.IntType) else math.nextafter(low, -math.inf)


def in_code(setting: Setting, value: object) -> object:
    """Build the setting's section in code, with one value changed."""
    section = getattr(configs.load("backtest"), setting.path.partition(".")[0])
    return type(section)(**{**msgspec.structs.asdict(section), setting.name: value})


def other(setting: Setting, value: object, *, lower: bool) -> object:
    """Return another allowed value: of numbers the neighbour on the wanted side where there is one."""
    match setting.type:
        case inspect.BoolType():
            return not value
        case inspect.LiteralType(values=words):
            return next(word for word in words if word != value)
        case inspect.IntType(ge=low, le=high):
            return max(value - 1, low) if lower else min(value + 1, high)
        case inspect.FloatType(ge=low, le=high):
            return max(math.nextafter(value, -math.inf), low) if lower else min(math.nextafter(value, math.inf), high)
    named = {"base_interval": "5m", "decision_interval": "30m", "instruments": ("X.BINANCE",), "weights": (1.0,)}
    named |= {"partial_takes": (2.0, 0.5), "models": ("elsewhere/*",), "groups": (("A.X", "B.X"),)}
    named["disabled"] = ("funding",)
    named |= dict.fromkeys(("ws_url", "ws_trading_url"), "ws://127.0.0.1:8080/ws")
    return named.get(setting.name, "http://127.0.0.1:8080")


def overlay(tmp_path: Path, environment: str, text: str) -> Path:
    """Return a copy of the configuration with another overlay."""
    folder = shutil.copytree(HERE, tmp_path / "configs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / f"{environment}.toml").write_text(text)
    return folder


# ---------------------------------------------------------------------------------------------- the schema itself


def test_every_number_is_bounded_on_both_sides_and_every_setting_says_what_it_is():
    for setting in NUMBERS:
        assert setting.type.ge is not None, setting.path
        assert setting.type.le is not None, setting.path
    assert [s.path for s in SETTINGS if not s.meaning] == []


def test_the_sections_of_the_tree_are_the_sections_that_are_checked():
    hints = get_type_hints(AppConfig)
    assert {name: hint for name, hint in hints.items() if name != "environment"} == SECTIONS


def test_limits_that_the_user_was_promised():
    risk = {s.name: (s.type.ge, s.type.le) for s in NUMBERS if s.path.startswith("risk.")}
    assert risk["loss_per_trade"] == (0.01, 0.03)
    assert risk["daily_drawdown"] == (0.05, 0.10)
    assert risk["max_capital"][1] == 0.5
    config = configs.load("testnet")
    assert (config.risk.loss_per_trade, config.risk.daily_drawdown, config.risk.max_capital) == (0.01, 0.05, 0.5)


def test_the_words_of_a_choice_are_those_of_the_code_that_reads_them():
    method = get_type_hints(Ensemble, include_extras=False)["method"]
    assert get_origin(method) is Literal
    assert set(get_args(method)) == set(METHODS)


@pytest.mark.parametrize("environment", configs.environments())
def test_every_environment_loads_and_no_overlay_repeats_the_base(environment):
    config = configs.load(environment)
    assert config.environment == environment
    base = tomllib.loads((HERE / "base.toml").read_text())
    for section, keys in tomllib.loads((HERE / f"{environment}.toml").read_text()).items():
        for key, value in keys.items():
            assert base[section][key] != value, f"{environment}.toml repeats {section}.{key}"


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("setting", NUMBERS, ids=ids)
@pytest.mark.parametrize("outside", [below, above])
def test_a_number_out_of_range_is_refused_by_path_in_a_file_an_override_and_in_code(setting, outside, tmp_path):
    value = outside(setting)
    section, name = setting.path.split(".")
    attempts = [
        lambda: in_code(setting, value),
        lambda: configs.load("backtest", [f"{setting.path}={value}"]),
        lambda: configs.load("train", directory=overlay(tmp_path, "train", f"[{section}]\n{name} = {value!r}\n")),
        lambda: msgspec.structs.replace(getattr(configs.load("backtest"), section), **{name: value}),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError) as error:
            attempt()
        text = str(error.value)
        assert text.startswith(f"{setting.path}: ")
        assert str(value) in text
        assert f"choose {setting.choice()}" in text
        assert "\n" not in text


@pytest.mark.parametrize("setting", NUMBERS, ids=ids)
def test_both_ends_of_a_range_belong_to_it(setting):
    for end in (setting.type.ge, setting.type.le):
        assert getattr(in_code(setting, end), setting.name) == end


@pytest.mark.parametrize("setting", SETTINGS, ids=ids)
@pytest.mark.parametrize(
    "wrong",
    [None, {}, object(), b"x", [], math.nan, math.inf, 1 + 0j],
    ids=lambda wrong: type(wrong).__name__ + str(wrong)[:3],
)
def test_a_wrong_type_is_refused_in_code(setting, wrong):
    with pytest.raises(ConfigError, match=rf"^{setting.path}: .*"):
        in_code(setting, wrong)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("risk.loss_per_trade=0.5", "risk.loss_per_trade: 0.5 is above the limit 0.03; choose 0.01 to 0.03"),
        ("risk.loss_per_trade=much", 'risk.loss_per_trade: "much" is not a number; choose 0.01 to 0.03'),
        ("risk.loss_per_trade=true", "risk.loss_per_trade: true is not a number; choose 0.01 to 0.03"),
        ("risk.loss_per_trade=nan", "risk.loss_per_trade: nan is not a number; choose 0.01 to 0.03"),
        (f"risk.loss_per_trade=1{'0' * 400}", "risk.loss_per_trade: 1000"),
        (f"risk.loss_per_trade=1{'0' * 5000}", 'risk.loss_per_trade: "1000'),
        ("risk.loss_per_trade=", 'risk.loss_per_trade: "" is not a number; choose 0.01 to 0.03'),
        ("risk.max_entries_per_day=1.5", "risk.max_entries_per_day: 1.5 is not a whole number; choose 0 to 1440"),
        ("risk.pyramiding=1", "risk.pyramiding: 1 is neither true nor false; choose one"),
        ("risk.rearm=never", 'risk.rearm: "never" is not known; choose explicit or next_day'),
        ("risk.los_per_trade=0.02", "risk.los_per_trade: unknown key; did you mean risk.loss_per_trade?"),
        ("sizing.loss_per_trade=0.02", "sizing.loss_per_trade: unknown key; did you mean risk.loss_per_trade?"),
        ("rsk.loss_per_trade=0.02", "rsk: unknown section; did you mean risk?"),
        ("environment.name=1", "environment: unknown section; see `autotrade config show`"),
        ("risk.loss_per_trade.x=1", "risk.loss_per_trade: a section is not a value"),
        ("loss_per_trade=0.02", '--set "loss_per_trade=0.02" is not of the form section.key=value'),
        ("risk.loss_per_trade", '--set "risk.loss_per_trade" is not of the form section.key=value'),
        ("market.instruments=BTCUSDT.BINANCE", 'market.instruments: "BTCUSDT.BINANCE" is not a list'),
        ("market.instruments=[]", "market.instruments: 0 entries are below the limit 1; name at least 1"),
        ("market.instruments=['btc']", 'market.instruments[0]: "btc" is not of the wanted form; choose one'),
        ("market.instruments=['A.BINANCE', 'A.BINANCE']", 'market.instruments[1]: "A.BINANCE" is listed twice'),
        ("market.instruments=['A.KRAKEN']", 'market.instruments[0]: "A.KRAKEN" is not of market.venue "BINANCE"'),
        ("market.base_interval=7m", 'market.base_interval: "7m" is not known; choose one of 1m, 3m'),
        ("market.base_interval=1h", 'market.decision_interval: "15m" is not a multiple of market.base_interval "1h"'),
        ("market.decision_interval=1m\nrisk.x=3", 'market.decision_interval: "1m\\nrisk.x=3" is not known'),
        ("ensemble.weights=[1, -1]", "ensemble.weights[1]: -1 is below the limit 0.0; choose 0 to 100"),
        ("sizing.full_confidence=0.1", "sizing.full_confidence: 0.1 is below ensemble.min_confidence 0.35; choose"),
        ("download.um_url=fapi.binance.com", 'download.um_url: "fapi.binance.com" is not of the wanted form'),
    ],
)  # fmt: skip
def test_an_override_is_refused_in_one_line_that_says_what_to_do(override, message):
    with pytest.raises(ConfigError) as error:
        configs.load("backtest", [override])
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[risk]\nlos_per_trade = 0.02", "risk.los_per_trade: unknown key; did you mean risk.loss_per_trade?"),
        ("[rik]\nloss_per_trade = 0.02", "rik: unknown section; did you mean risk?"),
        ("risk = 3", "risk: 3 is not a section; write [risk] and its keys below"),
        ("[risk]\nloss_per_trade = '0.02'", 'risk.loss_per_trade: "0.02" is not a number'),
        ("[risk]\nloss_per_trade = 1979-05-27", "risk.loss_per_trade: datetime.date(1979, 5, 27) is not a number"),
        ("[risk", "no valid TOML"),
    ],
)
def test_a_file_is_refused_in_one_line(text, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        configs.load("train", directory=overlay(tmp_path, "train", text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_base_that_lacks_a_value_is_refused_by_its_path(tmp_path):
    folder = overlay(tmp_path, "train", "")
    base = (folder / "base.toml").read_text()
    (folder / "base.toml").write_text(base.replace("loss_per_trade", "# loss_per_trade"))
    with pytest.raises(ConfigError, match=r"^risk.loss_per_trade: missing; add it to base.toml"):
        configs.load("train", directory=folder)


@pytest.mark.parametrize("name", ["live", "base", "", "../base", "hyperparameters"])
def test_an_unknown_environment_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigError, match="is not known; choose backtest or"):
        configs.load(name)


def test_a_tree_in_code_takes_only_its_own_sections():
    config = configs.load("backtest")
    with pytest.raises(ConfigError, match=r"^risk: Sizing found; give a Risk"):
        msgspec.structs.replace(config, risk=config.sizing)
    with pytest.raises(TypeError):
        Risk(**msgspec.structs.asdict(config.risk), extra=1)
    with pytest.raises(AttributeError):
        config.risk.loss_per_trade = 0.5


# ---------------------------------------------------------------------------------- mainnet may only tighten limits


def test_mainnet_is_nowhere_looser_than_any_other_environment_that_trades():
    mainnet, testnet = (configs.leaves(configs.load(name)) for name in ("mainnet", "testnet"))
    for setting in LIMITS:
        assert setting.rank(mainnet[setting.path]) <= setting.rank(testnet[setting.path]), setting.path


@pytest.mark.parametrize("setting", LIMITS, ids=ids)
@pytest.mark.parametrize("by_file", [True, False])
def test_a_looser_limit_is_refused_on_mainnet_and_nowhere_else(setting, by_file, tmp_path):
    base = configs.leaves(configs.load("testnet"))[setting.path]
    value = other(setting, base, lower=setting.safer == "higher")
    if setting.rank(value) <= setting.rank(base):
        pytest.skip("the base stands at the loosest end of the range")
    section, name = setting.path.split(".")
    overrides = [] if by_file else [f"{setting.path}={json.dumps(value)}"]
    text = f"[{section}]\n{name} = {json.dumps(value)}\n" if by_file else ""
    configs.load("testnet", overrides, directory=overlay(tmp_path / "a", "testnet", text))
    with pytest.raises(
        ConfigError, match=rf"^{setting.path}: .* is looser than .* of {'base' if by_file else 'mainnet'}.toml"
    ):
        configs.load("mainnet", overrides, directory=overlay(tmp_path / "b", "mainnet", text))


TIGHTENED = [
    one
    for one in LIMITS
    if configs.leaves(configs.load("testnet"))[one.path] != configs.leaves(configs.load("mainnet"))[one.path]
]


@pytest.mark.parametrize("setting", TIGHTENED, ids=ids)
def test_an_override_does_not_loosen_what_mainnet_has_tightened_up_to_the_base(setting):
    base = configs.leaves(configs.load("testnet"))[setting.path]
    with pytest.raises(ConfigError, match=rf"^{setting.path}: .* is looser than .* of mainnet.toml, and mainnet"):
        configs.load("mainnet", [f"{setting.path}={json.dumps(base)}"])


@pytest.mark.parametrize("groups", [[], [["ETHUSDT-PERP.BINANCE"], ["SOLUSDT-PERP.BINANCE"]]])
def test_a_group_is_not_taken_apart_on_mainnet(groups):
    override = [f"risk.groups={json.dumps(groups)}"]
    configs.load("testnet", override)
    with pytest.raises(ConfigError, match=r"^risk.groups: .* apart, and mainnet may only tighten a limit"):
        configs.load("mainnet", override)
    wider = ["BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE", "SOLUSDT-PERP.BINANCE"]
    assert configs.load("mainnet", [f"risk.groups={json.dumps([wider])}"]).risk.groups == (tuple(wider),)


@pytest.mark.parametrize("path", ["costs.taker_bps", "costs.half_spread_bps", "costs.slippage_bps"])
def test_the_loss_per_trade_is_not_reckoned_without_costs_on_mainnet(path):
    with pytest.raises(ConfigError, match=f"^{path}: "):
        configs.load("mainnet", [f"{path}=0"])


@pytest.mark.parametrize(("seconds", "window"), [(5.0, 5_000), (0.4, 500), (10.0, 60_000)])
def test_no_order_is_given_up_while_it_can_still_be_carried_out(seconds, window):
    given = [f"orders.submit_timeout_seconds={seconds}", f"venue.recv_window_ms={window}"]
    with pytest.raises(
        ConfigError, match=f"^orders.submit_timeout_seconds: .* not beyond venue.recv_window_ms {window}"
    ):
        configs.load("testnet", given)
    configs.load(
        "testnet", [f"orders.submit_timeout_seconds={seconds + 0.01}", f"venue.recv_window_ms={round(seconds * 1e3)}"]
    )


# ------------------------------------------------------------------------------------------- hash, dump, and reading


@settings(max_examples=60, deadline=None)
@given(trees())
def test_any_configuration_in_range_dumps_and_loads_equal_with_the_same_hash(config):
    digest = configs.config_hash(config)
    back = msgspec.json.decode(msgspec.json.encode(config), type=AppConfig)
    assert back == config
    assert configs.config_hash(back) == digest
    shuffled = json.loads(msgspec.json.encode(config))
    shuffled = {name: shuffled[name] for name in reversed(shuffled)}
    assert configs.config_hash(msgspec.convert(shuffled, AppConfig)) == digest


@settings(max_examples=30, deadline=None)
@given(trees())
def test_what_is_shown_is_toml_and_means_the_same(config):
    tree = tomllib.loads(rendered(config))
    overrides = [f"{s}.{k}={json.dumps(v, ensure_ascii=False)}" for s, keys in tree.items() for k, v in keys.items()]
    assert configs.load("backtest", overrides) == config


@settings(max_examples=60, deadline=None)
@given(trees(), trees())
def test_hashes_are_equal_exactly_where_configurations_are(one, other):
    assert (configs.config_hash(one) == configs.config_hash(other)) == (one == other)


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.path != "market.venue"], ids=ids)
def test_every_single_value_changes_the_hash(setting):
    config = configs.load("backtest")
    section = setting.path.partition(".")[0]
    value = configs.leaves(config)[setting.path]
    value = other(setting, value, lower=value == getattr(setting.type, "le", None))
    changed = msgspec.structs.replace(config, **{section: in_code(setting, value)})
    assert configs.config_hash(changed) != configs.config_hash(config)


def test_the_environment_is_part_of_the_hash():
    assert configs.config_hash(configs.load("train")) != configs.config_hash(configs.load("backtest"))


def test_the_hash_is_the_same_in_another_process():
    code = "import configs; print(configs.config_hash(configs.load('mainnet')))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == configs.config_hash(configs.load("mainnet"))


def test_a_whole_number_and_a_negative_zero_mean_the_float_that_they_are():
    whole = configs.load("backtest", ["costs.taker_bps=5", "costs.slippage_bps=-0.0", "ensemble.weights=[1, 2]"])
    float_ = configs.load("backtest", ["costs.taker_bps=5.0", "costs.slippage_bps=0.0", "ensemble.weights=[1.0, 2.0]"])
    assert configs.config_hash(whole) == configs.config_hash(float_)
    assert isinstance(whole.costs.taker_bps, float)


def test_later_overrides_win_and_overrides_win_over_the_overlay():
    config = configs.load("backtest", ["risk.rearm=explicit", "risk.loss_per_trade=0.03", "risk.loss_per_trade = 0.02"])
    assert config.risk.rearm == "explicit"
    assert config.risk.loss_per_trade == 0.02
    assert configs.load("backtest", ['risk.rearm="explicit"']).risk.rearm == "explicit"


# -------------------------------------------------------------------------------------------- units towards the core


@settings(max_examples=60, deadline=None)
@given(trees())
def test_parameters_of_the_core_are_the_configuration_in_the_units_of_the_core(config):
    sizing, exits, risk = config.decision_params()
    costs = config.cost_params()
    assert costs.taker == pytest.approx(config.costs.taker_bps / 10_000)
    assert costs.maker == pytest.approx(config.costs.maker_bps / 10_000)
    assert costs.away == pytest.approx((config.costs.half_spread_bps + config.costs.slippage_bps) / 10_000)
    assert risk.exit_cost == pytest.approx(costs.taker + costs.away)
    minutes = INTERVALS_NS[config.market.decision_interval] / 60e9
    assert risk.min_entry_spacing_bars == math.ceil(config.risk.min_entry_spacing_minutes / minutes)
    assert risk.auto_rearm == (config.risk.rearm == "next_day")
    assert risk.pyramiding == config.risk.pyramiding
    assert sizing.min_confidence == config.tally_params().min_confidence == config.ensemble.min_confidence
    assert config.tally_params().method == METHODS[config.ensemble.method]
    for part, section in ((sizing, config.sizing), (risk, config.risk), (config.tally_params(), config.ensemble)):
        for name in set(part._fields) & set(section.__struct_fields__) - {"method"}:
            assert getattr(part, name) == getattr(section, name)
    for part in (sizing, exits, risk, costs):
        for name, kind in get_type_hints(type(part)).items():
            assert type(getattr(part, name)) is (get_origin(kind) or kind), name
