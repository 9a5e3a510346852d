"""The JSON API of Google Cloud Storage, as far as google-cloud-storage uses it.

Owns the routes: which request is which operation, and what it answers. Knows no
sockets and no faults (`bucket_server.py`); objects are `stored_objects.py`'s,
formats `wire_format.py`'s.
"""

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.stored_objects import ObjectStore, Refused, StoredObject, check, source_conditions
from tests.fakes.wire_format import (
    RANGE,
    Answer,
    Request,
    as_json,
    bounds,
    multipart,
    parsed,
    refused,
    take_chunk,
)


@dataclass
class _Session:
    """An upload in chunks."""

    bucket: str
    name: str
    settable: dict[str, Any]
    conditions: dict[str, str]
    received: bytearray = field(default_factory=bytearray)
    stored: StoredObject | None = None


class BucketApi:
    """Answers requests from a store."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._sessions: dict[str, _Session] = {}

    def identify(self, request: Request) -> tuple[str, str]:
        """The request's operation (e.g. "media") and the object that it is about."""
        operation, bucket_and_name = self._route(request)
        name = bucket_and_name[1] if len(bucket_and_name) > 1 else ""
        session = self._sessions.get(request.query.get("upload_id", ""))
        return operation, session.name if session else name or request.query.get("name", "")

    def answer(self, request: Request) -> Answer:
        """Do what the request asks for."""
        try:
            operation, where = self._route(request)
            handler = getattr(self, "_do_" + operation, None)
            if handler is None:
                raise Refused(404, f"no such call: {request.method} {request.target}")
            return handler(request, *where)
        except Refused as refusal:
            return refused(refusal)

    def _route(self, request: Request) -> tuple[str, tuple[str, ...]]:
        parts = request.parts
        upload = parts[0] == "upload"
        if parts[0] in ("upload", "download"):
            parts = parts[1:]
        if parts[:3] != ["storage", "v1", "b"]:
            return "unknown", ()
        match (request.method, *parts[3:]):
            case ("PUT", _, "o") if upload:
                return "chunk", ()
            case ("DELETE", _, "o") if upload:
                return "cancel", ()
            case ("POST", bucket, "o") if upload:
                kind = request.query.get("uploadType", "media")
                return ("start" if kind == "resumable" else "insert"), (bucket,)
            case ("GET",):
                return "buckets", ()
            case ("POST",):
                return "make_bucket", ()
            case ("GET", bucket):
                return "bucket", (bucket,)
            case ("GET", bucket, "o"):
                return "list", (bucket,)
            case ("GET", bucket, "o", name):
                media = request.query.get("alt") == "media"
                return ("media" if media else "look"), (bucket, name)
            case ("DELETE", bucket, "o", name):
                return "delete", (bucket, name)
            case ("PATCH", bucket, "o", name):
                return "patch", (bucket, name)
            case ("POST", bucket, "o", name, "compose"):
                return "compose", (bucket, name)
            case ("POST", bucket, "o", name, "rewriteTo" | "copyTo" as verb, "b", other, "o", new):
                return ("rewrite" if verb == "rewriteTo" else "copy"), (bucket, name, other, new)
        return "unknown", ()

    def _do_buckets(self, request: Request) -> Answer:
        return as_json({"items": [_bucket(name) for name in self.store.bucket_names()]})

    def _do_make_bucket(self, request: Request) -> Answer:
        name = parsed(request.body)["name"]
        self.store.add_bucket(name)
        return as_json(_bucket(name))

    def _do_bucket(self, request: Request, bucket: str) -> Answer:
        self.store.bucket(bucket)
        return as_json(_bucket(bucket))

    def _do_list(self, request: Request, bucket: str) -> Answer:
        query = request.query
        prefix = query.get("prefix", "")
        after = base64.urlsafe_b64decode(query.get("pageToken", "")).decode()
        limit = min(1000, int(query.get("maxResults", 1000)))
        with self.store.lock:
            names = self.store.names(bucket, lambda n: n.startswith(prefix) and n > after)
            items = [self.store.find(bucket, name).resource() for name in names[:limit]]
        content: dict[str, Any] = {"kind": "storage#objects", "items": items}
        if len(names) > limit:
            token = base64.urlsafe_b64encode(names[limit - 1].encode()).decode()
            content["nextPageToken"] = token
        return as_json(content)

    def _do_look(self, request: Request, bucket: str, name: str) -> Answer:
        stored = self.store.find(bucket, name, request.query.get("generation"))
        check(stored, request.query, read=True)
        return as_json(stored.resource())

    def _do_media(self, request: Request, bucket: str, name: str) -> Answer:
        with self.store.lock:
            stored = self.store.find(bucket, name, request.query.get("generation"))
            check(stored, request.query, read=True)
            content = self.store.content(stored)
        headers = {
            "Content-Type": stored.settable.get("contentType", "application/octet-stream"),
            "Accept-Ranges": "bytes",
            "ETag": f'"{stored.generation}"',
            "x-goog-generation": str(stored.generation),
            "x-goog-metageneration": str(stored.metageneration),
            "x-goog-stored-content-length": str(stored.size),
            "x-goog-stored-content-encoding": "identity",
            "x-goog-hash": f"crc32c={stored.crc32c},md5={stored.md5}",
        }
        wanted = RANGE.fullmatch(request.headers.get("range", ""))
        if not wanted:
            return Answer(200, headers, content, media=True)
        start, end = bounds(wanted, stored.size)
        # The checksum is the whole object's, so a part comes without one.
        del headers["x-goog-hash"]
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        return Answer(206, headers, content[start:end], media=True)

    def _do_insert(self, request: Request, bucket: str) -> Answer:
        if request.query.get("uploadType") == "multipart":
            settable, content = multipart(request)
        else:
            settable = {"contentType": request.headers.get("content-type", "")}
            content = request.body
        name = request.query.get("name") or settable["name"]
        stored = self.store.insert(bucket, name, content, settable, request.query)
        return as_json(stored.resource())

    def _do_start(self, request: Request, bucket: str) -> Answer:
        settable = parsed(request.body) if request.body else {}
        settable.setdefault("contentType", request.headers.get("x-upload-content-type", ""))
        name = request.query.get("name") or settable["name"]
        check(self.store.bucket(bucket).get(name), request.query)
        upload_id = secrets.token_hex(16)
        self._sessions[upload_id] = _Session(bucket, name, settable, request.query)
        location = (
            f"http://{request.host}/upload/storage/v1/b/{bucket}/o"
            f"?uploadType=resumable&upload_id={upload_id}"
        )
        return Answer(200, {"Location": location, "X-GUploader-UploadID": upload_id})

    def _do_cancel(self, request: Request) -> Answer:
        self._session(request)
        del self._sessions[request.query["upload_id"]]
        return Answer(499)

    def _do_chunk(self, request: Request) -> Answer:
        session = self._session(request)
        with self.store.lock:
            if session.stored is not None:
                return as_json(session.stored.resource())
            total = take_chunk(session.received, request)
            if total != len(session.received):
                headers = {}
                if session.received:
                    headers["Range"] = f"bytes=0-{len(session.received) - 1}"
                return Answer(308, headers)
            session.stored = self.store.insert(
                session.bucket,
                session.name,
                bytes(session.received),
                session.settable,
                session.conditions,
            )
            session.received = bytearray()
            return as_json(session.stored.resource())

    def _session(self, request: Request) -> _Session:
        session = self._sessions.get(request.query.get("upload_id", ""))
        if session is None:
            raise Refused(410, "The upload session is gone.", "gone")
        return session

    def _do_delete(self, request: Request, bucket: str, name: str) -> Answer:
        self.store.delete(bucket, name, request.query, request.query.get("generation"))
        return Answer(204)

    def _do_patch(self, request: Request, bucket: str, name: str) -> Answer:
        stored = self.store.patch(bucket, name, parsed(request.body), request.query)
        return as_json(stored.resource())

    def _do_copy(self, request: Request, bucket: str, name: str, other: str, new: str) -> Answer:
        with self.store.lock:
            source = self.store.find(bucket, name, request.query.get("sourceGeneration"))
            check(source, source_conditions(request.query))
            content = self.store.content(source)
            settable = {**source.settable, **(parsed(request.body) if request.body else {})}
            stored = self.store.insert(other, new, content, settable, request.query)
        return as_json(stored.resource())

    def _do_rewrite(self, request: Request, bucket: str, name: str, other: str, new: str) -> Answer:
        resource = json.loads(self._do_copy(request, bucket, name, other, new).body)
        size = resource["size"]
        return as_json(
            {
                "kind": "storage#rewriteResponse",
                "done": True,
                "objectSize": size,
                "totalBytesRewritten": size,
                "resource": resource,
            }
        )

    def _do_compose(self, request: Request, bucket: str, name: str) -> Answer:
        wanted = parsed(request.body)
        with self.store.lock:
            parts = []
            for item in wanted["sourceObjects"]:
                source = self.store.find(bucket, item["name"], item.get("generation"))
                check(source, item.get("objectPreconditions", {}))
                parts.append(self.store.content(source))
            settable = wanted.get("destination", {})
            stored = self.store.insert(bucket, name, b"".join(parts), settable, request.query)
        return as_json(stored.resource())


def _bucket(name: str) -> dict[str, str]:
    return {"kind": "storage#bucket", "id": name, "name": name, "location": "NOWHERE"}
