"""`python3 -m hacher`, as far as it goes without a service."""

import subprocess
import sys

from hacher import _unlisted


def run(*arguments, cwd):
    command = [sys.executable, "-m", "hacher", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_outside_of_a_chain_it_says_so(tmp_path):
    (tmp_path / "app.py").write_text("import hacher\n@hacher.function\ndef handler(body):\n    return body\n")
    for named in ("app.py", "app.py:handler"):
        done = run(named, cwd=tmp_path)
        assert done.returncode == 2 and "hacher-fabric starts" in done.stderr


def test_what_cannot_be_loaded_ends_with_a_traceback_and_a_code_of_its_own(tmp_path):
    (tmp_path / "app.py").write_text("import sibling\ndef handler(body):\n    return body\ndef none():\n    pass\n")
    for arguments, told in [
        (["app.py:handler"], "No module named 'sibling'"),
        (["--preload=json,no_such_module", "app.py:handler"], "No module named 'no_such_module'"),
        (["gone.py:handler"], "No such file"),
    ]:
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 78 and told in done.stderr
    (tmp_path / "sibling.py").write_text("")
    assert "no attribute 'other'" in run("app.py:other", cwd=tmp_path).stderr
    assert "a handler takes the body" in run("app.py:none", cwd=tmp_path).stderr
    assert run(cwd=tmp_path).returncode == 1


def test_what_exits_when_it_is_loaded_has_the_code_of_what_cannot_be_loaded(tmp_path):
    (tmp_path / "app.py").write_text("import sys\nsys.exit(0)\n")
    assert run("app.py:handler", cwd=tmp_path).returncode == 78


def test_a_file_with_a_colon_and_the_current_folder(tmp_path):
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a:b.py").write_text("def handler(body):\n    return body\n")
    assert run("below/a:b.py:handler", cwd=tmp_path).returncode == 2
    (tmp_path / "below" / "app.py").write_text("import mine\ndef handler(body):\n    return body\n")
    done = run("below/app.py:handler", cwd=tmp_path)
    assert done.returncode == 78 and "No module named 'mine'" in done.stderr


def test_modules_of_a_folder_that_cannot_be_listed_are_found_one_by_one(tmp_path, monkeypatch):
    (tmp_path / "alone_in_it.py").write_text("VALUE = 1\n")
    (tmp_path / "package_in_it").mkdir()
    (tmp_path / "package_in_it" / "__init__.py").write_text("from .inner import VALUE\n")
    (tmp_path / "package_in_it" / "inner.py").write_text("VALUE = 2\n")

    def refused(folder):
        raise PermissionError(13, "Permission denied", folder)

    before = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", list(before))
    _unlisted.find_in(str(tmp_path))
    assert sys.meta_path == before
    monkeypatch.setattr(_unlisted.os, "scandir", refused)
    _unlisted.find_in(str(tmp_path))
    import alone_in_it
    import package_in_it

    assert (alone_in_it.VALUE, package_in_it.VALUE) == (1, 2)
    assert _unlisted.Finder(str(tmp_path)).find_spec("nothing_in_it") is None
