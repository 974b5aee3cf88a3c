"""The layouts of what is exported, by name. One more is a file beside this one, and a line here."""

from labelsync_provider.formats.annotations import by_annotation, by_task
from labelsync_provider.formats.annotations.layout import Layout, LayoutName

LAYOUTS: dict[LayoutName, Layout] = {
    "annotation": by_annotation.LAYOUT,
    "task": by_task.LAYOUT,
}
