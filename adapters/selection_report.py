"""The verdict on a study as one file for the browser."""

from pathlib import Path

from adapters.report_shell import write_page
from adapters.selection_page import render_selection
from core.selection import Selection

__all__ = ["write_selection_report"]


def write_selection_report(path: Path, selection: Selection) -> None:
    """Write the page of a selection.

    Parameters
    ----------
    path : Path
        The file, e.g. ``selection.html`` of a study's directory; replaced in one step where it is there.
    selection : Selection
        As `core.selection` defines it. What is absent (no holdout, no member, a figure of ``None``) is said to be so.

    Notes
    -----
    The page needs no network and no other file. Long curves are thinned to what a screen can show; every other number
    of the selection stands in a table.
    """
    write_page(path, render_selection(selection))
