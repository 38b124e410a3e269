"""Mails: written in the transaction of a change, and sent by a job.

Imports `declarations`, `stores` and the models.
Begin with `messages.write`, then `delivery.deliver`.
"""
