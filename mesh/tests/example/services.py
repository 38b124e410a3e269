"""Things, and the job that counts their letters."""

from mesh import Page, PageParams, Service, command, job, query
from mesh.errors import Conflict, Invalid
from mesh.rows.search import every_word
from mesh.tests.example.models import Thing
from mesh.tests.example.schemas import ShareIn, ThingFilters, ThingId, ThingIn, ThingOut, ThingPatch


class SharedAlready(Conflict):
    code, constraint = "example.shared_already", "example_share_once"
    message = "They have it already."


class ThingService(Service):
    """Things of the mesh's tests."""

    name = "things"

    @query("GET /things", ttl=60)
    def list_things(self, *, filters: ThingFilters, page: PageParams) -> Page[ThingOut]:
        """List the things that you own or that are shared with you, newest first."""
        return self.page(self.rows(Thing).filter(every_word(filters.search, "title", "notes")), ThingOut, page)

    @query("GET /things/{id}", ttl=60)
    def get_thing(self, *, id: ThingId) -> ThingOut:
        """Get a thing."""
        return self.one(self.rows(Thing), ThingOut, id)

    @command("POST /things", creates=Thing)
    def make_thing(self, *, data: ThingIn) -> ThingOut:
        """Create a thing. A job counts its letters."""
        thing = Thing.objects.create(owner_id=self.actor.id, **data.sent())
        self.changed(thing)
        self.defer(self.count_letters, id=thing.pk)
        return self.result_of(thing, ThingOut)

    @command("PATCH /things/{id}", "PUT /things/{id}")
    def rename_thing(self, *, id: ThingId, data: ThingPatch) -> ThingOut:
        """Update the title or the notes of a thing of yours."""
        thing = self.lock_to_change(Thing, id)
        thing.change(data.sent())
        self.changed(thing)
        return self.result_of(thing, ThingOut)

    @command("POST /things/{id}/share")
    def share_thing(self, *, id: ThingId, data: ShareIn) -> ThingOut:
        """Add a user to those who see a thing of yours. They get a mail."""
        thing = self.lock_to_change(Thing, id)
        user = thing.share(data.user_id)
        if user is None:
            raise Invalid.field(["body", "user_id"], "There is no such user.", "not_found")
        self.changed(thing)
        context = {"title": thing.title}
        self.mail(to=user.email, kind="task_assigned", template="shared", context=context, key=f"share:{id}:{user.pk}")
        return self.result_of(thing, ThingOut)

    @command("DELETE /things/{id}")
    def delete_thing(self, *, id: ThingId) -> None:
        """Delete a thing of yours."""
        thing = self.lock_to_change(Thing, id)
        self.changed(thing)
        thing.delete()

    @job(queue="default", attempts=3, gave_up="counting_failed")
    def count_letters(self, *, id: int) -> None:
        """Count the letters of a thing's title."""
        for thing in Thing.objects.filter(pk=id):
            Thing.objects.filter(pk=id).update(letters=len(thing.title))
            self.changed(thing)
        self.changed()

    def counting_failed(self, *, id: int, error: str) -> None:
        Thing.give_up(id)
