"""Background jobs: claimed, run, marked as done or tried again.

Imports `execution` and what is below.
Begin with `tasks`, where messages arrive. A job is claimed in `claims` and run in `runs`; `turns` decides whose job
is next.
"""
