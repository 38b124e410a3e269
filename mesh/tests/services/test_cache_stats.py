"""GET /cache/stats: hits and misses, in all and per operation, the same as in the metrics."""

import re

from accounts.tests.assertions import refused
from mesh.declarations.registry import registry


def stats(ada):
    answer = ada.api.get("/cache/stats")
    assert answer.status == 200
    return answer.json


def test_hits_and_misses_are_counted_per_operation_as_in_the_metrics(ada, alice, anonymous):
    made = alice.api.post("/events", {"name": "A", "start_date": "2099-01-01", "end_date": "2099-01-02"}).json["id"]
    before = stats(ada)
    for _ in range(4):
        anonymous.get(f"/events/{made}")
    alice.api.get("/meetings")
    after = stats(ada)
    detail, was = after["operations"]["get_event"], before["operations"]["get_event"]
    assert (detail["hits"] - was["hits"], detail["misses"] - was["misses"]) == (3, 1)
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (3, 2)
    assert detail["ratio"] == round(detail["hits"] / (detail["hits"] + detail["misses"]), 4)
    anonymous.mount = ""
    told = anonymous.get("/metrics").text
    found = re.search(r'^meshwork_cache_lookups_total\{operation="get_event",result="hit"\} (\S+)$', told, re.M)
    assert found is not None
    assert float(found[1]) == detail["hits"]


def test_every_cached_operation_is_there(ada):
    cached = {name for name, operation in registry.operations.items() if operation.declaration.ttl}
    assert stats(ada)["operations"].keys() == cached
    assert {"list_events", "get_event", "list_meetings"} <= cached


def test_it_is_for_the_admin(alice, anonymous):
    refused(alice.api.get("/cache/stats"), 403)
    refused(anonymous.get("/cache/stats"), 401)
