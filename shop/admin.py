import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import action, display
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldBooleanWidget

from accounts.models import User
from mesh.doors.admin import MeshModelAdmin, badge
from mesh.doors.http.requests import MAX_BODY
from mesh.errors import FieldError, Invalid, MeshError
from shop.imports import COLUMNS, MORE
from shop.models import (
    MAX_STOCK,
    MovementKind,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentStatus,
    Product,
    StockMovement,
)
from shop.notifications import money
from shop.reconciler import StockDiscrepancy

STATUS_COLOURS = {
    OrderStatus.PENDING: "info",
    OrderStatus.RESERVED: "primary",
    OrderStatus.CONFIRMED: "warning",
    OrderStatus.PAID: "success",
    OrderStatus.FAILED: "danger",
}
PAYMENT_COLOURS = {
    PaymentStatus.STARTING: "info",
    PaymentStatus.PENDING: "info",
    PaymentStatus.FAILED: "danger",
    PaymentStatus.SUCCEEDED: "success",
    PaymentStatus.REFUNDING: "warning",
    PaymentStatus.REFUNDED: "primary",
    PaymentStatus.REFUND_FAILED: "danger",
}
_SHORT = "Of product {product_id} there were {available}, and {requested} were ordered."
KIND_COLOURS = {
    MovementKind.RECEIVED: "success",
    MovementKind.RESERVED: "primary",
    MovementKind.SOLD: "info",
    MovementKind.ADJUSTED: "warning",
}


class StockFilter(admin.SimpleListFilter):
    title = parameter_name = "stock"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("some", "In stock"), ("low", "Low"), ("none", "Sold out")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "low":
            return queryset.filter(stock__lte=F("low_stock_at"))
        return queryset.in_stock({"some": True, "none": False}.get(self.value() or ""))


class SaleFilter(admin.SimpleListFilter):
    title = parameter_name = "sale"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("on", "On sale"), ("off", "Archived")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(archived_at__isnull=self.value() == "on") if self.value() else queryset


class RestockForm(ActionForm):  # type: ignore[misc]
    #: A text field, since Django ignores an action whose form is invalid; `restock` validates the number itself.
    quantity = forms.CharField(
        required=False,
        max_length=10,
        label="",
        widget=forms.NumberInput(
            {
                "min": 1,
                "placeholder": "Quantity",
                "aria-label": "Quantity to restock",
                "x-show": "action == 'restock'",
                "class": "bg-white/20 font-medium placeholder-current px-2 py-1 rounded-default text-current w-32",
            }
        ),
    )


class SheetForm(forms.Form):
    file = forms.FileField(label="CSV file", widget=UnfoldAdminFileFieldWidget)
    dry_run = forms.BooleanField(label="Only say what would happen", required=False, widget=UnfoldBooleanWidget)

    def clean_file(self) -> str:
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > MAX_BODY:
            raise forms.ValidationError(f"A file may have {MAX_BODY} bytes at most here. {MORE}")
        try:
            text: str = file.read().decode()
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is not valid UTF-8.") from None
        return text


