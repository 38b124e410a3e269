"""Answers that are JSON already are instances of their schema all the same."""

import copy

import pytest
from pydantic import TypeAdapter, ValidationError

from mesh.declarations.schemas import Out, Page
from mesh.rows.encoded import Encoded, encoded_of, undecoded


class ThingOut(Out):
    id: int
    title: str

    def shout(self) -> str:
        return self.title.upper()


class BoxOut(Out):
    thing: ThingOut


@pytest.fixture
def thing() -> ThingOut:
    return undecoded(ThingOut, Encoded(b'{"id":7,"title":"lamp"}', 7))


def test_it_is_an_instance_of_its_schema_and_keeps_its_json_until_somebody_looks(thing):
    assert isinstance(thing, ThingOut)
    assert encoded_of(thing) == Encoded(b'{"id":7,"title":"lamp"}', 7)
    assert (thing.id, thing.title, thing.shout()) == (7, "lamp", "LAMP")
    assert type(thing) is ThingOut
    assert encoded_of(thing) is None


@pytest.mark.parametrize(
    "look",
    [
        lambda thing: thing == ThingOut(id=7, title="lamp"),
        lambda thing: ThingOut(id=7, title="lamp") == thing,
        lambda thing: repr(thing) == "ThingOut(id=7, title='lamp')",
        lambda thing: thing.model_dump() == {"id": 7, "title": "lamp"},
        lambda thing: thing.model_dump_json() == '{"id":7,"title":"lamp"}',
        lambda thing: TypeAdapter(ThingOut).dump_json(thing) == b'{"id":7,"title":"lamp"}',
        lambda thing: BoxOut(thing=thing).model_dump_json() == '{"thing":{"id":7,"title":"lamp"}}',
        lambda thing: dict(thing) == {"id": 7, "title": "lamp"},
        lambda thing: vars(thing) == {"id": 7, "title": "lamp"},
        lambda thing: thing.model_fields_set == {"id", "title"},
        lambda thing: getattr(thing, "none", None) is None,
        lambda thing: copy.deepcopy(thing).title == "lamp",
        lambda thing: copy.copy(thing).title == "lamp",
        lambda thing: thing.model_copy(update={"id": 8}) == ThingOut(id=8, title="lamp"),
    ],
)
def test_whoever_looks_finds_the_fields(thing, look):
    assert look(thing)


def test_a_page_of_rows():
    page = undecoded(Page[ThingOut], Encoded(b'{"count":1,"next":null,"results":[{"id":7,"title":"lamp"}]}'))
    assert isinstance(page, Page)
    assert page.results[0].title == "lamp"


def test_json_that_is_not_of_the_schema_is_found_at_the_first_look():
    wrong = undecoded(ThingOut, Encoded(b'{"id":"x","title":"lamp"}'))
    with pytest.raises(ValidationError):
        _ = wrong.title
