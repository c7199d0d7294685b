"""``autotrade alerts``: what was told, by which channel, and what a person said of it."""

import argparse
import os
import sqlite3
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

import configs
from adapters.alert_channels import HEARTBEAT, Channel, SecretUrl, alert_urls, ping
from adapters.alert_follower import Follower, NodeWords, exclusively, unmoved
from adapters.alert_process import Following
from adapters.alert_queue import AlertQueue, Kept
from adapters.alert_senders import Heartbeat, Sender, Senders
from adapters.control import control_folder
from adapters.mainnet_promotion import AlertAck, Records
from adapters.run_baseline import baseline
from configs import alert_rules
from configs.schema import AppConfig
from core.errors import StateError, UsageError
from core.times import iso

__all__ = ["add_parser", "follow"]

ENVIRONMENTS = ("paper", "demo", "testnet", "mainnet")
_FILE = "alerts.sqlite"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("alerts", help="show alerts, acknowledge them, and try every channel")
    parser.add_argument("action", nargs="?", choices=("list", "ack", "test", "follow"), default="list",
                        help="what to do (default: list); `follow` is what a node starts")  # fmt: skip
    parser.add_argument("alert_id", nargs="?", metavar="ID", help="with ack: which; its messages show it")
    parser.add_argument("--env", default="testnet", choices=ENVIRONMENTS, help="whose (default: testnet)")
    parser.add_argument("--reason", metavar="TEXT", help="with ack: what came of it")
    parser.add_argument("--test", action="store_true", help="the same as the action test")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many are shown (default: 20)")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                        help="override one value of the configuration, repeatable")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.action == "follow":
        return _follow_node()
    config = configs.load(args.env, args.overrides)
    if args.test or args.action == "test":
        return _test(args, config)
    return _acknowledge(args, config) if args.action == "ack" else _list(args, config)


def _list(args: argparse.Namespace, config: AppConfig) -> int:
    """Print the last alerts, the newest last."""
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit}: show at least 1")
    path = control_folder(config) / _FILE
    kept = list(reversed(_queue(config).recent(args.limit))) if path.exists() else []
    if args.json:
        _print_json(kept)
        return 0
    if not kept:
        print(f"no alert of {args.env}: none was raised, or no channel was given when a node ran (docs/alerts.md)")
    for one in kept:
        print(_line(one))
    return 0


def _line(one: Kept) -> str:
    how = f"by {one.channel}" if one.channel else f"{one.status}{f', {one.problem}' if one.problem else ''}"
    said = f"; acknowledged: {one.acknowledged}" if one.acknowledged else ""
    return f"{iso(one.ts_ns)}  {one.alert_id}  {one.severity:<8}  {one.text}  ({how}{said})"


def _acknowledge(args: argparse.Namespace, config: AppConfig) -> int:
    """Note that an alert was read: in the queue, and signed, for the gate."""
    if not args.alert_id or not (args.reason or "").strip():
        raise UsageError("give the alert and what came of it: autotrade alerts ack ID --reason TEXT")
    path = control_folder(config) / _FILE
    queue = _queue(config) if path.exists() else None
    found = None if queue is None else next((one for one in queue.recent(config.alerts.history + config.alerts.queue)
                                             if one.alert_id == args.alert_id), None)  # fmt: skip
    if queue is None or found is None:
        raise UsageError(f"no alert {args.alert_id} of {args.env}: see `autotrade alerts --env {args.env}`")
    now = time.time_ns()
    ack = AlertAck(found.alert_id, found.source, found.ts_ns, args.reason.strip(), now)
    Records(config, make_key=True).keep_alert_ack(args.env, ack)
    queue.acknowledge(found.alert_id, args.reason.strip(), now)
    if args.json:
        _print_json(ack)
    else:
        print(f"{found.alert_id} is acknowledged, with all that {found.source} told before it")
    return 0


