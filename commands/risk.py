"""``autotrade risk``: the rules that an increase of exposure must pass."""

import argparse
import json
from typing import Any

from configs import AppConfig, load
from configs.risk import Risk
from configs.section import Setting, settings_of, shown
from core.rules import RULES, Rule

__all__ = ["add_parser"]

_SETTINGS = {setting.name: setting for setting in settings_of(Risk)}
_TIGHTENING = ("tighten_volatility", "tighten_loss", "tighten_drawdown")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    commands = subparsers.add_parser("risk", help="show the rules of the gate").add_subparsers(
        dest="action", metavar="ACTION", required=True
    )
    show = commands.add_parser("show", help="print every rule in its order, what it looks at, and its limits")
    show.add_argument("--env", default="backtest", metavar="ENVIRONMENT", help="name of an overlay (default: backtest)")
    show.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                      help="override one value, repeatable")  # fmt: skip
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    """Print the rules."""
    config = load(args.env, args.overrides)
    if args.json:
        report = {
            "environment": args.env,
            "rules": [_described(rule, config) for rule in RULES],
            "tightening": [_limit(_SETTINGS[key], config) for key in _TIGHTENING],
        }
        print(json.dumps(report, indent=2))
        return 0
    print(f"# environment {args.env}; an increase must pass every rule, closing and shrinking a position none")
    for rule in RULES:
        print(f"\n{rule.code:>2}  {rule.name} ({_switch(rule, config)}): {rule.meaning}")
        print(f"    {'cuts' if rule.cuts else 'denies'} unless {rule.value} [{rule.unit}] {rule.passes} {rule.limit}")
        print(f"    looks at {', '.join(rule.inputs)}")
        for key in rule.keys:
            print(f"    {_line(_SETTINGS[key], config)}")
    print("\n# Tightened: these take their share of loss_per_trade, max_capital, max_instrument and max_group")
    for key in _TIGHTENING:
        print(f"    {_line(_SETTINGS[key], config)}")
    return 0


def _switch(rule: Rule, config: AppConfig) -> str:
    """Return whether a rule is on."""
    if not rule.switchable:
        return "always on"
    return "off" if rule.name in config.risk.disabled else "on"


def _described(rule: Rule, config: AppConfig) -> dict[str, Any]:
    """Return a rule as JSON has it."""
    return {
        "name": rule.name,
        "switch": _switch(rule, config),
        "effect": "cuts" if rule.cuts else "denies",
        "meaning": rule.meaning,
        "value": rule.value,
        "unit": rule.unit,
        "passes": rule.passes,
        "limit": rule.limit,
        "inputs": list(rule.inputs),
        "settings": [_limit(_SETTINGS[key], config) for key in rule.keys],
    }


def _limit(setting: Setting, config: AppConfig) -> dict[str, Any]:
    """Return a limit as JSON has it."""
    return {"path": setting.path, "value": getattr(config.risk, setting.name), "meaning": setting.meaning}


def _line(setting: Setting, config: AppConfig) -> str:
    """Return a limit on a line, with its range."""
    entry = f"{setting.path} = {shown(getattr(config.risk, setting.name))}"
    return f"{entry:<44}  # {setting.meaning} ({setting.choice()})"
