"""The ranks of the vertices of a generated graph (igraph). Out: rounded, in the order of the vertices."""

import json

from graphs import generated


def handler(body: bytes) -> bytes:
    ranks = generated(body).pagerank()
    return json.dumps([round(rank, 9) for rank in ranks]).encode()
