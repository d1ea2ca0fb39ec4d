"""Runs mongoeco as a MongoDB-compatible server for tests.

It listens on 127.0.0.1, on the port that the environment variable PORT names (default: 27018), keeps all data in
memory, and stops when it receives SIGTERM or SIGINT.
"""

import asyncio
import os
import signal

from bson import Int64
from mongoeco.wire import AsyncMongoEcoProxyServer, proxy

encode_reply = proxy.encode_op_msg_response


def encode_reply_with_long_cursor_id(document, **ids):
    """Encodes the id of a cursor as a 64-bit integer, as MongoDB does and the driver for Node.js requires."""
    cursor = document.get("cursor")
    if isinstance(cursor, dict):
        document = {**document, "cursor": {**cursor, "id": Int64(cursor["id"])}}
    return encode_reply(document, **ids)


async def main() -> None:
    proxy.encode_op_msg_response = encode_reply_with_long_cursor_id
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    port = int(os.environ.get("PORT", "27018"))
    async with AsyncMongoEcoProxyServer(port=port, mongodb_dialect="8.0"):
        await stopped.wait()


asyncio.run(main())
