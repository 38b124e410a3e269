"""HTTP for all web doors: reading requests with all their limits, writing answers and refusals.

Imports what is below the doors.
Begin with `requests.body_of` and `responses.success`.
"""
