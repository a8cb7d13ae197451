"""The report as a browser shows it: nothing fails or leaves the page, tables sort, pictures have size and words."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from pipeline.reporting.table import Table
from pipeline.reporting.verdict import in_numbers, verdict
from pipeline.tracking.store import client_of
from tests.pipeline.conftest import answers, end, free_port, wait_for
from tests.pipeline.reporting.test_result_tables import evaluation

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def screenshots(otherwise: Path) -> Path:
    """Where pictures are kept: DATRANSNET_SCREENSHOTS, or with the test."""
    folder = Path(os.environ.get("DATRANSNET_SCREENSHOTS", otherwise))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def browse(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    if not BROWSER:
        pytest.skip("no Chromium (Debian: chromium)")
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", *options, address]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.study
def test_the_page_shows_without_an_error_or_a_request(reference):
    page = reference["whole"].folder / "reports/report.html"
    shown = browse(page.as_uri(), "--dump-dom")
    assert "CONSOLE" not in shown.stderr  # a blocked request would be told here
    assert "default-src 'none'" in shown.stdout
    elements = re.sub(r"<script>.*?</script>", "", shown.stdout, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", elements)
    pictures = re.findall(r"<img [^>]*>", elements)
    assert len(pictures) > 4
    for picture in pictures:
        assert re.search(r'width="\d+" height="\d+" alt="[^"]{10,}"', picture), picture[-300:]


@pytest.mark.study
def test_a_table_sorts_by_number_and_says_so(reference, tmp_path):
    text = (reference["whole"].folder / "reports/report.html").read_text(encoding="utf-8")
    rows = re.search(r'id="search">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)[1]
    text = text.replace(rows, "\n".join(sorted(rows.splitlines())))  # by number: the order of IoU is any order
    page = tmp_path / "page.html"
    page.write_text(text, encoding="utf-8")

    def column(address: str) -> list[float]:
        """The numbers of the trials."""
        shown = browse(address, "--dump-dom").stdout
        table = re.search(r'<table class="sortable" id="search">(.*?)</table>', shown, re.DOTALL)[1]
        told.append("aria-sort" in table)
        return [float(re.findall(r"<td>(.*?)</td>", row)[0]) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]

    told: list[bool] = []
    down = [3.0, 2.0, 1.0, 0.0]
    assert column(page.as_uri()) == down[::-1]
    assert column(f"{page.as_uri()}#sort=search,0") == down
    click = "<script>onload = () => document.querySelector('#search button').click()</script></body>"
    page.write_text(text.replace("</body>", click), encoding="utf-8")
    assert column(page.as_uri()) == down
    assert told == [False, True, True]


@pytest.mark.study
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_every_width(reference, tmp_path, width):
    """Inside a frame, since a window of Chromium is at least 500 pixels wide."""
    page = (reference["whole"].folder / "reports/report.html").read_text(encoding="utf-8")
    tell = (
        "<script>onload = () => { const page = document.documentElement; "
        "parent.postMessage([innerWidth, page.scrollWidth - page.clientWidth].join(), '*'); }</script></body>"
    )
    (tmp_path / "page.html").write_text(page.replace("</body>", tell), encoding="utf-8")
    frame = f"<body style='margin:0'><iframe src=page.html width={width} height=4000 style='border:0'></iframe><p></p>"
    hear = "<script>onmessage = event => document.querySelector('p').textContent = event.data</script>"
    (tmp_path / "frame.html").write_text(frame + hear, encoding="utf-8")
    address, wait = (tmp_path / "frame.html").as_uri(), "--virtual-time-budget=5000"
    shown = browse(address, "--dump-dom", wait)
    assert re.search(r"<p>(.*?)</p>", shown.stdout)[1] == f"{width},0", shown.stdout[-300:]
    picture = screenshots(tmp_path) / f"report-{width}.png"
    shown = browse(address, f"--window-size={width},4000", f"--screenshot={picture}", wait)
    assert picture.stat().st_size > 20_000, shown.stderr


@pytest.mark.study
def test_the_page_prints(reference, tmp_path):
    page = reference["whole"].folder / "reports/report.html"
    printed = screenshots(tmp_path) / "report.pdf"
    shown = browse(page.as_uri(), f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF"), shown.stderr


@pytest.mark.study
def test_the_curves_can_be_read_off(reference):
    shown = browse(
        (reference["whole"].folder / "reports/report.html").as_uri(), "--dump-dom", "--virtual-time-budget=5000"
    )
    assert shown.stdout.count('class="main-svg"') >= 3
    assert "full, seed" in shown.stdout


@pytest.fixture
def tracking(reference, tmp_path):
    """The tracking server on the whole study, as `make ui` starts it."""
    port = free_port()
    log = tmp_path / "ui.log"
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "ui", "--port", str(port)],
            cwd=reference["whole"].folder,
            env={**os.environ, "MLFLOW_TRACKING_URI": ""},
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), server, "the MLflow UI does not start", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(server)


@pytest.mark.study
def test_the_mlflow_ui_shows_the_study(tracking, reference, tmp_path):
    if not BROWSER:
        pytest.skip("no Chromium (Debian: chromium)")
    runs = client_of(f"sqlite:///{reference['whole'].folder / 'mlruns.db'}").search_runs(["1"])
    variants = [run.info.run_id for run in runs if "test_iou" in run.data.metrics and "run_key" in run.data.tags]
    (report,) = [run.info.run_id for run in runs if run.data.tags["stage"] == "report"]
    compared = urllib.parse.quote(json.dumps(variants))
    pages = {
        "experiment": ("#/experiments/1/runs", ["report", "evaluate", "tune"]),
        "compare": (f"#/compare-runs?runs={compared}&experiments=%5B%221%22%5D", ["Parallel Coordinates", "test_iou"]),
        "run": (f"#/experiments/1/runs/{report}/artifacts/reports/figures/roc.png", ["roc.png", "<img"]),
    }
    for name, (place, words) in pages.items():
        options = ["--virtual-time-budget=30000", "--window-size=1400,1100"]
        shown = browse(f"{tracking}/{place}", "--dump-dom", *options)
        assert all(word in shown.stdout for word in words), f"{name}: {words} not in {shown.stdout[-2000:]}"
        picture = screenshots(tmp_path) / f"mlflow-{name}.png"
        browse(f"{tracking}/{place}", f"--screenshot={picture}", *options)
        assert picture.stat().st_size > 20_000


def tables(p_values, seeds=3):
    values = {"pd": 0.9, "fa": 2e-5, "convention": "basicirstd", "seeds": seeds}
    values |= {"iou": 0.7, "iou_seed_half_width": float("nan"), "iou_image_low": 0.65, "iou_image_high": 0.75}
    rows = [
        {"variant": f"v{n}", "seeds": seeds, "iou_change": 0.02 * (-1) ** n, "p_holm": p}
        for n, p in enumerate(p_values)
    ]
    return Table("m", "", "", [], [values]), Table("a", "", "", [], rows)


@pytest.mark.parametrize(
    ("p_values", "seeds", "words"),
    [
        (
            [0.3, 0.01, 0.05],
            5,
            "With 5 trainings of each, these variants differ from it in IoU: v1 (lower), v2 (higher);",
        ),
        ([0.3, 0.01, 0.05], 5, "; the other 1 cannot be told from it."),
        ([0.01], 3, "differ from it in IoU: v0 (higher)."),
        ([0.3, 0.06], 3, "none of its 2 variants can be told"),
        ([float("nan")], 2, "Nothing is claimed of its 1 variants: 2 training(s)"),
        ([float("nan")], 3, "test images are too few"),
        ([], 3, "No variant was trained"),
    ],
)
def test_the_verdict_claims_what_the_tests_allow(p_values, seeds, words):
    _, ablation = tables(p_values, seeds)
    sentences = verdict(evaluation(), ablation, None)
    assert words in sentences[0]
    assert "†" not in sentences[1]
    assert "†" in verdict(evaluation("literature"), ablation, None)[1]


def test_a_verdict_holds_no_measured_number():
    for seeds, p_values in ((5, [0.3, 0.01]), (4, [0.5]), (2, [0.5])):
        _, ablation = tables(p_values, seeds)
        other = Table("a", "", "", [], [{**row, "iou_change": 1.7 * row["iou_change"]} for row in ablation.values])
        assert verdict(evaluation(), ablation, None) == verdict(evaluation(), other, None)


def test_what_was_measured_is_told_beside_it():
    selection = Table("s", "", "", [], [{"iou": 0.7, "best_on_test": 0.715}])
    text = in_numbers(evaluation(), tables([])[0], selection)
    assert "70.00 [65.00, 75.00] %" in text
    assert "1.50 points of IoU more †" in text
    assert "†" not in in_numbers(evaluation(), tables([])[0], None)
