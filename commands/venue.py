"""``autotrade venue``: a stand-in Binance USD-M server on this machine, for drills, replays and tests."""

import argparse
import os
from pathlib import Path

from core.errors import DataError, UsageError
from venue.feed_catalog import FeedError
from venue.params import VenueParams
from venue.start import TOKEN_VARIABLE, serve

__all__ = ["add_parser"]

_DEFAULTS = VenueParams()


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("venue", help="a stand-in Binance USD-M server on this machine")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="on 127.0.0.1 (default: a free one)")
    parser.add_argument("--catalog", metavar="DIR", help="replay the one-minute bars of a catalog")
    parser.add_argument("--walk", type=int, metavar="SEED", help="play a random walk (the default, seed 1)")
    parser.add_argument("--symbols", nargs="+", default=["BTCUSDT"], metavar="SYMBOL", help="default: BTCUSDT")
    parser.add_argument("--start", default=_DEFAULTS.start, metavar="ISO", help="open of the first minute played")
    parser.add_argument("--end", metavar="ISO", help="close of the last minute played (default: the catalog's last)")
    parser.add_argument(
        "--speed",
        default="1",
        metavar="S",
        help="1 plays now, restamped (the default); S > 1 plays the past S times faster; 'step' waits for "
        "POST /control/next before every bar",
    )
    parser.add_argument("--balance", type=float, default=_DEFAULTS.balance, metavar="USDT", help="default: 10,000")
    parser.add_argument(
        "--fill-share",
        type=float,
        default=_DEFAULTS.fill_share,
        metavar="SHARE",
        help="of a quote that one match takes",
    )
    parser.add_argument("--half-spread-bps", type=float, default=_DEFAULTS.away_bps, metavar="BPS", help="default: 1")
    parser.add_argument("--json", action="store_true", help="accepted as everywhere: what it prints is JSON")
    parser.add_argument("--token-file", metavar="FILE", help=f"holds the control token (or set {TOKEN_VARIABLE})")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    if args.catalog is not None and args.walk is not None:
        raise UsageError("--catalog and --walk exclude each other: choose where prices come from")
    if args.token_file is not None:
        os.environ[TOKEN_VARIABLE] = _token(Path(args.token_file))
    params = VenueParams(
        port=args.port,
        catalog=args.catalog,
        symbols=tuple(args.symbols),
        start=args.start,
        end=args.end,
        speed=_speed(args.speed),
        walk=1 if args.walk is None else args.walk,
        away_bps=args.half_spread_bps,
        balance=args.balance,
        fill_share=args.fill_share,
    )
    try:
        return serve(params)
    except FeedError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise UsageError(f"port {args.port} of 127.0.0.1 can't be used ({error.strerror}): choose another") from None


def _token(file: Path) -> str:
    """Return the control token of a file that only its owner can read."""
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise UsageError(f"--token-file {file} has mode {mode:o}, others can read it: chmod 600 {file}")
    token = file.read_text().strip()
    if not token:
        raise UsageError(f"--token-file {file} is empty: write a token into it")
    return token


def _speed(text: str) -> float:
    if text == "step":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1.0 <= speed < 1e6:
        raise UsageError(f"--speed {text}: give 1, a larger number, or step")
    return speed
