"""Paying an order by a provider: beginning it, taking in what the provider says of it, and doing what is next.

What comes in, by webhook or as an answer, goes one way: `_record`, under the lock of the order, then of the payment. A
payment only moves forward (`PaymentStatus`), so a report that comes twice or late changes nothing, and money is counted
once, when the payment first is seen to have succeeded. What goes out goes another way: `follow_payment` does what the
payment's status asks for, with no transaction open.
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
        """The provider was asked for the last time: what has not begun has failed, the rest is asked after later."""
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
        known = Payment.objects.meant_by(report)
        if known is None:  # of another shop on the same account
            log.warning("payment_unknown", provider=report.provider, reference=report.reference)
            return
        order = Order.objects.select_for_update(no_key=True).get(pk=known.order_id)
        payment = Payment.objects.select_for_update(no_key=True).get(pk=known.pk)
        if payment.is_news(report):
            payment.reference = report.reference
            if report.status == PaymentStatus.SUCCEEDED:
                self._take_money(order, payment, report)
            else:
                self._go_on(order, payment, report)
            self.changed(order, payment)

    def _take_money(self, order: Order, payment: Payment, report: Report) -> None:
        """The money has come: it pays the order, or goes back."""
        if (report.amount_cents, report.currency) != (payment.amount_cents, payment.currency):
            log.error("payment_of_another_amount", payment=payment.pk, cents=report.amount_cents, of=report.currency)
        elif self._pays(order):
            payment.become(PaymentStatus.SUCCEEDED)
            notifications.tell_buyers(self, [order.pk], News.PAID)
            return
        payment.become(PaymentStatus.REFUNDING)
        self.defer(self.follow_payment, id=payment.pk)

    def _pays(self, order: Order) -> bool:
        """Sells the order's units: those it holds or, when it has expired, those in stock, where they are enough."""
        if order.status in HOLDING:
            stock.sell([order.pk])
            return True
        if (order.status, order.cancel_reason) != (OrderStatus.CANCELLED, CancelReason.EXPIRED):
            return False
        low = stock.sell_late(order.pk)
        notifications.tell_low_stock(self, low or [])
        return low is not None

    def _go_on(self, order: Order, payment: Payment, report: Report) -> None:
        before = payment.status
        payment.client_secret = report.client_secret or payment.client_secret
        payment.become(report.status, report.error)
        if before == PaymentStatus.STARTING and order.status not in HOLDING:
            self.defer(self.follow_payment, id=payment.pk)  # which cancels it
        elif before == PaymentStatus.REFUNDING and report.status == PaymentStatus.REFUNDED:
            notifications.tell_buyers(self, [order.pk], News.REFUNDED)
        elif report.status == PaymentStatus.REFUND_FAILED:
            log.error("refund_failed", payment=payment.pk, order=order.pk, error=report.error)


def begin(service: Service, order: Order) -> None:
    """Begins a payment of an order that is locked, unless one is open."""
    if not Payment.objects.open().filter(order=order).exists():
        payment = Payment.objects.create(
            order=order,
            provider=settings.PAYMENTS,
            amount_cents=order.total_cents,
            currency=settings.CURRENCY.lower(),
        )
        service.defer(PaymentService.follow_payment, id=payment.pk)


def cancel_open_payments(service: Service, orders: Sequence[int]) -> None:
    """These orders are cancelled, so their open payments are to be cancelled too."""
    for id in Payment.objects.open().filter(order__in=orders).values_list("pk", flat=True):
        service.defer(PaymentService.follow_payment, id=id)


def _next_step(payment: Payment) -> Callable[[], Report] | None:
    """What is to be asked of the provider; nothing where all is done."""
    at = provider(payment.provider)
    match payment.status:
        case PaymentStatus.STARTING:
            demand = Demand(payment.key, payment.order_id, payment.amount_cents, payment.currency)
            return partial(at.start, demand)
        case PaymentStatus.PENDING if payment.order.status in HOLDING:
            return partial(at.look_up, payment.reference)
        case PaymentStatus.PENDING:
            return partial(at.cancel, payment.reference)
        case PaymentStatus.REFUNDING:
            return partial(at.refund, payment.reference, payment.key)
    return None
