"""Alerts of a whole node: a person is called when it dies, and channels that hang or fall over change nothing."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.live.nodes import Node, running_node, started_venue, venue_params
from tests.shells.alert_servers import Api, api_server

CALLED = [part for setting in ("alerts.replays=true", "alerts.poll_seconds=0.02", "alerts.retry_seconds=0.05",
                               "alerts.timeout_seconds=2.0", "alerts.linger_seconds=0.0", "ensemble.quorum=1")
          for part in ("--set", setting)]  # fmt: skip


@contextmanager
def node_of(history: Path, folder: Path, end: str, urls: Mapping[str, str], *more: str) -> Iterator[Node]:
    """Run a node that calls people."""
    given = {f"AUTOTRADE_ALERT_{name}_URL": url for name, url in urls.items()}
    params = venue_params(history, "2024-03-04T00:00:00Z", end)
    with (
        started_venue(params) as venue,
        running_node(venue, "testnet", folder, *CALLED, *more, environ=given) as node,
    ):
        yield node


def url_of(api: Api) -> str:
    return f"json://127.0.0.1:{api.port}/secret-path"


def decided(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "session" / "decisions.parquet").to_pylist()


def test_a_killed_node_is_told_by_the_process_that_outlives_it(history: Path, tmp_path: Path) -> None:
    with api_server() as api:
        with node_of(history, tmp_path, "2024-03-09T00:00:00Z", {"HOOK": url_of(api)}) as node:
            node.wait_ready(180.0)
            node.signal(signal.SIGKILL)
            api.wait(lambda asked: any("node of session has died" in text for _, text in asked), 60.0)
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"secret-path" not in written
    assert "secret-path" not in "".join(node.errors)


def test_channels_that_hang_or_are_gone_change_no_decision(history: Path, tmp_path: Path) -> None:
    loud = tmp_path / "rules.toml"
    loud.write_text(
        '[routes]\ninfo = ["*"]\n[[rule]]\nname = "each"\non = "decisions"\nseverity = "info"\n'
        'cooldown_minutes = 0.0\ntext = "{ts_event}"\n'
    )
    nowhere = {"HOOK": "json://127.0.0.1:9/x", "HEARTBEAT": "http://127.0.0.1:9"}
    outcomes = {}
    with api_server() as api:
        api.released.clear()
        for name, urls in (("silent", {}), ("hangs", {**nowhere, "HOOK": url_of(api)}), ("gone", nowhere)):
            more = ("--set", f"alerts.rules={loud}")
            with node_of(history, tmp_path / name, "2024-03-04T06:00:00Z", urls, *more) as node:
                node.wait_ready(180.0)
                code, summary = node.ended(300.0)
            assert (code, summary["faults"], node.errors) == (0, "", []), summary
            outcomes[name] = decided(tmp_path / name)
        assert api.asked
    assert len(outcomes["silent"]) == 24
    assert outcomes["silent"] == outcomes["hangs"] == outcomes["gone"]
