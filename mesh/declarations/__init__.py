"""What an operation is: the decorators, the signature behind them, its fields and schemas, and who calls it.

Imports `mesh.errors` alone; nothing here touches a server.
Begin with `decorators` (`@query`, `@command`, `@job`), then `operations.Operation`, then `arguments`, which binds what
was sent.
"""
