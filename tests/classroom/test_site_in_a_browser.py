"""The site as a browser shows it: built by `make docs`, looked at by `make docs-test`.

Skips without a built site (in docs/_build/html, or where MINIBERT_SITE says), playwright (the extra
`browser`) or Chromium; with MINIBERT_REQUIRE_BROWSER=1 that is a failure.
"""

import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from adapters.methods.bottleneck import parameter_count
from adapters.methods.table import METHODS, top_layers
from minibert import BertConfig
from minibert.parameters import parameter_shapes

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("MINIBERT_SITE", ROOT / "docs" / "_build" / "html")).resolve()
WIDTHS = {"small": (360, 740), "phone": (390, 844), "laptop": (1280, 900), "desktop": (1600, 1000)}
MAIN = (
    "index",
    "tutorials/index",
    "tutorials/07_the_adapter",
    "exercises",
    "teaching",
    "guide",
    "command-line",
    "ledger",
    "results/minilm-full/claims",
    "api/adapters.methods.bottleneck",
    "_modules/minibert/ops",
)
SLIDERS = "interactive/parameters.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pages() -> list[Path]:
    """All pages but those of the source code, of which one stands for the others."""
    found = [p.relative_to(SITE) for p in sorted(SITE.rglob("*.html"))]
    code = Path("_modules/minibert/ops.html")
    return [p for p in found if p.parts[0] not in ("_modules", "_static") or p == code]


