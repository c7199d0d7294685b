"""What an examination of a live system makes of what it finds: ok, a warning, a failure, or a refusal for safety.

Every check says what was found, what the limit is and, where it is not ok, what to do.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from core.errors import RefusedError
from core.situation import Instrument

__all__ = [
    "Check",
    "KeyRights",
    "Sizes",
    "Verdict",
    "check_balance",
    "check_clock",
    "check_least",
    "check_mode",
    "check_rights",
    "check_settings",
    "check_size",
    "exit_code",
    "refuse_rights",
]

Verdict = Literal["ok", "warn", "fail", "refuse", "skip"]

_OK, _FAILED, _REFUSED = 0, 1, 3


class Check(msgspec.Struct, frozen=True):
    """One line: its ``name``, the ``verdict``, what was ``found``, the ``limit`` and what to do (``advice``)."""

    name: str
    verdict: Verdict
    found: str
    limit: str = ""
    advice: str = ""


class KeyRights(NamedTuple):
    """What a key may do. ``transfer``: move funds to other accounts or wallets."""

    read: bool
    trade: bool
    withdraw: bool
    transfer: bool
    ip_restricted: bool


class Sizes(NamedTuple):
    """What decides the size of an order: fractions of equity, but for ``max_order_notional`` (quote currency).

    ``stop`` distances, fractions of the price, the nearest and the farthest; ``cost`` of entry and exit, of notional.
    """

    loss_per_trade: float
    max_exposure: float
    max_capital: float
    max_instrument: float
    max_order_notional: float
    nearest_stop: float
    farthest_stop: float
    cost: float


def exit_code(checks: Sequence[Check]) -> int:
    """Return 3 where safety refuses, 1 where a check failed, else 0."""
    verdicts = {check.verdict for check in checks}
    return _REFUSED if "refuse" in verdicts else _FAILED if "fail" in verdicts else _OK


def check_clock(offset_ms: float, round_trip_ms: float, *, limit_ms: float, refuse_ms: float) -> Check:
    """Judge how far our clock is from the venue's.

    Parameters
    ----------
    offset_ms, round_trip_ms : float
        Ours less the venue's; the shortest way there and back.
    limit_ms, refuse_ms : float
        From where on nothing is opened, and no node starts.
    """
    off = abs(offset_ms)
    return Check(
        "clock",
        "ok" if off <= limit_ms else "warn" if off <= refuse_ms else "fail",
        f"{offset_ms:+.0f} ms off the venue's, answers after {round_trip_ms:.0f} ms",
        f"{limit_ms:g} ms; no start beyond {refuse_ms:g}",
        "synchronise the clock: chrony or systemd-timesyncd",
    )


def check_rights(rights: KeyRights | None, *, environment: str, can_trade: bool) -> tuple[Check, ...]:
    """Judge what the key may do; one that can withdraw is refused wherever it is found.

    Parameters
    ----------
    rights : KeyRights or None
        None where the venue does not say.
    environment : str
        On mainnet it must be known.
    can_trade : bool
        As the account itself says.
    """
    trades = Check(
        "key may trade",
        "ok" if can_trade and (rights is None or rights.trade) else "fail",
        "yes" if can_trade and (rights is None or rights.trade) else "no",
        "yes",
        "enable futures trading for this key",
    )
    if rights is None:
        real = environment == "mainnet"
        unknown = Check(
            "key may not withdraw",
            "refuse" if real else "skip",
            f"{environment} does not say",
            "no withdrawals" if real else "",
            "set doctor.permissions_url: a key whose rights are unknown trades no real money" if real else "",
        )
        return trades, unknown
    return (
        trades,
        Check("key may not withdraw", "refuse" if rights.withdraw else "ok",
              "it may withdraw" if rights.withdraw else "it may not", "no withdrawals",
              "delete this key and make one without withdrawals: who steals it takes all"),
        Check("key may not transfer", "warn" if rights.transfer else "ok",
              "it may move funds to other accounts" if rights.transfer else "it may not", "no transfers",
              "disable universal and internal transfers for this key"),
        Check("key is bound to addresses", "ok" if rights.ip_restricted else
              "fail" if environment == "mainnet" else "warn",
              "yes" if rights.ip_restricted else "no: it works from anywhere", "yes",
              "restrict the key to the addresses of this machine"),
    )  # fmt: skip


def refuse_rights(rights: KeyRights | None, environment: str) -> None:
    """Refuse a key that can withdraw, and one whose rights are unknown where real money is traded.

    Raises
    ------
    RefusedError
        Where it is one of them.
    """
    for check in check_rights(rights, environment=environment, can_trade=True):
        if check.verdict == "refuse":
            raise RefusedError(f"{check.name}: {check.found}; {check.advice}")


def check_mode(*, hedge: bool, multi_assets: bool) -> tuple[Check, ...]:
    """Judge how the account keeps positions: one a symbol, each with its own margin."""
    return (
        Check("position mode", "fail" if hedge else "ok", "hedge" if hedge else "one-way", "one-way",
              "switch the account to one-way mode (Preferences, Position Mode), with no position or order open"),
        Check("margin mode of the account", "fail" if multi_assets else "ok",
              "multi-assets" if multi_assets else "single-asset", "single-asset",
              "switch the account to single-asset mode: isolated margin needs it"),
    )  # fmt: skip


def check_settings(
    symbol: str, *, margin_type: str, leverage: int, held: bool, wanted_type: str, wanted_leverage: int
) -> Check:
    """Judge a symbol's margin type and leverage, which the node sets at its start unless a position stands."""
    good = margin_type == wanted_type and leverage == wanted_leverage
    return Check(
        f"margin of {symbol}",
        "ok" if good else "fail" if held else "warn",
        f"{margin_type}, leverage {leverage}",
        f"{wanted_type}, leverage {wanted_leverage}",
        "close the position: its margin cannot be changed while it stands" if held else "the node sets it at its start",
    )


