"""Clients that trade in two groups of markets, and whose money goes to and fro between them."""

from tests.processes import wait_until
from tests.scale.processes import Persistent

MARKETS = {"usd": "BTC_USD", "eur": "BTC_EUR"}  # the market of each group
MOVED_ASSET = "BTC"  # which both know
AT_REST = ("DONE", "RETURNED")


class Trader(Persistent):
    """Beside what every client does it moves money between the groups; some of it to others, and
    to accounts that there are none of.

    asked: transfers between groups, by id. outcomes: what each was told, the state or the code of
    the error."""

    symbols = tuple(MARKETS.values())

    def __init__(self, *given):
        super().__init__(*given)
        self.asked, self.outcomes = {}, {}

    def spread(self):
        """Half of what it has comes to the group that was paid nothing of it."""
        self._move("first", "usd", "eur", "500000", self.name)
        self.wait_for_moves()

    def _order(self, name):
        super()._order(name)
        chance = self.chance
        if chance.random() < 0.5:
            groups = chance.sample(tuple(MARKETS), 2)
            receiver = chance.choice((self.name, *self.others, "nobody"))
            self._move(f"{name}-g", *groups, chance.choice(("1", "0.5", "700000")), receiver)

    def _move(self, name, from_group, to_group, amount, receiver):
        said = {
            "asset": MOVED_ASSET, "amount": amount, "account": self.name, "toAccount": receiver,
            "clientOrderId": name, "fromGroup": from_group, "toGroup": to_group,
        }  # fmt: skip
        self.asked[name] = said
        answer = self.ask("POST", "/balance/transfer", said)
        assert answer.status in (200, 422), (said, answer)
        told = answer.told.get("error", answer.told)
        self.outcomes[name] = told.get("state", told.get("code"))

    def wait_for_moves(self):
        """What became of each transfer, by id, once none is in flight; it is what was told."""
        ended = {}
        for name, outcome in self.outcomes.items():
            wait_until(lambda name=name: self._state(name) != "IN_FLIGHT", 60)
            ended[name] = self._state(name)
            expected = {
                "IN_FLIGHT": AT_REST, "DONE": ("DONE",), "ACCOUNT_UNKNOWN": ("RETURNED",),
                "FUNDS_INSUFFICIENT": ("REFUSED",),
            }  # fmt: skip
            assert ended[name] in expected[outcome], (name, outcome, ended[name])
        return ended

    def _state(self, name):
        found = self.ask("GET", f"/balance/transfer?clientOrderId={name}")
        assert found.status == 200, (name, found)
        return found.told["state"]
