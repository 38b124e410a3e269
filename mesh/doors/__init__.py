"""The ways in. Each turns a request of its own kind into a call, and the answer or refusal into a response.

Imports `execution`, `calling` and what is below; no door imports another. Every web request comes in through
`admission`, which authenticates, counts, permits, binds, calls and refuses. `http` holds what the web doors share:
reading requests and writing responses.
Begin with `admission`, then `rest.exchange`. A new door is a folder beside `rest`.
"""