def missing(what: str) -> None:
    """Skip the test, or fail it where a browser is required."""
    if os.environ.get("MINIBERT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"required here, but missing: {what}")
    pytest.skip(f"missing: {what}")


@pytest.fixture(scope="module")
def site() -> Path:
    """The built site. `make test`, without playwright, does not look at one left from earlier."""
    if find_spec("playwright") is None:
        missing("playwright: pip install 'minibert-adapters[browser]'")
    if not (SITE / "index.html").exists():
        missing(f"{SITE}: `make docs` builds it")
    return SITE


@pytest.fixture(scope="module")
def browser(site) -> Iterator:
    """A headless Chromium: the machine's own, else the one that playwright installs."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        own = next(filter(None, map(shutil.which, BROWSERS)), None)
        try:
            # no sandbox: in a container it cannot be made, and these pages are our own
            started = playwright.chromium.launch(executable_path=own, args=["--no-sandbox"])
        except Error as error:
            missing(f"Chromium ({str(error).splitlines()[0]})")
        yield started
        started.close()


class Seen:
    """A page opened from its file, and all that it asked for and complained of."""

    def __init__(self, browser, path: Path, **options) -> None:
        self.page = browser.new_page(**options)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("load")


@pytest.fixture
def sliders(browser, site) -> Iterator:
    """The interactive page, as it is when it is opened."""
    seen = Seen(browser, site / SLIDERS)
    yield seen.page
    assert seen.errors == []
    seen.page.close()


# What is cut at a side, but for tables that scroll by themselves under a shade that says so, and
# where `printed` for lines of text.
CUT = """(printed) => [...document.querySelectorAll("pre, .table-wrapper")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1)
    .filter((e) => !((printed || e.tagName !== "PRE") && getComputedStyle(e).overflowX === "auto"
        && getComputedStyle(e).backgroundImage.includes("gradient")))
    .map((e) => e.textContent.split("\\n").reduce((a, b) => (b.length > a.length ? b : a)))"""
CUT_CODE = """[...document.querySelectorAll("pre")]
    .filter((e) => !e.closest(".highlight-text, .sphx-glr-script-out"))
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent.slice(0, 200))"""


@pytest.mark.parametrize("name", [p.as_posix() for p in pages()] or ["index.html"])
def test_each_page_works_from_its_file_at_every_width(browser, site, name):
    """Nothing is asked of a network, nothing complains, nothing overflows, equations are shown,
    pictures have words. On a phone code goes on below; tables, and what is printed in columns,
    scroll by themselves under a shade."""
    seen = Seen(browser, site / name)
    try:
        for width, (x, y) in WIDTHS.items():
            seen.page.set_viewport_size({"width": x, "height": y})
            wide = seen.page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1], f"{name} is {wide[0]} wide on a {width} of {wide[1]}"
            narrow = width in ("small", "phone")
            cut = seen.page.evaluate(CUT, narrow) + seen.page.evaluate(CUT_CODE)
            assert cut == [], f"{name} has lines cut on a {width}: {cut}"
        wordless = seen.page.evaluate(
            "[...document.querySelectorAll('img:not(.toggler)')]"
            ".filter((i) => !/\\w \\w/.test(i.alt)).map((i) => i.src)"
        )
        assert wordless == [], f"{name} has pictures without words: {wordless}"
        raw, empty = seen.page.evaluate(
            """() => {
                const text = document.querySelector("article, body").cloneNode(true);
                text.querySelectorAll("code, pre, script, math").forEach((e) => e.remove());
                const raw = text.textContent.match(/\\\\[()[\\]]|:math:|\\$\\$/g);
                const all = [...document.querySelectorAll(".math")];
                const shown = all.map((e) => e.querySelector("math"));
                const empty = shown.filter((m) => !m || m.getBoundingClientRect().height < 5);
                return [raw, empty.length];
            }"""
        )
        assert raw is None, f"{name} shows LaTeX: {raw}"
        assert empty == 0, f"{name} has {empty} equations that are not shown"
        away = [u for u in seen.requests if not u.startswith(("file:", "data:"))]
        assert away == [], f"{name} asks for {away}"
        assert seen.errors == []
    finally:
        seen.page.close()


# The ink of each visible text, and the ground behind it: the first opaque one of its ancestors.
INKS = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const opaque = (colour) => colour.length < 4 || colour[3] > 0.5;
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const colour = parts(getComputedStyle(e).backgroundColor);
            if (opaque(colour)) return colour.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const found = {}, walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const seen = { visibilityProperty: true, opacityProperty: true };
    while (walk.nextNode()) {
        const text = walk.currentNode.textContent.trim(), e = walk.currentNode.parentElement;
        if (!text || e.closest("svg, script, style") || !e.checkVisibility(seen)) continue;
        const pair = [parts(getComputedStyle(e).color).slice(0, 3), ground(e)];
        found[JSON.stringify(pair)] ??= [...pair, text.slice(0, 40)];
    }
    return Object.values(found);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", MAIN)
def test_a_main_page_can_be_read_in_the_light_and_in_the_dark(browser, site, name, scheme):
    """Each text against its ground: a contrast of 4.5 to 1 at least (WCAG 2, level AA)."""
    seen = Seen(browser, site / f"{name}.html", color_scheme=scheme)
    inks = seen.page.evaluate(INKS)
    assert len(inks) >= 4  # headings, text, links, the sidebar
    faint = [(text, contrast(ink, ground)) for ink, ground, text in inks]
    assert [pair for pair in faint if pair[1] < 4.5] == []
    body = seen.page.locator("body").evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert (luminance([float(n) for n in re.findall(r"[\d.]+", body)[:3]]) > 0.5) == (
        scheme == "light"
    )
    seen.page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pictures_of_the_first_page_have_its_ground(browser, site, scheme, theme, tmp_path):
    """In the system's scheme, and in the theme that a reader chooses against it."""
    image = pytest.importorskip("matplotlib.image")
    seen = Seen(browser, site / "index.html", color_scheme=scheme)
    if theme != scheme:
        seen.page.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
    body = seen.page.locator("body").evaluate("(e) => getComputedStyle(e).backgroundColor")
    ground = np.array([float(n) for n in re.findall(r"[\d.]+", body)[:3]])
    pictures = seen.page.locator("article img")
    assert pictures.count() == 2
    for number in range(2):
        path = tmp_path / f"{number}.png"
        pictures.nth(number).screenshot(path=path)
        pixels = 255 * image.imread(path)[..., :3]
        corner = pixels[3, 3]
        assert np.abs(corner - ground).max() <= 4, (number, corner, ground)
        assert np.abs(pixels - ground).max() > 150  # what is drawn stands out of it
    seen.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_name_in_the_code_is_underlined(browser, site, scheme):
    seen = Seen(browser, site / "tutorials/07_the_adapter.html", color_scheme=scheme)
    line = "(all) => all.filter((e) => getComputedStyle(e).textDecorationLine !== 'none').length"
    names = seen.page.locator("article .highlight *")
    assert names.count() > 100
    assert names.evaluate_all(line) == 0
    seen.page.close()


