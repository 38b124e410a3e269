"""Descriptions of operations: JSON Schema, OpenAPI, tools for LLMs.

Imports `declarations` and what is below.
Begin with `json_schema.arguments_schema`.
"""
