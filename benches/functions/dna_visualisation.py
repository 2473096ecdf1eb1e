"""The line that shows a sequence of DNA (squiggle). In: FASTA. Out: the coordinates, as JSON."""

import json

from squiggle import transform


def handler(body: bytes) -> bytes:
    _, _, sequence = body.decode("ascii").partition("\n")
    x, y = transform(sequence.replace("\n", ""), method="squiggle")
    return json.dumps({"x": list(map(float, x)), "y": list(map(float, y))}).encode()
