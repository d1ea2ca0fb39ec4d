"""A service with the real FastAPI Users, which the tests run beside this package.

It prints its port, and ends when its standard input ends. Paths below `/_test/` control it.
"""

import asyncio
import json
import os
import sys
import threading
import uuid
from contextlib import asynccontextmanager

import redis.asyncio
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi_users import BaseUserManager, FastAPIUsers, InvalidPasswordException, UUIDIDMixin, schemas
from fastapi_users.authentication import (
    AuthenticationBackend,
    BearerTransport,
    CookieTransport,
    JWTStrategy,
    RedisStrategy,
    Strategy,
)
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.password import PasswordHelper
from httpx_oauth.clients import github, google
from httpx_oauth.clients.openid import OpenID
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from pydantic import Field

SETTINGS = json.loads(os.environ.get("SETTINGS", "{}"))
AUTH_SECRET, RESET_SECRET, VERIFY_SECRET, STATE_SECRET = (
    os.environ[f"{name}_SECRET"] for name in ("AUTH", "RESET", "VERIFY", "STATE")
)
LIFETIME = 3600

events = []

if "MONGODB_URL" in os.environ:
    import beanie_store as store

    UserId, IdMixin = store.UserId, store.IdMixin
else:
    import sqlalchemy_store as store

    UserId, IdMixin = uuid.UUID, UUIDIDMixin


if SETTINGS.get("custom"):

    class UserRead(schemas.BaseUser[UserId]):
        nick: str = Field(max_length=5)

    class UserCreate(schemas.BaseUserCreate):
        nick: str = Field(max_length=5)

    class UserUpdate(schemas.BaseUserUpdate):
        nick: str | None = Field(None, max_length=5)

else:
    UserRead, UserCreate, UserUpdate = schemas.BaseUser[UserId], schemas.BaseUserCreate, schemas.BaseUserUpdate


class UserManager(IdMixin, BaseUserManager[store.User, UserId]):
    reset_password_token_secret = RESET_SECRET
    verification_token_secret = VERIFY_SECRET

    async def validate_password(self, password, user):
        if not SETTINGS.get("policy"):
            return
        if password == "list":
            raise InvalidPasswordException(reason={"rules": ["length"]})
        if len(password) < 3:
            raise InvalidPasswordException(reason="Too short")

    async def on_after_register(self, user, request=None):
        events.append({"name": "onAfterRegister", "email": user.email, "verified": user.is_verified})

    async def on_after_forgot_password(self, user, token, request=None):
        events.append({"name": "onAfterForgotPassword", "email": user.email, "token": token})

    async def on_after_request_verify(self, user, token, request=None):
        events.append({"name": "onAfterRequestVerify", "email": user.email, "token": token})

    async def on_after_reset_password(self, user, request=None):
        events.append({"name": "onAfterResetPassword", "email": user.email})

    async def on_after_verify(self, user, request=None):
        events.append({"name": "onAfterVerify", "email": user.email})

    async def on_after_update(self, user, update_dict, request=None):
        if SETTINGS.get("faulty"):
            raise RuntimeError("postgres://user:password@host")
        events.append({"name": "onAfterUpdate", "email": user.email, "changes": update_dict})

    async def on_after_login(self, user, request=None, response=None):
        events.append({"name": "onAfterLogin", "email": user.email})


# hashes with a low cost, where the tests need many
helper = None
if SETTINGS.get("cheap_hashes"):
    helper = PasswordHelper(PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), BcryptHasher(rounds=4))))


async def get_user_manager(user_db=Depends(store.get_user_db)):
    yield UserManager(user_db, helper)


client = redis.asyncio.from_url(os.environ["REDIS_URL"], decode_responses=True)


def jwt_strategy():
    return JWTStrategy(secret=AUTH_SECRET, lifetime_seconds=LIFETIME)


def database_strategy(tokens=Depends(store.get_access_token_db)):
    return DatabaseStrategy(tokens, lifetime_seconds=LIFETIME)


def redis_strategy():
    return RedisStrategy(client, lifetime_seconds=LIFETIME, key_prefix=os.environ["REDIS_PREFIX"])


class BrokenStrategy(Strategy):
    async def read_token(self, token, user_manager):
        raise ConnectionRefusedError("the store is down")