@admin.register(Product)
class ProductAdmin(MeshModelAdmin):
    add, change = "create_product", "update_product"
    add_fields = change_fields = ("sku", "name", "description", "price_cents", "stock", "low_stock_at")
    shown_fields = (
        "stock_bar", "reserved", "sold", "received", "ledger", "owner", "archived_at", "created_at", "updated_at",
    )  # fmt: skip
    list_display = ("sku", "name", "price", "stock_bar", "on_sale", "owner")
    list_display_links = ("sku", "name")
    list_filter = (StockFilter, SaleFilter)
    list_select_related = ("owner",)
    search_fields = ("sku", "name", "description", "owner__email")
    ordering = ("-id",)
    actions = ("restock", "archive")
    action_form = RestockForm
    actions_list = ("import_csv", "export_csv")

    @display(description="Price", ordering="price_cents")
    def price(self, product: Product) -> str:
        return money(product.price_cents)

    @display(description="Units", ordering="stock")
    def stock_bar(self, product: Product) -> str:
        return render_to_string(
            "admin/shop/product/stock_bar.html", {"product": product, **_stock_bar_context(product)}
        )

    @display(description="On sale", boolean=True, ordering="archived_at")
    def on_sale(self, product: Product) -> bool:
        return not product.archived

    def ledger(self, product: Product) -> str:
        url = reverse("admin:shop_stockmovement_changelist")
        link = '<a href="{}?product__id__exact={}" class="text-link">Every unit that moved</a>'
        return format_html(link, url, product.pk)

    @admin.action(description="Restock")
    def restock(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        quantity = request.POST.get("quantity", "")
        if not quantity.isdecimal() or not 1 <= int(quantity) <= MAX_STOCK:
            messages.error(request, f"Say how many units arrived of each: a number from 1 to {MAX_STOCK:,}.")
            return
        self.call_each(request, queryset, "receive_stock", "Restocked", quantity=int(quantity))

    @admin.action(description="Archive")
    def archive(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        self.call_each(request, queryset, "archive_product", "Archived")

    @action(description="Export CSV", url_path="export", icon="download")
    def export_csv(self, request: HttpRequest) -> HttpResponseBase:
        return self.download(request, "export_products")

    @action(description="Import CSV", url_path="import", icon="upload")
    def import_csv(self, request: HttpRequest) -> HttpResponseBase:
        form = SheetForm(request.POST, request.FILES) if request.method == "POST" else SheetForm()
        errors: list[FieldError] = []
        if form.is_valid():
            try:
                self._import(request, form.cleaned_data["file"], form.cleaned_data["dry_run"])
                return HttpResponseRedirect(reverse("admin:shop_product_changelist"))
            except MeshError as refusal:
                errors = refusal.errors if isinstance(refusal, Invalid) else []
                form.add_error("file", "Nothing was imported; the errors are below." if errors else refusal.detail)
        context = {
            **self.admin_site.each_context(request),
            "title": "Import products",
            "opts": self.opts,
            "form": form,
            "columns": COLUMNS,
            "errors": {"headers": ["Line", "Column", "Error"], "rows": list(map(_error_row, errors))},
        }
        return TemplateResponse(request, "admin/shop/product/import.html", context, status=422 if form.errors else 200)

    def _import(self, request: HttpRequest, csv: str, dry_run: bool) -> None:
        answer = json.loads(self.call(request, "import_products", {"csv": csv}, dry_run=dry_run).body)
        counts = answer["result"] if dry_run else answer
        summary = ", ".join(f"{name} {number}" for name, number in counts.items())
        messages.success(
            request, f"Nothing was changed; it would be: {summary}." if dry_run else f"Imported: {summary}."
        )


def _stock_bar_context(product: Product) -> dict[str, Any]:
    """Context of the stock bar: the share of each counter in all units ever received, in percent, and the state."""
    low = product.low_stock_at is not None and product.stock <= product.low_stock_at
    parts = {name: 100 * getattr(product, name) / (product.received or 1) for name in ("stock", "reserved", "sold")}
    return {"parts": parts, "state": "out" if not product.stock else "low" if low else "fine"}


def _error_row(error: FieldError) -> list[Any]:
    line, column = [*error["loc"][2:], "", ""][:2]
    return [line, column, error["msg"]]


class _ReadOnlyInline(TabularInline):  # type: ignore[misc]
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False


class LineInline(_ReadOnlyInline):
    model = OrderLine
    fields = readonly_fields = ("product", "sku", "name", "quantity", "price", "total")

    def price(self, line: OrderLine) -> str:
        return money(line.price_cents)

    def total(self, line: OrderLine) -> str:
        return money(line.quantity * line.price_cents)


class PaymentInline(_ReadOnlyInline):
    model = Payment
    fields = readonly_fields = ("provider", "status_badge", "amount", "reference", "error", "created_at")

    @display(description="Status")
    def status_badge(self, payment: Payment) -> str:
        return badge(payment.status, PAYMENT_COLOURS)

    def amount(self, payment: Payment) -> str:
        return money(payment.amount_cents)


@admin.register(Order)
class OrderAdmin(MeshModelAdmin):
    shown_fields = (
        "status_badge", "buyer", "total", "reserved_until", "why_failed", "cancel_reason", "movements", "created_at",
        "updated_at",
    )  # fmt: skip
    list_display = ("id", "status_badge", "buyer", "total", "reserved_until", "created_at")
    list_filter = ("status", "cancel_reason", "created_at")
    list_select_related = ("buyer",)
    search_fields = ("=id", "buyer__email", "lines__sku", "lines__name")
    ordering = ("-id",)
    inlines = (LineInline, PaymentInline)
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, STATUS_COLOURS)}
    actions = ("confirm", "cancel")
    actions_list = ("export_csv",)

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, order: Order) -> str:
        return order.status

    @display(description="Total", ordering="total_cents")
    def total(self, order: Order) -> str:
        return money(order.total_cents)

    def why_failed(self, order: Order) -> str | None:
        return order.failure and _SHORT.format(**order.failure)

    def movements(self, order: Order) -> str:
        movements = StockMovement.objects.filter(line__order=order).select_related("line").order_by("pk")
        rows = [[localize(row.at), row.kind, row.quantity, row.line and row.line.sku] for row in movements]
        table = {"headers": ["At", "Kind", "Quantity", "SKU"], "rows": rows}
        return render_to_string("unfold/components/table.html", {"table": table})

    @admin.action(description="Confirm")
    def confirm(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self.call_each(request, queryset, "confirm_order", "Confirmed")

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        self.call_each(request, queryset, "cancel_order", "Cancelled")

    @action(description="Export CSV", url_path="export", icon="download")
    def export_csv(self, request: HttpRequest) -> HttpResponseBase:
        return self.download(request, "export_orders")


@admin.register(Payment)
class PaymentAdmin(MeshModelAdmin):
    """Payments are read-only here: only reports of their provider change them."""

    shown_fields = (
        "order", "provider", "status_badge", "amount", "reference", "error", "check_at", "created_at", "updated_at",
    )  # fmt: skip
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, PAYMENT_COLOURS)}
    list_display = ("__str__", "order_link", "buyer", "provider", "status_badge", "amount", "reference", "created_at")
    list_filter = ("status", "provider", "created_at")
    list_select_related = ("order__buyer",)
    search_fields = ("=order__id", "reference", "order__buyer__email", "error")
    ordering = ("-id",)

    @display(description="Order", ordering="order")
    def order_link(self, payment: Payment) -> str:
        url = reverse("admin:shop_order_change", args=[payment.order_id])
        return format_html('<a href="{}" class="text-link">{}</a>', url, payment.order)

    @display(ordering="order__buyer__email")
    def buyer(self, payment: Payment) -> User:
        return payment.order.buyer

    @display(description="Status", ordering="status", label=PAYMENT_COLOURS)
    def status_badge(self, payment: Payment) -> str:
        return payment.status

    @display(description="Amount", ordering="amount_cents")
    def amount(self, payment: Payment) -> str:
        return money(payment.amount_cents)


