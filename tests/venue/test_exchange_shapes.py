"""Answers and events have the keys that Binance documents, and numbers as text in the symbol's form."""

import re

import pytest

from tests.venue.bench import BTC, Bench
from venue.public_rest import load_exchange_info

NUMBER = re.compile(r"-?\d+(\.\d+)?")
ORDER = (
    "orderId symbol status clientOrderId price avgPrice origQty executedQty cumQuote timeInForce type reduceOnly "
    "closePosition side positionSide stopPrice workingType priceProtect origType priceMatch selfTradePreventionMode "
    "goodTillDate time updateTime"
)
ALGO = (
    "algoId clientAlgoId algoType orderType symbol side positionSide timeInForce quantity algoStatus actualOrderId "
    "actualPrice triggerPrice price icebergQuantity tpTriggerPrice tpPrice slTriggerPrice slPrice tpOrderType "
    "selfTradePreventionMode workingType priceMatch closePosition priceProtect reduceOnly createTime updateTime "
    "triggerTime goodTillDate"
)
TOTALS = (
    "totalInitialMargin totalMaintMargin totalWalletBalance totalUnrealizedProfit totalMarginBalance "
    "totalPositionInitialMargin totalOpenOrderInitialMargin totalCrossWalletBalance totalCrossUnPnl availableBalance "
    "maxWithdrawAmount assets positions"
)
ASSET = (
    "asset walletBalance unrealizedProfit marginBalance maintMargin initialMargin positionInitialMargin "
    "openOrderInitialMargin crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount updateTime"
)
RISK = (
    "symbol positionAmt entryPrice breakEvenPrice markPrice unRealizedProfit liquidationPrice isolatedMargin "
    "positionSide notional isolatedWallet updateTime"
)
ANSWERS = {
    "v1/openOrders": ORDER,
    "v1/openAlgoOrders": ALGO,
    "v2/account": TOTALS + " feeTier canTrade canDeposit canWithdraw updateTime multiAssetsMargin tradeGroupId",
    "v3/account": TOTALS,
    "v2/positionRisk": RISK + " leverage maxNotionalValue marginType isAutoAddMargin",
    "v3/positionRisk": RISK + " marginAsset initialMargin maintMargin positionInitialMargin openOrderInitialMargin adl"
    " bidNotional askNotional",
    "v2/balance": "accountAlias asset balance crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount"
    " marginAvailable updateTime",
    "v1/userTrades": "buyer commission commissionAsset id maker orderId price qty quoteQty realizedPnl side"
    " positionSide symbol time",
    "v1/income": "symbol incomeType income asset info time tranId tradeId",
    "v1/leverageBracket": "symbol notionalCoef brackets",
    "v1/commissionRate": "symbol makerCommissionRate takerCommissionRate",
    "v1/accountConfig": "feeTier canTrade canDeposit canWithdraw dualSidePosition updateTime multiAssetsMargin"
    " tradeGroupId",
    "v1/symbolConfig": "symbol marginType isAutoAddMargin leverage maxNotionalValue",
}
EVENTS = {
    "ORDER_TRADE_UPDATE": "s c S o f q p ap sp x X i l z L T t b a m R wt ot ps cp rp pP si ss V pm gtd",
    "ACCOUNT_UPDATE": "m B P",
    "ALGO_UPDATE": "caid aid at o s S ps f q X ai ap aq act tp p V wt pm cp pP R tt gtd",
}


@pytest.fixture
def bench():
    bench = Bench()
    bench.price(40_000)
    bench.ask("POST", "v1/leverage", symbol=BTC, leverage=5)
    bench.order("BUY", "0.100")
    bench.order("BUY", "0.010", "39000.0")
    bench.stop("SELL", "38000.0", quantity="0.100", reduceOnly=True)
    return bench


@pytest.mark.parametrize("path", ANSWERS)
def test_every_answer_has_the_documented_keys(bench, path):
    answer = bench.ask("GET", path, symbol=BTC)
    row = answer[0] if isinstance(answer, list) else answer
    assert set(ANSWERS[path].split()) <= set(row)


def test_the_account_is_whole(bench):
    account = bench.ask("GET", "v2/account")
    assert set(ASSET.split()) | {"marginAvailable"} == set(account["assets"][0])
    assert len(account["positions"]) == len(load_exchange_info()["symbols"])
    assert len(bench.ask("GET", "v3/account")["positions"]) == 1
    assert account["availableBalance"] == bench.ask("GET", "v3/balance")[0]["availableBalance"]
    assert all(NUMBER.fullmatch(account[name]) for name in TOTALS.split()[:-2])


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_the_documented_keys(bench, name):
    told = bench.events(name)
    assert told
    for body in told:
        assert set(EVENTS[name].split()) <= set(body)


def test_what_an_account_update_says_of_a_fill(bench):
    told = next(each for each in bench.events("ACCOUNT_UPDATE") if each["m"] == "ORDER")
    assert told["B"] == [{"a": "USDT", "wb": "9997.99999500", "cw": "9997.99999500", "bc": "0"}]
    assert told["P"] == [
        {
            "s": BTC,
            "pa": "0.100",
            "ep": "40000.10000000",
            "bep": "40020.10005000",
            "cr": "0.00000000",
            "up": "-0.01000000",
            "mt": "cross",
            "iw": "0.00000000",
            "ps": "BOTH",
            "ma": "USDT",
        }
    ]


def test_fills_come_three_times_the_account_before_the_order(bench):
    fills = [event["e"] for event in bench.told if event["e"] != "ALGO_UPDATE"]
    assert fills == [
        "ACCOUNT_CONFIG_UPDATE",
        "ORDER_TRADE_UPDATE",
        "TRADE_LITE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
        "ORDER_TRADE_UPDATE",
    ]


def test_a_path_that_is_none_is_told_so(bench):
    assert bench.code("GET", "v1/everything") == -5000