def bearer(name):
    return BearerTransport(tokenUrl=f"auth/{name}/login")


backends = [
    AuthenticationBackend("jwt", bearer("jwt"), jwt_strategy),
    AuthenticationBackend("db", bearer("db"), database_strategy),
    AuthenticationBackend("cookie", CookieTransport(**SETTINGS.get("cookie", {})), jwt_strategy),
    AuthenticationBackend("redis", bearer("redis"), redis_strategy),
]
if SETTINGS.get("broken"):
    backends.append(AuthenticationBackend("broken", bearer("broken"), lambda: BrokenStrategy()))

users = FastAPIUsers[store.User, UserId](get_user_manager, backends)
verified = SETTINGS.get("requires_verification", False)


@asynccontextmanager
async def lifespan(app):
    await store.open_store(create=SETTINGS.get("create", True))
    yield


app = FastAPI(lifespan=lifespan)
for backend in backends:
    app.include_router(
        users.get_auth_router(backend, requires_verification=verified), prefix=f"/auth/{backend.name}", tags=["auth"]
    )
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth", tags=["auth"])
app.include_router(users.get_reset_password_router(), prefix="/auth", tags=["auth"])
app.include_router(users.get_verify_router(UserRead), prefix="/auth", tags=["auth"])
app.include_router(
    users.get_users_router(UserRead, UserUpdate, requires_verification=verified), prefix="/users", tags=["users"]
)
if "ISSUER" in os.environ:
    provider = OpenID(
        os.environ["CLIENT_ID"],
        os.environ["CLIENT_SECRET"],
        f"{os.environ['ISSUER']}/.well-known/openid-configuration",
        name="camelot",
    )
    app.include_router(
        users.get_oauth_router(provider, backends[0], STATE_SECRET, redirect_url=os.environ["REDIRECT_URL"]),
        prefix="/auth/camelot",
        tags=["auth"],
    )

# clients of httpx-oauth that ask the provider of a test instead of Google and GitHub
for name, origin in json.loads(os.environ.get("PROVIDERS", "{}")).items():
    module, client_class = {"google": (google, google.GoogleOAuth2), "github": (github, github.GitHubOAuth2)}[name]
    module.AUTHORIZE_ENDPOINT, module.ACCESS_TOKEN_ENDPOINT = f"{origin}/authorize", f"{origin}/token"
    for constant in ("PROFILE_ENDPOINT", "EMAILS_ENDPOINT"):
        if hasattr(module, constant):
            setattr(module, constant, getattr(module, constant).replace("https://", f"{origin}/"))
    provider = client_class(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
    oauth_backend = next(backend for backend in backends if backend.name == SETTINGS.get("oauth_backend", "jwt"))
    app.include_router(
        users.get_oauth_router(provider, oauth_backend, STATE_SECRET, **SETTINGS.get("oauth", {})),
        prefix=f"/auth/{name}",
        tags=["auth"],
    )
    app.include_router(
        users.get_oauth_associate_router(provider, UserRead, STATE_SECRET, requires_verification=verified),
        prefix=f"/auth/associate/{name}",
        tags=["auth"],
    )


@app.get("/guarded")
async def guarded(user=Depends(users.current_user(active=True))):
    return UserRead.model_validate(user)


@app.get("/superusers")
async def superusers(user=Depends(users.current_user(active=True, superuser=True))):
    return UserRead.model_validate(user)


@app.get("/_test/events")
async def read_events():
    return events


@app.delete("/_test/events")
async def clear_events():
    events.clear()


@app.post("/_test/login/{backend_name}/{email}")
async def log_in(backend_name: str, email: str, request: Request, manager=Depends(get_user_manager), tokens=Depends(store.get_access_token_db)):
    """Creates a session without a password."""
    strategy = {"jwt": jwt_strategy, "cookie": jwt_strategy, "redis": redis_strategy}.get(backend_name)
    user = await manager.get_by_email(email)
    return await (strategy() if strategy else database_strategy(tokens)).write_token(user)


def end_with_input(server):
    sys.stdin.read()
    server.should_exit = True


async def main():
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=end_with_input, args=[server], daemon=True).start()
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


asyncio.run(main())
