"""The report page: its figures against plain loops, and one HTML file that shows them whatever the
texts and labels are."""

import base64
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command_line import ON_TINY, TINY, minibert, works, write_tsv
from hypothesis import given
from hypothesis import strategies as st

from adapters.finetune import Trained
from adapters.methods.table import method_named
from adapters.report.judgement import ClassJudgement, ScoreJudgement, judge
from adapters.report.page import About, report_page
from adapters.task_file import TaskFile
from minibert.data.tasks import Example, Task, majority_logits
from minibert.errors import InputError

SCORES = Task("scores", "", ("text",), "score", metrics=("pearson", "spearman"))


@contextmanager
def no_warnings() -> Iterator[None]:
    """A warning in the block is an error; but not that old versions of matplotlib call functions of
    pyparsing by names that it now advises against."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old_name = r"'\w+' deprecated - use '\w+'"
        warnings.filterwarnings("ignore", old_name, DeprecationWarning)
        yield


def classes(names: int | tuple[str, ...], name: str = "mine") -> Task:
    values = tuple(f"c{i}" for i in range(names)) if isinstance(names, int) else names
    metrics = ("accuracy", "f1") if len(values) == 2 else ("accuracy",)
    return Task(name, "", ("text",), "label", values, values, metrics)


def task_file(task: Task) -> TaskFile:
    return TaskFile(task, method_named("adapters", 8), "paper", 64, "tiny", "ab" * 32)


def answered(rows: list[tuple[int, int]], names: int) -> ClassJudgement:
    """The judgement of (gold, answer) pairs; each answer's logit is 1, the others' 0."""
    examples = [Example(f"text {i}", gold) for i, (gold, _) in enumerate(rows)]
    return judge(classes(names), examples, np.eye(names)[[answer for _, answer in rows]])


def page_of(task: Task, examples: list[Example], logits: np.ndarray, **about: object) -> str:
    judgement = judge(task, examples, logits)
    return report_page(task_file(task), judgement, About("the test's examples", **about))


PAIRS = st.integers(2, 6).flatmap(
    lambda c: st.tuples(
        st.just(c),
        st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=60),
    )
)


class TestClasses:
    def test_of_a_small_example_worked_by_hand(self):
        """Class 0: three texts, two found; class 1: one text, found, and named twice."""
        judgement = answered([(0, 0), (0, 0), (0, 1), (1, 1)], 2)
        np.testing.assert_array_equal(judgement.confusion, [[2, 1], [0, 1]])
        np.testing.assert_array_equal(judgement.precision, [1.0, 0.5])
        np.testing.assert_allclose(judgement.recall, [2 / 3, 1.0], rtol=1e-15)
        np.testing.assert_allclose(judgement.f1, [0.8, 2 / 3], rtol=1e-15)
        assert judgement.accuracy == 0.75
        assert judgement.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2, rel=1e-15)
        assert list(judgement.support) == [3, 1]
        assert list(judgement.answered) == [2, 2]

    @given(PAIRS)
    def test_every_class_figure_is_what_a_plain_loop_counts(self, drawn):
        number, rows = drawn
        judgement = answered(rows, number)
        f1s = []
        for c in range(number):
            hits = sum(1 for gold, answer in rows if gold == answer == c)
            texts = sum(1 for gold, _ in rows if gold == c)
            named = sum(1 for _, answer in rows if answer == c)
            precision, recall = hits / named if named else 0.0, hits / texts if texts else 0.0
            f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
            assert judgement.precision[c] == precision
            assert judgement.recall[c] == recall
            assert judgement.f1[c] == pytest.approx(f1, rel=1e-12)
            if texts or named:
                f1s.append(f1)
            for other in range(number):
                assert judgement.confusion[c, other] == rows.count((c, other))
        assert judgement.macro_f1 == pytest.approx(sum(f1s) / len(f1s), rel=1e-12)
        assert judgement.accuracy == sum(gold == answer for gold, answer in rows) / len(rows)
        assert judgement.metrics["accuracy"] == judgement.accuracy
        assert judgement.count == len(rows)

    @given(PAIRS)
    def test_the_confused_pairs_are_all_mistakes_the_most_frequent_first(self, drawn):
        number, rows = drawn
        pairs = answered(rows, number).confused_pairs()
        assert {(g, a): n for g, a, n in pairs} == {
            row: rows.count(row) for row in rows if row[0] != row[1]
        }
        assert [n for _, _, n in pairs] == sorted((n for _, _, n in pairs), reverse=True)

    def test_a_class_that_nobody_has_and_nobody_names_does_not_lower_macro_f1(self):
        assert answered([(0, 0), (1, 1)], 3).macro_f1 == 1.0
        # named once, wrongly: now it counts, with 0
        assert answered([(0, 0), (1, 1), (1, 2)], 3).macro_f1 == pytest.approx((1 + 2 / 3) / 3)


LOGITS = st.lists(
    st.tuples(st.lists(st.floats(-6, 6), min_size=3, max_size=3), st.integers(0, 2)),
    min_size=1,
    max_size=50,
)


class TestCalibration:
    @given(LOGITS)
    def test_the_error_is_that_of_a_plain_loop_over_ten_bins(self, drawn):
        examples = [Example("x", gold) for _, gold in drawn]
        judgement = judge(classes(3), examples, np.array([row for row, _ in drawn]))
        inside: dict[int, list[tuple[float, bool]]] = {number: [] for number in range(10)}
        for row, gold in drawn:
            chances = [math.exp(x - max(row)) for x in row]
            chosen = max(chances) / sum(chances)
            number = next(n for n in range(10) if n / 10 < chosen <= (n + 1) / 10)
            inside[number].append((chosen, row.index(max(row)) == gold))
        error = 0.0
        for bin, number in zip(judgement.bins, range(10), strict=True):
            here = inside[number]
            assert (bin.low, bin.high, bin.texts) == (number / 10, (number + 1) / 10, len(here))
            if here:
                mean = sum(p for p, _ in here) / len(here)
                right = sum(r for _, r in here) / len(here)
                assert bin.probability == pytest.approx(mean, rel=1e-12)
                assert bin.accuracy == pytest.approx(right, rel=1e-12)
                error += len(here) / len(drawn) * abs(mean - right)
        assert judgement.calibration_error == pytest.approx(error, abs=1e-12)

    def test_of_answers_at_one_probability_it_is_the_distance_from_their_accuracy(self):
        """10 answers with probability 0.8, of which 6 are right: |0.6 - 0.8|."""
        logits = np.tile(np.log([0.8, 0.2]), (10, 1))
        examples = [Example("x", int(i >= 6)) for i in range(10)]
        judgement = judge(classes(2), examples, logits)
        assert judgement.calibration_error == pytest.approx(0.2, abs=1e-12)

    def test_a_probability_on_an_edge_belongs_to_the_bin_below_it(self):
        judgement = judge(classes(2), [Example("x", 0)], np.zeros((1, 2)))  # exactly a half
        assert [bin.texts for bin in judgement.bins] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]


class TestMistakes:
    def test_the_most_confident_come_first_with_both_probabilities(self):
        task, logits = classes(("no", "yes")), np.log([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]])
        texts = [Example("sure", 1), Example("less", 0), Example("right", 1)]
        first, second = judge(task, texts, logits).mistakes
        assert (first.text, first.gold, first.answer) == ("sure", "yes", "no")
        assert (first.probability, first.gold_probability) == pytest.approx((0.9, 0.1))
        assert (second.text, second.gold, second.answer) == ("less", "no", "yes")

    def test_twenty_are_kept(self):
        judgement = answered([(0, 1)] * 50, 2)
        assert len(judgement.mistakes) == 20
        assert [m.text for m in judgement.mistakes] == [f"text {i}" for i in range(20)]


class TestScores:
    @given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=40))
    def test_errors_are_those_of_a_plain_loop(self, rows):
        examples = [Example(f"text {i}", gold) for i, (gold, _) in enumerate(rows)]
        judgement = judge(SCORES, examples, np.array([[answer] for _, answer in rows]))
        assert isinstance(judgement, ScoreJudgement)
        distances = [abs(answer - gold) for gold, answer in rows]
        assert judgement.mean_absolute_error == pytest.approx(sum(distances) / len(rows))
        squared = sum(d * d for d in distances) / len(rows)
        assert judgement.root_mean_squared_error == pytest.approx(math.sqrt(squared))
        assert [abs(miss.residual) for miss in judgement.misses] == sorted(distances)[::-1][:20]

    def test_the_correlations_are_numpys(self):
        rng = np.random.default_rng(3)
        gold, answers = rng.normal(size=(2, 30))
        examples = [Example("x", float(score)) for score in gold]
        metrics = judge(SCORES, examples, answers[:, None]).metrics
        assert metrics["pearson"] == pytest.approx(np.corrcoef(gold, answers)[0, 1], abs=1e-12)
        ranks = [np.argsort(np.argsort(values)) for values in (gold, answers)]  # no ties
        assert metrics["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


class TestWhatIsRefused:
    def test_no_examples(self):
        with pytest.raises(InputError, match="there are no examples"):
            judge(classes(2), [], np.zeros((0, 2)))

    @pytest.mark.parametrize("shape", [(2, 2), (1, 3), (1,)])
    def test_logits_that_are_not_those_of_the_examples(self, shape):
        with pytest.raises(InputError, match=r"logits of shape \(1, 2\), not"):
            judge(classes(2), [Example("x", 0)], np.zeros(shape))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_logits_that_are_no_numbers(self, bad):
        with pytest.raises(InputError, match="the logits of 1 examples are not finite"):
            judge(classes(2), [Example("x", 0), Example("y", 1)], np.array([[0, 1], [bad, 1]]))


class TestTheGuessWithoutAModel:
    def test_it_is_the_most_frequent_class_of_the_training_examples(self):
        train = [Example("x", label) for label in (2, 2, 0)]
        dev = [Example("x", label) for label in (0, 1, 2, 2)]
        judgement = judge(classes(3), dev, majority_logits(classes(3), train, len(dev)))
        assert list(judgement.answered) == [0, 0, 4]
        assert judgement.accuracy == 0.5

    def test_it_is_the_training_mean_of_a_regression(self):
        train = [Example("x", score) for score in (1.0, 4.0)]
        np.testing.assert_array_equal(majority_logits(SCORES, train, 3), [[2.5]] * 3)


class Page(HTMLParser):
    """A page as a browser reads it: its elements, its text; every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def pictures(page: Page) -> list[str]:
    """The SVG of every picture."""
    start = "data:image/svg+xml;base64,"
    sources = [image["src"] for image in page.all("img")]
    assert all(source.startswith(start) for source in sources)
    return [base64.b64decode(source.removeprefix(start)).decode() for source in sources]


