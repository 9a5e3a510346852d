"""HTTP as the JSON API of Google Cloud Storage uses it: requests, answers, bodies, ranges.

Owns the formats on the wire. What requests mean is `bucket_api.py`'s.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.stored_objects import Refused

_CHUNK_MULTIPLE = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class Request:
    """One HTTP request; header names in small letters."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    host: str = "localhost"

    def __post_init__(self) -> None:
        split = urlsplit(self.target)
        self.parts = [unquote(part) for part in split.path.strip("/").split("/")]
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))


@dataclass
class Answer:
    """One HTTP answer; `media` marks an object's own bytes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    media: bool = False


def as_json(content: Any, status: int = 200) -> Answer:
    """An answer of JSON."""
    body = json.dumps(content).encode()
    return Answer(status, {"Content-Type": "application/json; charset=UTF-8"}, body)


def refused(refusal: Refused) -> Answer:
    """A refusal as the service words it."""
    if refusal.status == 304:
        return Answer(304)
    error = {"message": str(refusal), "domain": "global", "reason": refusal.reason}
    whole = {"code": refusal.status, "message": str(refusal), "errors": [error]}
    return as_json({"error": whole}, refusal.status)


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON body."""
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, "Parse Error", "parseError") from None


def multipart(request: Request) -> tuple[dict[str, Any], bytes]:
    """Take a multipart/related body apart: JSON metadata, then the object's bytes."""
    found = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if not found:
        raise Refused(400, "no boundary")
    mark = b"--" + found[1].encode()
    first = request.body.index(mark) + len(mark)
    second = request.body.index(b"\r\n" + mark, first)
    last = request.body.rindex(b"\r\n" + mark + b"--")
    settable = parsed(request.body[request.body.index(b"\r\n\r\n", first) + 4 : second])
    head_end = request.body.index(b"\r\n\r\n", second + len(mark)) + 4
    head = request.body[second:head_end].decode("latin-1")
    kind = re.search(r"content-type: *([^\r\n]+)", head, re.IGNORECASE)
    if kind:
        settable.setdefault("contentType", kind[1])
    return settable, request.body[head_end:last]


def take_chunk(received: bytearray, request: Request) -> int | None:
    """Add a chunk to what was received; returns the upload's total size once it is known."""
    found = _CONTENT_RANGE.fullmatch(request.headers.get("content-range", ""))
    if not found:
        raise Refused(400, f"bad Content-Range {request.headers.get('content-range')!r}")
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return total
    start, end = int(found[1]), int(found[2]) + 1
    if end - start != len(request.body):
        raise Refused(400, "Content-Range and Content-Length disagree")
    if end != total and (end - start) % _CHUNK_MULTIPLE:
        raise Refused(400, "a chunk that is not the last must be a multiple of 256 KiB")
    have = len(received)
    if start <= have < end:  # bytes that have been kept before are ignored
        received += request.body[have - start :]
    return total


def bounds(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """The range asked for as [start, end)."""
    if not wanted[1]:
        return max(0, size - int(wanted[2] or 0)), size
    start = int(wanted[1])
    end = min(size, int(wanted[2]) + 1) if wanted[2] else size
    if start >= size or end <= start:
        raise Refused(
            416, "The requested range cannot be satisfied.", "requestedRangeNotSatisfiable"
        )
    return start, end
