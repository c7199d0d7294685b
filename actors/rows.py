"""The rows of the journal that the risk actor writes (columns: `adapters.recorder.SCHEMAS`)."""

from core.breaker import STATES
from core.causes import Change
from core.messages import FundingPaid, FundingSettled, RiskState

__all__ = ["breaker_row", "equity_row", "funding_row"]


def equity_row(state: RiskState, net_notional: float) -> dict[str, object]:
    """Return the row of a decision's mark."""
    return {
        "ts_event": state.ts_event,
        "equity": state.equity,
        "balance": state.balance,
        "high_water_mark": state.high_water_mark,
        "drawdown": state.drawdown,
        "exposure": net_notional / state.equity if state.equity > 0.0 else 0.0,
        "state": STATES[state.state],
    }


def breaker_row(change: Change, ts: int) -> dict[str, object]:
    """Return the row of a change of the breaker."""
    return {
        "ts_event": ts,
        "state_from": STATES[change.state_from],
        "state_to": STATES[change.state_to],
        "trigger": change.trigger,
        "reason": change.reason,
    }


def funding_row(settled: FundingSettled | FundingPaid, amount: float) -> dict[str, object]:
    """Return the row of a settlement: ``amount`` quote currency, the cash flow to the account."""
    return {
        "ts_event": settled.ts_event,
        "instrument_id": settled.instrument_id,
        "rate": settled.rate,
        "amount": amount,
    }
