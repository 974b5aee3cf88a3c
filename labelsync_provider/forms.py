"""Trigger forms: what a DAG asks for, made from the names of parameters."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import DAG, Param
from airflow.sdk.definitions.param import DagParam

from labelsync_provider.parameter_texts import PARAMETERS
from labelsync_provider.parameters import Parameter


def form(names: Sequence[str], **defaults: Any) -> dict[str, Param]:
    """Return the `params` of a DAG, in this order; see `labelsync_provider.parameter_texts`.

    What is required is empty, and cannot be left so. A DAG with a schedule, which nobody fills in, gives it here:
    `form(["source", "project"], source="s3://bucket/photos", project="Street signs")`.

    :param names: of the parameters.
    :param defaults: what stands in their fields instead of the operator's defaults.
    """
    return {name: _field(PARAMETERS[name], defaults.get(name, _usual(PARAMETERS[name]))) for name in names}


class Entered(DagParam):
    """What was entered into a field of a DAG's form, as an argument of an operator: `dag.param`, also on Airflow 3.1.

    Airflow 3.1 cannot store a DAG that has a `dag.param` without a default. Here the default is the form's.
    """

    def serialize(self) -> dict[str, Any]:
        """Return what stands for it where the DAG is stored."""
        return {"dag_id": self.current_dag.dag_id, "name": self._name}


def entered(dag: DAG, names: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of an operator that are entered into a DAG's form, by name."""
    return {name: Entered(dag, name) for name in names}


def _usual(parameter: Parameter) -> Any:
    """Return the default as a form has it: what is automatic is null there."""
    return None if None in parameter.choices else parameter.default


def _field(parameter: Parameter, default: Any) -> Param:
    schema: dict[str, Any] = {"title": parameter.title, "description": parameter.for_form()}
    if parameter.section:
        schema["section"] = parameter.section
    if parameter.choices:
        schema |= _select(parameter)
    elif parameter.kind == "project":
        # The form makes a field for JSON of two types; not if there are proposals, and be it none.
        schema |= {"type": ["string", "integer"], "examples": []}
    elif parameter.required or parameter.kind == "boolean":
        schema["type"] = parameter.kind
    else:
        schema["type"] = ["null", parameter.kind]
    schema |= parameter.schema
    if parameter.required and default is None:
        return Param(**schema)
    return Param(default, **schema)


def _select(parameter: Parameter) -> dict[str, Any]:
    """Return a select. One that is cleared sends null, which is the default: it is a choice of its own."""
    choices = dict(parameter.choices)
    if None not in choices:
        label = choices[parameter.default]
        choices[None] = f"Default ({label[0].lower()}{label[1:]})"
    return {
        "enum": list(choices),
        "values_display": {"null" if value is None else str(value): label for value, label in choices.items()},
    }


def explained(text: str, names: Sequence[str]) -> str:
    """Return the page about a DAG: a text, and a table of what its form asks for."""
    asked = [PARAMETERS[name] for name in names]
    rows = [f"| {one.title}{' (required)' if one.required else ''} | {in_cell(one.for_form())} |" for one in asked]
    return "\n".join([text, "| field | meaning |", "|---|---|", *rows])


def in_cell(text: str) -> str:
    """Return a text as it stands in a cell of a Markdown table."""
    return text.replace("|", "\\|")
