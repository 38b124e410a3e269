"""Hostile clients for a running server, and a well-behaved neighbour who measures what is left for everyone else.

`clients.py` speaks HTTP, `kinds.py` has the hostile clients, `neighbour.py` the other one, and `campaign.py` lets them
meet, one kind after another. `./run manage attack` prints what came of it.
"""
