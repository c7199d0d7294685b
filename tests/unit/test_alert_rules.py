"""What is told, and how often: the table of `core.alert_rules.judge`, by row, and what holds for any rows at all."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs import alert_rules
from core.alert_rules import AlertState, Quiet, Rule, Standing, judge, observe, tick
from core.errors import ConfigError

MINUTE = 60_000_000_000
NOON = 1_700_000_000_000_000_000 // (1_440 * MINUTE) * 1_440 * MINUTE + 720 * MINUTE
NO_QUIET = Quiet()
EVENT = Rule(name="told", on="alerts", text="{source}: {text}", severity="told", by=("source",), cooldown_minutes=10.0)
METRIC = Rule(name="loss", on="equity", text="loss {drawdown}", severity="warning", metric="drawdown", above=0.03,
              for_seconds=120.0, cooldown_minutes=60.0)  # fmt: skip


def fed(rules, rows, quiet=NO_QUIET, state=None):
    """Return the last state and all that was raised by rows (kind, row, ts), None for a tick."""
    state, found = state or AlertState(), []
    for number, (kind, row, ts) in enumerate(rows):
        if kind is None:
            state, raised = tick(rules, quiet, state, now_ns=ts)
        else:
            state, raised = observe(rules, quiet, state, kind=kind, row=row, ts_ns=ts, origin=f"s|{number}")
        found += raised
    return state, found


def alert(ts, source="breaker", severity="critical", text="halted"):
    return "alerts", {"source": source, "severity": severity, "text": text}, ts


@pytest.mark.parametrize(
    ("holds", "since", "told", "firing", "quiet", "verdict"),
    [
        (False, 0, 0, False, False, "clear"),
        (False, NOON - MINUTE, NOON - MINUTE, True, False, "resolve"),
        (True, 0, 0, False, False, "wait"),
        (True, NOON - 2 * MINUTE + 1, 0, False, False, "wait"),
        (True, NOON - 2 * MINUTE, 0, False, False, "tell"),
        (True, NOON - 2 * MINUTE, NOON - 60 * MINUTE + 1, False, False, "hold"),
        (True, NOON - 2 * MINUTE, NOON - 60 * MINUTE, False, False, "tell"),
        (True, NOON - 2 * MINUTE, 0, False, True, "hold"),
    ],
)
def test_every_line_of_the_table_says_what_it_says(holds, since, told, firing, quiet, verdict):
    rule = msgspec.structs.replace(METRIC, quiet=True)
    standing = Standing(since_ns=since, told_ns=told, firing=firing)
    assert judge(rule, standing, holds=holds, now_ns=NOON, quiet=quiet).verdict == verdict


def test_a_loss_that_lasts_is_told_once_and_its_end_too():
    losses = [(0.05, 0), (0.05, 1), (0.05, 2), (0.05, 3), (0.01, 4), (0.01, 5)]
    rows = [("equity", {"drawdown": loss}, NOON + minute * MINUTE) for loss, minute in losses]
    _, raised = fed([METRIC], rows)
    assert [(one.ts_ns - NOON, one.severity, one.text) for one in raised] == [
        (2 * MINUTE, "warning", "loss 0.05"),
        (4 * MINUTE, "info", "over: loss 0.05"),
    ]


def test_a_loss_that_lasts_is_told_though_no_further_row_comes():
    _, raised = fed([METRIC], [("equity", {"drawdown": 0.05}, NOON), (None, None, NOON + MINUTE),
                               (None, None, NOON + 2 * MINUTE), (None, None, NOON + 3 * MINUTE)])  # fmt: skip
    assert [one.ts_ns for one in raised] == [NOON + 2 * MINUTE]


def test_what_is_alike_within_the_cool_down_is_told_together_when_it_is_over():
    rows = [alert(NOON), alert(NOON + 1), alert(NOON + 2, text="again"), alert(NOON + 3, source="feed"),
            (None, None, NOON + 9 * MINUTE), (None, None, NOON + 10 * MINUTE),
            (None, None, NOON + 30 * MINUTE)]  # fmt: skip
    _, raised = fed([EVENT], rows)
    assert [one.text for one in raised] == ["breaker: halted", "feed: halted", "breaker: again (2 times since)"]


def test_quiet_hours_keep_back_what_may_wait_and_nothing_else():
    night = Quiet(start=22 * 60, end=6 * 60)
    may, must = msgspec.structs.replace(EVENT, quiet=True), msgspec.structs.replace(EVENT, name="must")
    midnight, morning = NOON + 720 * MINUTE, NOON + 1_080 * MINUTE
    assert not night.holds(NOON)
    assert night.holds(midnight)
    assert not night.holds(morning)
    rows = [alert(midnight), (None, None, midnight + 60 * MINUTE), (None, None, morning)]
    _, raised = fed([may, must], rows, night)
    assert [(one.rule, one.ts_ns) for one in raised] == [("must", midnight), ("told", morning)]


def test_rows_that_do_not_come_are_told_of_once_and_their_return_too():
    silent = Rule(name="silent", on="*", text="silence", severity="critical", absent_seconds=600.0, cooldown_minutes=0)
    rows = [("equity", {}, NOON), (None, None, NOON + 9 * MINUTE), (None, None, NOON + 10 * MINUTE),
            (None, None, NOON + 99 * MINUTE), ("equity", {}, NOON + 100 * MINUTE)]  # fmt: skip
    _, raised = fed([silent], rows)
    assert [(one.text, one.ts_ns - NOON) for one in raised] == [
        ("silence", 10 * MINUTE), ("over: silence", 100 * MINUTE),
    ]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 20 * 60), st.sampled_from(["info", "critical"])),
        max_size=40,
    )
)
def test_nothing_is_told_twice_within_a_cool_down_and_nothing_is_forgotten(steps):
    rows, now = [], NOON
    for source, seconds, severity in steps:
        now += seconds * 1_000_000_000
        rows.append(alert(now, source, severity) if source else (None, None, now))
    rows.append((None, None, now + 11 * MINUTE))
    state, raised = fed([EVENT], rows)
    for source in ("a", "b"):
        times = [one.ts_ns for one in raised if one.source == source]
        assert all(later - earlier >= 10 * MINUTE for earlier, later in itertools.pairwise(times))
        came = [ts for _, row, ts in rows if row and row["source"] == source]
        assert bool(came) == bool(times)
        assert not came or times[-1] >= came[-1] or state.standings[f"told|{source}"].held == 0
    assert all(standing.held == 0 for standing in state.standings.values())


@given(st.lists(st.tuples(st.floats(0.0, 0.1), st.integers(1, 4_000)), max_size=30), st.integers(0, 30))
def test_rows_read_again_after_a_kill_raise_the_same_alerts_by_name(steps, cut):
    rows, now = [], NOON
    for loss, seconds in steps:
        now += seconds * 1_000_000_000
        rows.append(("equity", {"drawdown": loss}, now))
    _, whole = fed([METRIC], rows)
    kept, before = fed([METRIC], rows[:cut])
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=AlertState)
    after = []
    for number, (kind, row, ts) in enumerate(rows[cut:], start=min(cut, len(rows))):
        again, raised = observe([METRIC], NO_QUIET, again, kind=kind, row=row, ts_ns=ts, origin=f"s|{number}")
        after += raised
    assert before + after == whole
    assert len({one.alert_id for one in whole}) == len(whole)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[routes]\n[[rule]]\nname="a"\non="x"\ntext="t"\nseverity="loud"', "Invalid enum value"),
        ('[routes]\n[[rule]]\nname="a"\non="x"\ntext="t"\nseverity="info"\nabove=1.0', "a limit needs a metric"),
        ('[routes]\n[[rule]]\nname="a"\non="x"\ntext="t"\nseverity="info"\ncoldown=1.0', "unknown field `coldown`"),
        ("[routes]\nurgent=['a']\n", "routes.urgent|rule"),
        ("[routes", "no valid TOML"),
        ("rule=[]\n[routes]\nurgent=['a']\n", "no severity"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        alert_rules.load(str(path))
    assert "\n" not in str(refused.value)
    assert any(part in str(refused.value) for part in said.split("|"))


def test_the_rules_that_come_with_the_program_tell_what_matters():
    rules = alert_rules.load()
    told = {one.rule for one in fed(rules.rule, [
        alert(NOON), ("node", {"event": "died", "text": "gone"}, NOON),
        ("direct", {"source": "record", "text": "disk full"}, NOON),
        ("equity", {"drawdown": 0.04, "equity": 1.0}, NOON),
        ("patterns", {"pattern": "flips", "instrument_id": "X", "text": "t"}, NOON),
    ])[1]}  # fmt: skip
    assert told == {"told", "node died", "out of band", "drawdown", "abnormal trading"}
    assert all(rules.routes[name] for name in ("warning", "critical"))
