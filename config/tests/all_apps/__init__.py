"""The mesh with every app of this project: matrices over all operations, documents, and workers that are killed."""
