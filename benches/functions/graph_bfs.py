"""Breadth-first search in a generated graph (igraph). Out: the vertices in the order of the search."""

import json

from graphs import generated


def handler(body: bytes) -> bytes:
    order, _, _ = generated(body).bfs(0)
    return json.dumps(order).encode()
