"""Which rows an actor sees, and rows to JSON.

Imports `declarations` and `stores`.
Begin with `visibility` (`visible_to`, `audience`), then `reads`, where rows become JSON without model instances.
"""
