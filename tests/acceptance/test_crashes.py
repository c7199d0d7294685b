"""Real crashes with the breaker on: always long and always short, with as much exposure as is allowed."""

import pandas as pd
import pytest

from tests.acceptance.crashes import CRASHES, Crash, Outcome, history, replayed

LIMIT = 0.05


@pytest.fixture(scope="module", params=CRASHES, ids=lambda crash: f"{crash.name}-{crash.symbol}".replace(" ", "-"))
def market(request, shared_data, tmp_path_factory):
    crash: Crash = request.param
    return crash, *history(crash, shared_data, tmp_path_factory.mktemp("crash"))


@pytest.fixture(scope="module")
def table():
    """Every outcome of the run, printed at its end (``pytest -s``)."""
    rows: list[tuple[Crash, float, Outcome]] = []
    yield rows
    print()
    for crash, level, found in rows:
        when = ", ".join(f"{pd.Timestamp(ts):%m-%d %H:%M}" for ts in found.halts) or "-"
        side = "long" if level > 0 else "short"
        print(
            f"{crash.name:<13} {crash.symbol:<9} {crash.interval:<4} {side:<6} return {found.total_return:>7.2%}  "
            f"exposure {found.exposure:>6.1%}  worst day {found.largest_loss:>6.2%}  beyond {found.beyond_limit:>6.2%} "
            f"of {found.explained:>6.2%} explained  stop gap {found.stop_gap_bps:>5.1f} bps  halted {when}"
        )


@pytest.mark.parametrize("level", [1.0, -1.0], ids=["long", "short"])
def test_a_crash_costs_the_days_limit_and_what_one_bar_moved_beyond_it(market, level, table, tmp_path):
    crash, catalog, bars = market
    found = replayed(crash, level, catalog, bars, tmp_path)
    table.append((crash, level, found))
    assert found.exposure > 0.1, "it was in the market"
    assert bool(found.halts) == (found.largest_loss >= LIMIT)
    assert found.beyond_limit <= found.explained
    assert found.opened_while_halted == 0
    assert found.held_after_flattening == 0, "flat at the close after the one that tripped"
