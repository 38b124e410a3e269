"""Orders and their stock; products are in `shop/products.py`."""

from collections.abc import Callable, Iterator
from typing import Annotated

from django.conf import settings
from django.db.models import F
from django.db.models.expressions import Combinable
from pydantic import Field

from accounts import timeline
from accounts.timeline import TimelineEntries, TimelineEntry, TimelineQuery
from mesh import Actor, Id, Page, PageParams, Service, admins, command, job, query
from mesh.errors import Conflict, FieldError, Forbidden, Invalid
from mesh.formats import sheets
from shop import notifications, paying, reconciler, stock
from shop.models import CancelReason, Order, OrderLine, OrderStatus, Product
from shop.notifications import News
from shop.paying import PaymentService as PaymentService
from shop.payments import PROVIDERS, TRUST
from shop.products import ProductService as ProductService
from shop.schemas import OrderFilters, OrderId, OrderIn, OrderOut, WithStatus

#: The columns of the export, each with the expression that computes it.
_EXPORT_COLUMNS: dict[str, Combinable] = {
    "order_id": F("order_id"),
    "status": F("order__status"),
    "buyer": F("order__buyer__email"),
    "created_at": F("order__created_at"),
    "sku": F("sku"),
    "name": F("name"),
    "quantity": F("quantity"),
    "price_cents": F("price_cents"),
    "line_total_cents": F("quantity") * F("price_cents"),
    "order_total_cents": F("order__total_cents"),
}
_Ids = Annotated[list[Id], Field(max_length=stock.MOST_AT_ONCE)]
_PAYABLE = (OrderStatus.RESERVED, OrderStatus.CONFIRMED)


class WrongStatus(Conflict):
    code = "shop.wrong_status"


def _permit_change(order: Order, actor: Actor) -> None:
    if not order.may_be_changed_by(actor):
        raise Forbidden("Only the buyer of an order, or an ADMIN, changes it.")


def _permit_payment(order: Order, actor: Actor) -> None:
    """Raises Forbidden unless the actor may pay the order.

    With a payment provider, its buyer pays. Without one, the seller (or a trusted buyer) reports that it is paid.
    """
    if settings.PAYMENTS in PROVIDERS:
        _permit_change(order, actor)
    elif not order.may_be_marked_paid_by(actor) and not (settings.PAYMENTS == TRUST and order.may_be_changed_by(actor)):
        raise Forbidden("That its money has come is said by the owner of all products of an order, or by an ADMIN.")


