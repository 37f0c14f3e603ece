"""An HTTP proxy that knows CONNECT, and who may: ``python http_proxy.py HOST PORT USER:PASSWORD``.

Independent of ours, and no more than is needed: it prints ``STATUS TARGET`` for each request, and then pipes.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from functools import partial


def tell(*words: str) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def speak(allowed: str, reader: StreamReader, writer: StreamWriter) -> None:
    """One connection, to its end."""
    with suppress(OSError, asyncio.IncompleteReadError):
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        method, target, _ = request.split()
        status = _status(method, headers.get("proxy-authorization", ""), allowed)
        tell(status.split()[0], target)
        if status.startswith("200"):
            host, _, port = target.rpartition(":")
            there, back = await asyncio.open_connection(host, int(port))
            writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            await asyncio.gather(pipe(reader, back), pipe(there, writer))
        else:
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    writer.close()


def _status(method: str, authorization: str, allowed: str) -> str:
    if method != "CONNECT":
        return "405 Method Not Allowed"
    if authorization != "Basic " + base64.b64encode(allowed.encode()).decode():
        return "407 Proxy Authentication Required"
    return "200 Connection established"


async def pipe(reader: StreamReader, writer: StreamWriter) -> None:
    """Whatever comes, until it ends."""
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(host: str, port: str, allowed: str) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(partial(speak, allowed), host, int(port))
    tell("ready")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
