"""Any commands in any order: the shop does what a model in plain Python says, and its numbers add up in every read."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mesh.tests.jobs import run_periodic
from shop import stock
from shop.models import Order, Product, StockMovement
from shop.reconciler import discrepancies
from shop.tests.conftest import out_of_balance, reserve
from shop.tests.model import Model, Stocked

MOST_PRODUCTS = 4
PEOPLE = st.sampled_from(("alice", "bob", "ada"))
WHICH = st.integers(0, 99)  # of the rows that there are: they come round again
LINES = st.lists(st.tuples(WHICH, st.integers(1, 4)), min_size=1, max_size=3)
VERBS = {  # what a command does to an order, and from where
    "confirm": (Model.confirm, ("RESERVED",)),
    "pay": (Model.pay, ("RESERVED", "CONFIRMED")),
    "cancel": (Model.cancel, ("PENDING", "RESERVED", "CONFIRMED")),
}


class Shop(RuleBasedStateMachine):
    """The shop beside its model, in a transaction that is rolled back at the end."""

    people: dict = {}

    def __init__(self):
        super().__init__()
        self.model, self.done = Model(), []
        self.transaction = transaction.atomic()
        self.transaction.__enter__()

    def teardown(self):
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    def call(self, who, method, path, data=None):
        return self.people[who].api.request(method, path, data)

    def do(self, command, *arguments):
        self.done.append((command, arguments))
        command(*arguments)

    def product(self, which):
        return self.model.products[which % len(self.model.products)]

    def order(self, which):
        """One of those that something can become of, or one of the last that are over."""
        over = [order for order in self.model.orders if order.is_over]
        found = [order for order in self.model.orders if not order.is_over] + over[-2:]
        return found[which % len(found)]

    @initialize(units=st.tuples(st.integers(3, 9), st.integers(0, 9)), low=st.none() | st.integers(0, 3), lines=LINES)
    def open_the_shop(self, units, low, lines):
        self.create_product("alice", units[0], low)
        self.create_product("bob", units[1], None)
        self.place_order("bob", lines)

    @precondition(lambda self: len(self.model.products) < MOST_PRODUCTS)
    @rule(who=PEOPLE, units=st.integers(0, 9), low=st.none() | st.integers(0, 3))
    def create_product(self, who, units, low):
        sku = f"S{len(self.model.products)}"
        data = {"sku": sku, "name": "Shirt", "price_cents": 5, "stock": units, "low_stock_at": low}
        answer = self.call(who, "POST", "/products", data)
        assert answer.status == 201, answer
        product = Stocked(answer.json["id"], who)
        self.model.products.append(product)
        self.model.receive(product, units, "received")

    @rule(who=PEOPLE, lines=LINES)
    def place_order(self, who, lines):
        self.do(self._place_order, who, [(self.product(which), quantity) for which, quantity in lines])

    def _place_order(self, who, lines):
        items = [{"product_id": product.id, "quantity": quantity} for product, quantity in lines]
        answer = self.call(who, "POST", "/orders", {"items": items})
        if any(product.archived for product, _ in lines):
            assert answer.status == 422, answer
        else:
            assert (answer.status, answer.json["status"]) == (201, "PENDING"), answer
            self.model.place(answer.json["id"], who, lines)

    @precondition(lambda self: any(order.status == "PENDING" for order in self.model.orders))
    @rule(most=st.sampled_from((None, 1, 2)))
    def reserve_all_or_a_few(self, most):
        if most is None:
            reserve()
        else:
            with transaction.atomic():
                stock.reserve_pending(most)
        self.model.reserve(most or 1000)

    @precondition(lambda self: self.model.orders)
    @rule(who=st.sampled_from(("the seller", "the seller", "alice", "bob", "ada")), which=WHICH)
    def pay(self, who, which):
        self.do(self._order_command, who, self.order(which), "pay")

    @precondition(lambda self: self.model.orders)
    @rule(who=st.sampled_from(("the buyer", "alice", "bob", "ada")), which=WHICH)
    def cancel(self, who, which):
        self.do(self._order_command, who, self.order(which), "cancel")

    @precondition(lambda self: self.model.orders)
    @rule(who=st.sampled_from(("ada", "the buyer")), which=WHICH)
    def confirm(self, who, which):
        self.do(self._order_command, who, self.order(which), "confirm")

    def _order_command(self, who, order, verb):
        who = {"the buyer": order.buyer, "the seller": order.seller or "ada"}.get(who, who)
        effect, allowed = VERBS[verb]
        answer = self.call(who, "POST", f"/orders/{order.id}/{verb}")
        if not order.may(who, verb):
            assert answer.status == (403 if verb == "confirm" or order.is_seen_by(who) else 404), answer
        elif order.status not in allowed:
            assert (answer.status, answer.json["code"]) == (409, "shop.wrong_status"), answer
        else:
            effect(self.model, order)
            assert (answer.status, answer.json["status"]) == (200, order.status), answer

    @precondition(lambda self: any(order.status == "RESERVED" for order in self.model.orders))
    @rule(which=WHICH, run=st.booleans())
    def time_runs_out(self, which, run):
        """For one order; the job that expires it runs now or later."""
        held = [order for order in self.model.orders if order.status == "RESERVED"]
        order = held[which % len(held)]
        order.overdue = True
        Order.objects.filter(pk=order.id).update(reserved_until=timezone.now() - timedelta(hours=1))
        if run:
            run_periodic("expire_reservations")
            self.model.expire()

    @precondition(lambda self: any(order.expired for order in self.model.orders))
    @rule(which=WHICH)
    def money_comes_late(self, which):
        expired = [order for order in self.model.orders if order.expired]
        order = expired[which % len(expired)]
        with transaction.atomic():
            sold = stock.sell_late(order.id) is not None
        assert sold == self.model.pay_late(order)

    @rule(who=PEOPLE, which=WHICH, delta=st.integers(-6, 6), absolute=st.booleans())
    def adjust(self, who, which, delta, absolute):
        self.do(self._adjust, who, self.product(which), delta, absolute)

    def _adjust(self, who, product, delta, absolute):
        if absolute:  # the stock is set to a number
            answer = self.call(who, "PATCH", f"/products/{product.id}", {"stock": abs(delta)})
            delta = abs(delta) - product.stock
        else:
            answer = self.call(who, "PATCH", f"/products/{product.id}/stock", {"delta": delta})
        if not product.may_change(who):
            assert answer.status == (404 if product.archived else 403), answer
        elif product.stock + delta < 0:
            assert (answer.status, answer.json["code"]) == (409, "shop.stock_bounds"), answer
        else:
            assert answer.status == 200, answer
            self.model.receive(product, delta, "adjusted")

    @precondition(lambda self: len(self.model.products) == MOST_PRODUCTS)
    @rule(who=PEOPLE, which=WHICH)
    def archive(self, who, which):
        self.do(self._archive, who, self.product(which))

    def _archive(self, who, product):
        answer = self.call(who, "DELETE", f"/products/{product.id}")
        if product.may_change(who):
            assert answer.status == 204, answer
            product.archived = True
        else:
            assert answer.status == (404 if product.archived else 403), answer

    @rule(which=WHICH)
    def repeat(self, which):
        command, arguments = self.done[which % len(self.done)]
        command(*arguments)

    @rule(who=PEOPLE, which=WHICH)
    def look(self, who, which):
        product = self.product(which)
        answer = self.call(who, "GET", f"/products/{product.id}")
        shown = ("stock", "reserved", "sold", "received", "archived")
        if product.may_change(who):
            assert {name: answer.json[name] for name in shown} == {name: getattr(product, name) for name in shown}
        else:
            assert answer.status == (404 if product.archived else 200), answer
            assert "reserved" not in answer.json

    @invariant()
    def everything_is_as_the_model_says(self):
        numbers = [(p.id, p.stock, p.reserved, p.sold, p.received) for p in self.model.products]
        found = Product.objects.order_by("pk").values_list("pk", "stock", "reserved", "sold", "received")
        assert list(found) == numbers
        for _, *parts, received in numbers:
            assert sum(parts) == received
            assert min(parts) >= 0
        assert list(Order.objects.order_by("pk").values_list("pk", "status", "failure")) == [
            (order.id, order.status, order.failure) for order in self.model.orders
        ]
        moved = StockMovement.objects.values_list("product_id", "line__order_id", "kind", "quantity")
        assert Counter(moved) == self.model.ledger
        assert out_of_balance() == []
        assert discrepancies() == []


@pytest.fixture
def run(alice, bob, ada):
    """Runs the machine with these people."""
    Shop.people = {"alice": alice, "bob": bob, "ada": ada}

    def run(examples, *phases):
        options = settings(
            max_examples=examples,
            stateful_step_count=30,
            phases=phases,
            deadline=None,
            derandomize=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Shop, settings=options)

    return run


def test_whatever_is_done_the_shop_does_what_the_model_says(run):
    run(30, Phase.generate, Phase.shrink)


#: Which statement, what of it, and what a slip would make of it. No constraint refuses any of these.
SLIPS = {
    "a reservation without its ledger": ("_RESERVE", "order_id = ANY(%s)\n)", "order_id = ANY(%s) AND false\n)"),
    "a release without its ledger": ("_RELEASE", "FROM line\n)", "FROM line WHERE false\n)"),
    "a sale without its ledger": ("_SELL", "FROM line\n)", "FROM line WHERE false\n)"),
    "an adjustment without its ledger": ("_RECEIVE", "FROM units ORDER", "FROM units WHERE false ORDER"),
    "a sale that counts twice": ("_SELL", "sum(quantity)", "2 * sum(quantity)"),
    "a release of a unit too few": ("_RELEASE", "sum(quantity)", "sum(quantity) - 1"),
    "a late sale without its ledger": ("_SELL_LATE", "FROM line\n)", "FROM line WHERE false\n)"),
    "the newest orders first": ("_LOCK_FREE", "ORDER BY id LIMIT", "ORDER BY id DESC LIMIT"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_the_machine_finds_a_slip(run, monkeypatch, slip):
    name, right, wrong = SLIPS[slip]
    statement = getattr(stock, name)
    assert statement.count(right) == 1
    monkeypatch.setattr(stock, name, statement.replace(right, wrong))
    with pytest.raises(AssertionError):
        run(100, Phase.generate)
