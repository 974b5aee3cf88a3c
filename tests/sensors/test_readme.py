"""The README's example of sensors is a DAG that waits for what it imports and exports."""

from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_is_a_dag() -> None:
    section = README.read_text().split("\n## Wait for it\n")[1].split("\n## ")[0]
    made: dict[str, Any] = {}
    exec(section.split("```python\n")[1].split("```")[0], made)
    dag = made["arrived"].dag
    assert [task.task_id for task in dag.topological_sort()] == ["arrived", "photos", "labeled", "labels"]
    arrived, photos, labeled, labels = (dag.task_dict[name] for name in ("arrived", "photos", "labeled", "labels"))
    for name in ("source", "project", "use_blob_urls"):
        assert getattr(arrived, name) == getattr(photos, name)
    assert (labeled.project, labeled.target) == (labels.project, labels.target)
