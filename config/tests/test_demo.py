"""`demo`: a company with something of everything, also when it is asked for twice."""

import io

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from conftest import PASSWORD
from events.models import Event
from mesh.testing import Api
from shop.models import Order
from shop.tests.conftest import out_of_balance

pytestmark = pytest.mark.django_db(transaction=True)
#: What nobody makes by hand, or only at a fault.
LEFT_OUT = {
    "LogEntry", "Group", "Permission", "ContentType", "MergedContact", "ApiKey", "CalendarKey", "UnwantedMail",
    "ClosedAddress", "StockDiscrepancy", "Payment", "Session", "ActionItem",
}  # fmt: skip


def make(**options):
    out = io.StringIO()
    call_command("demo", stdout=out, **options)
    return out.getvalue()


def counts():
    return {
        m.__name__: m._base_manager.count() for m in apps.get_models() if m._meta.app_label not in ("mesh", "example")
    }


def test_it_makes_something_of_everything_and_a_second_time_nothing():
    said = make(password=PASSWORD)
    first = counts()
    assert f"the password is {PASSWORD!r}" in said
    assert {name for name, count in first.items() if not count} <= LEFT_OUT
    statuses = set(Order.objects.values_list("status", flat=True))
    assert statuses == {"RESERVED", "CONFIRMED", "PAID", "CANCELLED", "FAILED"}
    assert out_of_balance() == []
    assert Event.objects.filter(waiting_count__gt=0).exists()
    assert Event.objects.get(name="Night of the forklifts").status == "cancelled"
    make(password=PASSWORD)
    assert counts() == first


def test_its_people_sign_in_and_see_their_own():
    make(password=PASSWORD)
    signed_in = Api().post("/auth/login", {"username": "carol@demo.example", "password": PASSWORD})
    carol = Api(signed_in.json["access_token"])
    assert [row["company"] for row in carol.get("/contacts").json["results"]] == ["Rossi Moda"]
    assert carol.get("/notes").json["count"] == 1


def test_outside_debug_it_wants_a_password(settings):
    settings.DEVELOPMENT = False
    with pytest.raises(CommandError, match="--password"):
        make()
    assert counts()["User"] == 0
