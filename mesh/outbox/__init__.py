"""Jobs that wait in Postgres, and the messages that tell workers of them.

Imports `declarations` and `stores`.
Begin with `jobs`; `publisher` sends messages after the commit, `overdue` finds jobs that no message leads to, and
`schedule` begins periodic ones.
"""
