"""Texts for publishing: nothing of this machine's folders in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sitkit.errors import SpecError
from sitkit.spec import parse_spec
from sitkit.types import Json

_PART = r"[^\s/\\\"'`<>|,;:()]+"
_ROOTED = re.compile(rf"(?<![\w:/.])(?:~|\.{{1,2}}|[A-Za-z]:|file:/)?[/\\](?:{_PART}[/\\])*({_PART})")
_ANYWHERE = "…"


class Redactor:
    """Takes local paths out of texts: known folders wherever they stand, and whatever else looks like a rooted path."""

    def __init__(self, folders: Iterable[Path]) -> None:
        roots = {str(form) for folder in folders for form in (folder, folder.absolute(), folder.resolve())}
        # The longest first, and nothing as short as "/" or ".", which stands in every text.
        known = sorted((root for root in roots if len(root) > 2), key=len, reverse=True)
        # A name that only starts like a folder is another folder's: it is left for the rule for any rooted path.
        self._roots = [re.compile(rf"{re.escape(root)}(?:([/\\])|(?![\w.-]))") for root in known]

    def text(self, text: str) -> str:
        """Return the text with each path cut down to its last part."""
        for root in self._roots:
            text = root.sub(lambda found: "/" if found[1] else _ANYWHERE, text)
        return _ROOTED.sub(lambda found: found[1], text)

    def spec(self, text: str) -> str:
        """Return a SPEC without paths and addresses: a folder or a file is left as its name, a hub id as it is."""
        try:
            spec = parse_spec(text)
        except SpecError:
            return self.text(text)
        argument = spec.argument
        if argument is not None and hub_id(argument) is None:
            argument = re.split(r"[/\\]", argument.rstrip("/\\"))[-1] or _ANYWHERE
        options = {key: _ANYWHERE if re.search(r"[/\\@]", value) else value for key, value in spec.options.items()}
        head = spec.name if argument is None else f"{spec.name}:{argument}"
        return ",".join([head, *(f"{key}={value}" for key, value in options.items())])

    def value(self, value: Json) -> Json:
        """Return plain data with every text in it cleaned."""
        if isinstance(value, dict):
            return {key: self.value(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return self.text(value) if isinstance(value, str) else value


def hub_id(argument: str | None) -> str | None:
    """Return what follows the colon of a SPEC if it names a model on the hub: no folder or file of this machine."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not argument or argument.startswith((".", "~", "/")) or Path(argument).exists():
        return None
    try:
        validate_repo_id(argument)
    except HFValidationError:
        return None
    return argument
