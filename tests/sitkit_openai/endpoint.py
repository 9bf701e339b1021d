"""An OpenAI-compatible endpoint on real sockets that can be told to misbehave; with ``python -m``, a calm one to time.

``behave`` decides, for each call, which of the ``faults`` below happens to it; None answers it well.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[[str, str, bytes], "tuple[int, Any] | None"]


@dataclass
class Call:
    """One request: its prompt, which attempt at that prompt it is (from 1), and when it came."""

    prompt: str
    attempt: int
    body: dict[str, Any]
    headers: dict[str, str]
    time: float = field(default_factory=time.monotonic)


def completion(text: str | None, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def worked(body: dict[str, Any]) -> str:
    """The good answer: a function of what is asked, seed included."""
    prompt = body["messages"][-1]["content"]
    name = hashlib.sha256(f"{prompt}|{body.get('seed')}".encode()).hexdigest()[:12]
    return f"Thinking about {name}.\nThe answer is {int(name, 16) % 100}"


Fault = Callable[["Endpoint", Call, asyncio.StreamWriter], Awaitable[None]]


def status(code: int, body: Any = None, **headers: str) -> Fault:
    """Reply with an HTTP status; a text body is sent as HTML."""

    async def fault(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
        content = body if isinstance(body, str) else json.dumps(body)
        kind = "text/html" if isinstance(body, str) else "application/json"
        await send(writer, code, content.encode(), kind, {k.replace("_", "-"): v for k, v in headers.items()})

    return fault


def error(code: int, message: str = "no", kind: str = "error", name: str | None = None, param: str | None = None,
          **headers: str) -> Fault:  # fmt: skip
    """Reply with an error as OpenAI words it."""
    return status(code, {"error": {"message": message, "type": kind, "code": name, "param": param}}, **headers)


def reply(body: Any) -> Fault:
    """Reply with HTTP 200 and this body; bytes and text are sent as they are."""

    async def fault(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
        content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        await send(writer, 200, content)

    return fault


async def reset(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
    """Cut the connection with a TCP reset before any reply."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def cut_short(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
    """Promise a whole body and send half of it."""
    content = json.dumps(completion(worked(call.body))).encode()
    writer.write(head(200, len(content)) + content[: len(content) // 2])
    await writer.drain()
    writer.close()


async def half_json(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
    """Half of the JSON, as if it were whole."""
    await send(writer, 200, json.dumps(completion(worked(call.body))).encode()[:40])


async def stall(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
    """Say nothing for longer than anybody waits."""
    await asyncio.sleep(endpoint.stall)
    writer.close()


async def drip(endpoint: Endpoint, call: Call, writer: asyncio.StreamWriter) -> None:
    """A good answer, a few bytes at a time."""
    content = json.dumps(completion(worked(call.body))).encode()
    writer.write(head(200, len(content)))
    for start in range(0, len(content), 40):
        writer.write(content[start : start + 40])
        await writer.drain()
        await asyncio.sleep(endpoint.drip)
    endpoint.delivered[call.prompt] += 1


HTML = "<!DOCTYPE html><html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>"
QUOTA = error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
TOO_LONG = error(400, "This model's maximum context length is 16 tokens.", "invalid_request_error",
                 "context_length_exceeded", "messages")  # fmt: skip
NO_MODEL = error(404, "The model `x` does not exist", "invalid_request_error", "model_not_found")

PASSING: dict[str, Fault] = {
    "rate limit": error(429, "Rate limit reached", "requests", "rate_limit_exceeded", Retry_After="0.02"),
    "server error": error(500, "The server had an error", "server_error"),
    "html": status(503, HTML),
    "reset": reset,
    "cut short": cut_short,
    "half json": half_json,
    "no json": reply(HTML),
    "no choices": reply({"id": "x", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 0}}),
    "null content": reply(completion(None)),
    "stall": stall,
}
"""What is gone at the next attempt."""


def head(code: int, length: int, kind: str = "application/json", headers: dict[str, str] | None = None) -> bytes:
    """The head of an HTTP reply."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n".encode()


async def send(writer: asyncio.StreamWriter, code: int, content: bytes, kind: str = "application/json",
               headers: dict[str, str] | None = None) -> None:  # fmt: skip
    """Send a whole reply."""
    writer.write(head(code, len(content), kind, headers) + content)
    await writer.drain()


class Endpoint:
    """The server, in a thread of its own; a context manager."""

    def __init__(self, behave: Callable[[Call], Fault | None] = lambda call: None, *, latency: float = 0.0) -> None:
        self.behave = behave
        self.latency = latency
        self.stall = 3.0
        self.drip = 0.01
        self.calls: list[Call] = []
        self.others: list[str] = []
        self.delivered: Counter[str] = Counter()
        self.flying = self.most_flying = 0
        self.routes: Handler = lambda method, path, body: None
        self._attempts: Counter[str] = Counter()
        self._started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def prompts(self) -> list[str]:
        return [call.prompt for call in self.calls]

    def __enter__(self) -> Endpoint:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def serve(self, port: int = 0) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._connections: set[asyncio.Task[Any]] = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while not writer.is_closing():
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await self._answer(method, path, headers, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        if method != "POST" or path != "/v1/chat/completions":
            self.others.append(f"{method} {path}")
            code, found = self.routes(method, path, body) or (404, {"error": {"message": f"no route {path}"}})
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            # A redirect names its new address in the body's place.
            moved = {"Location": found} if 300 <= code < 400 else None
            await send(writer, code, b"" if moved else content, headers=moved)
            return
        asked = json.loads(body)
        prompt = asked["messages"][-1]["content"]
        self._attempts[prompt] += 1
        call = Call(prompt, self._attempts[prompt], asked, headers)
        self.calls.append(call)
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            fault = self.behave(call)
            if fault is not None:
                await fault(self, call, writer)
                return
            await send(writer, 200, json.dumps(completion(worked(asked))).encode())
            self.delivered[prompt] += 1
        finally:
            self.flying -= 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.05)
    calm = Endpoint(latency=parser.parse_args().latency)

    async def main() -> None:
        serving = asyncio.create_task(calm.serve())
        while not calm._started.is_set():
            await asyncio.sleep(0.01)
        print(calm.url, flush=True)  # noqa: T201
        await serving

    asyncio.run(main())
