"""The ways in. Each turns a request of its own kind into a call, and the answer or refusal into a response.

Imports `execution`, `calling` and what is below; no door imports another. What those that speak HTTP share
is in `http`.
Begin with `rest.exchange`; a new door is a folder beside `rest`.
"""
