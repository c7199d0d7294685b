"""Walk-forward folds: fit on the past, choose on what follows it, test once on what follows that, move on.

::

    |------------ fit ------------| gap |-- validation --| gap |-- test --|
                   |------------ fit ------------| gap |-- validation --| gap |-- test --|      rolling
    |------------------- fit -------------------| gap |-- validation --| gap |-- test --|       anchored

A gap is purge + embargo: the purge outlasts the longest holding, so that no position that was opened in one part earns
in the next; the embargo is what is left out beside, because neighbouring days resemble each other.
"""

from typing import NamedTuple

import msgspec

from core.errors import UsageError
from core.times import iso

__all__ = ["Fold", "Plan", "folds"]

_DAY_NS = 86_400_000_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a range is cut, lengths in ns.

    ``fit_ns``, ``validation_ns`` and ``test_ns`` are the parts' lengths; ``purge_ns`` and ``embargo_ns`` together lie
    between two parts. ``anchored``: fit always begins where the range does, and grows; else it keeps its length.

    Raises
    ------
    UsageError
        Where a part has no length or a gap is negative.
    """

    fit_ns: int
    validation_ns: int
    test_ns: int
    purge_ns: int
    embargo_ns: int
    anchored: bool

    def __post_init__(self) -> None:
        for name, least in (("fit", 1), ("validation", 1), ("test", 1), ("purge", 0), ("embargo", 0)):
            found = getattr(self, f"{name}_ns")
            if found < least:
                raise UsageError(f"walk-forward {name}: {found} ns is below the limit {least}; give a longer time")

    @property
    def gap_ns(self) -> int:
        """What lies between two parts."""
        return self.purge_ns + self.embargo_ns

    @property
    def shortest_ns(self) -> int:
        """The length of a range that holds one fold."""
        return self.fit_ns + self.validation_ns + self.test_ns + 2 * self.gap_ns


class Fold(NamedTuple):
    """One fold, ``number`` from 1 on; its parts are ranges (start, end] of decision closes in ns UTC."""

    number: int
    fit: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    def __str__(self) -> str:
        parts = {"fit": self.fit, "validation": self.validation, "test": self.test}
        return f"{self.number}: " + ", ".join(f"{name} {_moment(a)}..{_moment(b)}" for name, (a, b) in parts.items())


def folds(plan: Plan, *, start_ns: int, end_ns: int) -> tuple[Fold, ...]:
    """Return the folds that a range holds, oldest first.

    Parameters
    ----------
    plan : Plan
        Lengths of the parts and of what lies between them.
    start_ns, end_ns : int
        The range (start, end] of decision closes, ns UTC.

    Returns
    -------
    tuple[Fold, ...]
        At least one. Test ranges of successive folds adjoin; what is left at the end is shorter than a test.

    Raises
    ------
    UsageError
        Where the range is too short for one fold.

    Notes
    -----
    The validation range of a fold overlaps the test ranges of earlier ones, as its fit range does: they are the past by
    then. No part of a fold overlaps its own test range or anything later.

    References
    ----------
    M. Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12.

    Examples
    --------
    >>> day = 86_400_000_000_000
    >>> start = 19_723 * day  # 2024-01-01
    >>> plan = Plan(
    ...     fit_ns=90 * day, validation_ns=30 * day, test_ns=30 * day, purge_ns=day, embargo_ns=day, anchored=False
    ... )
    >>> for fold in folds(plan, start_ns=start, end_ns=start + 220 * day):
    ...     print(fold)
    1: fit 2024-01-01..2024-03-31, validation 2024-04-02..2024-05-02, test 2024-05-04..2024-06-03
    2: fit 2024-01-31..2024-04-30, validation 2024-05-02..2024-06-01, test 2024-06-03..2024-07-03
    3: fit 2024-03-01..2024-05-30, validation 2024-06-01..2024-07-01, test 2024-07-03..2024-08-02
    >>> anchored = msgspec.structs.replace(plan, anchored=True, embargo_ns=day // 2)
    >>> print(folds(anchored, start_ns=start, end_ns=start + 220 * day)[-1])
    3: fit 2024-01-01..2024-05-30, validation 2024-05-31T12:00..2024-06-30T12:00, test 2024-07-02..2024-08-01
    """
    length = end_ns - start_ns
    if length < plan.shortest_ns:
        raise UsageError(
            f"the range {_moment(start_ns)}..{_moment(end_ns)} has {length / _DAY_NS:.10g} days and one fold needs "
            f"{plan.shortest_ns / _DAY_NS:.10g}; give a longer range or shorter parts"
        )
    count = 1 + (length - plan.shortest_ns) // plan.test_ns
    return tuple(_fold(plan, start_ns, number) for number in range(1, count + 1))


def _fold(plan: Plan, start_ns: int, number: int) -> Fold:
    """Return one fold of a range that begins at ``start_ns``."""
    fit_start = start_ns + (number - 1) * plan.test_ns
    fit_end = fit_start + plan.fit_ns
    validation_start = fit_end + plan.gap_ns
    validation_end = validation_start + plan.validation_ns
    test_start = validation_end + plan.gap_ns
    return Fold(
        number=number,
        fit=(start_ns if plan.anchored else fit_start, fit_end),
        validation=(validation_start, validation_end),
        test=(test_start, test_start + plan.test_ns),
    )


def _moment(ts_ns: int) -> str:
    """Return a time as short as it can be said: the day, and the minute where it is not midnight."""
    return iso(ts_ns).removesuffix(":00Z").removesuffix("T00:00")
