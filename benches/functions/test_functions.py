"""The handlers by themselves: `pytest benches/functions`, with the packages of requirements.txt."""

import importlib
import io
import json
import os
import pathlib
import zipfile

import pytest

FOLDER = pathlib.Path(__file__).parent
RETINA = FOLDER / "../../examples/thumbnails/retina.jpg"


def handler(module):
    try:
        return importlib.import_module(module).handler
    except ImportError as error:
        pytest.skip(f"{module}: {error}")


def words(**asked):
    return json.dumps(asked).encode()


def test_noop_returns_its_body():
    assert handler("noop")(b"body") == b"body"


def test_a_page_has_the_name_escaped_and_each_number():
    page = handler("dynamic_html")(words(name="<Ada>", count=5, seed=1)).decode()
    assert "&lt;Ada&gt;" in page and "<Ada>" not in page
    assert page.count("<tr>") == 5


def test_a_photograph_becomes_a_small_one():
    made = handler("thumbnailer")(RETINA.read_bytes())
    from PIL import Image

    with Image.open(io.BytesIO(made)) as small:
        assert small.format == "JPEG" and max(small.size) == 200


@pytest.mark.parametrize("length", [0, 5, 100_003])
def test_an_archive_has_the_whole_text_in_its_files(length):
    text = bytes(number % 251 for number in range(length))
    with zipfile.ZipFile(io.BytesIO(handler("compression")(text))) as archive:
        assert archive.testzip() is None
        assert b"".join(archive.read(name) for name in sorted(archive.namelist())) == text


def test_a_search_visits_each_vertex_once():
    order = json.loads(handler("graph_bfs")(words(vertices=50, seed=1)))
    assert order[0] == 0 and sorted(order) == list(range(50))


def test_a_spanning_tree_has_one_edge_less_than_vertices():
    assert len(set(json.loads(handler("graph_mst")(words(vertices=50, seed=1))))) == 49


def test_ranks_are_shares_of_one():
    ranks = json.loads(handler("graph_pagerank")(words(vertices=50, seed=1)))
    assert len(ranks) == 50 and sum(ranks) == pytest.approx(1, abs=1e-6)


def test_a_sequence_becomes_two_steps_for_each_base():
    line = json.loads(handler("dna_visualisation")(b">made up\nACG\nT"))
    assert len(line["x"]) == len(line["y"]) == 9 and line["x"][-1] == 4


@pytest.mark.parametrize("module", ["graph_bfs", "graph_mst", "graph_pagerank"])
def test_the_same_words_make_the_same_answer_and_others_another(module):
    answer = handler(module)
    assert answer(words(vertices=50, seed=1)) == answer(words(vertices=50, seed=1))
    assert answer(words(vertices=50, seed=1)) != answer(words(vertices=50, seed=2))


def test_what_is_measured_ends_with_how_long_it_took(monkeypatch):
    monkeypatch.setenv("FUNCTION", "noop")
    monkeypatch.delitem(os.sys.modules, "measured", raising=False)
    answer = handler("measured")(b"body")
    assert answer[:-8] == b"body" and 0 < int.from_bytes(answer[-8:], "little") < 10**9
