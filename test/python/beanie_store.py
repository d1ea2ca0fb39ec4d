"""Collections of FastAPI Users in MongoDB, as its documentation defines them."""

import os

from beanie import Document, PydanticObjectId, init_beanie
from fastapi_users_db_beanie import BaseOAuthAccount, BeanieBaseUser, BeanieUserDatabase, ObjectIDIDMixin
from fastapi_users_db_beanie.access_token import BeanieAccessTokenDatabase, BeanieBaseAccessToken
from pydantic import Field
from pymongo import AsyncMongoClient

UserId, IdMixin = PydanticObjectId, ObjectIDIDMixin


class OAuthAccount(BaseOAuthAccount):
    pass


class User(BeanieBaseUser, Document):
    oauth_accounts: list[OAuthAccount] = Field(default_factory=list)


class AccessToken(BeanieBaseAccessToken, Document):
    pass


async def open_store(create):
    client = AsyncMongoClient(os.environ["MONGODB_URL"])
    await init_beanie(client[os.environ["MONGODB_DATABASE"]], document_models=[User, AccessToken])


async def get_user_db():
    yield BeanieUserDatabase(User, OAuthAccount)


async def get_access_token_db():
    yield BeanieAccessTokenDatabase(AccessToken)
