"""A spanning tree of a generated graph (igraph). Out: its edges."""

import json

from graphs import generated


def handler(body: bytes) -> bytes:
    edges = generated(body).spanning_tree(return_tree=False)
    return json.dumps(edges).encode()
