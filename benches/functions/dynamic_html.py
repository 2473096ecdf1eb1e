"""A page made of a template: a name, and a table of random numbers (jinja2).

In: `{"name": "...", "count": 1000, "seed": 1}`. Out: the page.
"""

import json
import random

import jinja2

PAGE = jinja2.Environment(autoescape=True).from_string(
    """<!DOCTYPE html>
<html lang="en">
<head><title>Numbers for {{ name }}</title></head>
<body>
<h1>{{ numbers | length }} numbers for {{ name }}</h1>
<table>
{% for number in numbers %}
<tr><td>{{ loop.index }}</td><td>{{ number }}</td></tr>
{% endfor %}
</table>
</body>
</html>
"""
)


def handler(body: bytes) -> bytes:
    asked = json.loads(body)
    draw = random.Random(asked["seed"])
    numbers = [draw.randrange(1_000_000) for _ in range(asked["count"])]
    return PAGE.render(name=asked["name"], numbers=numbers).encode()
