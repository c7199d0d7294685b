"""A study that runs in seconds: one instrument, two folds of some weeks, a few thousand decisions a training."""

import json
import sys
from pathlib import Path

import cli
from adapters.ledger import Entry, Ledger

ROOT = Path(__file__).parents[2]
BTC = "BTCUSDT-PERP.BINANCE"
EAGER = (
    "exits.max_holding_bars=48", "ensemble.quorum=2", "ensemble.min_agreement=0.3", "ensemble.min_vote_confidence=0.2",
    "ensemble.min_confidence=0.2",
)  # fmt: skip
"""Lets untrained models trade often enough for a test."""

OPTIONS = {
    "--instrument": BTC, "--start": "2023-12-01", "--end": "2024-01-31",
    "--fit": "30d", "--validation": "10d", "--test": "10d", "--timesteps": "4000",
}  # fmt: skip


def places(root):
    return [
        word
        for key, value in (("studies_path", "studies"), ("ledger_path", "ledger.sqlite"), ("models_path", "models"))
        for word in ("--set", f"catalog.{key}={root / value}")
    ]


def words(history, root, *further, name="tiny", algorithms=("ppo", "a2c"), seeds=("1", "2"), **changes):
    options = OPTIONS | {f"--{key.replace('_', '-')}": value for key, value in changes.items()}
    settings = (word for setting in EAGER for word in ("--set", setting))
    given = (word for pair in options.items() for word in pair)
    return [
        "study", name, *settings, *places(root), *given, "--catalog", str(history),
        "--algorithm", *algorithms, "--seeds", *seeds, *further,
    ]  # fmt: skip


def study(history, root, *further, **changes):
    return cli.main(words(history, root, *further, **changes))


def command(history, root, *further, **changes):
    return [sys.executable, "-m", "cli", *words(history, root, *further, **changes)]


def entries(root) -> tuple[Entry, ...]:
    return Ledger(root / "ledger.sqlite").entries()


def told(out):
    return json.loads(out[out.index("{") :])
