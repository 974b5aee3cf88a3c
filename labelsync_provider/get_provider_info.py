"""What Airflow discovers of this package."""

from typing import Any

# What Airflow 3.1 asks the hook for, newer ones read here.
LABEL_STUDIO_FORM: dict[str, Any] = {
    "ui-field-behaviour": {
        "hidden-fields": ["port", "schema", "login", "extra"],
        "relabeling": {"host": "Server URL", "password": "Token"},
        "placeholders": {
            "host": "https://labels.example.com, where its pages begin; or embedded, the embedded store",
            "password": "legacy token or personal access token; none for the embedded store",
        },
    },
    "conn-fields": {
        "server": {
            "label": "Known as",
            "description": (
                "The name by which this server is known, if not by its Server URL. One that has moved keeps the URL "
                "that it had as its name; one that was set up anew at an old URL gets another name."
            ),
            "schema": {"type": ["string", "null"], "maxLength": 255},
        },
        "ca_file": {
            "label": "CA file",
            "description": "Path of the CA certificate of the server, in PEM, if it is not a public one.",
            "schema": {"type": ["string", "null"]},
        },
        "connect_timeout": {
            "label": "Connect time-out",
            "description": "Seconds that a connection to the server may take; 10 by default.",
            "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
        },
        "read_timeout": {
            "label": "Read time-out",
            "description": "Seconds that the server may be silent; 120 by default.",
            "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata; `airflow/provider_info.schema.json` describes it."""
    return {
        "package-name": "labelsync-provider",
        "name": "Labelsync",
        "description": "Keeps labeling projects and external storages in step.",
        "integrations": [
            {
                "integration-name": "Label Studio",
                "external-doc-url": "https://labelstud.io/guide/storage.html",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "label_studio",
                "hook-class-name": "labelsync_provider.hooks.label_studio.LabelStudioHook",
                "hook-name": "Label Studio",
                **LABEL_STUDIO_FORM,
            }
        ],
        # Those of storages are found by entry point; see `labelsync_provider.hooks.installed`.
        "hooks": [{"integration-name": "Label Studio", "python-modules": ["labelsync_provider.hooks.label_studio"]}],
        "operators": [
            {
                "integration-name": "Label Studio",
                "python-modules": [
                    "labelsync_provider.operators.import_storage",
                    "labelsync_provider.operators.export_annotations",
                    "labelsync_provider.operators.label_studio",
                    "labelsync_provider.operators.project",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": "Label Studio",
                "python-modules": [
                    "labelsync_provider.sensors.label_studio",
                    "labelsync_provider.sensors.project",
                    "labelsync_provider.sensors.storage",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": "Label Studio",
                "python-modules": [
                    "labelsync_provider.triggers.label_studio",
                    "labelsync_provider.triggers.project",
                    "labelsync_provider.triggers.storage",
                ],
            }
        ],
        "extra-links": [
            "labelsync_provider.operators.links.ImportedTasksLink",
            "labelsync_provider.operators.links.ProjectLink",
            "labelsync_provider.operators.links.StorageSettingsLink",
        ],
        "notifications": ["labelsync_provider.notifier.SyncReportNotifier"],
        "cli": ["labelsync_provider.cli.get_commands"],
        "config": {
            "labelsync": {
                "description": "Settings of labelsync-provider.",
                "options": {
                    "database": {
                        "description": (
                            "The database that holds the ledger and the embedded projects: conn: and the id of a "
                            "connection of type Postgres, or a SQLAlchemy URL. Empty: SQLite, labelsync.db in "
                            "AIRFLOW_HOME. Workers on several machines share a PostgreSQL."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "conn:labelsync_db",
                        "default": "",
                        "sensitive": True,
                    }
                },
            }
        },
    }
