"""Time to a score: how soon a return that is hidden in the features is made the most of, beside stable-baselines3."""

import statistics
import sys

from benchmarks.__main__ import Row, main
from training.race import SHARE, seconds_to_oracle_share

SEEDS = (1, 2, 3)
MOST_SECONDS = 60.0
"""A race that takes longer is broken off and counts as if it had ended then: the ratio is at least what is shown."""


def rows() -> list[Row]:
    """Measure: the median of the seeds, in seconds of one processor."""
    seconds_to_oracle_share("vectorised")  # compiles
    ours, theirs = (
        [seconds_to_oracle_share(kind, seed=seed, most_seconds=MOST_SECONDS) for seed in SEEDS]
        for kind in ("vectorised", "sb3_defaults")
    )
    found: list[Row] = []
    for name, races in (("ppo here", ours), ("stable-baselines3's defaults, one environment", theirs)):
        for figure, unit in (("seconds", "CPU s"), ("steps", "decisions")):
            value = statistics.median(getattr(race, figure) for race in races)
            found.append(Row(row=f"{SHARE:.0%} of the oracle, {name}", value=value, unit=unit, goal=""))
    sooner = found[2]["value"] / found[0]["value"]
    found.append(Row(row=f"{SHARE:.0%} of the oracle, sooner", value=sooner, unit="times", goal=">= 100"))
    return found


if __name__ == "__main__":
    sys.exit(main(["bench_oracle"]))
