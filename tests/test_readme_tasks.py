"""The README's tasks of one's own, as they stand there: they import and export through the hooks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"


def test_tasks_of_ones_own_import_and_export(connections: Any, target: Any, tmp_path: Path, run_dag: Callable) -> None:
    from dag_bags import DagBag

    code = README.read_text().split("## In a task of your own")[1].split("```python\n", 1)[1].split("```", 1)[0]
    places = {"file:///data/texts": connections.uri, "file:///data/labelled": target.uri}
    for there, here in places.items():
        assert there in code
        code = code.replace(there, here)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "texts.py").write_text(code)
    bag = DagBag(str(tmp_path / "dags"))
    assert bag.import_errors == {}
    connections.put("a.json", {"data": {"text": "1"}, "annotations": [{"result": []}]})
    run = run_dag(bag.dags["texts"])
    assert run.state == "success"
    told = {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in run.get_task_instances()}
    assert (told["load"]["tasks_created"], told["save"]["written"]) == (1, 1)
    assert json.loads(json.dumps(told)) == told
    assert target.json("1.json")["data"] == {"text": "1"}
