"""A stand-in of the Hugging Face hub on a local port, for its real client: repositories, uploads by LFS, downloads.

Of the hub's answers those that the client reads; its newer transfer (Xet) is switched off in what is run against it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_aVerySecretToken123"


@dataclass
class Repo:
    """A repository: its files at each commit, by path."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Branches and tags -> commit."""

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit and return its id."""
        sha = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = {**self.commits.get(self.names.get(branch, ""), {}), **files}
        self.names[branch] = sha
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return a commit's id and files."""
        sha = self.names.get(revision, revision)
        return (sha, self.commits[sha]) if sha in self.commits else None

    @property
    def files(self) -> dict[str, bytes]:
        """What the main branch holds."""
        return self.commits[self.names["main"]]


@dataclass
class Hub:
    """What the stand-in holds, and what it was asked. ``failing``: how many commits it refuses before it takes one;
    ``dropping``: how many files it breaks off half-way, closing the connection, before it sends one whole.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    failing: int = 0
    dropping: int = 0

    def environment(self, home: str, **more: str) -> dict[str, str]:
        """Return the variables of a program that takes this for the hub."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": home,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": "",
            **more,
        }


@contextmanager
def hub() -> Iterator[Hub]:
    """Run it."""
    held = Hub()

    class Handler(_Handler):
        hub = held

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *given: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def do_PUT(self) -> None:
        oid = self.path.rpartition("/")[2]
        self.hub.objects[oid] = self._body()
        self.hub.sent.append(oid)
        self._answer(200, b"")

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        self.hub.asked.append(path)
        if self.headers.get("Authorization") not in (f"Bearer {TOKEN}", "Bearer hf_reader"):
            self._refuse(401, None, "Invalid username or password.")
        elif path.endswith("/info/lfs/objects/batch"):
            self._json(
                200, {"transfer": "basic", "objects": [self._object(one) for one in json.loads(body)["objects"]]}
            )
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._refuse(403, None, f"You don't have the rights to write with {self.headers['Authorization']}")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif "/preupload/" in path:
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            self._json(200, {"files": files})
        elif "/commit/" in path:
            self._commit(path, body)
        else:
            self._json(200, {})

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        place = f"{wanted.get('type') or 'model'}s/{name}"
        url = f"{self.hub.url}/{'' if place.startswith('models/') else 'datasets/'}{name}"
        if place in self.hub.repos:
            self._json(409, {"error": "You already created this repo", "url": url, "name": name})
            return
        self.hub.repos[place] = Repo(private=wanted.get("visibility") == "private" or bool(wanted.get("private")))
        self._json(200, {"url": url, "name": name, "id": "1"})

    def _object(self, wanted: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in self.hub.objects:
            found["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
        return found

    def _commit(self, path: str, body: bytes) -> None:
        if self.hub.failing:
            self.hub.failing -= 1
            self._refuse(413, None, f"Not now, says the hub to {TOKEN}")
            return
        place = path.removeprefix("/api/").partition("/commit/")[0]
        files = {}
        for line in body.decode().splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                files[row["value"]["path"]] = self.hub.objects[row["value"]["oid"]]
        sha = self.hub.repos[place].commit(files)
        self._json(200, {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{place}/commit/{sha}"})

    def _get(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(path)
        if path == "/api/whoami-v2":
            self._json(200, {"name": "me", "type": "user", "orgs": []})
            return
        api = path.startswith("/api/")
        kind, name, action, rest = self._parts(path.removeprefix("/api") if api else path)
        repo = self.hub.repos.get(f"{kind}/{name}")
        if repo is None:
            self._refuse(404, "RepoNotFound", "Repository not found")
            return
        if repo.gated and action == "resolve":
            self._refuse(
                403, "GatedRepo", f"Access to model {name} is restricted and you are not in the authorized list."
            )
            return
        revision, _, file = rest.partition("/")
        found = repo.at(revision or "main")
        if found is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        sha, files = found
        if action == "tree":
            self._json(200, _listed(files, f"{file}/" if file else "", "recursive=True" in self.path))
        elif api:
            siblings = [{"rfilename": one} for one in files]
            self._json(200, {"id": name, "modelId": name, "sha": sha, "siblings": siblings, "private": repo.private})
        elif file not in files:
            self._refuse(404, "EntryNotFound", "Entry not found", commit=sha)
        else:
            self._file(files[file], sha)

    def _parts(self, path: str) -> tuple[str, str, str, str]:
        parts = path.strip("/").split("/")
        kind = "models"
        if parts[0] in ("models", "datasets"):
            kind, parts = parts[0], parts[1:]
        action = parts[2] if len(parts) > 2 else ""
        return kind, "/".join(parts[:2]), action, "/".join(parts[3:])

    def _file(self, content: bytes, sha: str) -> None:
        etag, start = hashlib.sha1(content).hexdigest(), 0
        if (asked := self.headers.get("Range", "")).startswith("bytes="):
            start = int(asked.removeprefix("bytes=").partition("-")[0] or 0)
        more = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if self.hub.dropping and self.command == "GET" and len(content) > 1000:
            self.hub.dropping -= 1
            self.send_response(206 if start else 200)
            for name, value in {**more, "Content-Length": str(len(content) - start)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[start : (start + len(content)) // 2])
            self.close_connection = True
            return
        if start:
            more["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(206 if start else 200, content[start:], **more)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, code: int, found: Any) -> None:
        self._answer(code, json.dumps(found).encode(), **{"Content-Type": "application/json"})

    def _refuse(self, code: int, kind: str | None, text: str, commit: str = "") -> None:
        more = {"X-Error-Message": text, **({"X-Error-Code": kind} if kind else {})}
        more |= {"X-Repo-Commit": commit} if commit else {}
        self._answer(code, json.dumps({"error": text}).encode(), **{"Content-Type": "application/json", **more})

    def _answer(self, code: int, content: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _listed(files: dict[str, bytes], under: str, recursive: bool) -> list[dict[str, Any]]:
    """Return what a folder holds, and with ``recursive`` all the folders in it hold."""
    inside = [name for name in files if name.startswith(under)]
    shown = [name for name in inside if recursive or "/" not in name.removeprefix(under)]
    folders = dict.fromkeys(name.removeprefix(under).partition("/")[0] for name in inside if name not in shown)
    return [{"type": "file", "path": name, "size": len(files[name]), "oid": "0"} for name in shown] + [
        {"type": "directory", "path": f"{under}{name}", "oid": "0"} for name in folders
    ]
