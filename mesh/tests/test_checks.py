"""System checks: what would make an operation unsafe or unclear is found before the server starts."""

import re
from collections.abc import Generator, Iterator
from typing import Annotated

import pytest
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps
from pydantic import Field

from mesh import Id, In, MeshModel, MeshQuerySet, Service, command, job, query, text
from mesh.checks import check_descriptions, check_models, check_operations
from mesh.declarations.decorators import dispatch


def found() -> list[tuple[str, str]]:
    return [(error.id, error.msg) for error in check_operations(None)]


def test_this_project_has_no_fault():
    assert [str(error) for error in run_checks() if not error.is_silenced()] == []


def test_a_model_without_a_scope_is_found_from_both_sides(monkeypatch):
    with isolate_apps("mesh"):

        class Loose(MeshModel):
            objects = MeshQuerySet.as_manager()

            class Meta:
                app_label = "mesh"

        class Plain(MeshModel):
            objects = models.Manager()

            class Meta:
                app_label = "mesh"

            def audience(self):
                return {"user:1"}

        monkeypatch.setattr("mesh.checks.apps.get_models", lambda: [Loose, Plain])
        assert sorted((error.id, error.obj) for error in check_models(None) if error.obj is Loose) == [
            ("mesh.E001", Loose),
            ("mesh.E002", Loose),
        ]
        assert [error.id for error in check_models(None) if error.obj is Plain] == ["mesh.E001"]


def test_two_operations_on_one_route_are_found_whatever_their_parameters_are_called(throwaway):
    class Firsts(Service):
        """Firsts."""

        name = "firsts"

        @query("GET /apples/{id}")
        def get_apple(self, *, id: int) -> None:
            """Show."""

    class Seconds(Service):
        """Seconds."""

        name = "seconds"

        @query("GET /apples/{number}")
        def get_other(self, *, number: int) -> None:
            """Show."""

    assert found() == [("mesh.E004", "Two operations answer GET /apples/{}.")]


def test_two_of_one_name_are_found(throwaway):
    for _ in range(2):

        class Twins(Service):
            """Twins."""

            name = "twins"

            @query()
            def get_twin(self) -> None:
                """Show."""

    assert found() == [
        ("mesh.E003", "Two services or operations are called twins."),
        ("mesh.E003", "Two services or operations are called get_twin."),
    ]


def test_a_missing_docstring_and_a_route_without_its_parameter_are_found(throwaway):
    class Bare(Service):
        """Bare."""

        name = "bare"

        @query("GET /bare/{id}")
        def get_bare(self) -> None: ...

    assert sorted(found()) == [
        ("mesh.E005", "Bare.get_bare has no docstring: people and LLMs read it."),
        ("mesh.E006", "Bare.get_bare has no parameter id, which its route /bare/{id} names."),
    ]


class Unbounded(In):
    words: list[Annotated[str, text(1, 9)]]


class LooseText(In):
    word: str | None = None


class Bounded(In):
    """Fine."""

    words: list[Annotated[str, text(1, 9)]] = Field(default=[], max_length=5)
    ids: list[Id] = Field(default=[], max_length=5)


class Nested(In):
    inner: Unbounded | None = None


@pytest.mark.parametrize(
    ("annotation", "fine"),
    [
        (str, False),
        (str | None, False),
        (list[Id], False),
        (Annotated[list[str], Field(max_length=3)], False),
        (Annotated[int, Field(ge=0)], False),
        (dict[str, int], False),
        (Unbounded, False),
        (LooseText, False),
        (Nested, False),
        (int, True),
        (bool, True),
        (Annotated[str, text(0, 5)], True),
        (Annotated[str | None, text(0, 5)], True),
        (Annotated[list[Annotated[str, text(1, 3)]], Field(max_length=3)], True),
        (Bounded, True),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),  # the same in every xdist worker
)
def test_texts_numbers_and_lists_without_a_bound_are_found(throwaway, annotation, fine):
    class Wide(Service):
        """Wide."""

        name = "wide"

        @command("POST /wide")
        def widen(self, *, value: annotation) -> None:
            """Widen."""

    expected = [("mesh.E009", "Wide.widen takes value without a bound on its text, number or list.")]
    assert found() == ([] if fine else expected)


def test_two_bodies_and_an_argument_taken_twice_are_found(throwaway):
    class Doubles(Service):
        """Doubles."""

        name = "doubles"

        @command("POST /doubles")
        def double(self, *, one: Bounded, two: Bounded) -> None:
            """Double."""

    assert sorted({id for id, _ in found()}) == ["mesh.E007", "mesh.E008"]


def test_a_mails_only_job_that_calls_out_is_found(throwaway):
    class Oracles(Service):
        """Oracles."""

        name = "oracles"

        @job(queue="mail", mails_only=True)
        def announce(self) -> Generator[None, None, None]:
            """Announce."""
            yield

    assert found() == [("mesh.E012", "Oracles.announce is mails_only, so it must not call out: a dry run runs it.")]


def test_a_stream_that_is_a_tool_and_a_text_for_two_arguments_are_found(throwaway):
    class Rivers(Service):
        """Rivers."""

        name = "rivers"

        @query("GET /rivers", media="text/plain")
        def read_river(self) -> Iterator[str]:
            """Read."""
            yield ""

        @command("POST /rivers", takes="text/plain")
        def fill_river(self, *, id: Id, data: Bounded) -> None:
            """Fill."""

    assert sorted(found()) == [
        ("mesh.E013", "Rivers.read_river is streamed, so it must be a query with a media type, and no tool."),
        ("mesh.E014", "Rivers.fill_river takes a text as its body, so it must have one argument."),
    ]