def _test(args: argparse.Namespace, config: AppConfig) -> int:
    """Send a message to every channel, and a sign of life to the watchdog."""
    urls = alert_urls(os.environ, Path(".env"))
    if not urls:
        raise UsageError("no channel is given: set AUTOTRADE_ALERT_<NAME>_URL, see docs/alerts.md")
    results: dict[str, str] = {}
    for name, url in urls.items():
        if name == HEARTBEAT:
            results[name] = (
                "" if ping(url, timeout_seconds=config.alerts.timeout_seconds) else "refused, or not reached"
            )
            continue
        try:
            channel = _channel(config, url)
        except UsageError as error:
            results[name] = str(error)
        else:
            results[name] = channel.send(f"autotrade {args.env}", "`autotrade alerts --test`: this channel delivers")
    if args.json:
        _print_json({name: problem or "delivered" for name, problem in results.items()})
    else:
        for name, problem in results.items():
            print(f"{name:<12} {problem or 'delivered'}")
    return 1 if any(results.values()) else 0


def _follow_node() -> int:
    """Do what a node starts this for; what goes wrong is told by its kind alone."""
    words = NodeWords(sys.stdin.fileno())
    unmoved()
    line = words.first()
    if not line:
        raise UsageError("`autotrade alerts follow` is started by a node; use list, ack or test")
    first = msgspec.json.decode(line, type=Following)
    follow(first.config, Path(first.folder), words)
    return 0


def follow(config: AppConfig, folder: Path, words: NodeWords) -> None:
    """Tell people of a session, until its node has ended and all is told."""
    alerts, place = config.alerts, control_folder(config)
    urls = alert_urls(os.environ, Path(".env"))
    watchdog = urls.pop(HEARTBEAT, None)
    queue, spare = _queue_or_memory(config), AlertQueue(None, limit=alerts.queue, history=alerts.history)
    with suppress(sqlite3.Error):  # a full disk: what is raised is sent from memory
        queue.begin(folder, time.time_ns())
    with ExitStack() as stack:
        stack.enter_context(exclusively(place / "alerts.lock"))
        follower = Follower(
            folder, words, queue, spare,
            rules=alert_rules.load(alerts.rules), limits=alerts.pattern_limits(baseline(alerts.baseline)),
            patience=alerts.patience(), configured=tuple(urls), poll_seconds=alerts.poll_seconds,
            linger_seconds=alerts.linger_seconds,
        )  # fmt: skip
        senders = Senders(
            [_channel_or_none(config, url) for url in urls.values()],
            (queue, spare),
            config.environment,
            alerts.patience(),
        )
        stack.callback(senders.close, alerts.timeout_seconds)
        if watchdog is not None:
            beat = Heartbeat(
                watchdog,
                every_seconds=alerts.heartbeat_seconds,
                timeout_seconds=alerts.timeout_seconds,
                alive=lambda: words.open and not follower.silent,
            )
            stack.callback(beat.close)
        follower.run()


class _Unknown:
    """A channel whose URL is not understood: what it is given goes to the next one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, title: str, body: str) -> str:  # noqa: ARG002 - nothing can be done with it
        return "its URL is not understood"


def _channel(config: AppConfig, url: SecretUrl) -> Channel:
    return Channel(url, timeout_seconds=config.alerts.timeout_seconds, telegram_url=config.alerts.telegram_url)


def _channel_or_none(config: AppConfig, url: SecretUrl) -> Sender:
    try:
        return _channel(config, url)
    except UsageError:
        return _Unknown(url.name)


def _queue(config: AppConfig) -> AlertQueue:
    limits = config.alerts
    return AlertQueue(control_folder(config) / _FILE, limit=limits.queue, history=limits.history)


def _queue_or_memory(config: AppConfig) -> AlertQueue:
    """Return the queue; where its disk is full, one that lasts as long as this process."""
    try:
        return _queue(config)
    except StateError:
        return AlertQueue(None, limit=config.alerts.queue, history=config.alerts.history)


def _print_json(content: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")
