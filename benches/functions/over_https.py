"""Serves the handler over HTTPS: `over_https.py CERTIFICATE KEY`. Says its port, and serves until it is killed.

Everything is set in favour of the server: one process that calls the handler where it reads, the loop and the parser
in C, no log, and none of the headers that can be left out.
"""

import socket
import sys

import uvicorn
from measured import handler


async def app(scope, receive, send):
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    made = handler(b"".join(parts))
    length = str(len(made)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": made})


if __name__ == "__main__":
    certificate, key = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        # As long as the benchmark takes: it calls in turn, and others have their turns for a while.
        timeout_keep_alive=3600,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    uvicorn.Server(config).run(sockets=[listener])
