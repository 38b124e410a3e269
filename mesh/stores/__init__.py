"""The ways out of the process: Postgres (`postgres`), Redis (`redis`) and object storage (`objects`).

Imports `mesh.errors` alone.
Begin with `postgres.fetch`: every statement of the mesh goes through it.
"""
