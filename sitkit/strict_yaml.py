"""YAML that a person wrote, read within bounds: plain values only, no key twice, no file that grows as it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sitkit.errors import RecipeError
from sitkit.validation import shown

_MOST_CHARACTERS, _MOST_VALUES, _DEEPEST = 1_000_000, 20_000, 20
_TOO_MANY = f"more than {_MOST_VALUES} values, with what aliases stand for"
_SCALARS = {"null": "empty value", "bool": "true/false value", "int": "whole number", "float": "number", "str": "text"}
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


FUNCTION = "!function"


class LinedDict(dict[str, Any]):
    """A mapping that knows on which line of its file each key stands, counted from 1."""

    lines: Mapping[str, int] = {}


class Function(str):
    """The name of a function, ``MODULE.NAME``, as lm-eval's tasks write it after `FUNCTION`."""


class _Loader(yaml.SafeLoader):
    depth = 0
    values = 0
    functions = False

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth, self.values = self.depth + 1, self.values + 1
        if self.depth > _DEEPEST or self.values > _MOST_VALUES:
            problem = f"nested deeper than {_DEEPEST} levels" if self.depth > _DEEPEST else _TOO_MANY
            raise ComposerError(None, None, problem, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct(self, node: Node) -> Any:
        """Return a mapping with its lines, a list, or the value of a scalar."""
        kind = node.tag.rpartition(":")[2]
        if isinstance(node, ScalarNode) and kind in _SCALARS:
            try:
                node.value.encode("utf-8")
                return self.construct_object(node)
            except (ValueError, LookupError) as error:
                problem = f"{shown(node.value, 40)!r} is not a valid {_SCALARS[kind]}"
                raise ConstructorError(None, None, problem, node.start_mark) from error
        if isinstance(node, ScalarNode) and self.functions and node.tag == FUNCTION:
            return Function(node.value)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.construct(item) for item in node.value]
        if isinstance(node, MappingNode) and kind == "map":
            return self._construct_lined(node)
        raise ConstructorError(None, None, f"values of the tag {node.tag!r} are not read", node.start_mark)

    def _construct_lined(self, node: MappingNode) -> LinedDict:
        found, lines = LinedDict(), dict[str, int]()
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise ConstructorError(None, None, "a key must be one word", key_node.start_mark)
            key = key_node.value
            if key in found:
                raise ConstructorError(None, None, f"the key {shown(key)!r} is given twice", key_node.start_mark)
            found[key], lines[key] = self.construct(value_node), key_node.start_mark.line + 1
        found.lines = lines
        return found


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back, text that looks like a number in quotes."""


for _kind in (_Loader, _Dumper):
    # YAML 1.1 reads 1e-5 as text.
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str, where: str, *, functions: bool = False) -> LinedDict:
    """Return the mapping a YAML text holds; an empty text is an empty one. Dates are text.

    With ``functions`` a value of the tag `FUNCTION` is read as a `Function`; nothing is imported.

    Raises `RecipeError` naming ``where`` and the line: for what is not YAML or not a mapping, for a key given twice,
    a value of another tag, and for a text that is too long, too deep, or grows too much by its aliases.
    """
    if len(text) > _MOST_CHARACTERS:
        raise RecipeError(f"{where}: invalid YAML: more than {_MOST_CHARACTERS} characters")
    try:
        loader = _Loader(text)
        loader.functions = functions
        node = loader.get_single_node()
        if node is None:
            return LinedDict()
        _count(node, _MOST_VALUES, _DEEPEST)
        found = loader.construct(node)
        if not isinstance(found, LinedDict | None):
            raise ConstructorError(None, None, f"expected key: value lines, got {shown(found)}", node.start_mark)
        return LinedDict() if found is None else found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise RecipeError(f"{where}{line}: invalid YAML: {' '.join(reason.split())}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{where}: invalid YAML: {' '.join(str(error).split())}") from error


def _count(node: Node, left: int, deeper: int) -> int:
    """Return how many values may follow, of ``left``, what an alias stands for counted each time it is named."""
    if left <= 0 or deeper < 0:
        raise ComposerError(None, None, _TOO_MANY, node.start_mark)
    left -= 1
    if not isinstance(node, ScalarNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                left = _count(part, left, deeper - 1)
    return left


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return plain values as YAML that `load_yaml` reads back equal, in their order."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False))
