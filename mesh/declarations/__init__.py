"""What an operation is: the decorators, the method's signature, fields and schemas, permissions, and actors.

Imports `mesh.errors` alone; nothing here touches a server.
Begin with `decorators` (`@query`, `@command`, `@job`), then `operations.Operation`, then `arguments`, which binds
what was sent.
"""
