"""An order that the engine holds for over is withdrawn beside it: a stop is not where a plain order is."""

import threading

from adapters.binance_refusals import VenueRefusalError
from adapters.venue_desk import RestDesk, wire_name
from core.venue_words import OrderWord, Request

BTC = "BTCUSDT-PERP.BINANCE"


class Stops:
    """A venue that knows one stop, and no plain order."""

    def __init__(self):
        self.asked, self.status, self.told = [], "NEW", threading.Event()

    def request(self, method, path, params=None, *, weight=1, exits=False):
        self.asked.append((method, path))
        if path == "/fapi/v1/order":
            raise VenueRefusalError(-2011 if method == "DELETE" else -2013, "Unknown order sent.")
        assert params["clientAlgoId"] == wire_name("S1")
        if method == "DELETE":
            self.status = "CANCELED"
            return {"code": "200"}
        self.told.set()
        return {"algoStatus": self.status, "createTime": 5, "actualOrderId": ""}


def test_a_stop_is_withdrawn_where_stops_are():
    venue = Stops()
    with RestDesk(venue, {BTC: "BTCUSDT"}) as desk:
        desk.send(Request(BTC, "S1", 0, "0"))
        assert venue.told.wait(5.0)
        while desk._jobs.unfinished_tasks:
            pass
        words = desk.words()
    assert words == [OrderWord(BTC, "S1", "canceled", "0", 0.0, 0.0, 5_000_000)]
    assert venue.asked[:2] == [("DELETE", "/fapi/v1/order"), ("DELETE", "/fapi/v1/algoOrder")]
