"""The peer's worker: an event loop that takes one message after the other off a Redis list, several at a time.

A message that it has taken is lost with the process, and a job that fails is not tried again.
"""

import asyncio
import os
from datetime import UTC, datetime

import uvloop
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from benchmarks.peer.models import ActionItem, Note, Order, Product
from notes.extractive import ExtractiveSummarizer

AT_ONCE = 8

engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=AT_ONCE, max_overflow=0)
new_session = async_sessionmaker(engine, expire_on_commit=False)


async def summarize_note(db: AsyncSession, id: int) -> None:
    note = await db.get_one(Note, id)
    summary = ExtractiveSummarizer().summarize(note.raw_text, now=note.created_at or datetime.now(UTC))
    note.summary, note.status = summary.text, "done"
    db.add_all(
        ActionItem(note_id=id, title=item.title, assignee=item.assignee, due_date=item.due_date, quote=item.quote)
        for item in summary.action_items
    )


async def settle_note(db: AsyncSession, id: int) -> None:
    note = await db.get_one(Note, id)
    note.status = "done"


async def reserve_stock(db: AsyncSession, id: int) -> None:
    """Takes an order's stock under row locks, which are taken in the order of their ids."""
    order = await db.get(Order, id, options=[selectinload(Order.items)], with_for_update=True)
    if order is None or order.status != "PENDING":
        return
    wanted = {item.product_id: item.quantity for item in order.items}
    query = select(Product).where(Product.id.in_(wanted)).order_by(Product.id).with_for_update()
    products = (await db.scalars(query)).all()
    if all(product.stock >= wanted[product.id] for product in products):
        for product in products:
            product.stock -= wanted[product.id]
        order.status = "RESERVED"
    else:
        order.status = "FAILED"


async def work(redis: Redis) -> None:
    while True:
        queue, message = await redis.brpop(["orders", "jobs"])
        name, _, id = message.decode().rpartition(" ")
        async with new_session() as db, db.begin():
            if queue == b"orders":
                await reserve_stock(db, int(id))
            else:
                await (summarize_note if name == "summarize_note" else settle_note)(db, int(id))


async def main() -> None:
    redis = Redis.from_url(os.environ["PEER_REDIS_URL"], socket_timeout=None)  # brpop waits as long as it takes
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work(redis))


if __name__ == "__main__":
    uvloop.run(main())
