"""The peer: the same operations as a team would write them with FastAPI, SQLAlchemy 2 (async) and Redis.

It is meant to be a strong opponent: uvloop and httptools, asyncpg with its prepared statements, one pool, eager
loading in a fixed number of statements, pydantic response models, a cache of final bytes. The signed-in user is
loaded at each request. It does without rate limits, per-user scope, audit, idempotency and counts.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AliasPath, BaseModel, ConfigDict, Field, TypeAdapter
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, selectinload

from benchmarks.peer.models import Attendee, Base, Event, Meeting, Note, Order, OrderLine, Product, Task, User

SECRET_KEY = os.environ["SECRET_KEY"]
TTL = 60  # seconds, of meetings
EVENTS_TTL, EVENT_TTL = 300, 600

engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=20, max_overflow=0)
new_session = async_sessionmaker(engine, expire_on_commit=False)
redis = Redis.from_url(os.environ["PEER_REDIS_URL"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()
    await redis.aclose()


app = FastAPI(lifespan=lifespan)


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PersonOut(Out):
    id: int
    name: str
    email: str


class AttendeeOut(Out):
    id: int = Field(validation_alias="user_id")
    name: str = Field(validation_alias=AliasPath("user", "name"))
    email: str = Field(validation_alias=AliasPath("user", "email"))
    response: str


class MeetingOut(Out):
    id: int
    title: str
    description: str
    scheduled_time: datetime
    duration_minutes: int
    location: str | None
    organizer: PersonOut
    attendees: list[AttendeeOut]
    created_at: datetime
    updated_at: datetime


class MeetingIn(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=5000)
    scheduled_time: datetime
    duration_minutes: int = Field(30, ge=5, le=1440)
    location: str | None = Field(None, min_length=1, max_length=255)
    attendee_ids: list[int] = Field(default=[], max_length=200)


class TaskOut(Out):
    id: int
    uuid: UUID
    title: str
    description: str
    status: str
    due_date: datetime | None
    due_meeting_id: int | None
    project_id: int | None
    creator_id: int
    assignee_id: int | None
    contact_id: int | None
    created_at: datetime
    updated_at: datetime


class CategoryOut(Out):
    id: int
    name: str
    description: str


class EventOut(Out):
    id: int
    name: str
    description: str
    location: str
    start_date: datetime
    end_date: datetime
    category_id: int | None
    category: CategoryOut | None
    status: str
    capacity: int | None
    attendee_count: int
    seats_left: int | None
    waiting_count: int
    created_at: datetime
    updated_at: datetime


class NoteIn(BaseModel):
    raw_text: str = Field(min_length=1, max_length=100_000)


class NoteOut(Out):
    id: int
    raw_text: str
    summary: str | None
    status: str
    created_at: datetime
    updated_at: datetime


class OrderItemIn(BaseModel):
    product_id: int
    quantity: int = Field(ge=1, le=1000)


class OrderIn(BaseModel):
    items: list[OrderItemIn] = Field(min_length=1, max_length=100)


class OrderItemOut(Out):
    product_id: int
    sku: str
    name: str
    quantity: int
    price_cents: int


class OrderOut(Out):
    id: int
    status: str
    buyer: PersonOut
    items: list[OrderItemOut]
    total_cents: int
    failure: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class BacklogIn(NoteIn):
    job: str
    count: int = Field(ge=1, le=10_000)


meeting_json, meetings_json = TypeAdapter(MeetingOut), TypeAdapter(list[MeetingOut])
event_json, events_json = TypeAdapter(EventOut), TypeAdapter(list[EventOut])


async def session() -> AsyncIterator[AsyncSession]:
    async with new_session() as opened:
        yield opened


Db = Annotated[AsyncSession, Depends(session)]


async def signed_in(db: Db, sent: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> User:
    try:
        user_id = int(jwt.decode(sent.credentials, SECRET_KEY, algorithms=["HS256"])["user_id"])
    except (jwt.PyJWTError, KeyError, ValueError):
        raise HTTPException(401, "This token is not valid") from None
    user = await db.get(User, user_id)
    if user is None or not user.is_active:
        raise HTTPException(401, "This token is not valid")
    return user


CurrentUser = Annotated[User, Depends(signed_in)]
Skip = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=200)]
CacheControl = Annotated[str | None, Header()]


async def cached(key: str, json: TypeAdapter[Any], load: Callable[[], Awaitable[Any]], ttl: int = TTL) -> Response:
    """The stored bytes, or those of what `load` brings."""
    body = await redis.get(key)
    if body is None:
        body = json.dump_json(json.validate_python(await load(), from_attributes=True))
        await redis.set(key, body, ex=ttl)
    return Response(body, media_type="application/json")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


WITH_PEOPLE = (joinedload(Meeting.organizer), selectinload(Meeting.attendees).joinedload(Attendee.user))


@app.get("/meetings", response_model=list[MeetingOut])
async def list_meetings(
    db: Db, user: CurrentUser, skip: Skip = 0, limit: Limit = 50, cache_control: CacheControl = None
) -> Any:
    async def load() -> Any:
        query = select(Meeting).options(*WITH_PEOPLE).order_by(Meeting.id.desc()).offset(skip).limit(limit)
        return (await db.scalars(query)).all()

    if cache_control == "no-cache":
        return await load()
    return await cached(f"meetings:{user.id}:{skip}:{limit}", meetings_json, load)


@app.get("/meetings/{id}", response_model=MeetingOut)
async def get_meeting(id: int, db: Db, user: CurrentUser, cache_control: CacheControl = None) -> Any:
    async def load() -> Meeting:
        meeting = await db.get(Meeting, id, options=WITH_PEOPLE)
        if meeting is None:
            raise HTTPException(404, "There is no such meeting")
        return meeting

    if cache_control == "no-cache":
        return await load()
    return await cached(f"meeting:{user.id}:{id}", meeting_json, load)


@app.post("/meetings", response_model=MeetingOut, status_code=201)
async def create_meeting(data: MeetingIn, db: Db, user: CurrentUser) -> Any:
    ids = set(data.attendee_ids)
    people = (await db.scalars(select(User).where(User.id.in_(ids)))).all() if ids else []
    if len(people) < len(ids):
        raise HTTPException(422, "There is no such attendee")
    meeting = Meeting(**data.model_dump(exclude={"attendee_ids"}), organizer=user)
    meeting.attendees = [Attendee(user=person, response="pending") for person in people]
    db.add(meeting)
    await db.commit()
    return meeting


@app.get("/tasks", response_model=list[TaskOut])
async def list_tasks(db: Db, user: CurrentUser, skip: Skip = 0, limit: Limit = 50) -> Any:
    return (await db.scalars(select(Task).order_by(Task.id.desc()).offset(skip).limit(limit))).all()


@app.get("/events", response_model=list[EventOut])
async def list_events(
    db: Db, user: CurrentUser, skip: Skip = 0, limit: Limit = 50, cache_control: CacheControl = None
) -> Any:
    async def load() -> Any:
        query = select(Event).options(joinedload(Event.category)).order_by(Event.id.desc()).offset(skip).limit(limit)
        return (await db.scalars(query)).all()

    if cache_control == "no-cache":
        return await load()
    return await cached(f"events:{skip}:{limit}", events_json, load, EVENTS_TTL)


@app.get("/events/{id}", response_model=EventOut)
async def get_event(id: int, db: Db, user: CurrentUser, cache_control: CacheControl = None) -> Any:
    async def load() -> Event:
        event = await db.get(Event, id, options=[joinedload(Event.category)])
        if event is None:
            raise HTTPException(404, "There is no such event")
        return event

    if cache_control == "no-cache":
        return await load()
    return await cached(f"event:{id}", event_json, load, EVENT_TTL)


@app.post("/notes", response_model=NoteOut, status_code=201)
async def add_note(data: NoteIn, db: Db, user: CurrentUser) -> Any:
    note = Note(raw_text=data.raw_text, author_id=user.id)
    db.add(note)
    await db.commit()
    await redis.lpush("jobs", f"summarize_note {note.id}")
    return note


@app.post("/orders", response_model=OrderOut, status_code=201)
async def place_order(data: OrderIn, db: Db, user: CurrentUser) -> Any:
    wanted = {item.product_id: item.quantity for item in data.items}
    products = (await db.scalars(select(Product).where(Product.id.in_(wanted)))).all()
    if len(products) < len(wanted):
        raise HTTPException(422, "There is no such product")
    order = Order(buyer=user, total_cents=sum(product.price_cents * wanted[product.id] for product in products))
    order.items = [
        OrderLine(
            product_id=product.id,
            sku=product.sku,
            name=product.name,
            quantity=wanted[product.id],
            price_cents=product.price_cents,
        )
        for product in products
    ]
    db.add(order)
    await db.commit()
    await redis.lpush("orders", order.id)
    return order


@app.post("/backlog", status_code=202)
async def begin_jobs(data: BacklogIn, db: Db, user: CurrentUser) -> None:
    notes = [Note(raw_text=data.raw_text, author_id=user.id) for _ in range(data.count)]
    db.add_all(notes)
    await db.commit()
    await redis.lpush("jobs", *(f"{data.job} {note.id}" for note in notes))
