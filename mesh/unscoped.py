"""The places that read rows without checking visibility, each listed with its reason.

Services read through `self.rows(Model)`, which knows the actor. A system check finds all other reads in the source of
the project's apps, and refuses to start the server unless they are listed: those of the mesh here, those of the apps
under `MESH["UNSCOPED"]`, as `{"app.module.Class.function": "why"}`.
"""

import ast
import re
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from mesh.declarations.registry import registry

#: Names that read any row, in whatever module they are used.
READERS = frozenset({"read_row", "read_many", "_base_manager", "_default_manager"})
#: Methods of a model's manager that a service may always use, since they only write.
_WRITERS = frozenset({"create", "bulk_create"})
_NAMED = re.compile(r"\b(?:objects|{})\b".format("|".join(sorted(READERS))))

PLACES: Mapping[str, str] = {
    "mesh.doors.admin.MeshModelAdmin.save_form": "the row that the operation has just made, for an ADMIN",
    "mesh.checks.check_models": "inspects the queryset's class, and reads nothing",
    "mesh.documents.mirror.DocumentKind.bodies": "the mirror's documents, which nobody asks for through the mesh",
    "mesh.services.jobs.JobService.list_jobs": "jobs, which ADMINs alone see",
    "mesh.services.jobs.JobService.retry_job": "jobs, which ADMINs alone see",
    "mesh.services.jobs.JobService.retry_jobs": "jobs, which ADMINs alone see",
    "mesh.documents.bulk._referred": "the operator restores documents",
    "mesh.documents.bulk._uuids": "the operator rebuilds documents",
    "mesh.documents.bulk._without_row": "the operator restores documents",
    "mesh.documents.bulk._write": "the operator restores documents",
    "mesh.documents.bulk.size": "a number of rows, for the operator",
    "mesh.execution.quotas._count": "a number of the user's own rows",
    "mesh.rows.reads._projection": "the columns alone; each caller says which rows",
    "mesh.rows.reads.lock_row": "visible rows, which the caller chose",
    "mesh.rows.visibility._visible": "this is where visibility begins",
    "mesh.execution.service.Service.result_of": "a row that this command has just made or changed",
    "mesh.execution.service.Service.claim_due": "marks the rows that a job has just taken",
    "mesh.execution.service.Service.lock": "the key of a uuid, which is then looked for among the visible rows",
    "mesh.services.mails.MailService.mail_failed": "a job that failed for good, which answers nobody",
    "mesh.testing.visibility_mismatches": "holds both sides of visibility against each other",
    "mesh.unscoped": "names them",
}


@dataclass(frozen=True)
class Use:
    """One use of such a name: its place, the name, and the line."""

    place: str
    name: str
    line: int


def allowed() -> dict[str, str]:
    """All listed places, with their reasons."""
    named = settings.MESH.get("UNSCOPED")
    return {**PLACES, **(import_string(named) if named else {})}


def uses() -> Iterator[Use]:
    """Every use in the source of the project's apps, except in tests and migrations."""
    installed = sysconfig.get_path("purelib")
    serving = {service.__module__ for service in registry.services.values()}
    for app in apps.get_app_configs():
        root = Path(app.path)
        for path in () if root.is_relative_to(installed) else sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            source = path.read_text()
            if not {"tests", "migrations"} & set(parts) and _NAMED.search(source):
                module = ".".join((app.name, *(part for part in parts if part != "__init__")))
                yield from uses_in(source, module, serves=module in serving)


def uses_in(source: str, module: str, *, serves: bool) -> list[Use]:
    """The uses in a module's source. If the module `serves`, that is, has a service, using a manager counts too."""
    finder = _Finder(serves, [module])
    finder.visit(ast.parse(source))
    return finder.uses


@dataclass
class _Finder(ast.NodeVisitor):
    """Visits a module, and tracks the class and the outermost function."""

    serves: bool
    names: list[str]
    uses: list[Use] = field(default_factory=list)
    in_function: bool = False
    in_job: bool = False

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node, is_function=False)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node, is_function=True)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef, *, is_function: bool) -> None:
        if self.in_function:
            self.generic_visit(node)
            return
        self.names.append(node.name)
        self.in_function, self.in_job = is_function, is_function and any(map(_is_job, node.decorator_list))
        self.generic_visit(node)
        self.in_function = self.in_job = False
        self.names.pop()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        inner = node.value
        if node.attr in _WRITERS and isinstance(inner, ast.Attribute) and inner.attr == "objects":
            self.visit(inner.value)
            return
        # Jobs may: they answer nobody.
        if node.attr in READERS or (node.attr == "objects" and self.serves and not self.in_job):
            self._add(node.attr, node)
        self.visit(inner)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in READERS:
            self._add(node.id, node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value in READERS:  # getattr(model, "_base_manager")
            self._add(node.value, node)

    def visit_alias(self, node: ast.alias) -> None:
        if node.asname and node.name in READERS:  # an alias would hide later uses
            self._add(node.name, node)

    def _add(self, name: str, node: ast.expr | ast.alias) -> None:
        self.uses.append(Use(".".join(self.names), name, node.lineno))


def _is_job(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "job"
