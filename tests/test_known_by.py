"""A storage is a thing of its own: how many files of code know one by its name, and so must know the next one, too."""

import ast
import re
from pathlib import Path

import labelsync_provider

PACKAGE = Path(labelsync_provider.__file__).parent
NAME = re.compile(r"\bredis\b", re.IGNORECASE)
MOST = 4
"""Its hook, its storage, what Label Studio is told of it, and by which word Label Studio calls it."""


def code(source: str) -> str:
    """Return the code of a module, without comments, docstrings and other texts that nothing reads."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    return ast.unparse(tree)


def test_code_is_what_is_run() -> None:
    source = '"""Redis."""\nURL = "redis://1"  # of Redis\n"""Of Redis."""\n'
    assert NAME.findall(source) != NAME.findall(code(source)) == ["redis"]


def test_few_files_know_redis() -> None:
    knowing = sorted(
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if NAME.search(code(path.read_text()))
    )
    assert len(knowing) <= MOST, knowing
