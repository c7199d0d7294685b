"""What every page of ours has in common: one file that needs no network, styles and charts' code inside."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["html_page", "seconds_of", "shown_day", "write_page"]

_HERE = Path(__file__).parent


def html_page(*, title: str, body: str, styles: Sequence[str], charts: Mapping[str, Any]) -> str:
    """Return a whole page.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        Markup of what stands in ``main``.
    styles : Sequence[str]
        Names of style sheets beside this module, in the order in which they count.
    charts : Mapping[str, Any]
        Panels by name, drawn by `report_charts.js` into the figures that bear their names.

    Raises
    ------
    ValueError
        Where a chart holds NaN or infinity.
    """
    data = json.dumps(charts, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    css = "".join(_asset(name) for name in styles)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} \u00b7 autotrade</title>
<style>
{css}</style>
</head>
<body>
<main>
{body}
</main>
<button id="reset" type="button">Show the whole range</button>
<script type="application/json" id="chart-data">{data}</script>
<script>
{_asset("report_charts.js")}</script>
</body>
</html>
"""


def write_page(path: Path, page: str) -> None:
    """Write a page in one step: a reader sees the old one or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)


def shown_day(text: object) -> str:
    """Write the day of an ISO time, a question mark where it is none.

    Examples
    --------
    >>> shown_day("2024-01-31T12:00:00Z")
    '31 Jan 2024'
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return "?"
    return f"{moment.day} {moment:%b %Y}"


def seconds_of(text: str) -> float:
    """Return seconds since the epoch of an ISO time; without an offset it is UTC.

    Examples
    --------
    >>> seconds_of("1970-01-01T00:01:00Z")
    60.0
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