def test_a_displayed_equation_is_larger_than_the_text(browser, site):
    seen = Seen(browser, site / "tutorials/07_the_adapter.html")
    size = "(e) => parseFloat(getComputedStyle(e).fontSize)"
    shown = seen.page.locator("div.math math")
    assert shown.count() >= 2
    text = seen.page.locator("article p").first.evaluate(size)
    assert shown.first.evaluate(size) >= 1.25 * text
    seen.page.close()


def test_the_sliders_and_every_tutorials_notebook_are_one_click_away(site):
    assert SLIDERS in Anchors((site / "index.html").read_text("utf-8")).links
    for page in (site / "tutorials").glob("[0-9]*.html"):
        links = Anchors(
            page.read_text("utf-8").partition('class="tutorial-buttons')[2][:2000]
        ).links
        assert [Path(link).name for link in links[:2]] == [f"{page.stem}.ipynb", f"{page.stem}.py"]
        whole = json.loads((page.parent / links[0]).read_text("utf-8"))
        assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
        told = [c["source"] for c in whole["cells"] if c["cell_type"] == "markdown"]
        assert told
        assert not re.search(r"^\s*\.\. [\w-]+::|:\w+:`", "\n".join(told), re.M), page


def test_the_tutorials_have_equations(site):
    """Else the check above had nothing to look at."""
    assert (site / "tutorials" / "07_the_adapter.html").read_text("utf-8").count("<math") >= 3


class Anchors(HTMLParser):
    """The addresses that a page links to, and the places in it that one can link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.links.append(value)
            elif key == "id" and value:
                self.places.add(value)


def test_every_link_inside_the_site_leads_to_a_page_and_a_place(site):
    """Files and anchors; this test needs no browser."""
    read = functools.cache(lambda path: Anchors(path.read_text("utf-8")))
    dead, followed = [], 0
    for page in site.rglob("*.html"):
        if "_static" in page.parts:
            continue
        for link in read(page).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            goal = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            place = unquote(parts.fragment)
            followed += 1
            anchored = place and goal.suffix == ".html" and goal.is_file()
            if not goal.is_file() or (anchored and place not in read(goal).places):
                dead.append((page.relative_to(site), link))
    assert followed > 100
    assert dead == []


def test_linkcheck_tells_a_living_anchor_from_a_dead_one(tmp_path):
    """`make linkcheck` with the site's settings, on a server of this test. Needs no browser."""
    pytest.importorskip("sphinx")
    (tmp_path / "page.html").write_text('<h1 id="here">Here</h1>', "utf-8")
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/page.html"
        source = tmp_path / "source"
        source.mkdir()
        (source / "index.rst").write_text(f"T\n=\n\n{address}#here {address}#gone\n", "utf-8")
        settings = runpy.run_path(str(ROOT / "docs" / "conf.py"))
        ours = {name: value for name, value in settings.items() if name.startswith("linkcheck_")}
        assert ours["linkcheck_anchors"] is True
        (source / "conf.py").write_text(f"globals().update({ours!r})", "utf-8")
        built = [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-b",
            "linkcheck",
            str(source),
            str(tmp_path / "o"),
        ]
        done = subprocess.run(built, capture_output=True, text=True, timeout=300)
        server.shutdown()
    lines = (tmp_path / "o" / "output.json").read_text("utf-8").split("\n")
    found = {
        row["uri"].partition("#")[2]: row["status"] for row in map(json.loads, filter(None, lines))
    }
    assert found == {"here": "working", "gone": "broken"}
    assert done.returncode != 0


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder and does not tell."""

    def log_message(self, *said):
        pass


def tree(d: int, L: int) -> dict[str, int]:
    """The sizes of a BERT's real parameters by path."""
    config = BertConfig(
        hidden_size=d, num_hidden_layers=L, intermediate_size=4 * d, num_attention_heads=1
    )
    return {path: int(np.prod(shape)) for path, shape in parameter_shapes(config).items()}


