"""Runs the demo DAG against a Label Studio server, and keeps that running for a person to look at the tasks.

Without a terminal, or with `--exit`, it ends when the tasks have been seen to be there.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from threading import Event

from demo.run import CHECKOUT, DATA, PROJECT, clear, run

# The server is that of the tests.
sys.path.append(str(CHECKOUT / "tests"))

from servers.label_studio import LabelStudioServer, install, running_label_studio


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit status."""
    clear()
    print("Installing Label Studio, unless it is there: the first time takes minutes ...", flush=True)
    install()
    print("Starting Label Studio ...", flush=True)
    # Its document root is the Path of the connection, so that both mean the same by a file's path.
    with running_label_studio(DATA) as server:
        status = run({"host": server.url, "password": server.token})
        if status:
            return status
        print("\n".join(("In Label Studio", *seen(server))), flush=True)
        if "--exit" not in arguments and sys.stdin.isatty():
            print("\nCtrl-C ends it.", flush=True)
            with suppress(KeyboardInterrupt):
                Event().wait()
    return 0


def seen(server: LabelStudioServer) -> Iterator[str]:
    """Look at what is there as an annotator would, and tell a person where."""
    with server.client() as client:
        found = client.get("/api/projects/", params={"title": PROJECT}).raise_for_status()
        (project,) = [each["id"] for each in found.json()["results"]]
        query = {"project": project, "page_size": 100}
        tasks = client.get("/api/tasks/", params=query).raise_for_status().json()["tasks"]
        pictures = [task["data"]["image"] for task in tasks]
        files = [url for url in pictures if not url.startswith("data:")]
        for url in files:
            client.get(url).raise_for_status()
    annotated = sum(task["is_labeled"] for task in tasks)
    yield f"  {len(tasks)} tasks, {annotated} of them annotated; {len(files)} pictures are served from local files"
    yield f"  {server.url}/projects/{project}/data"
    yield f"  e-mail {server.email}, password {server.password}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
