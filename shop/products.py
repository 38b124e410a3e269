"""Products: the catalogue, and what is in stock."""

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
    """What is for sale, and how much of it."""

    name = "products"

    @query("GET /products", allow=anyone)
    def list_products(self, *, filters: ProductFilters, search: Search = None, page: PageParams) -> Page[ProductOut]:
        """List the products that can be ordered, newest first."""
        return self.page(Product.objects.current().in_stock(filters.in_stock).search(search), ProductOut, page)

    @query("GET /products/{id}", allow=anyone)
    def get_product(self, *, id: int) -> StockedProductOut | ProductOut:
        """Show one product; its creator and the ADMIN also see what is reserved, sold and was received."""
        if self.actor.is_anonymous or not self._is_mine(id):
            return self.one(self.rows(Product), ProductOut, id)
        return self.one(self.rows(Product), StockedProductOut, id)

    @command("POST /products", creates=Product)
    def create_product(self, *, data: ProductIn) -> StockedProductOut:
        """Put a product up for sale; you may change it."""
        product = Product(owner_id=self.actor.id, **data.model_dump(exclude={"stock"}))
        product.save(force_insert=True)
        if data.stock:
            stock.receive({product.pk: data.stock}, MovementKind.RECEIVED)
        self.changed(product)
        return self.show(product, StockedProductOut)

    @command("PATCH /products/{id}")
    def update_product(self, *, id: int, data: ProductPatch) -> StockedProductOut:
        """Change a product of yours; fields that are not sent stay as they are, and so do orders placed before."""
        product = self._own(id)
        fields = data.sent()
        self._add(product, fields.pop("stock", product.stock) - product.stock, MovementKind.ADJUSTED)
        if fields.get("low_stock_at", product.low_stock_at) != product.low_stock_at:
            fields["low_stock_told"] = False  # not of the new limit
        for name, value in fields.items():
            setattr(product, name, value)
        product.updated_at = Now()
        product.save(update_fields=[*fields, "updated_at"])
        self.changed(product)
        return self.show(product, StockedProductOut)

    @command("DELETE /products/{id}")
    def archive_product(self, *, id: int) -> None:
        """Take a product of yours off sale. Orders keep their lines, and its SKU stays taken."""
        product = self._own(id)
        if not product.archived:
            product.archived_at = Now()
            product.save(update_fields=["archived_at"])
        self.changed(product)

    @command("PATCH /products/{id}/stock")
    def adjust_stock(self, *, id: int, delta: Delta) -> StockedProductOut:
        """Correct the stock of a product of yours by so many units, up or down, at once and in one step."""
        product = self._own(id)
        self._add(product, delta, MovementKind.ADJUSTED)
        self.changed(product)
        return self.show(product, StockedProductOut)

    @command("POST /products/{id}/receive")
    def receive_stock(self, *, id: int, quantity: Arrived) -> StockedProductOut:
        """Add units that arrived to the stock of a product of yours."""
        product = self._own(id)
        self._add(product, quantity, MovementKind.RECEIVED)
        self.changed(product)
        return self.show(product, StockedProductOut)

    @command("POST /products/import", takes="text/csv")
    def import_products(self, *, data: ProductSheet) -> ImportedOut:
        """Create and change many products at once, from CSV: all of its rows, or none where one has an error.

        The first line names the columns, in any order: sku, name, description, price_cents, stock and low_stock_at;
        cells stand between commas or semicolons. A new SKU creates a product; that of a product of yours changes it,
        where a blank cell leaves things as they are and another `stock` is an adjustment to that number. Errors come
        all at once, each with its line and column. The same sheet a second time changes nothing.
        """
        done = imports.run(self.actor, data.csv)
        self.changed(*done.created, *done.updated)
        return done.told()

    @query("GET /products/export", tool=False, media=sheets.MEDIA, filename="products.csv")
    def export_products(self) -> Iterator[str]:
        """Get your products that are for sale as CSV, as `import_products` takes it; an ADMIN gets everyone's.

        A cell that a spreadsheet would take for a formula begins with a `'`, which goes when it is imported.
        """
        rows = Product.objects.changeable_by(self.actor).current().order_by("pk")
        return sheets.written(imports.COLUMNS, rows.values_list(*imports.COLUMNS).iterator(sheets.PART))

    @query("GET /products/{id}/movements", allow=signed_in)
    def list_movements(self, *, id: int, page: PageParams) -> Page[MovementOut]:
        """List every unit of a product of yours that came, went or was held, newest first."""
        if not self._is_mine(id):
            self.one(self.rows(Product), ProductOut, id)
            raise Forbidden("Only its creator sees a product's ledger.")
        return self.page(self.rows(StockMovement).filter(product_id=id), MovementOut, page)

    def _is_mine(self, id: int) -> bool:
        return Product.objects.changeable_by(self.actor).filter(pk=id).exists()

    def _own(self, id: int) -> Product:
        product = self.take(Product, id)
        if not product.may_be_changed_by(self.actor):
            raise Forbidden("Only who created a product changes it.")
        return product

    def _add(self, product: Product, delta: int, kind: MovementKind) -> None:
        if not 0 <= product.stock + delta <= MAX_STOCK:
            raise StockBounds(
                f"{product.stock} are in stock, so {delta:+} would leave less than none."
                if delta < 0
                else f"A product's stock is at most {MAX_STOCK:,}."
            )
        if delta:
            stock.receive({product.pk: delta}, kind)