@admin.register(StockMovement)
class StockMovementAdmin(MeshModelAdmin):
    """The ledger is read-only: rows are only ever added, by operations on products and orders."""

    shown_fields = ("at", "product", "kind_badge", "quantity", "order")
    readonly_preprocess_fields = {"kind_badge": lambda kind: badge(kind, KIND_COLOURS)}
    list_display = ("at", "product", "kind_badge", "quantity", "order")
    list_filter = ("kind", "at")
    list_select_related = ("product", "line__order")
    search_fields = ("product__sku", "product__name", "=line__order__id")
    ordering = ("-id",)

    @display(description="Kind", ordering="kind", label=KIND_COLOURS)
    def kind_badge(self, movement: StockMovement) -> str:
        return movement.kind

    @display(description="Order")
    def order(self, movement: StockMovement) -> Any:
        if movement.line is None:
            return None
        url = reverse("admin:shop_order_change", args=[movement.line.order_id])
        return format_html('<a href="{}" class="text-link">{}</a>', url, movement.line.order)


@admin.register(StockDiscrepancy)
class StockDiscrepancyAdmin(MeshModelAdmin):
    shown_fields = ("product", "order", "counter", "expected", "found", "first_seen", "last_seen", "resolved_at")
    list_display = shown_fields
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "what")
    list_select_related = ("product", "order")
    ordering = ("-id",)
