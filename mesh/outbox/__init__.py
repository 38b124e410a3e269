"""Jobs that wait in Postgres, and the messages that wake workers.

Imports `declarations` and `stores`.
Begin with `jobs`; `publisher` sends messages after the commit; `overdue` finds jobs whose message was lost, and
`schedule` starts periodic ones.
"""
