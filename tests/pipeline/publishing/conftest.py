"""Which files here are no tests."""

collect_ignore = ["check_crate.py"]  # the validators' environment runs it
