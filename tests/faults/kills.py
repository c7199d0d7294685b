"""Kill -9 at every state of an order and every stage of a decision; `make soak` does it two thousand times.

A node trades against a stand-in venue in lock-step. At a chosen moment, a request, an answer, an event or a closed bar,
the venue kills it; another one starts with the state that was kept. Held at its next rest it must know the venue's
position, have it protected exactly, and have no order there that it does not mind. At the end of a life the ledger is
asked for orders that were sent twice.
"""

import os
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from networks import artifact, random_network
from nodes import ENGINE_MARK, trial

KILLS = int(os.environ.get("KILLS", "60"))
LIVES = 4
"""Venues on which the kills are shared out: other prices, other models, fills in parts."""
SHARE = -(-KILLS // LIVES)
USER = {"channel": "user"}
ORDER, ALGO = {"e": "ORDER_TRADE_UPDATE", **USER}, {"e": "ALGO_UPDATE", **USER}
PLACE, STOP = {"path": "/fapi/v1/order", "method": "POST"}, {"path": "/fapi/v1/algoOrder", "method": "POST"}
WITHDRAW = {"path": "/fapi/v1/algoOrder", "method": "DELETE"}
MOMENTS = {
    "order submitted, not carried out": ("kill_before", PLACE),
    "order carried out, not answered": ("kill_after", PLACE),
    "order accepted": ("kill_event", {**ORDER, "o.X": "NEW"}),
    "order partly filled": ("kill_event", {**ORDER, "o.X": "PARTIALLY_FILLED"}),
    "order filled, before its stop": ("kill_event", {**ORDER, "o.X": "FILLED"}),
    "balance changed, before the fill is told": ("kill_event", {"e": "ACCOUNT_UPDATE", **USER}),
    "stop submitted, not carried out": ("kill_before", STOP),
    "stop carried out, not answered": ("kill_after", STOP),
    "stop accepted": ("kill_event", {**ALGO, "o.X": "NEW"}),
    "cancel of a stop submitted": ("kill_before", WITHDRAW),
    "cancel of a stop carried out": ("kill_after", WITHDRAW),
    "stop cancelled": ("kill_event", {**ALGO, "o.X": "CANCELED"}),
    "stop triggered": ("kill_event", {**ALGO, "o.X": "TRIGGER*"}),
    "stop finished": ("kill_event", {**ALGO, "o.X": "FINISHED"}),
    "a bar closed": ("kill_event", {"channel": "market", "e": "kline", "k.x": "true"}),
}
PATIENCE = 45.0
"""Seconds in which a node must be at rest."""
SETTLING = 20
"""Rests that it may take until all that was under way is known."""
RARE = 5.0
"""Seconds in which a moment that does not come (a stop that is not triggered) is given up for the next one."""


def lived(life, zygote, folder):
    """Kill one node after the other on one venue; return how often at which moment, and what was found wrong."""
    rng = random.Random(life)
    folder.mkdir()
    models = [artifact(folder / "m1", random_network(3 + life, hidden=(16, 16)))]
    killed, wrong = Counter(), []
    world = {"walk": 5 + life, "symbols": ("BTCUSDT",), "start": "2024-01-05T00:00:00Z"}
    if life % 2:
        world |= {"fill_share": 0.1, "depth_quote": 3_000.0}
    names = list(MOMENTS)
    with trial(zygote, folder, models, **world) as node:
        control = node.venue.control
        while killed.total() < SHARE and len(wrong) < 3:
            name = names[rng.randrange(len(names))]
            node.start()
            for _ in range(3):
                at_rest = control.rest(timeout=PATIENCE)
                control.go()
            at_rest = control.rest(timeout=PATIENCE)
            for _ in range(SETTLING):
                if not node.differences():
                    break
                control.go()
                at_rest = control.rest(timeout=PATIENCE)
            wrong += [f"life {life}, after {killed.total()} kills, minute {at_rest['minute_ms']}: {each}"
                      for each in node.differences()]  # fmt: skip
            control.heal()
            kind, match = MOMENTS[name]
            control.fault(kind, match=match, pid=node.pid, count=1, skip=rng.randrange(3))
            control.go()
            code = node.ended(RARE)
            if code is None:
                os.kill(node.pid, 9)
                code = node.ended(10)
                name = "at any moment"
            if code != -9:
                wrong.append(f"life {life}: the node ended with {code}: {node.log.read_text()[-500:]}")
                break
            killed[name] += 1
        ledger = control.ledger()["exchange"]
    placed = Counter(
        row["params"].get("newClientOrderId") or row["params"].get("clientAlgoId")
        for row in ledger
        if row["kind"] == "request" and row["method"] == "POST" and row["path"] in {PLACE["path"], STOP["path"]}
    )
    strangers = [name for name in placed if not str(name).startswith(ENGINE_MARK)]
    twice = [name for name, count in placed.items() if count > 1]
    return killed, [*wrong, *(f"life {life}: sent twice: {each}" for each in (*twice, *strangers))]