def check(text: str) -> Page:
    """A page that asks nothing of the network, runs nothing, and that everybody can read."""
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "form", "base", "embed", "svg"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), tag
    (policy,) = [m["content"] for m in page.all("meta") if "content" in m and "http-equiv" in m]
    assert policy.startswith("default-src 'none';")
    assert "url(" not in text
    assert page.all("html") == [{"lang": "en-GB"}]
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    for svg in pictures(page):
        assert "prefers-color-scheme: dark" in svg
        assert not re.search(r'(?:href|src)="(?!#)', svg)  # nothing from elsewhere
    return page


HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'quoted' <b>",
    "</table></html>",
    "$title ${sections} $$ $x$",
    "emoji 🦊👩‍🚀 中文 שלום",
    "control \x00\x07 and lone \ud800",
    "line\nbreak\ttab",
)


class TestThePage:
    def test_hostile_texts_labels_and_names_are_shown_and_do_nothing(self):
        task = classes(HOSTILE, name="<img src=x onerror=alert(1)>")
        examples = [Example(text, i) for i, text in enumerate(HOSTILE)]
        logits = np.roll(np.eye(len(HOSTILE)) * 3, 1, axis=1)  # every answer is wrong
        with no_warnings():  # as that a letter is missing in a font of matplotlib's
            text = page_of(task, examples, logits, command="minibert predict '<b>&\"'")
        page = check(text)
        for shown in HOSTILE:
            visible = re.sub("[\x00\x07\ud800]", "\ufffd", shown)
            assert page.text.count(visible) >= 3, shown  # as text, as label and in the tables
        assert "<img src=x onerror=alert(1)>: report" in page.text
        assert "minibert predict '<b>&\"'" in page.text
        text.encode("utf-8")  # no lone surrogate is left

    def test_a_text_of_5000_characters_is_shortened_and_says_so(self):
        task, word = classes(2), "long"
        page = page_of(task, [Example(word * 1250, 0)], np.array([[0.0, 1.0]]))
        assert (word * 75 + "…") in check(page).text
        assert word * 76 not in page
        assert "(5,000 characters)" in page

    def test_both_texts_of_a_pair_are_shown(self):
        page = check(page_of(classes(2), [Example(("one", "two"), 0)], np.array([[0.0, 1.0]])))
        assert "onetwo" in page.text  # with a <br> between

    def test_every_figure_is_on_it(self):
        rng = np.random.default_rng(0)
        task = classes(("negative", "positive"))
        examples = [
            Example(f"text {i}", int(label)) for i, label in enumerate(rng.integers(0, 2, 90))
        ]
        logits = rng.normal(size=(90, 2))
        judgement = judge(task, examples, logits)
        page = check(page_of(task, examples, logits, facts=[("cut", "3 of 90 texts")]))
        for share in (
            judgement.accuracy,
            judgement.macro_f1,
            judgement.calibration_error,
            judgement.metrics["f1"],
            *judgement.precision,
            *judgement.recall,
            *judgement.f1,
        ):
            assert f"{100 * share:.1f}" in page.text
        assert "f1 of positive" in page.text  # which F1 it is
        assert "3 of 90 texts" in page.text

    def test_the_confusion_matrix_has_a_row_and_a_column_for_each_of_30_classes(self):
        rng = np.random.default_rng(1)
        examples = [Example("x", int(label)) for label in rng.integers(0, 30, 400)]
        logits = rng.normal(size=(400, 30))
        confusion = judge(classes(30), examples, logits).confusion
        text = page_of(classes(30), examples, logits)
        check(text)
        cells = re.findall(r'<td class="([^"]*)" style="--strength:([\d.]+)">(\d+)</td>', text)
        numbers = np.array([int(number) for _, _, number in cells]).reshape(30, 30)
        np.testing.assert_array_equal(numbers, confusion)
        right = np.array(["right" in kinds for kinds, _, _ in cells]).reshape(30, 30)
        np.testing.assert_array_equal(right, np.eye(30, dtype=bool))  # framed: told apart in grey
        strengths = np.array([float(strength) for _, strength, _ in cells]).reshape(30, 30)
        shares = confusion / confusion.sum(axis=1)[:, None]
        np.testing.assert_allclose(strengths, np.sqrt(shares), atol=6e-4)  # three decimals

    @pytest.mark.parametrize(
        "names, above, beside",
        [
            (("no", "yes"), ["no", "yes"], ["no", "yes"]),
            (("n" * 31, "y" * 30), ["1", "2"], [f"1 {'n' * 31}", f"2 {'y' * 30}"]),
        ],
    )
    def test_the_matrixs_columns_have_names_that_fit_or_numbers_that_the_rows_explain(
        self, names, above, beside
    ):
        text = page_of(classes(names), [Example("x", 0), Example("y", 1)], np.eye(2))
        start = text.index('<table class="matrix')
        matrix = Page(text[start : text.index("</table>", start) + len("</table>")])
        told = matrix.text.split("label", 1)[1].split("\n")
        assert told[0] == "".join(above)
        assert told[1:] == [f"{beside[0]}10", f"{beside[1]}01"]

    def test_of_150_classes_the_pairs_confused_most_are_shown(self):
        """Class 7 is taken for class 9 five times, and for class 8 twice."""
        gold = [*range(150), *[7] * 7]
        answers = [*range(150), *[9] * 5, *[8] * 2]
        text = page_of(classes(150), [Example("x", g) for g in gold], np.eye(150)[answers])
        page = check(text)
        assert 'class="matrix"' not in text
        assert "The 2 most frequent of 2 confused pairs" in page.text
        pairs = page.text.partition("Most confused classes")[2].partition("Calibration")[0]
        assert re.search(r"c7c95\s*62\.5\s*c7c82\s*25\.0", pairs)  # of eight texts
        first = page.text.partition("Shares in percent, the lowest f1 first")[2]
        assert re.match(r"\s*classprecisionrecallf1textsanswers\s*c7", first)

    def test_a_class_that_is_never_the_answer_has_zeros_and_no_warning(self):
        with no_warnings():
            page = check(
                page_of(classes(3), [Example("x", i) for i in range(3)], np.eye(3)[[0, 0, 2]])
            )
        assert re.search(r"c10\.00\.00\.010\s", page.text)

    def test_without_a_mistake_it_says_so(self):
        page = check(page_of(classes(2), [Example("x", 0), Example("y", 1)], np.eye(2)))
        assert "There are none: every answer is right." in page.text

    def test_a_regression_shows_its_errors_in_the_unit_of_the_labels(self):
        examples = [Example(f"text {i}", float(i)) for i in range(30)]
        logits = np.array([[i + 0.5] for i in range(29)] + [[20.0]])
        text = page_of(SCORES, examples, logits)
        page = check(text)
        assert len(pictures(page)) == 2
        misses = page.text.partition("Largest errors")[2]
        assert re.search(r"1\s*text 29\s*29\s*20\s*-9", misses)
        assert "Confusion" not in page.text
        assert "Calibration" not in page.text

    @pytest.mark.parametrize("task, logits", [(classes(2), [[0.0, 1.0]]), (SCORES, [[0.5]])])
    def test_one_text_is_enough(self, task, logits):
        with no_warnings():
            check(page_of(task, [Example("x", 0)], np.array(logits)))

    def test_the_guess_without_a_model_stands_beside_the_metrics(self):
        task, examples = classes(2), [Example("x", i % 2) for i in range(8)]
        guess = judge(task, examples, majority_logits(task, examples, 8))
        page = check(page_of(task, examples, np.eye(2)[[0, 1] * 4], baseline=guess))
        assert re.search(r"accuracy100\.050\.0\s", page.text)
        assert "50.0 %without a model" in page.text

    def test_the_same_page_is_the_same_bytes(self):
        task, examples = classes(2), [Example("x", 0), Example("y", 1)]
        first, second = (page_of(task, examples, np.eye(2)[[0, 0]]) for _ in range(2))
        assert first == second

    def test_a_trainings_curve_is_told_in_words_too(self):
        task, examples = classes(2), [Example("x", 0), Example("y", 1)]
        epochs = [{"accuracy": 0.5, "f1": 0.25}, {"accuracy": 0.75, "f1": 0.5}]
        run = Trained(task_file(task), None, [0.7, 0.6, 0.5, 0.4], epochs, {"accuracy": 0.5})
        page = check(page_of(task, examples, np.eye(2), trained=run))
        assert [image["alt"] for image in page.all("img")][:2] == [
            "The training loss of every step.",
            "dev accuracy after each epoch: 50.0, 75.0.",
        ]
        assert re.search(r"epochaccuracyf1\s*150\.025\.0\s*275\.050\.0", page.text)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, str]:
    """(folder with a space in its name, what training printed)."""
    out = tmp_path_factory.mktemp("runs") / "my run"
    words = ("--task", "sst-2", "--sample", *ON_TINY, "--epochs", 2, "--out", out)
    return out, works("train", *words).out


