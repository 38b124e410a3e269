"""A service that is in no registry: operations of every kind for the tests of their parts."""

from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from mesh import Also, Email, Id, In, Out, Page, PageParams, Ref, Search, Time, admins, anyone, in_person, text
from mesh.declarations.decorators import command, job, query
from mesh.declarations.operations import Operation

Status = Literal["new", "lent"]


class BookOut(Out):
    id: int
    title: str


class BookIn(In):
    """A book."""

    title: Annotated[str, text(1, 20)]
    pages: int | None = Field(None, ge=1, le=9999, description="How many pages it has.")
    owner_ids: list[Id] = Field(default=[], max_length=3)


class BookPatch(BookIn, partial=True): ...


class Loan(In):
    until: Time
    email: Email | None = None


class Numbered(In):
    isbn: Annotated[str, text(1, 20)] = Field(validation_alias=AliasChoices("isbn", "number"))


class Filters(In):
    search: Search = None
    status: Status | None = None
    after: datetime | None = Field(None, alias="from")


class Library:
    """Books."""

    name = "library"

    @classmethod
    def declarations(cls) -> dict[str, Any]:
        return {name: method.__operation__ for name, method in vars(cls).items() if hasattr(method, "__operation__")}

    @query("GET /books", ttl=60)
    def list_books(self, *, filters: Filters, page: PageParams) -> Page[BookOut]:
        """List books, newest first. A book that is lent is listed, too."""

    @query("GET /books/{id}", ttl=60, cache_tags=("books", "book:{id}"), allow=anyone)
    def get_book(self, *, id: int) -> BookOut:
        """Get a book."""

    @query("GET /books/{ref}/cover", media="image/svg+xml", allow=anyone, any_key=True)
    def get_cover(self, *, ref: Ref, size: Annotated[int, Field(ge=1, le=9)] = 3) -> str:
        """Get the picture on a book."""

    @query("GET /books/export", media="text/csv", filename="books.csv", tool=False)
    def export_books(self) -> Iterator[str]:
        """Export books."""
        yield ""

    @query()
    def find_book(self, *, title: Annotated[str, text(1, 20)]) -> int | None:
        """Find a book by its title."""

    @command("POST /books")
    def add_book(self, *, data: BookIn) -> BookOut:
        """Add a book."""

    @command("PATCH /books/{id}", "PUT /books/{id}")
    def change_book(self, *, id: int, data: BookPatch) -> BookOut:
        """Change a book."""

    @command("POST /books/number")
    def number_book(self, *, data: Numbered) -> None:
        """Number a book."""

    @command("PATCH /books/{id}/status")
    def set_status(self, *, id: int, status: Annotated[Status, Also("new_status")]) -> BookOut:
        """Set a book's status."""

    @command("POST /books/{id}/lend", status=202, allow=in_person)
    def lend_book(self, *, id: int, data: Loan) -> None:
        """Lend a book."""

    @command("DELETE /books/{id}", allow=admins)
    def remove_book(self, *, id: int, force: bool = False) -> None:
        """Remove a book."""

    @command("POST /books/import", takes="text/csv", tool=False, location="/imports/{id}")
    def import_books(self, *, csv: Annotated[str, text(1, 1000)]) -> BookOut:
        """Import books."""

    @job(queue="default", attempts=2, lease=7)
    def count_pages(self, *, id: int) -> None:
        """Count the pages of a book."""

    @job(queue="mail", every=60)
    def remind(self) -> None:
        """Remind of what is due."""

    @job(queue="mail")
    def print_book(self, *, id: int) -> Generator[Callable[[], None], None, None]:
        """Print a book, which calls out."""
        yield lambda: None


def operation(name: str) -> Operation:
    return Operation.of(Library, name, getattr(Library, name))
