"""The key template of an export: it makes the keys of objects of ids, so that no two objects share one."""

from collections.abc import Callable
from itertools import pairwise
from string import Formatter

from labelsync_provider.errors import invalid
from labelsync_provider.formats.annotations.layout import LayoutName
from labelsync_provider.formats.annotations.registry import LAYOUTS

KeyRenderer = Callable[..., str]


def key_template_of(template: str | None, layout: LayoutName) -> str:
    """Return the key template of an export: the layout's own, if none was given."""
    return LAYOUTS[layout].key_template if template is None else template


def key_renderer(template: str | None, layout: LayoutName) -> KeyRenderer:
    """Return the function that makes keys, of `annotation_id` (layout "annotation"), `task_id`, `project_id`.

    :raises Invalid: the template has other fields, leads out of the target, or gives two objects one key.
    """
    template = key_template_of(template, layout)
    remedy = f"Use {', '.join('{' + name + '}' for name in sorted(LAYOUTS[layout].key_fields))} and text around them."
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise invalid("key_template", template, str(error), remedy) from error
    fields = {name for _, name, _, _ in parsed if name is not None}
    if unknown := fields - LAYOUTS[layout].key_fields:
        raise invalid("key_template", template, f"unknown field {sorted(unknown)[0]!r} for layout {layout!r}", remedy)
    if any(spec or conversion for _, _, spec, conversion in parsed):
        raise invalid("key_template", template, "fields take no format", remedy)
    if f"{layout}_id" not in fields:
        raise invalid("key_template", template, f"without {{{layout}_id}} objects would share a key", remedy)
    between = [text for (_, name, _, _), (text, *_) in pairwise(parsed) if name is not None]
    times = sum(name is not None for _, name, _, _ in parsed)
    if any(text.isdecimal() or not text for text in between[: times - 1]):
        raise invalid("key_template", template, "objects could share a key", "Put a '-' or a '/' between two fields.")
    parts = template.format(annotation_id=1, task_id=1, project_id=1).split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in template:
        remedy = "Use names joined by '/', without '.', '..' or empty ones."
        raise invalid("key_template", template, "leads out of the target, or is no path in it", remedy)
    return template.format
