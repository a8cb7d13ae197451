"""``name=value`` pairs on the command line: the arguments of a network."""

import json
from typing import Any

from datransnet.errors import ParameterError


def parse_assignments(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs, values as JSON or else as text.

    >>> parse_assignments(["width=8", "gradient=plain", "dilations=[1, 2]"])
    {'width': 8, 'gradient': 'plain', 'dilations': [1, 2]}
    >>> parse_assignments(["datrans=False"])  # as Python writes it
    {'datrans': False}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ParameterError(f"{pair!r} must be name=value.")
        try:
            found[name] = json.loads({"True": "true", "False": "false"}.get(text, text))
        except ValueError:
            found[name] = text
    return found