def check_balance(equity: float, available: float, currency: str) -> Check:
    """Judge what there is to trade with."""
    return Check(
        "balance",
        "ok" if equity > 0.0 and available > 0.0 else "fail",
        f"{equity:,.2f} {currency}, {available:,.2f} available",
        "above 0",
        f"transfer {currency} to the futures wallet, or free margin",
    )


def check_size(
    symbol: str, instrument: Instrument, *, price: float, equity: float, sizes: Sizes, least: float
) -> Check:
    """Judge whether what the limits allow is more than the exchange's smallest order.

    Parameters
    ----------
    symbol : str
        The venue's name.
    instrument : Instrument
        Filters of the exchange.
    price : float
        Of now, quote currency.
    equity : float
        Quote currency.
    sizes : Sizes
        The limits.
    least : float
        Share of the limits that is left in the worst of times.
    """
    lot = price * instrument.lot
    needed = max(instrument.min_lots, math.ceil(instrument.min_notional / lot - 1e-9)) * lot
    most = _placed(lot, equity, sizes, stop=sizes.nearest_stop)
    fewest = _placed(lot, equity * least, sizes, stop=sizes.farthest_stop)
    could = f"could place {most:,.2f} at the most" + (
        f", {fewest:,.2f} in the worst of times" if most >= needed else ""
    )
    return Check(
        f"smallest order of {symbol}",
        "fail" if most < needed else "warn" if fewest < needed else "ok",
        f"needs {needed:,.2f}, {could}",
        "could place what it needs",
        "more equity, or another instrument" if most < needed else "some entries will be too small and not be made",
    )


def check_least(name: str, found: float, limit: float, unit: str, advice: str) -> Check:
    """Judge something of which there must be enough."""
    return Check(name, "ok" if found >= limit else "fail", f"{found:,.6g} {unit}", f"at least {limit:,.6g}", advice)


def _placed(lot: float, equity: float, sizes: Sizes, *, stop: float) -> float:
    """Return the notional that the limits allow, whole lots."""
    by_loss = sizes.loss_per_trade * equity / (stop + sizes.cost)
    share = min(sizes.max_exposure, sizes.max_capital, sizes.max_instrument)
    return math.floor(min(by_loss, share * equity, sizes.max_order_notional) / lot + 1e-9) * lot
