"""The mesh: an operation is declared once, in a service, and everything else is derived from it.

This is its public face; the names are loaded when they are asked for, since models cannot be before Django is set up.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.call import ANONYMOUS as ANONYMOUS
    from mesh.call import Actor as Actor
    from mesh.declarations import Also as Also
    from mesh.declarations import admins as admins
    from mesh.declarations import anyone as anyone
    from mesh.declarations import command as command
    from mesh.declarations import in_person as in_person
    from mesh.declarations import job as job
    from mesh.declarations import query as query
    from mesh.declarations import signed_in as signed_in
    from mesh.mail import Attachment as Attachment
    from mesh.mesh import Mesh as Mesh
    from mesh.schemas import Column as Column
    from mesh.schemas import Email as Email
    from mesh.schemas import Id as Id
    from mesh.schemas import In as In
    from mesh.schemas import Out as Out
    from mesh.schemas import Page as Page
    from mesh.schemas import PageParams as PageParams
    from mesh.schemas import Ref as Ref
    from mesh.schemas import Search as Search
    from mesh.schemas import Time as Time
    from mesh.schemas import text as text
    from mesh.scope import ScopedModel as ScopedModel
    from mesh.scope import ScopedQuerySet as ScopedQuerySet
    from mesh.service import Service as Service

_HOMES = {
    "mesh.call": ("ANONYMOUS", "Actor"),
    "mesh.declarations": ("Also", "admins", "anyone", "command", "in_person", "job", "query", "signed_in"),
    "mesh.mail": ("Attachment",),
    "mesh.mesh": ("Mesh",),
    "mesh.schemas": (
        "Column", "Email", "Id", "In", "Out", "Page", "PageParams", "Ref", "Search", "Time", "text",
    ),
    "mesh.scope": ("ScopedModel", "ScopedQuerySet"),
    "mesh.service": ("Service",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'mesh' has no attribute {name!r}")
