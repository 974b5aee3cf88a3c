"""The layouts of exports: what each does, and that forms, operator and options name those of the registry."""

import inspect
from typing import Any, get_args

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.annotations.files import Written, annotation_files, recognised
from labelsync_provider.formats.annotations.key_template import key_renderer
from labelsync_provider.formats.annotations.layout import Layout, LayoutName
from labelsync_provider.formats.annotations.note import LONGEST_NOTE, Note, check_note
from labelsync_provider.formats.annotations.registry import LAYOUTS
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.parameter_texts import PARAMETERS

NAMES = list(LAYOUTS)
ANNOTATIONS: list[dict[str, Any]] = [
    {"id": n, "project": 3, "result": [], "was_cancelled": n == 12, "completed_by": 1} for n in (11, 12, 13)
]
TASK: dict[str, Any] = {"id": 7, "project": 3, "data": {"text": "a"}, "annotations": ANNOTATIONS}


def test_are_named_the_same_everywhere() -> None:
    operator = inspect.signature(ExportAnnotationsOperator.__init__).parameters["layout"]
    assert list(get_args(LayoutName)) == NAMES
    assert list(get_args(operator.annotation)) == NAMES
    assert list(PARAMETERS["layout"].choices) == NAMES
    assert [layout.name for layout in LAYOUTS.values()] == NAMES


def test_default_keys_are_those_that_the_text_names() -> None:
    named = " or ".join(f"`{layout.key_template}`" for layout in LAYOUTS.values())
    assert PARAMETERS["key_template"].by_default == named


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=NAMES)
class TestLayout:
    def files(self, layout: Layout, task: dict[str, Any] = TASK, *, include_cancelled: bool = True) -> Any:
        note = Note("embedded://projects/3", "2026-11-01T00:00:00+00:00", layout.name, layout.key_template)
        key = key_renderer(None, layout.name)
        return note, list(annotation_files(task, note, key, include_cancelled=include_cancelled))

    def test_recognises_each_object_that_it_writes(self, layout: Layout) -> None:
        note, files = self.files(layout)
        assert files
        for file in files:
            content = file.encode()
            check_note(content[:LONGEST_NOTE], note)
            assert recognised(file.key, content, note) == Written(note, 7, file.annotations)

    def test_writes_every_annotation_once(self, layout: Layout) -> None:
        for include_cancelled, count in ((True, 3), (False, 2)):
            files = self.files(layout, include_cancelled=include_cancelled)[1]
            assert sum(file.annotations for file in files) == count
            assert len(files) == (count if layout.is_of_annotations else 1)
            assert len({file.key for file in files}) == len(files)

    def test_writes_nothing_of_a_task_without_annotations(self, layout: Layout) -> None:
        assert self.files(layout, {**TASK, "annotations": []})[1] == []

    def test_recognises_no_copy_and_nothing_else(self, layout: Layout) -> None:
        note, (file, *_) = self.files(layout)
        with pytest.raises(Invalid, match="it is a copy of"):
            recognised(f"copy of {file.key}", file.encode(), note)
        whole = file.encode()
        for content in (b"", b"{}", b"[" * 10_000, b"\xff", whole[:-2], whole.replace(b'"id":', b'"x":')):
            with pytest.raises(Invalid, match="it is no file of this exporter"):
                recognised(file.key, content, note)

    def test_needs_its_own_id_in_the_key(self, layout: Layout) -> None:
        with pytest.raises(Invalid, match=f"without {{{layout.name}_id}} objects would share a key"):
            key_renderer("{project_id}.json", layout.name)
        assert f"{layout.name}_id" in layout.key_fields
