"""HTTP for every door that speaks it: reading a request with all its limits, writing an answer or a refusal.

Imports what is below the doors.
Begin with `requests.body_of` and `responses.success`.
"""
