"""The labeling loop, run through Airflow's API: pictures are dropped and annotated, a bucket gets the annotations."""

import json
import secrets
from pathlib import Path

import pytest
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server
from standalone.conftest import Airflow

LABEL_CONFIG = """
<View>
  <Image name="picture" value="$image"/>
  <Choices name="shape" toName="picture"><Choice value="circle"/><Choice value="square"/></Choices>
</View>
"""
RESULT = [{"from_name": "shape", "to_name": "picture", "type": "choices", "value": {"choices": ["circle"]}}]
PICTURES = 3
JPEG = b"\xff\xd8\xff\xd9"


def annotate_all(server: LabelStudioServer, project: int) -> None:
    with server.client() as client:
        tasks = client.get("/api/tasks/", params={"project": project}).raise_for_status().json()["tasks"]
        for task in tasks:
            client.post(f"/api/tasks/{task['id']}/annotations/", json={"result": RESULT}).raise_for_status()


@pytest.mark.parametrize("place", ["directory", "s3"])
def test_goes_round(airflow: Airflow, label_studio: LabelStudioServer, weed: S3Server, data: Path, place: str) -> None:
    project = label_studio.create_project(label_config=LABEL_CONFIG)
    folder, bucket, target = data / secrets.token_hex(4), weed.create_bucket(), weed.create_bucket()
    folder.mkdir()
    source = str(folder) if place == "directory" else f"s3://{bucket}/photos"

    def drop(number: int) -> None:
        if place == "directory":
            (folder / f"{number}.jpg").write_bytes(JPEG)
        else:
            weed.client().put_object(Bucket=bucket, Key=f"photos/{number}.jpg", Body=JPEG)

    given = {"source": source, "project": project, "target": f"s3://{target}/labels", "use_blob_urls": True}

    def waits(task: str) -> None:
        reached = ("up_for_reschedule", "deferred")
        airflow.wait_until(lambda: airflow.state("labeling_loop", run, task) in reached, f"{task} does not wait")

    drop(0)
    if place == "s3":  # all are there before the sensor looks
        drop(1), drop(2)
    run = airflow.trigger("labeling_loop", **given, min_objects=PICTURES, min_new=PICTURES)
    if place == "directory":
        waits("wait_for_objects")
        drop(1), drop(2)
    waits("wait_for_labels")
    assert airflow.report("labeling_loop", run, "import")["tasks_created"] == PICTURES
    annotate_all(label_studio, project)
    airflow.succeeded("labeling_loop", run)

    report = airflow.report("labeling_loop", run, "export")
    written = weed.client().list_objects_v2(Bucket=target, Prefix="labels/")["Contents"]
    assert len(written) == PICTURES, report
    annotations = [json.load(weed.client().get_object(Bucket=target, Key=each["Key"])["Body"]) for each in written]
    assert {Path(annotation["task"]["data"]["image"]).name for annotation in annotations} == {
        f"{number}.jpg" for number in range(PICTURES)
    }
