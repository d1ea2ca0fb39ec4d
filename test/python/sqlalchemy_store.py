"""Tables of FastAPI Users in SQLite or PostgreSQL, as its documentation defines them."""

import json
import os

from fastapi import Depends
from fastapi_users_db_sqlalchemy import (
    SQLAlchemyBaseOAuthAccountTableUUID,
    SQLAlchemyBaseUserTableUUID,
    SQLAlchemyUserDatabase,
)
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, relationship


class Base(DeclarativeBase):
    pass


class OAuthAccount(SQLAlchemyBaseOAuthAccountTableUUID, Base):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    oauth_accounts: Mapped[list[OAuthAccount]] = relationship("OAuthAccount", lazy="joined")
    if json.loads(os.environ.get("SETTINGS", "{}")).get("custom"):
        nick: Mapped[str]


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


url = os.environ["DATABASE_URL"]
schema = os.environ.get("DATABASE_SCHEMA")
arguments = {"timeout": 60} if schema is None else {"server_settings": {"search_path": schema}}
engine = create_async_engine(url, connect_args=arguments)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def open_store(create):
    if create:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)


async def get_session():
    async with sessions() as session:
        yield session


async def get_user_db(session=Depends(get_session)):
    yield SQLAlchemyUserDatabase(session, User, OAuthAccount)


async def get_access_token_db(session=Depends(get_session)):
    yield SQLAlchemyAccessTokenDatabase(session, AccessToken)
