"""The mesh: an operation is declared once, in a service, and everything else is derived from it.

This is its public face; the names are loaded when they are asked for, since models cannot be before Django is set up.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.calling.client import Mesh as Mesh
    from mesh.declarations.actors import ANONYMOUS as ANONYMOUS
    from mesh.declarations.actors import Actor as Actor
    from mesh.declarations.decorators import Also as Also
    from mesh.declarations.decorators import command as command
    from mesh.declarations.decorators import job as job
    from mesh.declarations.decorators import query as query
    from mesh.declarations.fields import Email as Email
    from mesh.declarations.fields import Id as Id
    from mesh.declarations.fields import Ref as Ref
    from mesh.declarations.fields import Search as Search
    from mesh.declarations.fields import Time as Time
    from mesh.declarations.fields import text as text
    from mesh.declarations.permissions import admins as admins
    from mesh.declarations.permissions import anyone as anyone
    from mesh.declarations.permissions import in_person as in_person
    from mesh.declarations.permissions import signed_in as signed_in
    from mesh.declarations.schemas import Column as Column
    from mesh.declarations.schemas import In as In
    from mesh.declarations.schemas import Out as Out
    from mesh.declarations.schemas import Page as Page
    from mesh.declarations.schemas import PageParams as PageParams
    from mesh.execution.service import Service as Service
    from mesh.mail.messages import Attachment as Attachment
    from mesh.rows.visibility import MeshModel as MeshModel
    from mesh.rows.visibility import MeshQuerySet as MeshQuerySet

_HOMES = {
    "mesh.calling.client": ("Mesh",),
    "mesh.declarations.actors": ("ANONYMOUS", "Actor"),
    "mesh.declarations.decorators": ("Also", "command", "job", "query"),
    "mesh.declarations.fields": ("Email", "Id", "Ref", "Search", "Time", "text"),
    "mesh.declarations.permissions": ("admins", "anyone", "in_person", "signed_in"),
    "mesh.declarations.schemas": ("Column", "In", "Out", "Page", "PageParams"),
    "mesh.execution.service": ("Service",),
    "mesh.mail.messages": ("Attachment",),
    "mesh.rows.visibility": ("MeshModel", "MeshQuerySet"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'mesh' has no attribute {name!r}")
