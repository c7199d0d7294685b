"""One request, whichever way it came: faults, limits, key, signature, then the market or the account."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from venue.account import Account
from venue.clock import Clock
from venue.errors import VenueError
from venue.hooks import Answer, Call, Hooks
from venue.limits import Limits, TooMany
from venue.params import ApiKey
from venue.public_rest import PublicRest
from venue.signatures import Keyring

__all__ = ["Front"]

_LISTEN_KEY = "/fapi/v1/listenKey"
_RESTRICTIONS = "/sapi/v1/account/apiRestrictions"
_TRADING_STATUS = "/fapi/v1/apiTradingStatus"
_FREE = {"/fapi/v1/ping", "/fapi/v1/time", "/fapi/v1/exchangeInfo"}


class Front:
    """Where requests arrive.

    Parameters
    ----------
    hooks : Hooks
        Faults.
    limits : Limits
        Weights and orders.
    keyring : Keyring
        The account's keys.
    public : PublicRest
        The market.
    account : Account
        The account.
    clock : Clock
        The venue's.
    """

    def __init__(
        self, *, hooks: Hooks, limits: Limits, keyring: Keyring, public: PublicRest, account: Account, clock: Clock
    ) -> None:
        self.limits, self.keyring, self.account = limits, keyring, account
        self._hooks, self._public, self._clock = hooks, public, clock

    def now_ms(self) -> int:
        """Return the exchange's real time."""
        return self._clock.real_ms()

    async def answer(self, call: Call, *, key: str | None, payload: str | None) -> Answer:
        """Answer a request; events that follow from it are told after the answer (`Account.tell`).

        Parameters
        ----------
        call : Call
            The request.
        key : str | None
            The API key it came with.
        payload : str | None
            What its signature was made of; None where the connection is trusted (after a logon).
        """
        came_ns = time.time_ns()
        fault = await self._hooks.before(call)
        if fault is not None:
            self._note(call, fault, "before", came_ns)
            return fault
        headers = {}
        changed = None
        try:
            self.limits.take(call.method, call.path, call.params)
            body = self._carry_out(call, key, payload)
            status = 200
        except TooMany as refusal:
            headers["Retry-After"] = str(refusal.retry_after)
            status, body = refusal.status, {"code": refusal.code, "msg": refusal.msg}
        except VenueError as refusal:
            status, body = refusal.status, {"code": refusal.code, "msg": refusal.msg}
        else:
            changed = await self._after(call, body)
        answer = Answer(status, headers, body) if changed is None else changed
        headers = {**self.limits.headers(call.method, call.path), **answer.headers}
        self._note(call, answer, "" if changed is None else "after", came_ns)
        return Answer(answer.status, headers, answer.body)

    async def _after(self, call: Call, body: Any) -> Answer | None:
        """Ask the hooks; while they keep the answer back, the events go their way."""
        asked = asyncio.ensure_future(self._hooks.after(call, body))
        await asyncio.sleep(0)
        if not asked.done():
            self.account.tell()
        return await asked

    def _carry_out(self, call: Call, key: str | None, payload: str | None) -> Any:
        public = self._public.answers.get(call.path)
        if public is not None and call.method == "GET":
            return public(call.params)
        if public is None and not call.path.startswith(("/fapi/", "/sapi/")):
            raise VenueError(-5000, f"Path {call.path}, Method {call.method} is invalid", 404)
        api_key = self.keyring.known(key)
        if call.path == _LISTEN_KEY:
            return self._listen_key(call, api_key)
        if payload is not None:
            self.keyring.check(api_key, payload, call.params, self._clock.real_ms())
        if call.path == _RESTRICTIONS:
            return self._restrictions(api_key)
        if call.path == _TRADING_STATUS:
            return {"indicators": {}, "updateTime": self._clock.real_ms()}
        if call.method != "GET" and not api_key.trade:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        unsigned = {"timestamp", "recvWindow", "signature", "apiKey"}
        return self.account.request(
            call.method, call.path, {name: value for name, value in call.params.items() if name not in unsigned}
        )

    def _listen_key(self, call: Call, api_key: ApiKey) -> dict[str, Any]:
        if call.method == "POST":
            return {"listenKey": self.account.listen_keys.create(api_key.key)}
        if call.method == "PUT":
            return {"listenKey": self.account.listen_keys.renew(api_key.key)}
        self.account.listen_keys.close(api_key.key)
        return {}

    def _restrictions(self, api_key: ApiKey) -> dict[str, Any]:
        return {
            "ipRestrict": api_key.ip_restricted,
            "createTime": 1_700_000_000_000,
            "enableReading": True,
            "enableWithdrawals": api_key.withdraw,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": api_key.trade,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": False,
            "enablePortfolioMarginTrading": False,
        }

    def _note(self, call: Call, answer: Answer, fault: str, came_ns: int) -> None:
        code = answer.body.get("code") if isinstance(answer.body, Mapping) else None
        if call.path in _FREE and not fault and answer.status == 200:
            return
        said = {"status": answer.status, "code": code, "fault": fault, "came_ns": came_ns}
        self.account.note(call.by, call.method, call.path, call.params, **said)
