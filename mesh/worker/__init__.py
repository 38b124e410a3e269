"""Background jobs: claimed, run, marked as done or tried again.

Imports `execution` and what is below.
Begin with `runs`; a job is claimed there, in `_claim`.
"""
