"""API keys, with which programs and agents act for their user, within the key's scopes."""

from accounts.links import API_KEY
from accounts.models import ApiKey, User
from accounts.schemas import ApiKeyId, ApiKeyIn, ApiKeyOut, NewApiKeyOut
from mesh import Page, PageParams, Service, command, in_person, query
from mesh.errors import Conflict
from mesh.execution.service import absent

MOST_KEYS = 100


class TooManyKeys(Conflict):
    code = "api_keys.too_many"
    message = f"You have {MOST_KEYS} API keys, the most there may be. Delete one that is not used."


class ApiKeyService(Service):
    """API keys, with which programs and agents act in your name."""

    name = "api_keys"

    @query("GET /api-keys", allow=in_person, tool=False)
    def list_api_keys(self, *, page: PageParams) -> Page[ApiKeyOut]:
        """List your API keys, newest first.

        Shows how each key begins, its scopes and when it was last used, but not the key itself.
        """
        return self.page(self.rows(ApiKey), ApiKeyOut, page)

    @query("GET /api-keys/{id}", allow=in_person, tool=False)
    def get_api_key(self, *, id: ApiKeyId) -> ApiKeyOut:
        """Get one of your API keys.

        Shows how the key begins, its scopes and when it was last used, but not the key itself.
        """
        return self.one(self.rows(ApiKey), ApiKeyOut, id)

    @command(
        "POST /api-keys",
        allow=in_person,
        tool=False,
        secret=True,
        unlimited="a user has 100 at most, as it sees to itself",
    )
    def create_api_key(self, *, data: ApiKeyIn) -> NewApiKeyOut:
        """Create an API key for a program or an agent.

        Sent as the header `X-API-Key`, it allows what you may do, as far as its scopes go, but nothing about
        passwords, sessions and keys. The key itself is only in this answer. You are told of it by mail. You can have
        100 keys (409 beyond).
        """
        # Without the lock, two at once could exceed the limit.
        User.objects.select_for_update(no_key=True).get(pk=self.actor.id)
        if self.rows(ApiKey).count() >= MOST_KEYS:
            raise TooManyKeys
        row, key = ApiKey.objects.issue(user_id=self.actor.id, **data.model_dump())
        # The owner learns of it if somebody else uses the account.
        context = {"key": row, "scopes": ", ".join(row.scopes)}
        self.mail(to=self.actor.email, kind=API_KEY, template="api_key", context=context, key=f"api_key:{row.pk}")
        self.changed(row)
        return NewApiKeyOut(**ApiKeyOut.of(row).model_dump(), key=key)

    @command("DELETE /api-keys/{id}", allow=in_person, tool=False, dry_run=False)
    def delete_api_key(self, *, id: ApiKeyId) -> None:
        """Delete an API key.

        It is refused from the next request on. You can delete your own keys; an ADMIN can delete anyone's.
        """
        rows = ApiKey.objects.all() if self.actor.is_admin else self.rows(ApiKey)
        deleted, _ = rows.filter(pk=id).delete()
        if not deleted:
            raise absent(ApiKey)
        self.changed()
