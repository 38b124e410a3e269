"""The peer's tables. They carry the names of Meshwork's, so that one data.sql fills both databases."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}
    __mapper_args__ = {"eager_defaults": True}  # INSERT … RETURNING instead of a SELECT afterwards


def key() -> Mapped[int]:
    return mapped_column(primary_key=True)


def now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class User(Base):
    __tablename__ = "accounts_user"

    id: Mapped[int] = key()
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(5))
    is_active: Mapped[bool]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class Meeting(Base):
    __tablename__ = "meetings_meeting"

    id: Mapped[int] = key()
    organizer_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(5000))
    scheduled_time: Mapped[datetime]
    duration_minutes: Mapped[int] = mapped_column(SmallInteger)
    location: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()
    organizer: Mapped[User] = relationship()
    attendees: Mapped[list["Attendee"]] = relationship(order_by="Attendee.id")


class Attendee(Base):
    __tablename__ = "meetings_attendee"
    __table_args__ = (UniqueConstraint("meeting_id", "user_id"), Index(None, "user_id", "meeting_id"))

    id: Mapped[int] = key()
    meeting_id: Mapped[int] = mapped_column(ForeignKey(Meeting.id))
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    response: Mapped[str] = mapped_column(String(9))
    user: Mapped[User] = relationship()


class Task(Base):
    __tablename__ = "tasks_task"

    id: Mapped[int] = key()
    uuid: Mapped[UUID] = mapped_column(unique=True)
    creator_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey(User.id), index=True)
    contact_id: Mapped[int | None]
    project_id: Mapped[int | None]
    due_meeting_id: Mapped[int | None] = mapped_column(ForeignKey(Meeting.id))
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(1000))
    status: Mapped[str] = mapped_column(String(11))
    due_date: Mapped[datetime | None]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class Note(Base):
    __tablename__ = "notes_note"

    id: Mapped[int] = key()
    author_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    raw_text: Mapped[str] = mapped_column(Text)
    summary: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10), default="queued")
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class ActionItem(Base):
    __tablename__ = "notes_actionitem"

    id: Mapped[int] = key()
    note_id: Mapped[int] = mapped_column(ForeignKey(Note.id), index=True)
    title: Mapped[str] = mapped_column(String(200))
    assignee: Mapped[str | None] = mapped_column(String(100))
    due_date: Mapped[datetime | None]
    quote: Mapped[str] = mapped_column(String(500))


class Category(Base):
    __tablename__ = "events_category"

    id: Mapped[int] = key()
    creator_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    name: Mapped[str] = mapped_column(String(100), unique=True)
    description: Mapped[str] = mapped_column(String(5000))


class Event(Base):
    __tablename__ = "events_event"
    __table_args__ = (CheckConstraint("attendee_count <= capacity"),)

    id: Mapped[int] = key()
    owner_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(String(5000))
    location: Mapped[str] = mapped_column(String(255))
    start_date: Mapped[datetime] = mapped_column(index=True)
    end_date: Mapped[datetime]
    category_id: Mapped[int | None] = mapped_column(ForeignKey(Category.id), index=True)
    capacity: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(9))
    attendee_count: Mapped[int] = mapped_column(Integer)
    waiting_count: Mapped[int] = mapped_column(Integer)
    sequence: Mapped[int] = mapped_column(Integer)  # only Meshwork changes it
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()
    category: Mapped[Category | None] = relationship()

    @property
    def seats_left(self) -> int | None:
        return None if self.capacity is None else self.capacity - self.attendee_count


class Product(Base):
    __tablename__ = "shop_product"
    __table_args__ = (CheckConstraint("stock >= 0"),)

    id: Mapped[int] = key()
    owner_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    sku: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(5000))
    price_cents: Mapped[int]
    stock: Mapped[int]
    # Only Meshwork keeps these; here they are filled by data.sql, and stay.
    reserved: Mapped[int]
    sold: Mapped[int]
    received: Mapped[int]
    low_stock_told: Mapped[bool]


class Order(Base):
    __tablename__ = "shop_order"
    __table_args__ = (Index(None, "id", postgresql_where=text("status = 'PENDING'")),)

    id: Mapped[int] = key()
    buyer_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    status: Mapped[str] = mapped_column(String(9), default="PENDING")
    total_cents: Mapped[int]
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()
    buyer: Mapped[User] = relationship()
    items: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.id")


class OrderLine(Base):
    __tablename__ = "shop_orderline"

    id: Mapped[int] = key()
    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))
    sku: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    quantity: Mapped[int]
    price_cents: Mapped[int]
