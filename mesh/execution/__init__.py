"""The callee's half of a call: the service base class, transactions, idempotency, dry runs, the audit trail.

Imports `calling` and what is below.
Begin with `host.run`; the transaction of a command is in `transaction`, its last statement in `flush`.
"""