def test_a_cache_tag_of_what_the_path_does_not_name_is_an_error(throwaway):
    class Lakes(Service):
        """Lakes."""

        name = "lakes"

        @query("GET /lakes/{id}", ttl=60, cache_tags=("user:{actor}", "lakes", "lake:{id}"))
        def get_lake(self, *, id: int) -> None:
            """Show a lake."""

        @query("GET /lakes", ttl=60, cache_tags=("lake:{id}", "shore:{shore}"))
        def list_lakes(self, *, shore: bool = False) -> None:
            """List lakes."""

    said = "is cached under a tag of {%s}; a tag may name {actor}, and the path's {id}."
    assert sorted(found()) == [
        ("mesh.E015", f"Lakes.list_lakes {said % 'id'}"),
        ("mesh.E015", f"Lakes.list_lakes {said % 'shore'}"),
    ]


def test_a_dispatch_to_what_the_path_does_not_name_is_an_error(throwaway):
    class Ferries(Service):
        """Ferries."""

        name = "ferries"

        @dispatch("POST /ferries/{name}", to="name")
        def call_ferry(self, *, name: Bounded) -> None:
            """Call a ferry."""

        @dispatch("POST /ferries", to="name")
        def call_any(self, *, name: Bounded) -> None:
            """Call any ferry."""

    assert found() == [("mesh.E024", "Ferries.call_any dispatches to name, which its path does not name.")]


def unclear() -> list[tuple[str, str]]:
    return [(error.id, error.msg) for error in check_descriptions(None)]


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("Get a cloud.", ""),
        ("Get a cloud. It may rain.", ""),
        (f"Get {'a' * 76}.\n\nMore.", ""),
        (f"Get {'a' * 77}.\n\nMore.", "has a first sentence of 81 characters, more than 80"),
        (f"Get a cloud.\n\n{'a' * 586}", ""),
        (f"Get a cloud.\n\n{'a' * 587}", "has a docstring of 601 characters, more than 600"),
        ("Shows a cloud.", "must begin its docstring with a verb such as Get or Create, not with 'Shows'"),
        ("The clouds of today.", "must begin its docstring with a verb such as Get or Create, not with 'The'"),
        ("get a cloud.", "must begin its docstring with a verb such as Get or Create, not with 'get'"),
    ],
)
def test_an_operation_begins_with_a_known_verb_and_is_short(throwaway, docstring, fault):
    class Clouds(Service):
        """Clouds."""

        name = "clouds"

        @query("GET /clouds")
        def get_cloud(self) -> None: ...

        get_cloud.__doc__ = docstring

        @job(queue="default")
        def move_clouds(self) -> None:
            """No people read this."""

        @query(tool=False)
        def known_cloud(self, *, ref: int) -> int | None:
            """Nor this."""

    assert unclear() == ([("mesh.E022", f"Clouds.get_cloud {fault}.")] if fault else [])


class Drop(In):
    """A drop."""

    size: int = Field(le=9)
    cloud_id: Id = Field(description="The cloud's id, from list_clouds.")


class Rain(In):
    """Rain."""

    drops: list[Drop] = Field(max_length=3, description="What falls.")
    first: Drop | None = Field(None, description="What falls before all else.")
    title: Annotated[str, text(1, 9)] | None = Field(None, description="The title.")


def test_arguments_without_a_description_or_with_their_name_for_one_are_found(throwaway):
    class Rains(Service):
        """Rain."""

        name = "rains"

        @command("POST /clouds/{cloud_id}/rain")
        def start_rain(
            self,
            *,
            cloud_id: Annotated[Id, Field(description="The id of the cloud.")],
            hours: int,
            wind: Annotated[Id, Field(description="The wind's id, from list_winds.")],
            data: Rain,
        ) -> None:
            """Create rain."""

        @query(tool=False)
        def inner(self, *, hours: int) -> None:
            """Read inside the mesh alone."""

    takes = "Rains.start_rain takes"
    assert sorted(unclear()) == [
        ("mesh.E023", f"{takes} cloud_id, whose description only says its name: The id of the cloud."),
        ("mesh.E023", f"{takes} drops.size without a description."),
        ("mesh.E023", f"{takes} first.size without a description."),
        ("mesh.E023", f"{takes} hours without a description."),
        ("mesh.E023", f"{takes} title, whose description only says its name: The title."),
    ]


def declare(method) -> None:
    """A service with this method; its class is made here, so that what is wrong is raised here."""
    type("Wrong", (Service,), {"name": "wrong", "__doc__": "Wrong.", "do_wrong": query("GET /wrong")(method)})


def test_a_parameter_without_a_type_or_by_position_is_a_type_error(throwaway):
    def untyped(self, *, value) -> None:
        """Untyped."""

    def positional(self, value: int) -> None:
        """By position."""

    def any_others(self, **values: int) -> None:
        """Any."""

    def silent(self, *, value: int):
        """Returns nobody knows what."""

    for method in (untyped, positional, any_others):
        with pytest.raises(TypeError, match="must be a typed keyword-only parameter"):
            declare(method)
    with pytest.raises(TypeError, match="must say what it returns"):
        declare(silent)


@pytest.mark.parametrize("route", ["things", "GET things", "FETCH /things", "GET  /things", "GET /a b", "get /a"])
def test_a_route_of_another_form_is_a_type_error(route):
    with pytest.raises(TypeError, match="a route reads"):
        query(route)
