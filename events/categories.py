"""Categories of events."""

from events.models import Category, Event
from events.schemas import CategoryId, CategoryIn, CategoryOut, CategoryPatch
from mesh import Page, PageParams, Search, Service, anyone, command, query
from mesh.errors import Conflict


class CategoryNameTaken(Conflict):
    code, constraint = "categories.name_taken", "events_category_name_once"
    message = "There is already a category with this name."


class CategoryInUse(Conflict):
    code = "categories.in_use"


class CategoryService(Service):
    """Categories of events; everyone sees them."""

    name = "categories"

    @query("GET /categories", allow=anyone, ttl=300, cache_tags=("categories",))
    def list_categories(self, *, search: Search = None, page: PageParams) -> Page[CategoryOut]:
        """List event categories, newest first.

        Everyone sees them, signed in or not. The search looks in name and description.
        """
        return self.page(self.rows(Category).search(search), CategoryOut, page)

    @query("GET /categories/{id}", allow=anyone, ttl=600, cache_tags=("categories",))
    def get_category(self, *, id: CategoryId) -> CategoryOut:
        """Get one event category.

        Needs no sign-in.
        """
        return self.one(self.rows(Category), CategoryOut, id)

    @command("POST /categories", creates=Category)
    def create_category(self, *, data: CategoryIn) -> CategoryOut:
        """Create an event category.

        You and ADMINs may change and delete it; everyone sees it, and may put events in it. A name that a category
        already has is refused (409). Returns the category.
        """
        category = Category(creator_id=self.actor.id, **data.model_dump())
        category.save(force_insert=True)
        self.changed(category)
        return self.result_of(category, CategoryOut)

    @command("PATCH /categories/{id}", "PUT /categories/{id}")
    def update_category(self, *, id: CategoryId, data: CategoryPatch) -> CategoryOut:
        """Update an event category that you created.

        Changes only the fields that you send, and returns the category. Events in it show the change at once; no mail
        is sent. An ADMIN may update any.
        """
        category = self.lock_to_change(Category, id)
        self.update(category, data.sent())
        return self.result_of(category, CategoryOut)

    @command("DELETE /categories/{id}")
    def delete_category(self, *, id: CategoryId) -> None:
        """Delete an event category that you created.

        While events are in it, it is refused (409): give them another category first. It cannot be undone. An ADMIN
        may delete any.
        """
        category = self.lock_to_change(Category, id)
        if Event.objects.current().filter(category=category).exists():
            raise CategoryInUse("Events are in this category. Give them another one, or delete them, first.")
        Event.objects.filter(category=category).update(category=None)
        self.changed(category)
        category.delete()
