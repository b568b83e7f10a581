"""A Hugging Face Hub on 127.0.0.1: the part of its HTTP interface that huggingface_hub speaks to download and to publish models.

What it answers follows the real one: a private repository is one that is not there for a stranger, large files go
through Git LFS, a commit is all or nothing. :attr:`Hub.faults` makes it answer badly.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_" + "w" * 34
"""The token of the account ``me``, which may read and write everything under that name."""
LICENSES = {"apache-2.0", "mit", "gemma", "other", "unknown"}
LARGE = ".safetensors"


@dataclass
class Repo:
    """One repository: its commits, and which one each branch points to."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str = "") -> str:
        """Put a branch on new content; returns the commit."""
        sha = hashlib.sha1(f"{len(self.commits)} {message} {sorted(files)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the default branch."""
        return self.commits[self.branches["main"]]


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    data: bytes


@dataclass(frozen=True)
class Answer:
    """What to send back."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Fault:
    """Answers ``times`` requests badly: those of this method whose path holds ``inside``."""

    inside: str
    answer: Answer
    times: int = 1
    method: str | None = None


NO_REPOSITORY = Answer(401, {"error": "Invalid username or password."}, {"X-Error-Code": "RepoNotFound"})
NO_ENTRY = Answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
NO_REVISION = Answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
GATED = Answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
BAD_TOKEN = Answer(401, {"error": "Invalid"}, {"X-Error-Message": "Invalid credentials in Authorization header"})
FORBIDDEN = Answer(
    403, {"error": "no"}, {"X-Error-Message": "You don't have the rights to create a model under this namespace"}
)


class Hub:
    """Repositories by name, and every request that came."""

    def __init__(self) -> None:
        self.url = ""
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()

    def put(self, name: str, folder: Path | None = None, **settings: Any) -> Repo:
        """Make a repository, with the files of a folder as its first commit."""
        repo = self.repos[name] = Repo(**settings)
        files = [] if folder is None else [path for path in sorted(folder.rglob("*")) if path.is_file()]
        repo.commit("main", {path.relative_to(folder or path).as_posix(): path.read_bytes() for path in files}, "first")
        return repo

    def fetched(self) -> list[str]:
        """Names of the files whose content was downloaded, in order."""
        return [
            unquote(urlsplit(asked.path).path.split("/resolve/")[1].partition("/")[2])
            for asked in self.asked
            if asked.method == "GET" and "/resolve/" in asked.path
        ]

    def answer(self, asked: Request) -> Answer:
        """Answer one request."""
        if asked.path == "/api/agent-harnesses":  # the client's own question, once a process
            return Answer(404, {"error": "not here"})
        with self.lock:
            self.asked.append(asked)
            for fault in self.faults:
                if fault.times and fault.inside in asked.path and fault.method in (None, asked.method):
                    fault.times -= 1
                    return fault.answer
            if asked.headers.get("authorization", f"Bearer {TOKEN}") != f"Bearer {TOKEN}":
                return BAD_TOKEN
            path = unquote(urlsplit(asked.path).path)
            for method, pattern, handle in ROUTES:
                if (found := re.fullmatch(pattern, path)) and asked.method in method.split():
                    return handle(self, asked, **found.groupdict())
        return Answer(404, {"error": f"no such address: {asked.method} {path}"})

    def readable(self, asked: Request, name: str) -> Repo | None:
        """The repository, unless it is not there or hidden from who asks."""
        repo = self.repos.get(name)
        return None if repo is None or (repo.private and not mine(asked, name)) else repo


def mine(asked: Request, name: str) -> bool:
    """Whether who asks may write there."""
    return asked.headers.get("authorization") == f"Bearer {TOKEN}" and name.startswith("me/")


def at(repo: Repo, revision: str | None) -> str | None:
    """The commit of a revision."""
    revision = revision or "main"
    return revision if revision in repo.commits else repo.branches.get(revision)


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def front_matter(readme: bytes) -> dict[str, Any] | None:
    """What a model card declares at its top."""
    match = re.match(r"\A---\n(.*?)\n---\n", readme.decode(), re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def describe(hub: Hub, asked: Request, name: str, revision: str | None = None) -> Answer:
    repo = hub.readable(asked, name)
    if repo is None:
        return NO_REPOSITORY
    sha = at(repo, revision)
    if sha is None:
        return NO_REVISION
    files = repo.commits[sha]
    siblings = [{"rfilename": path, "size": len(data), "blobId": git_hash(data)} for path, data in files.items()]
    card = front_matter(files.get("README.md", b""))
    body = {"id": name, "sha": sha, "private": repo.private, "gated": "manual" if repo.gated else False, "tags": [],
            "siblings": siblings, **({"cardData": card} if card else {})}  # fmt: skip
    return Answer(body=body)


def tree(hub: Hub, asked: Request, name: str, revision: str, path: str | None) -> Answer:
    repo = hub.readable(asked, name)
    if repo is None:
        return NO_REPOSITORY
    sha = at(repo, revision)
    if sha is None:
        return NO_REVISION
    inside = {file: data for file, data in repo.commits[sha].items() if file.startswith(f"{path}/" if path else "")}
    if path and not inside:
        return NO_ENTRY
    entries = []
    for file, data in inside.items():
        entry: dict[str, Any] = {"type": "file", "path": file, "size": len(data), "oid": git_hash(data)}
        if file.endswith(LARGE):
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
        entries.append(entry)
    return Answer(body=entries)


def resolve(hub: Hub, asked: Request, name: str, revision: str, path: str) -> Answer:
    repo = hub.readable(asked, name)
    if repo is None:
        return NO_REPOSITORY
    sha = at(repo, revision)
    if sha is None:
        return NO_REVISION
    if repo.gated and not mine(asked, name):
        return GATED
    if path not in repo.commits[sha]:
        return NO_ENTRY
    data = repo.commits[sha][path]
    etag = sha256(data) if path.endswith(LARGE) else git_hash(data)
    return Answer(body=data, headers={"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"})


def create(hub: Hub, asked: Request) -> Answer:
    wanted = json.loads(asked.data)
    name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
    if "authorization" not in asked.headers:
        return BAD_TOKEN
    if not mine(asked, name):
        return FORBIDDEN
    if name in hub.repos:
        return Answer(409, {"error": "You already created this model repo", "url": f"{hub.url}/{name}"})
    private = wanted["visibility"] == "private" if "visibility" in wanted else bool(wanted.get("private"))
    hub.repos[name] = Repo(private=private)
    hub.repos[name].commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
    return Answer(body={"url": f"{hub.url}/{name}", "name": name})


def validate(hub: Hub, asked: Request) -> Answer:
    card = front_matter(json.loads(asked.data)["content"].encode())
    errors = []
    if not card:
        return Answer(body={"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
    if card.get("license") not in LICENSES:
        errors.append({"message": '"license" must be one of [...]'})
    results = (card.get("model-index") or [{}])[0].get("results", [])
    if not all({"task", "dataset", "metrics"} <= result.keys() for result in results):
        errors.append({"message": '"model-index[0].results" is not complete'})
    return Answer(400 if errors else 200, {"errors": errors, "warnings": []})


def preupload(hub: Hub, asked: Request, name: str, revision: str) -> Answer:
    repo = hub.readable(asked, name)
    if repo is None or not mine(asked, name):
        return NO_REPOSITORY
    sha = at(repo, revision)
    if sha is None:
        return NO_REVISION
    files = repo.commits[sha]
    answers = [
        {
            "path": file["path"],
            "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
            "shouldIgnore": False,
            "oid": None if file["path"] not in files
            else (sha256 if file["path"].endswith(LARGE) else git_hash)(files[file["path"]]),
        }
        for file in json.loads(asked.data)["files"]
    ]  # fmt: skip
    return Answer(body={"files": answers})


def batch(hub: Hub, asked: Request, name: str) -> Answer:
    if not mine(asked, name):
        return FORBIDDEN
    objects = [
        {**wanted, **({} if wanted["oid"] in hub.blobs
                      else {"actions": {"upload": {"href": f"{hub.url}/blobs/{wanted['oid']}"}}})}
        for wanted in json.loads(asked.data)["objects"]
    ]  # fmt: skip
    return Answer(body={"transfer": "basic", "objects": objects})


def store(hub: Hub, asked: Request, oid: str) -> Answer:
    if sha256(asked.data) != oid:
        return Answer(400, {"error": "the content is not what was announced"})
    hub.blobs[oid] = asked.data
    return Answer(body={})


def commit(hub: Hub, asked: Request, name: str, revision: str) -> Answer:
    repo = hub.readable(asked, name)
    if repo is None or not mine(asked, name):
        return NO_REPOSITORY
    lines = [json.loads(line) for line in asked.data.splitlines()]
    header, operations = lines[0]["value"], lines[1:]
    if header.get("parentCommit", repo.branches.get(revision)) != repo.branches.get(revision):
        return Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
    files = dict(repo.commits[repo.branches[revision]])
    for operation in operations:
        value = operation["value"]
        if operation["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif operation["key"] == "lfsFile":
            files[value["path"]] = hub.blobs[value["oid"]]
        else:
            del files[value["path"]]
    sha = repo.commit(revision, files, header["summary"])
    return Answer(body={"success": True, "commitOid": sha, "commitUrl": f"{hub.url}/{name}/commit/{sha}"})


def branch(hub: Hub, asked: Request, name: str, revision: str) -> Answer:
    repo = hub.readable(asked, name)
    if repo is None or not mine(asked, name):
        return NO_REPOSITORY
    if revision in repo.branches:
        return Answer(409, {"error": "Reference already exists"})
    repo.branches[revision] = repo.branches["main"]
    return Answer(body={})


NAME = r"(?P<name>[^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("POST", "/api/repos/create", create),
    ("POST", "/api/validate-yaml", validate),
    ("GET", f"/api/models/{NAME}(/revision/(?P<revision>.+))?", describe),
    ("GET", f"/api/models/{NAME}/tree/(?P<revision>[^/]+)(/(?P<path>.+))?", tree),
    ("GET HEAD", f"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    ("POST", f"/api/models/{NAME}/preupload/(?P<revision>.+)", preupload),
    ("POST", f"/{NAME}.git/info/lfs/objects/batch", batch),
    ("PUT", "/blobs/(?P<oid>.+)", store),
    ("POST", f"/api/models/{NAME}/commit/(?P<revision>.+)", commit),
    ("POST", f"/api/models/{NAME}/branch/(?P<revision>.+)", branch),
]


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1 for the length of the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            answer = hub.answer(Request(self.command, self.path, headers, data))
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.send_header("content-length", str(len(answer.data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.data)
            self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
