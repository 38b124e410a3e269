"""Categories of events."""

from django.db.models.functions import Now

from events.models import Category, Event
from events.schemas import CategoryIn, CategoryOut, CategoryPatch
from mesh import Page, PageParams, Search, Service, anyone, command, query
from mesh.errors import Conflict, Forbidden


class CategoryNameTaken(Conflict):
    code, constraint = "categories.name_taken", "events_category_name_once"
    message = "There is already a category with this name."


class CategoryInUse(Conflict):
    code = "categories.in_use"


class CategoryService(Service):
    """Categories of events."""

    name = "categories"

    @query("GET /categories", allow=anyone, ttl=300, scopes=("categories",))
    def list_categories(self, *, search: Search = None, page: PageParams) -> Page[CategoryOut]:
        """List the categories of events, newest first."""
        return self.page(self.rows(Category).search(search), CategoryOut, page)

    @query("GET /categories/{id}", allow=anyone, ttl=600, scopes=("categories",))
    def get_category(self, *, id: int) -> CategoryOut:
        """Show one category."""
        return self.one(self.rows(Category), CategoryOut, id)

    @command("POST /categories", creates=Category)
    def create_category(self, *, data: CategoryIn) -> CategoryOut:
        """Create a category of events; you may change it."""
        category = Category(creator_id=self.actor.id, **data.model_dump())
        category.save(force_insert=True)
        self.changed(category)
        return self.show(category, CategoryOut)

    @command("PATCH /categories/{id}", "PUT /categories/{id}")
    def update_category(self, *, id: int, data: CategoryPatch) -> CategoryOut:
        """Change a category that you created."""
        category = self._own(id)
        for field, value in data.sent().items():
            setattr(category, field, value)
        category.updated_at = Now()
        category.save(update_fields=[*data.sent(), "updated_at"])
        self.changed(category)
        return self.show(category, CategoryOut)

    @command("DELETE /categories/{id}")
    def delete_category(self, *, id: int) -> None:
        """Delete a category that you created, and that no event is in."""
        category = self._own(id)
        if Event.objects.current().filter(category=category).exists():
            raise CategoryInUse("Events are in this category. Give them another one, or delete them, first.")
        Event.objects.filter(category=category).update(category=None)
        self.changed(category)
        category.delete()

    def _own(self, id: int) -> Category:
        category = self.take(Category, id)
        if not category.may_be_changed_by(self.actor):
            raise Forbidden("Only who created a category changes it.")
        return category
