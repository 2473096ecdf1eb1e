"""The graph of the functions that search one: random, each vertex linked to earlier ones with many links (igraph)."""

import json
import random

import igraph

try:
    # igraph looks for it when it makes a graph, and by then a function of a chain can load no code.
    import numpy  # noqa: F401
except ImportError:
    pass

LINKS = 10


def generated(body: bytes) -> igraph.Graph:
    """The graph that `{"vertices": 5000, "seed": 1}` asks for: the same for the same words."""
    asked = json.loads(body)
    igraph.set_random_number_generator(random.Random(asked["seed"]))
    return igraph.Graph.Barabasi(asked["vertices"], LINKS)
