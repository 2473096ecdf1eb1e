"""The handler without a chain: `.venv/bin/python -m unittest` in this folder."""

import io
import os
import pathlib
import unittest

os.environ.update(WIDTH="160", QUALITY="80")

from hacher.testing import Call  # noqa: E402
from PIL import Image  # noqa: E402
from thumbs import scale  # noqa: E402

RETINA = pathlib.Path(__file__).parent / "../thumbnails/retina.jpg"


class Scale(unittest.TestCase):
    def test_a_photograph_becomes_a_small_one(self):
        reply = Call().body(RETINA.read_bytes()).run(scale)
        with Image.open(io.BytesIO(reply.body)) as small:
            self.assertEqual((small.format, small.size), ("JPEG", (160, 160)))

    def test_what_is_no_photograph_fails_for_good_with_a_reason(self):
        reply = Call().body(b"no picture").run(scale)
        self.assertEqual(reply.reason, "neither a JPEG nor a PNG of at most 25 million pixels")
        self.assertFalse(reply.is_transient)
