"""Works parent orders: slices over time, slices of the volume, or a post-only limit order that chases the market.

Contract with the owner (names of slices, cancelling, the end of a parent: `core.slices`):

- The owner submits a market order with ``exec_algorithm_id=ExecAlgorithmId("SLICER")`` and
  ``exec_algorithm_params={"style": "twap" | "participation" | "limit", "arrival": "<price at the decision>"}``.
  Protective stops and orders of the breaker are never routed here.
- Slices carry the owner's strategy id, so their fills reach its ``on_order_filled`` under ``<parent>-E<n>``:
  ``core.slices.parent_of`` gives the parent. Accepted, cancelled, expired and rejected slices are worked here; the
  owner passes over their events.
- ``strategy.cancel_order(parent)`` stops it: the engine answers with ``OrderCanceled`` of the parent at once, which
  is not its end.
- `core.messages.ParentEnded` on ``ended_topic(instrument_id)`` is: nothing of the parent is at the venue any more.
"""
