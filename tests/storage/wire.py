"""Plain requests to a bucket server, so that no client smooths anything over."""

import json
import secrets
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.fakes.bucket_server import TEST_BUCKET


def as_multipart(metadata: dict[str, Any], data: bytes, kind: str = "image/png") -> bytes:
    return (
        b"--mark\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n"
        + json.dumps(metadata).encode()
        + f"\r\n--mark\r\ncontent-type: {kind}\r\n\r\n".encode()
        + data
        + b"\r\n--mark--"
    )


class Wire:
    """Requests to one server, inside a prefix of one test's own."""

    def __init__(self, endpoint: str, request: pytest.FixtureRequest) -> None:
        self.endpoint = endpoint
        self.request = request
        self.prefix = secrets.token_hex(6) + "/"
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.endpoint + path, timeout=30, **options)

    def object_path(self, name: str) -> str:
        return f"/storage/v1/b/{TEST_BUCKET}/o/{quote(self.prefix + name, safe='')}"

    def insert(self, name: str, data: bytes, **query: Any) -> requests.Response:
        body = as_multipart({"name": self.prefix + name}, data)
        return self.call(
            "POST",
            f"/upload/storage/v1/b/{TEST_BUCKET}/o",
            params={"uploadType": "multipart", **query},
            data=body,
            headers={"Content-Type": 'multipart/related; boundary="mark"'},
        )

    def generation(self, name: str) -> int:
        return int(self.call("GET", self.object_path(name)).json()["generation"])

    def media(self, name: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
        path = "/download" + self.object_path(name)
        return self.call("GET", path, params={"alt": "media", **query}, headers=headers)

    def foreign_differs(self, reason: str) -> None:
        """Say that fake-gcs-server does not pass this test, and see that it is so."""
        if self.request.param == "fake-gcs-server":
            self.request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
