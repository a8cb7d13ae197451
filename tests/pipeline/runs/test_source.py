"""The digest of the source that a run executes."""

from pipeline.runs import source


def test_the_source_digest_ignores_comments_and_sees_code(tmp_path, monkeypatch):
    package = tmp_path / "datransnet"
    package.mkdir()
    monkeypatch.setattr(source, "ROOT", tmp_path)

    def digest(text):
        (package / "one.py").write_text(text, encoding="utf-8")
        source.source_digest.cache_clear()
        return source.source_digest("datransnet.one")

    (package / "two.py").write_text("b = 1\n", encoding="utf-8")
    plain = digest("from datransnet.two import b\na = b\n")
    assert digest('"""Says."""\nfrom datransnet.two import b  # why\n\n\na = b\n') == plain
    assert digest("from datransnet.two import b\na = b\n'Of a constant.'\n") == plain
    assert digest("from datransnet.two import b\na = b + 1\n") != plain
    within = digest("from datransnet.two import b\ndef f():\n    if b:\n        return 'x'\n")
    assert (
        digest("from datransnet.two import b\ndef f():\n    'Says.'\n    if b:\n        'why'\n        return 'x'\n")
        == within
    )
    assert digest("from datransnet.two import b\ndef f():\n    if b:\n        return 'y'\n") != within
    (package / "two.py").write_text("b = 2\n", encoding="utf-8")
    assert digest("from datransnet.two import b\na = b\n") != plain
    source.source_digest.cache_clear()
