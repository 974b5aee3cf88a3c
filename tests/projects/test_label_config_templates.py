"""Label Studio's own templates: what a label config takes from a task's data is what the server says it takes."""

from collections.abc import Iterator
from typing import Any

import yaml
from servers.label_studio import LabelStudioServer, install

from labelsync_provider.projects.label_config import data_keys, data_problem

pytest_plugins = ["servers.label_studio"]

VALUES = ["a text", 1, 1.5, True, None, ["a"], {"a": "b"}]
FIRST_ERRORS = 99
"""The server tells no more of one request."""


def templates() -> dict[str, str]:
    """Return the label configs of the templates that the server shows, by their names."""
    folders = (install() / "lib").glob("python3*/site-packages/label_studio/annotation_templates/*/*/config.yml")
    found = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(folders)}
    return {name: template["config"] for name, template in found.items() if template.get("config")}


def with_value(key: str, value: Any) -> dict[str, Any]:
    """Return data that has a value where a key of a label config asks for it; `list[{{idx}}].x` asks for `list`."""
    first, *inner = reversed(key.partition("[")[0].split("."))
    data = {first: value}
    for part in inner:
        data = {part: data}
    return data


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else value
    return whole


def rows_for(label_config: str) -> Iterator[dict[str, Any]]:
    """Yield data that the label config takes, and data of which one value is another one, or missing."""
    keys = data_keys(label_config)
    good = {key: ["a"] if "[" in key else "a text" for key in keys}
    yield merged(*(with_value(key, value) for key, value in good.items()))
    for changed in keys:
        others = [with_value(key, good[key]) for key in keys if key != changed]
        yield merged(*others)
        for value in VALUES:
            yield merged(*others, with_value(changed, value))


def said_by(server: LabelStudioServer, project: int, rows: list[dict[str, Any]]) -> list[str | None]:
    """Return what the server has against each of some data; none is imported, for a bad task is among them."""
    tasks = [*({"data": row} for row in rows), {"data": {}, "annotations": "none"}]
    with server.client() as client:
        answer = client.post(f"/api/projects/{project}/import", json=tasks)
    assert answer.status_code == 400, answer.text
    errors = answer.json()["validation_errors"]["non_field_errors"]
    by_row = {int(error.partition(" item ")[2].partition(":")[0]): error for error in errors if error not in ("{}", {})}
    return [by_row.get(n) for n in range(len(rows))]


def test_the_server_and_the_check_are_of_one_mind(label_studio: LabelStudioServer) -> None:
    project, wrong, seen = label_studio.create_project(), [], 0
    for name, label_config in templates().items():
        rows = list(rows_for(label_config))
        with label_studio.client() as client:
            client.patch(f"/api/projects/{project}/", json={"label_config": label_config}).raise_for_status()
        for start in range(0, len(rows), FIRST_ERRORS - 1):
            some = rows[start : start + FIRST_ERRORS - 1]
            for row, said in zip(some, said_by(label_studio, project, some), strict=True):
                ours = data_problem(data_keys(label_config), row, "x")
                seen += 1
                if bool(said) != bool(ours):
                    wrong.append((name, row, said, ours))
    assert not wrong
    assert seen > 500
