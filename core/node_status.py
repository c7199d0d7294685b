"""How a running node stands, as plain data, and what of it a person should look into."""

import msgspec

__all__ = ["CauseStatus", "InstrumentStatus", "NodeStatus", "OrderStatus", "Pause", "problems"]

_OVERDUE = 2.0
"""Decision bars without a decision after which one is overdue."""


class Pause(msgspec.Struct, frozen=True):
    """Entries of an instrument (empty: of all) rest, by a person's word."""

    instrument_id: str
    reason: str
    since_ns: int


class CauseStatus(msgspec.Struct, frozen=True):
    """Why the breaker is not ACTIVE (`core.causes.Cause`); ``rearm_at_ns`` None: a person must re-arm."""

    trigger: str
    reason: str
    since_ns: int
    rearm_at_ns: int | None


class OrderStatus(msgspec.Struct, frozen=True):
    """An order that lives: quantities as decimal strings, ``trigger`` 0 where it has none."""

    order_id: str
    purpose: str
    state: str
    side: int
    quantity: str
    filled: str
    trigger: float


class InstrumentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of an instrument, and how it is looked after.

    ``quantity`` signed, a decimal string; prices and ``unrealised`` in quote currency, 0 where none; ``stop_price`` is
    wanted, ``resting_stop`` is what the venue has; ``closing``: it is being closed; ``frozen`` who stops entries, and
    why; ``models`` and their weights at the last decision; ages in seconds of market time, None: none so far.
    """

    instrument_id: str
    quantity: str
    entry_price: float
    stop_price: float
    resting_stop: float
    holding_bars: int
    unrealised: float
    closing: bool
    orders: tuple[OrderStatus, ...]
    frozen: dict[str, str]
    models: dict[str, float]
    level: float
    decision_age_seconds: float | None
    bar_age_seconds: float | None


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A node at a moment.

    ``market_ns`` the market's time; ``state`` of the breaker in words; ``day_loss`` fraction of the UTC day's
    high-water mark lost by now, of ``day_limit``; ``evaluated_age_seconds`` since the breaker looked; ``mode`` of the
    streams (`core.degraded`); ``others`` positions, by instrument, that nobody here owns; ``fault`` the first error of
    a handler: decisions have ceased; ``stopping`` why it ends; ``health`` of what lies outside, in words by name.
    """

    environment: str
    session: str
    pid: int
    market_ns: int
    uptime_seconds: float
    state: str
    causes: tuple[CauseStatus, ...]
    equity: float
    balance: float
    high_water_mark: float
    day_loss: float
    day_limit: float
    evaluated_age_seconds: float | None
    mode: str
    mode_reason: str
    decision_seconds: float
    instruments: tuple[InstrumentStatus, ...]
    pauses: tuple[Pause, ...]
    others: dict[str, str]
    fault: str
    stopping: str
    health: dict[str, str]


def problems(status: NodeStatus) -> list[str]:
    """Return what a person should look into, one line each; what a person asked for is none."""
    found = []
    if status.fault:
        found.append(f"decisions have ceased on a fault: {status.fault}")
    found += [f"the breaker is {status.state}: {cause.trigger}: {cause.reason}" for cause in status.causes]
    if status.mode != "LIVE":
        found.append(f"the streams are {status.mode}: {status.mode_reason}")
    for one in status.instruments:
        name, age = one.instrument_id, one.decision_age_seconds
        waited = status.uptime_seconds if age is None else min(age, status.uptime_seconds)
        if waited > _OVERDUE * status.decision_seconds:
            found.append(f"{name}: no decision for {waited:.0f} s")
        held = one.quantity.strip("-0.") != ""
        if held and not one.closing and one.resting_stop == 0.0:
            found.append(f"{name}: held without a stop at the venue")
        by_others = {source: why for source, why in one.frozen.items() if not source.startswith("pause")}
        found += [f"{name}: entries are frozen by {source}: {why}" for source, why in by_others.items()]
    found += [f"{name}: {quantity} is held and nobody here owns it" for name, quantity in status.others.items()]
    found += [f"{name}: {said}" for name, said in status.health.items() if said]
    return found