class TestTheCommands:
    def test_training_writes_the_page_and_names_it(self, run):
        out, printed = run
        assert re.search(rf"^report +{re.escape(str(out / 'report.html'))}$", printed, re.M)
        page = check((out / "report.html").read_text("utf-8"))
        for told in (
            "sst-2: report",
            "minibert's own sample in the format of SST-2",
            "640 training and 240 dev examples",
            "adapters, m = 64; recipe paper",
            "always the majority class",
        ):
            assert told in page.text, told
        command = re.search(r"^use it +(.*)$", printed, re.M)[1]
        assert command.startswith(f"minibert predict '{out / 'task.safetensors'}' ")
        here = command.replace(f"'{out / 'task.safetensors'}'", "task.safetensors")
        assert f"# in the folder of this page\n{here}" in page.text
        assert len(pictures(page)) == 3  # loss, metric, calibration

    def test_its_accuracy_is_the_one_that_training_printed(self, run):
        out, printed = run
        best = re.search(r"^best epoch .* dev accuracy ([\d.]+)$", printed, re.M)[1]
        page = check((out / "report.html").read_text("utf-8"))
        assert f"{best} %accuracy" in page.text

    def test_evaluate_writes_it_for_any_labelled_table(self, run, tmp_path):
        out, _ = run
        rows = [(f"a good film {i}", i % 2) for i in range(30)]
        table = write_tsv(tmp_path / "table.tsv", "sentence label", rows)
        words = ("evaluate", out / "task.safetensors", "--base", TINY, "--data", table)
        plain = works(*words).out
        assert works(*words, "--report", tmp_path / "page.html").out == plain
        page = check((tmp_path / "page.html").read_text("utf-8"))
        assert f"30 labelled texts judged: {table}" in page.text
        assert "always the commonest class of these texts" in page.text

    def test_it_says_how_many_texts_were_cut(self, run, tmp_path):
        """[CLS] + 2 x 30 + [SEP] is 14 more than the task's 48 tokens; the other text has 3."""
        rows = [("ba di " * 30, 0), ("ba", 1)]
        table = write_tsv(tmp_path / "table.tsv", "sentence label", rows)
        words = ("--base", TINY, "--data", table, "--report", tmp_path / "page.html")
        works("evaluate", run[0] / "task.safetensors", *words)
        page = check((tmp_path / "page.html").read_text("utf-8"))
        share = f"{100 * 14 / (62 + 3):.1f}"
        assert f"texts cut1 of 2 (50.0 %), with {share} % of all tokens lost" in page.text

    @pytest.mark.parametrize(
        "name, why", [("", "it is a folder"), ("no/p.html", "its folder does")]
    )
    def test_a_page_that_cannot_be_written_is_refused_at_once(self, run, tmp_path, name, why):
        words = ("evaluate", run[0] / "task.safetensors", "--base", TINY, "--sample")
        result = minibert(*words, "--report", tmp_path / name)
        assert result.code == 2
        assert re.fullmatch(rf"minibert: error: .*cannot be written: {why}.*\n", result.err)
        assert list(tmp_path.iterdir()) == []
