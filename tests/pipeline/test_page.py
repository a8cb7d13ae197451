"""The report as a browser shows it: nothing fails or leaves the page, tables sort, pictures have size and words."""

import re
import shutil
import subprocess

import pytest

from pipeline.support.tables import Table
from pipeline.support.verdict import verdict
from tests.pipeline.test_support import evaluation

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    if not BROWSER:
        pytest.skip("no Chromium (Debian: chromium)")
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", *options, address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.study
def test_the_page_shows_without_an_error_or_a_request(reference):
    page = reference["whole"].folder / "reports/report.html"
    shown = browse(page.as_uri(), "--dump-dom")
    assert "CONSOLE" not in shown.stderr  # a blocked request would be told here
    assert "default-src 'none'" in shown.stdout
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", shown.stdout)
    pictures = re.findall(r"<img [^>]*>", shown.stdout)
    assert len(pictures) > 4
    for picture in pictures:
        assert re.search(r'width="\d+" height="\d+" alt="[^"]{10,}"', picture), picture[-300:]


@pytest.mark.study
def test_a_table_sorts_by_number_and_says_so(reference):
    page = reference["whole"].folder / "reports/report.html"

    def column(address: str) -> list[float]:
        shown = browse(address, "--dump-dom").stdout
        table = re.search(r'<table class="sortable" id="search">(.*?)</table>', shown, re.DOTALL)[1]
        assert ("#" not in address) == ("aria-sort" not in table)
        return [float(re.findall(r"<td>(.*?)</td>", row)[3]) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]

    usual = column(page.as_uri())
    assert column(f"{page.as_uri()}#sort=search,3") == sorted(usual, reverse=True)


@pytest.mark.study
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_has_a_picture_at_every_width(reference, tmp_path, width):
    page = reference["whole"].folder / "reports/report.html"
    picture = tmp_path / f"{width}.png"
    shown = browse(page.as_uri(), f"--window-size={width},2000", f"--screenshot={picture}")
    assert picture.stat().st_size > 20_000, shown.stderr


@pytest.mark.study
def test_the_page_prints(reference, tmp_path):
    page = reference["whole"].folder / "reports/report.html"
    shown = browse(page.as_uri(), f"--print-to-pdf={tmp_path / 'report.pdf'}")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF"), shown.stderr


def tables(p_values, best_on_test=None):
    values = {"pd": 0.9, "fa": 2e-5, "convention": "basicirstd", "seeds": 2}
    values |= {"iou": 0.7, "iou_seed_half_width": float("nan"), "iou_image_low": 0.65, "iou_image_high": 0.75}
    rows = [{"variant": f"v{n}", "iou_change_change": 0.02 * n, "p_holm": p} for n, p in enumerate(p_values)]
    selection = best_on_test and Table("s", "", "", [], [{"iou": 0.7, "best_on_test": best_on_test}])
    return Table("m", "", "", [], [values]), Table("a", "", "", [], rows), selection


@pytest.mark.parametrize(
    ("p_values", "words"),
    [
        (
            [0.3, 0.01],
            "these differ on these images, after Holm's correction: v1 (+2.00 points of IoU",
        ),
        ([0.3, 0.06], "None of its 2 variants differs"),
        ([float("nan")], "too few to tell its 1 variants apart"),
        ([], "No variant was trained"),
    ],
)
def test_the_verdict_claims_what_the_tests_allow(p_values, words):
    sentences = verdict(evaluation(), *tables(p_values, best_on_test=0.715))
    assert words in sentences[1]
    assert "70.00 [65.00, 75.00] %" in sentences[0]
    assert "1.50 points of IoU more †" in sentences[2]
    assert "†" in verdict(evaluation("literature"), *tables(p_values))[2]