SETTINGS = [
    {"d": 1024, "m": 64, "L": 24, "N": 9, "k": 12},
    {"d": 768, "m": 26, "L": 12, "N": 17, "k": 6},
    {"d": 384, "m": 8, "L": 6, "N": 1, "k": 6},
    {"d": 64, "m": 1, "L": 1, "N": 30, "k": 1},
    {"d": 2048, "m": 512, "L": 48, "N": 2, "k": 47},
]

each_setting = pytest.mark.parametrize("at", SETTINGS, ids=lambda at: f"d{at['d']}-L{at['L']}")


class TestTheSliders:
    @each_setting
    def test_the_page_counts_what_the_python_code_counts(self, sliders, at):
        """2md + d + m, and the shapes of the real parameters, to the last one."""
        said = sliders.evaluate("count", at)
        sizes = tree(at["d"], at["L"])
        layers = sum(n for path, n in sizes.items() if path.startswith("layers."))
        assert said["adapter"] == parameter_count(at["d"], at["m"])
        assert said["adapters"] == 2 * at["L"] * parameter_count(at["d"], at["m"])
        assert said["encoder"] == layers
        assert said["all"] == sum(sizes.values())
        assert said["norms"] == sum(n for path, n in sizes.items() if ".norm." in path)
        config = BertConfig(hidden_size=at["d"], num_hidden_layers=at["L"], num_attention_heads=1)
        method = top_layers(METHODS["full"], at["k"], config)
        trained = sum(
            n
            for path, n in sizes.items()
            if path.startswith("layers.") and method.trains(f"base.{path}")
        )
        assert said["top"] == trained

    @each_setting
    @pytest.mark.parametrize("against", ["encoder", "all"])
    def test_moving_the_sliders_changes_the_table_to_these_numbers(self, sliders, at, against):
        for quantity in ("L", "d", "m", "N", "k"):  # L first: it bounds k
            move = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }"
            sliders.locator(f"#{quantity}").evaluate(move, at[quantity])
        sliders.select_option("#against", against)
        sizes = tree(at["d"], at["L"])
        encoder = sum(n for path, n in sizes.items() if path.startswith("layers."))
        model = encoder if against == "encoder" else sum(sizes.values())
        own = 2 * at["L"] * parameter_count(at["d"], at["m"])
        top = at["k"] * encoder // at["L"]
        base = model if at["k"] < at["L"] else model - encoder
        expected = {
            "adapters": (own, model + at["N"] * own),
            "top": (top, base + at["N"] * top),
            "full": (model, at["N"] * model),
        }
        for kind, (per_task, total) in expected.items():
            cells = sliders.locator(f"#row-{kind} td")
            values = [float(cells.nth(i).get_attribute("data-value")) for i in range(4)]
            # shares and multiples are one division in float64 on both sides
            assert values == [per_task, per_task / model, total / model, total], kind
            assert cells.nth(0).inner_text() == f"{per_task:,}"
            assert cells.nth(3).inner_text() == f"{total:,}"
        assert (
            f"= {parameter_count(at['d'], at['m']):,}" in sliders.locator("#formulas").inner_text()
        )

    def test_the_papers_numbers_are_what_its_settings_give(self, sliders):
        """Table 1: 2.1 % and 1.2x for nine tasks with m = 64 on BERT-large; full 9x."""
        sliders.click("text=BERT-large, table 1")
        assert sliders.locator("#row-adapters td").all_inner_texts() == [
            "6,343,680",
            "2.1 %",
            "1.19x",
            "359,402,496",
        ]
        assert sliders.locator("#row-full td").nth(2).inner_text() == "9.0x"

    def test_the_papers_points_are_marked_in_both_pictures_and_listed(self, sliders):
        for picture in ("totals", "shares"):
            marks = sliders.locator(f"#{picture} .paper")
            letters = [marks.nth(i).get_attribute("data-letter") for i in range(marks.count())]
            assert letters == list("abcdef")
        rows = sliders.locator("#points tbody tr").all_inner_texts()
        read = [row.split("\t") for row in rows]
        assert [row[2:6] for row in read] == [
            ["9", "2.1 %", "1.2x", "1.19x"],
            ["9", "3.6 %", "1.3x", "1.32x"],
            ["9", "100 %", "9.0x", "9.00x"],
            ["17", "1.14 %", "1.19x", "1.19x"],
            ["17", "52.9 %", "9.9x", "9.99x"],
            ["17", "100 %", "17x", "17.00x"],
        ]

    def test_the_pictures_are_redrawn(self, sliders):
        sliders.click("text=MiniLM")
        before = [
            sliders.locator(f"#{p} .curve.adapters").get_attribute("d")
            for p in ("totals", "shares")
        ]
        sliders.click("text=BERT-large, table 1")
        after = [
            sliders.locator(f"#{p} .curve.adapters").get_attribute("d")
            for p in ("totals", "shares")
        ]
        assert before[0] != after[0]
        assert before[1] != after[1]
        assert "NaN" not in sliders.content()

    def test_the_keyboard_is_enough(self, sliders):
        """Tab reaches every slider by its label's name, and the arrows move it."""
        sliders.click("text=BERT-large, table 1")
        reached = []
        sliders.locator("body").click(position={"x": 2, "y": 2})
        for _ in range(40):
            sliders.keyboard.press("Tab")
            reached.append(sliders.evaluate("document.activeElement.id"))
        assert [i for i in reached if i in "dmLNk" and i][:5] == ["d", "m", "L", "N", "k"]
        sliders.get_by_label("bottleneck size m").focus()
        sliders.keyboard.press("ArrowRight")
        assert sliders.locator("#m-value").inner_text() == "65"
        assert (
            sliders.locator("#row-adapters td").nth(0).inner_text()
            == f"{48 * parameter_count(1024, 65):,}"
        )
        sliders.get_by_label("layers L", exact=True).focus()
        sliders.keyboard.press("Home")  # one layer: k follows
        assert sliders.locator("#k-value").inner_text() == "1 of 1"

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_page_can_be_read_in_the_light_and_in_the_dark(self, browser, site, scheme):
        """Text against its ground: a contrast of 7 to 1 at least (WCAG 2, level AAA)."""
        seen = Seen(browser, site / SLIDERS, color_scheme=scheme)
        paint = "(e, what) => getComputedStyle(e)[what].match(/[\\d.]+/g).slice(0, 3).map(Number)"
        ground = seen.page.locator("body").evaluate(paint, "backgroundColor")
        for where, what in (("body", "color"), ("#totals text.name.adapters", "fill")):
            ink = seen.page.locator(where).first.evaluate(paint, what)
            assert contrast(ink, ground) >= 7, f"{where} in the {scheme}"
        assert (luminance(ground) > 0.5) == (scheme == "light")
        seen.page.close()


def contrast(ink: list[float], ground: list[float]) -> float:
    """Of two colours, from 1 to 21, as WCAG 2 defines it."""
    low, high = sorted(map(luminance, (ink, ground)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: list[float]) -> float:
    """Relative luminance of sRGB from 0 to 255, as WCAG 2 defines it."""
    parts = np.asarray(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
