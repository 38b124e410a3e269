def test_meeting(alice, bob, charlie):
    made = alice.api.post("/meetings", {"title": "a", "scheduled_time": "2026-01-01T10:00", "attendee_ids": [bob.id]})
    assert made.status == 201, made
    assert bob.api.get(f"/meetings/{made.json['id']}").status == 200
    assert charlie.api.get(f"/meetings/{made.json['id']}").status == 404
