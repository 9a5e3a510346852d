"""The arrows of imports: a file imports lower ranks only, and heavy things where they belong.

`docs` of the order: errors and pure arithmetic at the bottom, commands on top.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "trainer"

# First match wins; a file of a folder that is not named has the folder's rank.
RANKS = {
    "errors": -1,
    "command_line": -1,
    "agreement": 0,
    "child": 0,
    "health": 0,
    "progress": 0,
    "schedules": 0,
    "scores": 0,
    "seeds": 0,
    "shipped": 0,
    "config": 1,
    "config_address": 2,
    "console": 1,
    "storage": 1,
    "quiet": 2,
    "run_folder": 2,
    "device": 2,
    "distribution": 2,
    "data.shards": 2,
    "data.order": 2,
    "data": 3,
    "presets": 4,
    "gan.gan": 4,
    "gan.build": 4,
    "gan.state": 4,
    "gan.measure": 4,
    "gan.flops": 4,
    "gan.export": 4,
    "gan": 3,
    "checkpoint.networks": 5,
    "checkpoint": 4,
    "callbacks": 5,
    "worker": 6,
    "drawing": 6,
    "inspection": 6,
    "outliers": 6,
    "summary": 6,
    "evaluation": 7,
    "report": 8,
    "launch": 8,
    "cli": 9,
}
HEAVY_FREE = (
    "agreement",
    "errors",
    "progress",
    "schedules",
    "scores",
    "seeds",
    "config",
    "storage.address",
    "run_folder",
)
HEAVY = ("tensorflow", "keras", "ray", "tensorflow_datasets", "cv2", "torch")


class _WithoutTypeChecking(ast.NodeTransformer):
    """Imports for annotations only are no arrows: they are never executed."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)


def _modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found[name] = _WithoutTypeChecking().visit(tree)
    return found


MODULES = _modules()


def _rank(name: str) -> int | None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (rank := RANKS.get(".".join(parts[:length]))) is not None:
            return rank
    return None


def _imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _ours(tree: ast.AST) -> set[str]:
    return {
        name.removeprefix("trainer.")
        for name in _imports(tree)
        if name.startswith("trainer.") and name.removeprefix("trainer.") in MODULES
    }


def _top_level_imports(tree: ast.Module) -> set[str]:
    nodes = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    return _imports(ast.Module(body=nodes, type_ignores=[]))


@pytest.mark.parametrize("name", [n for n in MODULES if n not in ("", "__main__")])
def test_imports_point_down(name):
    rank = _rank(name)
    assert rank is not None, f"{name} has no rank: put it into RANKS"
    for other in _ours(MODULES[name]):
        same_folder = name.split(".")[0] == other.split(".")[0]
        assert _rank(other) < rank or same_folder, f"{name} (rank {rank}) imports {other}"
    families = {name.split(".")[0], *(other.split(".")[0] for other in _ours(MODULES[name]))}
    if name.split(".")[0] in ("data", "gan"):
        assert not {"data", "gan"} <= families, f"{name}: data and gan never import each other"


def test_every_name_in_the_lists_is_there():
    """One that is gone would hide that what came in its place has no rank."""
    assert [name for name in (*RANKS, *HEAVY_FREE) if name not in MODULES] == []


def test_no_circles_inside_a_folder():
    graph = {name: _ours(tree) - {name} for name, tree in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in graph[name]:
                # A package's front page re-exports its own files.
                if not name.startswith(f"{other}."):
                    visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_light_modules_import_nothing_heavy():
    for name, tree in MODULES.items():
        if name.startswith(HEAVY_FREE):
            heavy = [i for i in _imports(tree) if i.split(".")[0] in HEAVY]
            assert not heavy, f"{name} imports {heavy}"


def test_commands_and_launchers_import_heavy_things_only_when_they_run():
    for name, tree in MODULES.items():
        if name.startswith("cli"):
            heavy = [i for i in _top_level_imports(tree) if i.split(".")[0] in HEAVY]
            assert not heavy, f"{name} imports {heavy} at its top"


def test_ray_only_in_launch_and_clouds_only_in_storage():
    for name, tree in MODULES.items():
        imports = {i for i in _imports(tree)}
        if not name.startswith("launch"):
            assert not [i for i in imports if i.split(".")[0] == "ray"], name
        if not name.startswith("storage"):
            assert not [i for i in imports if i.startswith("google.cloud")], name


def test_a_wrong_arrow_is_seen():
    tree = ast.parse("from trainer.cli import main")
    assert _ours(tree) == {"cli", "cli.main"} & set(MODULES)
    assert _rank("cli.main") > _rank("errors")
