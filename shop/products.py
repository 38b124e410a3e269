"""Products: the catalogue and the stock."""

from collections.abc import Iterator

from django.db.models.functions import Now

from mesh import Page, PageParams, Search, Service, anyone, command, query, signed_in
from mesh.errors import Conflict, Forbidden
from mesh.formats import sheets
from mesh.formats.sheets import ImportedOut
from shop import imports, stock
from shop.models import MAX_STOCK, MovementKind, Product, StockMovement
from shop.schemas import (
    Arrived,
    Delta,
    MovementOut,
    ProductFilters,
    ProductId,
    ProductIn,
    ProductOut,
    ProductPatch,
    ProductSheet,
    StockedProductOut,
)


class SkuTaken(Conflict):
    code, constraint = "shop.sku_taken", "shop_product_sku"
    message = "There is already a product with this SKU; that of an archived one stays taken."


class StockBounds(Conflict):
    code = "shop.stock_bounds"


class ProductService(Service):
    """Products, and how many of each there are."""

    name = "products"

    @query("GET /products", allow=anyone)
    def list_products(self, *, filters: ProductFilters, search: Search = None, page: PageParams) -> Page[ProductOut]:
        """List the products that can be ordered, newest first.

        Everyone sees them, signed in or not; archived products are left out. The search looks in SKU, name and
        description.
        """
        return self.page(Product.objects.current().in_stock(filters.in_stock).search(search), ProductOut, page)

    @query("GET /products/{id}", allow=anyone)
    def get_product(self, *, id: ProductId) -> StockedProductOut | ProductOut:
        """Get one product.

        Everyone sees its price and its stock. Its creator and ADMINs also see how many units are reserved, sold and
        received, and its low-stock limit; once it is archived, only they see it.
        """
        if self.actor.is_anonymous or not self._may_change(id):
            return self.one(self.rows(Product), ProductOut, id)
        return self.one(self.rows(Product), StockedProductOut, id)

    @command("POST /products", creates=Product)
    def create_product(self, *, data: ProductIn) -> StockedProductOut:
        """Create a product.

        Everyone sees it and can order it at once; you and ADMINs may change it. A SKU that a product already has is
        refused (409), even if that one is archived. Returns the product with its stock counters.
        """
        product = Product(owner_id=self.actor.id, **data.model_dump(exclude={"stock"}))
        product.save(force_insert=True)
        if data.stock:
            stock.receive({product.pk: data.stock}, MovementKind.RECEIVED)
        self.changed(product)
        return self.result_of(product, StockedProductOut)

    @command("PATCH /products/{id}")
    def update_product(self, *, id: ProductId, data: ProductPatch) -> StockedProductOut:
        """Update a product that you created.

        Changes only the fields that you send; earlier orders keep the name and price they were placed with. A changed
        `stock` is recorded in the ledger as an adjustment to that number. Returns the product with its stock counters.
        An ADMIN may update any.
        """
        product = self.lock_to_change(Product, id)
        fields = data.sent()
        self._add_to_stock(product, fields.pop("stock", product.stock) - product.stock, MovementKind.ADJUSTED)
        if fields.get("low_stock_at", product.low_stock_at) != product.low_stock_at:
            fields["low_stock_told"] = False  # the owner was not mailed about the new limit
        self.update(product, fields)
        return self.result_of(product, StockedProductOut)

    @command("DELETE /products/{id}")
    def archive_product(self, *, id: ProductId) -> None:
        """Archive a product that you created.

        Nobody can order it any more, and only you and ADMINs see it. Earlier orders keep their lines and can still be
        paid; its SKU stays taken. It cannot be undone. An ADMIN may archive any.
        """
        product = self.lock_to_change(Product, id)
        if not product.archived:
            product.archived_at = Now()
            product.save(update_fields=["archived_at"])
        self.changed(product)

    @command("PATCH /products/{id}/stock")
    def adjust_stock(self, *, id: ProductId, delta: Delta) -> StockedProductOut:
        """Adjust the stock of a product that you created.

        Adds `delta` in one step, so that changes at the same time all count, and records it in the ledger as an
        adjustment. A stock below zero is refused (409). For units that arrive, use receive_stock. Returns the product
        with its stock counters. An ADMIN may do this for any product.
        """
        product = self.lock_to_change(Product, id)
        self._add_to_stock(product, delta, MovementKind.ADJUSTED)
        self.changed(product)
        return self.result_of(product, StockedProductOut)

    @command("POST /products/{id}/receive")
    def receive_stock(self, *, id: ProductId, quantity: Arrived) -> StockedProductOut:
        """Receive units into the stock of a product that you created.

        Adds them in one step, and records them in the ledger as received. To correct a number, use adjust_stock.
        Returns the product with its stock counters. An ADMIN may do this for any product.
        """
        product = self.lock_to_change(Product, id)
        self._add_to_stock(product, quantity, MovementKind.RECEIVED)
        self.changed(product)
        return self.result_of(product, StockedProductOut)

    @command("POST /products/import", takes="text/csv")
    def import_products(self, *, data: ProductSheet) -> ImportedOut:
        """Import products from CSV.

        All rows are imported or, if one has an error, none; all errors are listed, with line and column. The first
        line names the columns in any order: sku, and any of name, description, price_cents, stock, low_stock_at. Cells
        are separated by commas or semicolons. A new SKU creates a product; the SKU of one of your products updates it,
        and blank cells leave values unchanged. A changed stock is an adjustment. Repeating an import changes nothing.
        Returns how many were created, updated and unchanged.
        """
        result = imports.run(self.actor, data.csv)
        self.changed(*result.created, *result.updated)
        return result.counts()

    @query("GET /products/export", tool=False, media=sheets.MEDIA, filename="products.csv")
    def export_products(self) -> Iterator[str]:
        """Export your products as CSV.

        These are your products that are not archived; an ADMIN gets everyone's. The columns are those that
        import_products takes. A cell that a spreadsheet could take for a formula begins with `'`, which the import
        removes again.
        """
        rows = Product.objects.changeable_by(self.actor).current().order_by("pk")
        return sheets.written(imports.COLUMNS, rows.values_list(*imports.COLUMNS).iterator(sheets.PART))

    @query("GET /products/{id}/movements", allow=signed_in)
    def list_movements(self, *, id: ProductId, page: PageParams) -> Page[MovementOut]:
        """List the stock movements of a product, newest first.

        This is its ledger: all units that were received, reserved, released, sold or adjusted. Only its creator and
        ADMINs see it (others 403).
        """
        if not self._may_change(id):
            self.one(self.rows(Product), ProductOut, id)
            raise Forbidden("Only its creator sees a product's ledger.")
        return self.page(self.rows(StockMovement).filter(product_id=id), MovementOut, page)

    def _may_change(self, id: int) -> bool:
        return Product.objects.changeable_by(self.actor).filter(pk=id).exists()

    def _add_to_stock(self, product: Product, delta: int, kind: MovementKind) -> None:
        if not 0 <= product.stock + delta <= MAX_STOCK:
            raise StockBounds(
                f"{product.stock} are in stock, so {delta:+} would leave less than none."
                if delta < 0
                else f"A product's stock is at most {MAX_STOCK:,}."
            )
        if delta:
            stock.receive({product.pk: delta}, kind)
