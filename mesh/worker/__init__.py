"""Background jobs: claimed, run, marked as done or tried again.

Imports `execution` and what is below.
Begin with `tasks`, what a message leads to; a job is claimed in `claims`, and run in `runs`; `turns` says whose
is next.
"""
