"""`manage.py import_products`: a file of any size, from the command line."""

import io
import sys

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.assertions import nothing_changes
from mesh.models import AuditEntry
from shop.models import Product
from shop.tests.conftest import out_of_balance

HEADER = "sku,name,price_cents,stock\n"


@pytest.fixture
def file(tmp_path):
    """Writes a sheet into a file; its path."""

    def write(sheet):
        path = tmp_path / "products.csv"
        path.write_bytes(sheet if isinstance(sheet, bytes) else sheet.encode())
        return str(path)

    return write


def run(file, *options, email="alice@example.com"):
    """What the command writes."""
    out = io.StringIO()
    call_command("import_products", file, "--as", email, *options, stdout=out)
    return out.getvalue().strip()


def refusal(file, *options, **named):
    """`(what it ends with, the errors that it wrote)`."""
    err = io.StringIO()
    with pytest.raises(CommandError) as ended:
        call_command("import_products", file, "--as", named.get("email", "alice@example.com"), *options, stderr=err)
    return str(ended.value), err.getvalue().splitlines()


def rows(first, last):
    return "".join(f"S{n},Product {n},{n},1\n" for n in range(first, last + 1))


def test_a_file_of_several_thousand_rows_is_imported_and_again_changes_nothing(alice, file):
    path = file(HEADER + rows(1, 2500))
    with nothing_changes():
        assert run(path, "--dry-run") == "would be created 2500, updated 0, unchanged 0"
    assert run(path) == "created 2500, updated 0, unchanged 0"
    assert AuditEntry.objects.filter(operation="import_products", door="cli", outcome="ok").count() == 3
    assert run(path) == "created 0, updated 0, unchanged 2500"
    assert Product.objects.filter(owner_id=alice.id, stock=1).count() == 2500
    assert out_of_balance() == []


def test_standard_input_is_taken_too(alice, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfsku;name;price_cents\r\nA;A;1\r\n")))
    assert run("-") == "created 1, updated 0, unchanged 0"


def test_errors_are_told_by_the_lines_of_the_file_and_nothing_is_written(alice, charlie, file):
    charlie.api.post("/products", {"sku": "HIS", "name": "His", "price_cents": 1})
    faulty = '\nX,"two\nlines",-1,0\nHIS,Mine,1,0\nS7,Again,1,0\nS1500,Again,1,0\nY,Y\n'
    with nothing_changes():
        said, errors = refusal(file(HEADER + rows(1, 1500) + faulty + rows(3000, 4500) + "Z,Z,Z,0\n"))
    assert errors == [
        "line 1503, price_cents: Input should be greater than or equal to 0",
        "line 1505, sku: There is already a product with this SKU, and it is not yours.",
        "line 1506, sku: Line 8 has this SKU too.",
        "line 1507, sku: Line 1501 has this SKU too.",
        "line 1508: A row has 4 cells, as the header has; here are 2.",
        "line 3010, price_cents: Input should be a valid integer, unable to parse string as an integer",
    ]
    assert said == "Nothing was imported: 6 errors."


def test_bytes_that_are_no_text_are_told_by_their_lines(alice, file):
    with nothing_changes():
        said, errors = refusal(file(HEADER.encode() + b"A,\xff,1,0\nB,\x00,1,0\nC,C,1,0\n"))
    assert errors == ["line 2: It is not valid UTF-8.", "line 3: It holds the NUL character."]
    assert said == "Nothing was imported: 2 errors."


def test_a_wrong_header_is_told_once(alice, file):
    said, errors = refusal(file("sku,colour\n" + rows(1, 2500)))
    assert errors == [
        "line 1, colour: Unknown column; the columns are sku, name, description, price_cents, stock, low_stock_at."
    ]
    assert said == "Nothing was imported: 1 error."
    assert refusal(file(""))[0] == "Nothing was imported: 1 error."


def test_a_file_without_rows_imports_nothing(alice, file):
    assert run(file(HEADER)) == "created 0, updated 0, unchanged 0"


def test_a_quotation_mark_that_is_never_closed_does_not_fill_the_memory(alice, file):
    _, errors = refusal(file(HEADER + 'A,"A,1,0\n' + rows(1, 20_000)))
    assert errors == ["line 2: The row is no CSV from here on: field larger than field limit (131072)."]


def test_what_changes_between_the_look_and_the_writing_stops_it(alice, charlie, file, monkeypatch):
    from shop.management.commands import import_products

    real = import_products._import

    def late(mesh, chunk, *, dry_run):
        if not dry_run and chunk.line > 2:
            charlie.api.post("/products", {"sku": "S1001", "name": "His", "price_cents": 1})
        return real(mesh, chunk, dry_run=dry_run)

    monkeypatch.setattr(import_products, "_import", late)
    said, errors = refusal(file(HEADER + rows(1, 1200)))
    assert errors == ["line 1002, sku: There is already a product with this SKU, and it is not yours."]
    assert "What stands before line 1002 is imported, the rest is not" in said
    assert Product.objects.filter(owner_id=alice.id).count() == 1000


def test_who_and_which_file_must_be_there(alice, file):
    assert "no active user" in refusal(file(HEADER), email="nobody@example.com")[0]
    assert "No such file" in refusal("/nowhere.csv")[0]
