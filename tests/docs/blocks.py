"""Code blocks of the documentation: what they say, and whether they say that they are not run."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").glob("*.md")),
    "benchmarks/README.md",
    "infra/README.md",
)
# Pages none of whose blocks is run, and why.
NOT_RUN = {"infra/README.md": "needs a project on Google Cloud, or a cluster of yours"}
_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<note>.+?) -->\n)?^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        page: Of the file, from the root.
        line: Where it begins.
        language: `bash`, `python` or `text`.
        text: What is in it.
        not_run: Why not; empty: it is run.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> Iterator[list[str]]:
        """Yields the words of each `catgan` command in it."""
        joined = self.text.replace("\\\n", " ")
        for line in joined.splitlines():
            for part in re.split(r"\s(?:&&|\|)\s", line):
                words = shlex.split(part, comments=True)
                if words and words[0].rpartition("/")[2] == "catgan":
                    yield words[1:]


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = Path(REPOSITORY / page).read_text("utf-8")
        for match in _BLOCK.finditer(text):
            note = match["note"] or ""
            told = note.removeprefix("not run: ") if note.startswith("not run: ") else ""
            why = told or NOT_RUN.get(page, "")
            if note == "the test command":
                why = "it is what runs this"
            line = text[: match.start("language")].count("\n") + 1
            found.append(Block(page, line, match["language"], match["text"], why))
    return found
