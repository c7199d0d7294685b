"""What a soak has shown: the figures, as a table and as a page with pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from adapters.report_plot import around, drawing, guides, ticks

AVAILABILITY, API_SUCCESS = 0.999, 0.995
BAR_NS = 60_000_000_000
GROWTH = 0.05
"""Of the memory after the first fifth: more is a leak."""


class Figures(NamedTuple):
    """Rows of a table (value, and whether it is as it must be, None where it only reports), and what is drawn."""

    rows: dict[str, tuple[str, bool | None]]
    drawn: dict[str, list[tuple[float, float]]]

    @property
    def good(self) -> bool:
        """Whether everything is as it must be."""
        return all(good is not False for _, good in self.rows.values())


def figures(
    stretch: Any,
    decisions: Sequence[tuple[int, str, int]],
    orders: Counter[str],
    instruments: int,
    late_seconds: float | None,
) -> Figures:
    """Return the figures of a stretch.

    In time is what was decided within ``late_seconds``, None: before the next bar left the venue. Drift is the last
    tenth against the first. A request that no fault struck must be answered.
    """
    gone, wanted = stretch.gone, len(stretch.gone) * instruments
    made = {(ts, name): (clock - gone[ts]) / 1e6 for ts, name, clock in decisions if ts in gone}
    last = max(gone)
    ends = {ts: gone[ts] + late_seconds * 1e9 if late_seconds else gone.get(ts + BAR_NS, gone[last] * 2) for ts in gone}
    in_time = sum(1 for ts, _, clock in decisions if ts in gone and clock < ends[ts])
    bars = {ts: number for number, ts in enumerate(sorted(gone))}
    late = np.array([[bars[ts], ms] for (ts, _), ms in sorted(made.items())])
    tenth = max(1, len(late) // 10)
    first, after = np.median(late[:tenth, 1]), np.median(late[-tenth:, 1])
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] * 1_000 if len(late) > 2 else 0.0
    settled = stretch.samples[len(stretch.samples) // 5 :]
    rss = np.array([[one.bar, one.rss_mb] for one in settled])
    grown = np.polyfit(rss[:, 0], rss[:, 1], 1)[0] * 1_440 if len(rss) > 2 else 0.0
    begun, ended = settled[0], settled[-1]
    failed = [row for row in stretch.wire if not _answered(row)]
    struck = [row for row in failed if row["fault"]]
    faulty = sum(count for name, count in orders.items() if name in {"rejected", "denied", "unknown"})
    sent = orders["submitted"]
    api = 1.0 - (len(failed) - len(struck)) / max(1, len(stretch.wire) - len(struck))
    share = in_time / wanted
    rows: dict[str, tuple[str, bool | None]] = {
        "bars": (
            f"{len(gone):,} of {instruments} instruments ({len(gone) / 60:.1f} h in {stretch.seconds:.0f} s)",
            None,
        ),
        "faults struck": (f"{len(stretch.hits)} kinds, {sum(stretch.hits.values()):,} hits", None),
        "decided in time": (f"{share:.3%} ({in_time:,} of {wanted:,})", share >= AVAILABILITY),
        "decided at all": (f"{len(made):,} of {wanted:,}", None),
        "requests answered": (
            f"{api:.3%} ({len(failed) - len(struck)} of {len(stretch.wire):,} failed)",
            api >= API_SUCCESS,
        ),
        "requests that faults struck": (f"{len(struck)}", None),
        "orders refused or unknown": (f"{faulty} of {sent:,}", None),
        "bar to decision, ms": (
            f"p50 {np.median(late[:, 1]):.1f}, p99 {np.percentile(late[:, 1], 99):.1f}, most {late[:, 1].max():.0f}",
            None,
        ),
        "drift of its median, ms": (
            f"{first:.2f} -> {after:.2f}; {slope:+.3f} per 1,000 bars",
            bool(after < 2 * first),
        ),
        "memory, MB": (
            f"{begun.rss_mb:.0f} -> {ended.rss_mb:.0f}; {grown:+.1f} a day of bars",
            bool(ended.rss_mb < begun.rss_mb * (1 + GROWTH)),
        ),
        "handles": (f"{begun.handles} -> {ended.handles}", ended.handles <= begun.handles + 8),
        "threads": (f"{begun.threads} -> {ended.threads}", ended.threads <= begun.threads + 4),
        "breaker": (", ".join(name[8:] for name in orders if name.startswith("breaker")) or "never tripped", None),
    }
    drawn = {
        "memory, MB": [(one.bar, one.rss_mb) for one in stretch.samples],
        "handles": [(one.bar, one.handles) for one in stretch.samples],
        "bar to decision, ms (median of a hundredth)": [
            (float(part[0, 0]), float(np.median(part[:, 1]))) for part in np.array_split(late, 100) if len(part)
        ],
        "bar to decision, ms (most of a hundredth)": [
            (float(part[0, 0]), float(part[:, 1].max())) for part in np.array_split(late, 100) if len(part)
        ],
    }
    return Figures(rows, drawn)


def _answered(row: Mapping[str, Any]) -> bool:
    """Whether a request was answered as it should be: a refusal of the exchange is an answer, an error is none."""
    return row.get("status") in {None, 200} or (row["status"] == 400 and row.get("code") not in {-1000, -1022})


def table(found: Mapping[str, Figures]) -> str:
    """Return the figures as text."""
    lines = []
    for name, one in found.items():
        lines.append(f"\n{name}")
        lines += [f"  {what:28} {value:70} {_VERDICT[good]}" for what, (value, good) in one.rows.items()]
    return "\n".join(lines)


_VERDICT = {None: "", True: "good", False: "NOT GOOD"}


def page(found: Mapping[str, Figures]) -> str:
    """Return the figures as a page that needs nothing else."""
    parts = []
    for name, one in found.items():
        parts.append(f"<h2>{escape(name)}</h2><table>")
        for what, (value, good) in one.rows.items():
            parts.append(f"<tr><th>{escape(what)}</th><td>{escape(value)}</td><td>{_VERDICT[good]}</td></tr>")
        parts.append("</table>")
        for what, points in one.drawn.items():
            parts.append(f"<figure><figcaption>{escape(what)}</figcaption>{_line(points, what)}</figure>")
    return _PAGE.format(body="".join(parts))


def _line(points: Sequence[tuple[float, float]], alt: str) -> str:
    across, up = around([x for x, _ in points]), around([0.0, *(y for _, y in points)])
    dots = "".join(f'<circle cx="{across.across(x)}" cy="{up.up(y)}" r="1.5"/>' for x, y in points)
    marks = guides(up, [(value, f"{value:g}") for value in ticks(up, 4)], across=False)
    below = guides(across, [(value, f"{value:g}") for value in ticks(across, 8)], across=True)
    return drawing(marks + below + dots, alt=alt, height=140, left=60)


_PAGE = """<!doctype html><meta charset="utf-8"><title>Soak</title><style>
body {{ font: 14px system-ui, sans-serif; max-width: 900px; margin: 2em auto; }}
th {{ text-align: left; padding-right: 2em; font-weight: normal; }} figure {{ margin: 1.5em 0; }}
.drawing {{ display: block; overflow: visible; width: calc(100% - var(--left)); margin-left: var(--left);
margin-bottom: var(--bottom); }} .grid {{ stroke: #ddd; }} .tick {{ font-size: 11px; fill: #666; }}
circle {{ fill: #1f5fa8; }}
</style><h1>Soak of a live node</h1>{body}
"""
