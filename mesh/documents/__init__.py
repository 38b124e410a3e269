"""Rows mirrored as JSON documents in object storage.

Imports `rows` and what is below.
Begin with `mirror`. `bulk` compares, rebuilds and restores all documents at once.
"""
