"""What may cross the door, read from the schemas that the messages are validated by: nothing that could hold a picture.

The walk sees what is enforced, not what is annotated. It must never let a type pass that it does not know.
`tests/core/test_messages.py` plants what it must find.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from monitor.core.messages import MAX_MESSAGE, ToControl, ToMedia
from monitor.evidence.finding import Finding, broken, holds, said

_PLAIN = {"bool", "literal", "none"}


def unsafe(kind: Any) -> list[str]:
    """Where in a type something could hold bytes of a picture, or has no bound. Empty where all is well."""
    schema = TypeAdapter(kind).core_schema
    definitions = {one["ref"]: one for one in _definitions(schema)}
    return list(_walk(dict(schema), "", definitions))


def _definitions(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "ref" in node:
            yield node
        for value in node.values():
            yield from _definitions(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _definitions(value)


def _walk(  # noqa: PLR0912  (a table of cases)
    node: dict[str, Any], where: str, definitions: dict[str, Any]
) -> Iterator[str]:
    kind = node["type"]
    if kind == "definitions":
        yield from _walk(node["schema"], where, definitions)
    elif kind == "definition-ref":
        yield from _walk(definitions[node["schema_ref"]], where, {})
    elif kind == "tagged-union":
        for name, choice in node["choices"].items():
            yield from _walk(choice, f"{where}/{name}", definitions)
    elif kind == "union":
        for choice in node["choices"]:
            yield from _walk(choice[0] if isinstance(choice, tuple) else choice, where, definitions)
    elif kind == "model":
        if node["cls"].model_config.get("extra") != "forbid" or not node["cls"].model_config.get("strict"):
            yield f"{where}: takes unknown fields, or turns one type into another"
        yield from _walk(node["schema"], where, definitions)
    elif kind == "model-fields":
        for name, field in node["fields"].items():
            yield from _walk(field["schema"], f"{where}.{name}", definitions)
    elif kind == "default":
        yield from _walk(node["schema"], where, definitions)
    elif kind == "list":
        if "max_length" not in node:
            yield f"{where}: a list without a largest length"
        yield from _walk(node.get("items_schema", {"type": "any"}), f"{where}[]", definitions)
    elif kind == "str":
        if not node.get("max_length") or not node.get("pattern"):
            yield f"{where}: a string without a largest length and a pattern"
    elif kind in ("int", "float"):
        if not ({"ge", "gt"} & node.keys() and {"le", "lt"} & node.keys()):
            yield f"{where}: a number without bounds"
    elif kind not in _PLAIN:
        yield f"{where}: {kind}"


def judge_door() -> Finding:
    """Row 9, the door's part: every type that crosses is bounded and none can hold bytes."""
    wrong = [where for kind in (ToMedia, ToControl) for where in unsafe(kind)]
    if wrong:
        return broken(9, said("door.unsafe", where=", ".join(wrong)))
    return holds(9, said("door.types", largest=MAX_MESSAGE))
