"""Paying an order through a provider: starting a payment, recording the provider's reports, taking the next step.

Every report, from a webhook or as the answer to a request, is recorded by `_record`, which locks the order and then
the payment. A payment only moves forward (`PaymentStatus`), so a repeated or late report changes nothing, and money is
counted once: when the payment is first seen to have succeeded. All requests to the provider are made by
`follow_payment`, which takes the step that the payment's status asks for, with no transaction open.
"""

from collections.abc import Callable, Generator, Sequence
from functools import partial

import structlog
from django.conf import settings

from mesh import Service, admins, command, job, query
from shop import notifications, stock
from shop.models import HOLDING, CancelReason, Order, OrderStatus
from shop.notifications import News
from shop.payment_models import Payment
from shop.payment_status import PaymentStatus
from shop.payments import Demand, Report, provider
from shop.schemas import BuyersPaymentOut, OrderId, PaymentOut

log = structlog.get_logger(__name__)


class PaymentService(Service):
    """The payments of orders, if a payment provider is used."""

    name = "payments"

    @query("GET /orders/{id}/payment")
    def get_payment(self, *, id: OrderId) -> PaymentOut:
        """Get the latest payment of an order.

        For the order's buyer and ADMINs. The buyer also gets the `client_secret`, with which their browser pays at the
        provider. Start a payment with pay_order; an order without one is not found (404).
        """
        rows = self.rows(Payment)
        latest = rows.filter(order_id=id).order_by("-pk").values_list("pk", "order__buyer_id").first() or (0, 0)
        return self.one(rows, BuyersPaymentOut if latest[1] == self.actor.id else PaymentOut, latest[0])

    @command(allow=admins, tool=False)
    def record_payment(self, *, report: Report) -> None:
        """Record what a payment provider reports of a payment."""
        self._record(report)

    @job(queue="default", lease=60, attempts=6, gave_up="payment_stuck")
    def follow_payment(self, *, id: int) -> Generator[Callable[[], Report], Report, None]:
        """Take the next step of a payment: start, look up, cancel or refund it."""
        self.changed()
        payment = Payment.objects.select_related("order").get(pk=id)
        step = _next_step(payment)
        if step is not None:
            self._record((yield step))

    @job(queue="default", every=60)
    def check_payments(self) -> None:
        """Look up payments of which the provider has reported nothing for a while."""
        for id in Payment.objects.take_due():
            self.defer(self.follow_payment, id=id)
        self.changed()

    def payment_stuck(self, *, id: int, error: str) -> None:
        """Handles the last failed attempt of `follow_payment`.

        A payment that never started has failed; any other is looked up again by `check_payments`.
        """
        self.changed()
        payment = Payment.objects.select_for_update(no_key=True).get(pk=id)
        log.error("payment_stuck", payment=id, status=payment.status, error=error)
        if payment.status == PaymentStatus.STARTING:
            payment.become(PaymentStatus.FAILED, error)
        else:
            payment.error = error
            payment.save(update_fields=["error"])

    def _record(self, report: Report) -> None:
        self.changed()
        unlocked = Payment.objects.meant_by(report)
        if unlocked is None:  # it belongs to another shop that uses the same account
            log.warning("payment_unknown", provider=report.provider, reference=report.reference)
            return
        order = Order.objects.select_for_update(no_key=True).get(pk=unlocked.order_id)
        payment = Payment.objects.select_for_update(no_key=True).get(pk=unlocked.pk)
        if payment.is_news(report):
            payment.reference = report.reference
            if report.status == PaymentStatus.SUCCEEDED:
                self._accept_money(order, payment, report)
            else:
                self._advance(order, payment, report)
            self.changed(order, payment)

    def _accept_money(self, order: Order, payment: Payment, report: Report) -> None:
        """The money has arrived: marks the order as paid, or begins a refund."""
        if (report.amount_cents, report.currency) != (payment.amount_cents, payment.currency):
            log.error("payment_of_another_amount", payment=payment.pk, cents=report.amount_cents, of=report.currency)
        elif self._sell_units(order):
            payment.become(PaymentStatus.SUCCEEDED)
            notifications.tell_buyers(self, [order.pk], News.PAID)
            return
        payment.become(PaymentStatus.REFUNDING)
        self.defer(self.follow_payment, id=payment.pk)

    def _sell_units(self, order: Order) -> bool:
        """Sells the order's units, and returns whether it could.

        It sells the units that the order holds or, if the order has expired, units from stock if there are enough.
        """
        if order.status in HOLDING:
            stock.sell([order.pk])
            return True
        if (order.status, order.cancel_reason) != (OrderStatus.CANCELLED, CancelReason.EXPIRED):
            return False
        low = stock.sell_late(order.pk)
        notifications.tell_low_stock(self, low or [])
        return low is not None

    def _advance(self, order: Order, payment: Payment, report: Report) -> None:
        previous_status = payment.status
        payment.client_secret = report.client_secret or payment.client_secret
        payment.become(report.status, report.error)
        if previous_status == PaymentStatus.STARTING and order.status not in HOLDING:
            self.defer(self.follow_payment, id=payment.pk)  # this cancels it
        elif previous_status == PaymentStatus.REFUNDING and report.status == PaymentStatus.REFUNDED:
            notifications.tell_buyers(self, [order.pk], News.REFUNDED)
        elif report.status == PaymentStatus.REFUND_FAILED:
            log.error("refund_failed", payment=payment.pk, order=order.pk, error=report.error)


def begin(service: Service, order: Order) -> None:
    """Starts a payment of a locked order, unless it has an open one."""
    if not Payment.objects.open().filter(order=order).exists():
        payment = Payment.objects.create(
            order=order,
            provider=settings.PAYMENTS,
            amount_cents=order.total_cents,
            currency=settings.CURRENCY.lower(),
        )
        service.defer(PaymentService.follow_payment, id=payment.pk)


def cancel_open_payments(service: Service, orders: Sequence[int]) -> None:
    """Has the open payments of these cancelled orders cancelled too, by `follow_payment`."""
    for id in Payment.objects.open().filter(order__in=orders).values_list("pk", flat=True):
        service.defer(PaymentService.follow_payment, id=id)


def _next_step(payment: Payment) -> Callable[[], Report] | None:
    """The next request to the provider; None if nothing is left to do."""
    client = provider(payment.provider)
    match payment.status:
        case PaymentStatus.STARTING:
            demand = Demand(payment.key, payment.order_id, payment.amount_cents, payment.currency)
            return partial(client.start, demand)
        case PaymentStatus.PENDING if payment.order.status in HOLDING:
            return partial(client.look_up, payment.reference)
        case PaymentStatus.PENDING:
            return partial(client.cancel, payment.reference)
        case PaymentStatus.REFUNDING:
            return partial(client.refund, payment.reference, payment.key)
    return None