class OrderService(Service):
    """Orders, from their placing to their payment."""

    name = "orders"

    @query("GET /orders")
    def list_orders(self, *, status: WithStatus = None, page: PageParams) -> Page[OrderOut]:
        """List your orders, newest first.

        These are the orders that you placed, and those whose products are all yours; an ADMIN sees
        everyone's.
        """
        return self.page(self.rows(Order).with_status(status), OrderOut, page)

    @query("GET /orders/export", tool=False, media=sheets.MEDIA, filename="orders.csv")
    def export_orders(self, *, filters: OrderFilters) -> Iterator[str]:
        """Export the orders that you placed as CSV.

        One row for each line of each order, the oldest order first, with the buyer's e-mail, prices and totals in
        cents. An ADMIN gets everyone's. A cell that a spreadsheet could take for a formula begins with `'`.
        """
        orders = self.rows(Order).placed_by(self.actor).with_status(filters.status).between(filters.from_, filters.to)
        lines = OrderLine.objects.filter(order__in=orders).order_by("order_id", "pk")
        return sheets.written(list(_EXPORT_COLUMNS), lines.values_list(*_EXPORT_COLUMNS.values()).iterator(sheets.PART))

    @query("GET /orders/{id}")
    def get_order(self, *, id: OrderId) -> OrderOut:
        """Get one order.

        Returns an order that you placed, or whose products are all yours, with its lines. Use it after place_order, to
        see whether its stock was reserved.
        """
        return self.one(self.rows(Order), OrderOut, id)

    @command("POST /orders", creates=Order)
    def place_order(self, *, data: OrderIn) -> OrderOut:
        """Place an order.

        It starts as `PENDING`. Its stock is reserved in the background, all of it or nothing: ask get_order until it
        is `RESERVED` or `FAILED`. Pay a reserved order before `reserved_until`, or it is cancelled. Its prices stay as
        they are now. You are told by mail what becomes of it. Returns the order.
        """
        order = Order(pk=Order.objects.place(self.actor.id, stock.quantities(data.items)), buyer_id=self.actor.id)
        if order.pk is None:
            raise self._unknown_products_error(data)
        self.changed(order)
        self.defer(self.reserve_stock)
        return self.result_of(order, OrderOut)

    @command("POST /orders/{id}/confirm", allow=admins)
    def confirm_order(self, *, id: OrderId) -> OrderOut:
        """Confirm a reserved order, so that it does not expire.

        For ADMINs only. It keeps its stock until it is paid or cancelled; `reserved_until` becomes null. An order that
        is not `RESERVED` is refused (409). Returns the order.
        """
        order = self._lock_order_in_status(id, OrderStatus.RESERVED, to="confirmed")
        self.update(order, {"status": OrderStatus.CONFIRMED, "reserved_until": None})
        return self.result_of(order, OrderOut)

    @command("POST /orders/{id}/pay")
    def pay_order(self, *, id: OrderId) -> OrderOut:
        """Pay an order that is reserved or confirmed.

        If the server uses a payment provider, this starts a payment, once: the buyer completes it at the provider with
        the `client_secret` of get_payment, and the order becomes `PAID` when the money has arrived. Otherwise an
        ADMIN or the owner of all its products says so that the money has come, or the buyer where the server trusts
        buyers (else 403), and the order is `PAID` at once. The buyer gets a mail when it is paid. Any other status is
        refused (409). Returns the order.
        """
        order = self._lock_order_in_status(id, *_PAYABLE, to="paid", permit=_permit_payment)
        if settings.PAYMENTS in PROVIDERS and order.total_cents:  # no provider collects nothing
            paying.begin(self, order)
        else:
            stock.sell([order.pk])
            self._defer_mail_to_buyer(order, News.PAID)
        self.changed(order)
        return self.result_of(order, OrderOut)

    @command("POST /orders/{id}/cancel")
    def cancel_order(self, *, id: OrderId) -> OrderOut:
        """Cancel an order that is not paid yet.

        Its stock is released at once, and an open payment is cancelled. The buyer gets a mail. An order that is
        `PAID`, `FAILED` or `CANCELLED` is refused (409). It cannot be undone. Returns the order.
        """
        order = self._lock_order_in_status(id, OrderStatus.PENDING, *_PAYABLE, to="cancelled")
        if OrderStatus(order.status).holds_stock:
            stock.release([order.pk], CancelReason.REQUESTED)
            paying.cancel_open_payments(self, [order.pk])
        else:
            self.update(order, {"status": OrderStatus.CANCELLED, "cancel_reason": CancelReason.REQUESTED})
        self._defer_mail_to_buyer(order, News.CANCELLED)
        self.changed(order)
        return self.result_of(order, OrderOut)

    @query(tool=False)
    def orders_of_contact(self, *, query: TimelineQuery) -> TimelineEntries:
        """List the orders of users with a contact's e-mail, for its timeline."""
        return timeline.entries(
            query,
            self.rows(Order).of_buyers(query.emails),
            "created_at",
            lambda order: TimelineEntry(
                service=self.name,
                id=order.pk,
                at=order.created_at,
                title=str(order),
                status=order.status,
                details={"total_cents": order.total_cents},
            ),
        )

    @job(queue="stock", lease=15, every=10)
    def reserve_stock(self) -> None:
        """Reserve the stock of pending orders, oldest first, or fail them."""
        result = stock.reserve_pending()
        mails = {News.RECEIVED: result.orders, News.RESERVED: result.reserved, News.FAILED: result.failed}
        self._defer_mails({news: ids for news, ids in mails.items() if ids})
        notifications.tell_low_stock(self, result.low)
        if result.more:
            self.defer(self.reserve_stock)
        self.changed()

    @job(queue="stock", lease=30, every=10)
    def expire_reservations(self) -> None:
        """Cancel the orders that were not paid in time, and release their stock."""
        overdue = Order.objects.overdue().select_for_update(no_key=True, skip_locked=True)[: stock.MOST_AT_ONCE]
        ids = sorted(order.pk for order in overdue)
        stock.release(ids, CancelReason.EXPIRED)
        paying.cancel_open_payments(self, ids)
        self._defer_mails({News.EXPIRED: ids} if ids else {})
        self.changed()

    @job(queue="stock", every=3600)
    def reconcile_stock(self) -> None:
        """Compare counters and orders with the ledger of the stock.

        What does not agree raises an alarm, and stays as it is.
        """
        reconciler.reconcile()
        self.changed()

    @job(queue="mail", lease=120, mails_only=True)
    def mail_orders(self, *, news: Annotated[dict[News, _Ids], Field(max_length=len(News))]) -> None:
        """Send mails to buyers that say what became of their orders."""
        for item in News:  # in the order of the enum: JSONB does not keep the order of keys
            notifications.tell_buyers(self, news.get(item, []), item)
        self.changed()

    def _defer_mail_to_buyer(self, order: Order, news: News) -> None:
        self._defer_mails({news: [order.pk]})
        self.will_mail(int(order.buyer_id != self.actor.id))

    def _defer_mails(self, order_ids: dict[News, list[int]]) -> None:
        if order_ids:
            self.defer(self.mail_orders, news=order_ids)

    def _lock_order_in_status(
        self, id: int, *allowed: OrderStatus, to: str, permit: Callable[[Order, Actor], None] = _permit_change
    ) -> Order:
        """Locks and returns an order.

        Raises NotFound, Forbidden if `permit` refuses, and WrongStatus if its status is not in `allowed`.
        """
        order = self.lock(Order, id)
        permit(order, self.actor)
        if order.status not in allowed:
            raise WrongStatus(f"An order that is {order.status} cannot be {to}; {' or '.join(allowed)} can.")
        return order

    def _unknown_products_error(self, data: OrderIn) -> Invalid:
        visible = self.find_ids(Product, [item.product_id for item in data.items])
        current = set(Product.objects.current().filter(pk__in=visible).values_list("pk", flat=True))
        return Invalid(
            [
                FieldError(
                    loc=["body", "items", index, "product_id"],
                    msg="There is no such product to order.",
                    type="not_found",
                )
                for index, item in enumerate(data.items)
                if item.product_id not in current
            ]
        )
