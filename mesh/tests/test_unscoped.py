"""Reading past the scopes: only where that is listed."""

import pytest

from mesh.checks import check_unscoped_reads
from mesh.unscoped import PLACES, uses_in

SOURCE = """
from mesh.rows import read_many, read_row as shown

class ThingService(Service):
    @query("GET /things")
    def list_things(self):
        return [thing for thing in Thing.objects.all()]

    @command("POST /things")
    def create_thing(self):
        def made():
            return Thing.objects.create(owner_id=1)
        Thing.objects.bulk_create([made()])
        return self.rows(Thing).first()

    @job(queue="mail")
    def mail_things(self):
        return Thing.objects.all(), Thing._base_manager.all()

def of_anyone(model):
    return getattr(model, "_default_manager"), read_many(model), model.objects.filter(pk=Thing.objects.first())
"""


def test_each_way_to_read_past_a_scope_is_found_with_its_place():
    found = [(use.place, use.name, use.line) for use in uses_in(SOURCE, "app.services", serves=True)]
    assert found == [
        ("app.services", "read_row", 2),
        ("app.services.ThingService.list_things", "objects", 7),
        ("app.services.ThingService.mail_things", "_base_manager", 18),
        ("app.services.of_anyone", "_default_manager", 21),
        ("app.services.of_anyone", "read_many", 21),
        ("app.services.of_anyone", "objects", 21),
        ("app.services.of_anyone", "objects", 21),
    ]


def test_a_manager_is_found_in_services_alone():
    found = [use.name for use in uses_in(SOURCE, "app.models", serves=False)]
    assert found == ["read_row", "_base_manager", "_default_manager", "read_many"]


@pytest.mark.parametrize("place", ["mesh.execution.service.Service.result_of", "mesh.rows.reads.lock_row"])
def test_a_place_that_is_not_listed_stops_the_start(monkeypatch, place):
    monkeypatch.setattr("mesh.unscoped.PLACES", {name: why for name, why in PLACES.items() if name != place})
    (error,) = check_unscoped_reads(None)
    assert (error.id, place in error.msg) == ("mesh.E018", True)


def test_a_place_that_is_listed_in_vain_stops_the_start(monkeypatch):
    monkeypatch.setattr("mesh.unscoped.PLACES", PLACES | {"app.services.ThingService.gone": "it was there once"})
    (error,) = check_unscoped_reads(None)
    assert (error.id, error.msg) == (
        "mesh.E019", "app.services.ThingService.gone is listed as reading rows past visibility, and does not."
    )  # fmt: skip
