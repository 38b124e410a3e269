"""The ways in. Each turns a request of its own kind into a call, and the answer or refusal into a response.

Imports `execution`, `calling` and what is below; no door imports another. `admission` is the way in of every request
over the web: who asks, how often, what they may call; what those that speak HTTP share beside it is in `http`.
Begin with `admission`, then `rest.exchange`; a new door is a folder beside `rest`.
"""
