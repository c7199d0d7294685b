"""The journal that remembers."""

from decimal import Decimal

from core.witness import Witness


class Rows:
    def __init__(self):
        self.rows = []

    def record(self, kind, row):
        self.rows.append((kind, row))


def test_every_row_is_passed_on_and_fills_add_up_exactly():
    rows = Rows()
    witness = Witness(rows)
    for side, quantity in (("BUY", "0.1"), ("BUY", "0.2"), ("SELL", "0.3")):
        witness.record("fills", {"instrument_id": "X", "side": side, "quantity": quantity})
    assert witness.held("X") == Decimal(0), "and not 5.6e-17"
    assert witness.held("Y") == 0
    assert [kind for kind, _ in rows.rows] == ["fills"] * 3


def test_orders_are_known_once_written_down_and_forgotten_when_over_and_old():
    witness = Witness(Rows())
    for order_id, ts in (("A", 1), ("B", 2), ("C", 9)):
        witness.record("orders", {"instrument_id": "X", "client_order_id": order_id, "ts_event": ts})
    assert witness.knows("X", "A")
    assert not witness.knows("Y", "A")
    witness.forget("X", 5, {"B"})
    assert [witness.knows("X", name) for name in "ABC"] == [False, True, True]


def test_the_last_decision_is_remembered():
    witness = Witness(Rows())
    assert witness.decided("X") == (0, 0.0)
    witness.record("decisions", {"instrument_id": "X", "ts_event": 7, "close": 2.5})
    assert witness.decided("X") == (7, 2.5)
