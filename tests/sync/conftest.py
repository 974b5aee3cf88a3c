"""What tests of runs that are killed share: where the objects are."""

from pathlib import Path
from typing import Any

import pytest
from places import Directory, RedisPlace, S3Place


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty document root, bucket or database."""
    name = getattr(request, "param", "local files")
    if name == "S3":
        rclone = request.getfixturevalue("rclone")
        return S3Place(rclone, rclone.create_bucket())
    if name == "Redis":
        return RedisPlace(request.getfixturevalue("valkey"))
    root = tmp_path / "root"
    root.mkdir()
    return Directory(root)
