"""The main job on sample data: pictures and task files in, annotations out, and in again to no effect.

| field | meaning |
|---|---|
| Directory | Where the sample is made and the annotations go. |

Needs two connections: `fs_default`, of type File (path), whose Path is at or above the directory, and
`label_studio_default`, of type Label Studio: to the embedded store, `embedded`, or to a server. A server that serves
files below that Path shows the pictures.
"""

import json
import struct
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task

from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator

LABEL_CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <Choices name="shape" toName="image">
    <Choice value="circle"/>
    <Choice value="square"/>
  </Choices>
</View>
"""
SIDE = 96
COLOURS = [(214, 69, 65), (244, 179, 80), (38, 166, 91), (52, 152, 219), (155, 89, 182), (52, 73, 94)]


def draw(shape: str, colour: tuple[int, int, int]) -> bytes:
    """Return a PNG of a shape."""

    def inside(x: int, y: int) -> bool:
        x, y, radius = x - SIDE // 2, y - SIDE // 2, SIDE // 3
        return x * x + y * y < radius * radius if shape == "circle" else max(abs(x), abs(y)) < radius

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    white = (255, 255, 255)
    lines = (b"\0" + b"".join(bytes(colour if inside(x, y) else white) for x in range(SIDE)) for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"".join(lines))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def inline(n: int, shape: str) -> str:
    """Return a URL that holds its picture itself: this one is in no storage."""
    return f"data:image/png;base64,{b64encode(draw(shape, COLOURS[n])).decode()}"


def labelled(n: int, shape: str, *, guess: str | None = None) -> dict[str, Any]:
    """Return a task with an annotation and, if there is a guess, a prediction."""

    def choice(value: str) -> list[dict[str, Any]]:
        return [{"from_name": "shape", "to_name": "image", "type": "choices", "value": {"choices": [value]}}]

    row: dict[str, Any] = {
        "data": {"image": inline(n, shape)},
        "annotations": [{"result": choice(shape), "completed_by": {"id": 1, "email": "ann@example.com"}}],
    }
    if guess:
        row["predictions"] = [{"result": choice(guess), "model_version": "demo-1", "score": 0.7}]
    return row


with DAG(
    dag_id="labelsync_demo",
    dag_display_name="Demo of labelsync",
    description="The main job on sample data.",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["labelsync", "demo"],
    params={
        "directory": Param(
            "/tmp/labelsync-demo",  # noqa: S108 - a default that a person can change in the form
            type="string",
            title="Directory",
            description="Where the sample is made and the annotations go.",
        ),
    },
) as dag:
    DIRECTORY = "{{ params.directory }}"

    @task(task_display_name="Make the sample")
    def make_sample(directory: str) -> None:
        """Draw pictures, and write task files, one of them malformed."""
        pictures, task_files = Path(directory) / "pictures", Path(directory) / "task_files"
        pictures.mkdir(parents=True, exist_ok=True)
        task_files.mkdir(exist_ok=True)
        files = {
            pictures / f"{shape}-{n}.png": draw(shape, colour)
            for n, colour in enumerate(COLOURS)
            for shape in ("circle", "square")
        }
        several = [labelled(0, "circle", guess="circle"), labelled(1, "square", guess="circle"), labelled(2, "circle")]
        lines = [labelled(3, "square"), {"image": inline(4, "circle")}]
        files |= {
            task_files / "several.json": json.dumps(several, indent=2).encode(),
            task_files / "lines.jsonl": "\n".join(map(json.dumps, lines)).encode(),
            task_files / "one.json": json.dumps(labelled(5, "circle", guess="square")).encode(),
            task_files / "malformed.json": b'[{"data": {"image": "https://example.com/6.png"}},',
        }
        for path, content in files.items():
            # What is there already stays as it is: a second run of the demo finds nothing new.
            if not path.exists():
                path.write_bytes(content)

    def imports(suffix: str) -> tuple[ImportStorageSyncOperator, ImportStorageSyncOperator]:
        """Return the two imports: pictures, and task files."""
        project = create_project.output
        pictures = ImportStorageSyncOperator(
            task_id=f"import_pictures{suffix}",
            task_display_name=f"Import pictures{' again' if suffix else ''}",
            source=f"{DIRECTORY}/pictures",
            project=project,
            use_blob_urls=True,
        )
        task_files = ImportStorageSyncOperator(
            task_id=f"import_task_files{suffix}",
            task_display_name=f"Import task files{' again' if suffix else ''}",
            source=f"{DIRECTORY}/task_files",
            project=project,
        )
        return pictures, task_files

    @task(task_display_name="Account")
    def account(directory: str, reports: list[dict[str, Any]]) -> str:
        """Tell what happened, for a person."""
        *imported, exported = reports
        rows = [
            f"  {name:<24}listed {report['listed']:>3}, tasks created {report['tasks_created']:>3}, "
            f"unchanged {report['unchanged']:>3}, quarantined {report['quarantined']}"
            for name, report in zip(
                ("pictures", "task files", "pictures again", "task files again"), imported, strict=True
            )
        ]
        quarantine = [f"    {failure['key']}: {failure['reason']}" for failure in imported[1]["quarantine"]]
        again = sum(report["tasks_created"] for report in imported[2:])
        text = "\n".join(
            [
                "Imported",
                *rows[:2],
                "  in quarantine, by name",
                *quarantine,
                "Exported",
                f"  {exported['annotations']} annotations: {exported['written']} objects written, "
                f"{exported['unchanged']} unchanged, {exported['failed']} failed",
                "Imported again",
                *rows[2:],
                f"  the second import created {again or 'no'} tasks",
                "Look at",
                f"  {directory}/annotations",
                "",
            ]
        )
        (Path(directory) / "account.txt").write_text(text)
        print(text)
        return text

    create_project = CreateProjectOperator(
        task_id="create_project",
        task_display_name="Create the project",
        title="Labelsync demo",
        label_config=LABEL_CONFIG,
        description="Shapes to tell apart.",
    )
    first, again = imports(""), imports("_again")
    export = ExportAnnotationsOperator(
        task_id="export_annotations",
        task_display_name="Export annotations",
        project=create_project.output,
        target=f"{DIRECTORY}/annotations",
    )
    make_sample(DIRECTORY) >> create_project >> first[0] >> first[1] >> export >> again[0] >> again[1]
    again[1] >> account(DIRECTORY, [job.output for job in (*first, *again, export)])
