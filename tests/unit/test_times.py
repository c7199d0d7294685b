"""Times as people write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.times import iso, parse_time


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-01-31", "2024-01-31T00:00:00"),
        ("2024-01-31T12:30", "2024-01-31T12:30:00"),
        ("2024-01-31T12:30:00+02:00", "2024-01-31T10:30:00"),
        ("2024-01-31T12:30:00Z", "2024-01-31T12:30:00"),
    ],
)
def test_a_time_without_an_offset_is_utc(text, same):
    assert parse_time(text, "--start") == np.datetime64(same, "ns").astype(int)


@pytest.mark.parametrize("text", ["yesterday", "", "2024-13-01", "1704067200", "1969-12-31", "2300-01-01"])
def test_what_is_no_time_is_refused_with_the_arguments_name(text):
    with pytest.raises(UsageError, match=r"--end is '.*': give an ISO date"):
        parse_time(text, "--end")


@given(st.integers(0, 4_000_000_000))
def test_what_is_written_is_read_back(seconds):
    assert parse_time(iso(seconds * 1_000_000_000), "x") == seconds * 1_000_000_000
