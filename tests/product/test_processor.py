"""The processor: which kernels NumPy's matrix products run on, and what `minibert doctor` says.

The choice is tested in processes of their own that see another machine's /proc/cpuinfo: it has to
be made before NumPy loads, and a wrong one would end the process. What is checked there is what
NumPy found in the environment while it loaded.
"""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial

import pytest
from command_line import ROOT, environment, minibert, works
from hypothesis import given
from hypothesis import strategies as st

import minibert.machine.doctor as doctor
from adapters.cli.help_text import python_lines
from adapters.cli.machine_report import describe_machine
from minibert.machine.doctor import advice, diagnose, gain, processor_name, threads_by
from minibert.machine.kernels import Library, Speed, candidates, library, measure, objection
from minibert.machine.processor import NEEDS, choice, flags, read_cpuinfo
from minibert.machine.threads import VARIABLES

SSE = "fpu vme sse sse2 ht syscall nx lm pni ssse3 cx16 sse4_1 sse4_2 popcnt"
AVX2 = f"{SSE} avx f16c rdrand fma movbe bmi1 avx2 bmi2"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16 avx512_vnni"


def cpuinfo(vendor: str, family: int, model: int, *each: str) -> str:
    """Linux's text for processors of one kind, one for each list of flags."""
    return "".join(
        f"processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: {family}\n"
        f"model\t\t: {model}\nmodel name\t: A {vendor} processor\nfpu\t\t: yes\n"
        f"flags\t\t: {listed}\nbugs\t\t: spectre_v1\npower management:\n\n"
        for number, listed in enumerate(each)
    )


ZEN_5 = cpuinfo("AuthenticAMD", 26, 2, AVX512, AVX512)
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n"

LEFT_ALONE = {
    "Zen 5 whose hypervisor hides AVX-512": cpuinfo("AuthenticAMD", 26, 2, AVX2, AVX2),
    **{
        f"Zen 5 without {name}": cpuinfo("AuthenticAMD", 26, 2, AVX512.replace(f" {name} ", " "))
        for name in ("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx2", "fma")
    },
    "Zen 4": cpuinfo("AuthenticAMD", 25, 17, AVX512, AVX512),
    "Zen 3": cpuinfo("AuthenticAMD", 25, 1, AVX2, AVX2),
    "Zen": cpuinfo("AuthenticAMD", 23, 1, AVX2),
    "Hygon": cpuinfo("HygonGenuine", 26, 2, AVX512),
    "Intel with AVX-512": cpuinfo("GenuineIntel", 6, 143, AVX512, AVX512),
    "Intel with AVX2": cpuinfo("GenuineIntel", 6, 154, AVX2),
    "ARM": ARM,
    "mixed flags": cpuinfo("AuthenticAMD", 26, 36, AVX512, AVX2),
    "mixed makers": ZEN_5 + cpuinfo("GenuineIntel", 6, 143, AVX512),
    "mixed families": ZEN_5 + cpuinfo("AuthenticAMD", 25, 17, AVX512),
    "one processor without flags": ZEN_5 + cpuinfo("AuthenticAMD", 26, 2, "").replace("flags", "x"),
    "one processor without family": ZEN_5 + ZEN_5.replace("cpu family", "x"),
    "a family that is no number": ZEN_5.replace(": 26", ": ²6"),
    "a family that is too long": ZEN_5.replace(": 26", ": " + 9999 * "9"),
    "no processor": ZEN_5.replace("processor\t", "x\t"),
    "empty": "",
    "garbage": "\0\ufffd::\n:\nflags avx512f\n",
}

SETTINGS = ("OPENBLAS_CORETYPE", "MINIBERT_KEEP_KERNELS")
ABLE = NEEDS["SkylakeX"] <= flags(read_cpuinfo())

# The text of standard input takes the place of /proc/cpuinfo, and an import hook notes what
# OPENBLAS_CORETYPE is when NumPy begins to load. Where this machine cannot run AVX-512 kernels,
# the hook takes them away again: NumPy computes a small product as soon as it is loaded.
PREPARE = f"""
import json, os, pathlib, sys
text = sys.stdin.buffer.read()
read_text = pathlib.Path.read_text

def another(path, encoding, errors):
    if text == b"unreadable":
        raise PermissionError(13, "Permission denied", str(path))
    return text.decode(encoding, errors)

def read(path, *how, **more):
    return (another if str(path) == "/proc/cpuinfo" else read_text)(path, *how, **more)

seen = []
class Watch:
    def find_spec(self, name, *more):
        if name == "numpy":
            seen.append(os.environ.get("OPENBLAS_CORETYPE"))
            if seen == ["SkylakeX"] and not {ABLE}:
                del os.environ["OPENBLAS_CORETYPE"]

sys.meta_path.insert(0, Watch())
sys.platform, sys.maxsize = "linux", 2**63 - 1
pathlib.Path.read_text = read
before = dict(os.environ)
"""
REPORT = """
after = dict(os.environ)
from threadpoolctl import threadpool_info
import minibert
print(json.dumps({
    "while": seen, "unchanged": after == before, "chosen": minibert.KERNELS,
    "kernels": [pool.get("architecture") for pool in threadpool_info()],
}))
"""


def simulate(text: str | bytes, code: str = "import minibert, numpy", **variables: str) -> dict:
    """What happens in a process of its own when the processor is the one that the text tells of:
    OPENBLAS_CORETYPE at each beginning of NumPy's import, whether the environment is in the end
    what it was, what minibert says it chose, the kernels in use. No product is computed. (minibert
    imports NumPy itself only where it chooses its kernels, or once something is used.)"""
    clean = {n: v for n, v in environment().items() if n not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", f"{PREPARE}\n{code}\n{REPORT}"],
        cwd=ROOT,
        input=text if isinstance(text, bytes) else text.encode(),
        capture_output=True,
        timeout=60,
        env={**clean, **variables},
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


UNTOUCHED = {"while": [None], "unchanged": True, "chosen": None}


def without_kernels(report: dict) -> dict:
    return {name: value for name, value in report.items() if name != "kernels"}


class TestTheChoice:
    def test_zen_5_gets_its_avx512_kernels_before_numpy_loads(self):
        """And the environment is afterwards as it was: what is started later decides anew."""
        report = simulate(ZEN_5)
        assert report["while"] == ["SkylakeX"]
        assert report["chosen"] == "SkylakeX"
        assert report["unchanged"]
        if ABLE and library().name == "OpenBLAS":
            assert report["kernels"] == ["SkylakeX"]

    @pytest.mark.parametrize(
        "code",
        [
            "import minibert",
            "import adapters",
            "import adapters.methods.bottleneck",
            "from minibert.ops import gelu",
            "import minibert.__main__",
            "import minibert, numpy",
        ],
    )
    def test_kernels_are_chosen_whatever_of_this_project_is_imported_first(self, code):
        assert simulate(ZEN_5, code)["while"] == ["SkylakeX"]

    def test_openblas_follows_the_choice(self):
        """Shown with kernels that hardly any machine's OpenBLAS takes by itself: Sandybridge's."""
        if library().name != "OpenBLAS" or not NEEDS["Sandybridge"] <= flags(read_cpuinfo()):
            pytest.skip("needs OpenBLAS and a processor with AVX, on Linux")
        code = (
            "import importlib.util as util\n"
            "found = util.spec_from_file_location('one', 'minibert/machine/processor.py')\n"
            "one = util.module_from_spec(found)\n"
            "found.loader.exec_module(one)\n"
            "one.choice = lambda *facts: 'Sandybridge'\n"
            "assert one.choose_kernels() == 'Sandybridge'\n"
        )
        report = simulate("", code)
        assert report["while"] == ["Sandybridge"]
        assert report["kernels"] == ["Sandybridge"]

    # One process each for what differs in kind; all of them by `choice` itself below.
    @pytest.mark.parametrize(
        "name",
        [
            "Zen 5 whose hypervisor hides AVX-512",
            "Zen 4",
            "Zen 3",
            "Intel with AVX-512",
            "Intel with AVX2",
            "ARM",
            "mixed flags",
            "empty",
            "garbage",
        ],
    )
    def test_every_other_processor_is_left_to_openblas(self, name):
        assert without_kernels(simulate(LEFT_ALONE[name])) == UNTOUCHED

    @pytest.mark.parametrize("name", LEFT_ALONE)
    def test_anything_unexpected_is_left_to_openblas(self, name):
        assert choice(ZEN_5, {}, ()) == "SkylakeX"
        assert choice(LEFT_ALONE[name], {}, ()) is None

    @pytest.mark.parametrize("text", [b"unreadable", b"\xff\xfe\0\x80flags"])
    def test_what_cannot_be_read_is_left_to_openblas(self, text):
        assert without_kernels(simulate(text)) == UNTOUCHED

    @pytest.mark.parametrize("kept", ["Haswell", "SkylakeX", "", "nonsense"])
    def test_the_users_own_setting_is_kept(self, kept):
        """Even an empty one is a setting. NumPy loads with it; no product is computed."""
        if kept in NEEDS and not NEEDS[kept] <= flags(read_cpuinfo()):
            pytest.skip(f"this processor cannot run {kept} kernels")
        report = simulate(ZEN_5, OPENBLAS_CORETYPE=kept)
        assert without_kernels(report) == {"while": [kept], "unchanged": True, "chosen": None}

    @pytest.mark.parametrize("value", ["1", "0", ""])
    def test_a_variable_turns_the_choice_off_whatever_it_says(self, value):
        assert without_kernels(simulate(ZEN_5, MINIBERT_KEEP_KERNELS=value)) == UNTOUCHED

    def test_after_numpy_has_loaded_nothing_is_chosen(self):
        assert without_kernels(simulate(ZEN_5, "import numpy, minibert")) == UNTOUCHED

    @pytest.mark.parametrize("change", ["sys.platform = 'darwin'", "sys.maxsize = 2**31 - 1"])
    def test_another_operating_system_or_a_32_bit_python_is_left_alone(self, change):
        assert without_kernels(simulate(ZEN_5, f"{change}\nimport minibert, numpy")) == UNTOUCHED

    @given(st.data())
    def test_never_are_kernels_chosen_whose_instructions_a_processor_lacks(self, data):
        """On machines of up to three processors, each of which may lack any instructions."""
        listed = st.lists(st.sampled_from(AVX512.split()), unique=True)
        lacking = data.draw(st.lists(st.one_of(st.just([]), listed), min_size=1, max_size=3))
        each = [sorted(set(AVX512.split()) - set(names)) for names in lacking]
        vendor = data.draw(st.sampled_from(["AuthenticAMD", "AuthenticAMD", "GenuineIntel"]))
        family = data.draw(st.integers(22, 30))
        text = cpuinfo(vendor, family, 2, *(" ".join(names) for names in each))
        text = text.replace("\n\n", data.draw(st.sampled_from(["\n\n", "\n", "\n\n\n"])))
        chosen = choice(text, {}, ())
        able = all(NEEDS["SkylakeX"] <= set(names) for names in each)
        assert (chosen is not None) == (able and vendor == "AuthenticAMD" and family >= 26)
        assert chosen is None or all(NEEDS[chosen] <= set(names) for names in each)

    @given(st.text(), st.integers(0, len(ZEN_5)), st.integers(0, 40))
    def test_no_text_breaks_the_choice_or_makes_it_add_instructions(self, text, start, length):
        """Zen 5's text with a piece of it replaced."""
        changed = ZEN_5[:start] + text + ZEN_5[start + length :]
        chosen = choice(changed, {}, ())
        assert chosen is None or NEEDS[chosen] <= flags(changed)
        assert choice(text, {}, ()) is None

    def test_a_server_of_512_processors_is_known_with_next_to_no_imports(self):
        """Its text is a megabyte; and this is run before NumPy is loaded, at every start."""
        text = cpuinfo("AuthenticAMD", 26, 2, *[AVX512] * 512)
        assert choice(text, {}, ()) == "SkylakeX"
        source = (ROOT / "minibert" / "machine" / "processor.py").read_text("utf-8")
        names = set(re.findall(r"^(?:import|from) ([\w.]+)", source, flags=re.M))
        assert names == {"os", "sys", "collections.abc", "pathlib"}


OPENBLAS = Library("OpenBLAS", "0.3.31.188.0", "Haswell", adjustable=True)


def all_flags(text: str) -> frozenset[str]:
    return frozenset(text.split())


class TestWhatIsMeasured:
    @pytest.mark.parametrize(
        "known, settings",
        [
            (AVX512, [None, "Haswell", "SkylakeX"]),
            (AVX2, [None, "Haswell"]),
            (SSE, [None]),
            ("", [None]),  # not known: not x86, or not Linux
        ],
    )
    def test_only_kernels_whose_instructions_the_processor_has_are_measured(self, known, settings):
        assert candidates(OPENBLAS, all_flags(known)) == settings

    @given(st.lists(st.sampled_from(AVX512.split())), st.sampled_from([*NEEDS, "Zen", None]))
    def test_no_measured_kernels_need_what_the_processor_lacks(self, known, used):
        blas = Library("OpenBLAS", "0.3.31", used, adjustable=True)
        for setting in candidates(blas, frozenset(known))[1:]:
            assert NEEDS[str(setting)] <= frozenset(known)

    @pytest.mark.parametrize("version", ["0.3.34", "0.3.34.1.0", "0.4.0", "1.0.0", "None", "0.3"])
    def test_haswell_is_not_measured_where_openblas_may_crash_with_it(self, version):
        """github.com/OpenMathLib/OpenBLAS/issues/6021: from 0.3.34 on."""
        blas = Library("OpenBLAS", version, "SkylakeX", adjustable=True)
        assert candidates(blas, all_flags(AVX512)) == [None, "SkylakeX"]
        assert objection("Haswell", all_flags(AVX512), "0.3.33") is None

    @pytest.mark.parametrize("name", ["MKL", "accelerate", "blis"])
    def test_other_libraries_choose_for_themselves(self, name):
        blas = Library(name, "1", None, adjustable=True)
        assert candidates(blas, all_flags(AVX512)) == [None]
        said = advice(blas, [], all_flags(AVX512), {}, None)
        assert said.startswith("nothing to set: ")
        assert name in said

    def test_the_same_kernels_are_measured_once_and_every_step_is_told(self):
        """OpenBLAS does not know `nonsense` and takes its own choice."""
        steps = []
        speeds = measure(
            [None, "nonsense"], [1], 1, lambda done, total: steps.append((done, total))
        )
        (speed,) = speeds
        assert speed.setting is None
        assert [len(rounds) for rounds in speed.gflops.values()] == [1]
        assert speed.gflops[1][0] > 0
        assert steps == [(1, 1)]

    def test_a_process_that_dies_is_no_measurement(self, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/bin/true")
        if not os.path.exists(sys.executable):
            pytest.skip("needs /bin/true")
        (speed,) = measure([None], [1], 2)
        assert speed.gflops == {}


def speed(kernels: str, one: list[float], two: list[float], by_itself: bool = False) -> Speed:
    return Speed(kernels, None if by_itself else kernels, {1: one, 2: two})


SLOW = speed("Haswell", [100, 110, 90], [200, 210, 190], by_itself=True)
FAST = speed("SkylakeX", [180, 190, 170], [380, 400, 360])


class TestTheAdvice:
    def say(self, used: str, speeds: list[Speed], chosen=None, known=AVX512, **environ: str) -> str:
        blas = Library("OpenBLAS", "0.3.31", used, adjustable=True)
        return advice(blas, speeds, all_flags(known), environ, chosen)

    def test_the_advice_names_kernels_that_were_clearly_faster(self):
        """The gain is the least over the numbers of threads: medians 1.8 and 1.9."""
        said = self.say("Haswell", [SLOW, FAST])
        assert said.startswith("export OPENBLAS_CORETYPE=SkylakeX: SkylakeX kernels are 80 % ")

    def test_there_is_nothing_to_set_where_the_best_kernels_are_in_use(self):
        said = self.say("SkylakeX", [SLOW, FAST], chosen="SkylakeX")
        assert said.startswith("nothing to set")

    def test_there_is_nothing_to_set_for_5_percent(self):
        little = speed("SkylakeX", [104.9, 115, 94.4], [209, 219, 199])
        assert self.say("Haswell", [SLOW, little]).startswith("nothing to set")

    def test_there_is_nothing_to_set_where_a_single_round_says_otherwise(self):
        unsure = speed("SkylakeX", [180, 190, 170], [380, 400, 189])
        assert gain(unsure, SLOW) == 1.0
        assert self.say("Haswell", [SLOW, unsure]).startswith("nothing to set")

    def test_the_advice_takes_back_a_slower_choice_of_minibert_or_of_the_user(self):
        own = speed("SkylakeX", [180, 190, 170], [380, 400, 360], by_itself=True)
        named = speed("Haswell", [100, 110, 90], [200, 210, 190])
        by_minibert = self.say("Haswell", [own, named], chosen="Haswell")
        assert by_minibert.startswith("export MINIBERT_KEEP_KERNELS=1: ")
        by_user = self.say("Haswell", [own, named], OPENBLAS_CORETYPE="Haswell")
        assert by_user.startswith("unset OPENBLAS_CORETYPE: ")

    def test_the_advice_prefers_openblas_own_choice_among_equals(self):
        own = speed("SkylakeX", [180, 190, 170], [380, 400, 360], by_itself=True)
        equal = speed("Haswell", [185, 195, 175], [382, 402, 362])
        old = speed("Sandybridge", [100, 110, 90], [200, 210, 190])
        said = self.say("Sandybridge", [own, equal, old], OPENBLAS_CORETYPE="Sandybridge")
        assert said.startswith("unset OPENBLAS_CORETYPE: ")

    def test_the_advice_warns_of_a_setting_that_the_processor_cannot_run(self):
        said = self.say("SkylakeX", [SLOW], known=AVX2, OPENBLAS_CORETYPE="SkylakeX")
        assert said.startswith("unset OPENBLAS_CORETYPE: this processor lacks avx512bw, ")

    @pytest.mark.parametrize(
        "used, known, why",
        [
            ("Haswell", "", "the processor's instructions are not known here"),
            ("Zen", AVX2, "minibert does not know which instructions Zen kernels need"),
        ],
    )
    def test_the_advice_does_not_judge_what_it_does_not_know(self, used, known, why):
        own = speed("Nehalem", [1], [2], by_itself=True)
        said = self.say(used, [own], known=known, OPENBLAS_CORETYPE=used)
        assert said == f"the kernels in use were not measured: {why}"

    def test_the_advice_does_not_rely_on_kernels_that_died(self):
        died = Speed("SkylakeX", "SkylakeX", {})
        assert self.say("Haswell", [SLOW, died]).startswith("nothing to set")
        said = self.say("SkylakeX", [SLOW, died])
        assert said == "the kernels in use were not measured: they did not run here"


@pytest.fixture
def quick(monkeypatch):
    """`minibert doctor` with one round, with one thread, and without settings."""
    monkeypatch.setattr(doctor, "diagnose", partial(diagnose, 1))
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")


class TestTheCommand:
    def test_doctor_names_the_processor_the_library_and_what_to_set(self, quick):
        result = works("doctor")
        names = (
            "processor",
            "instructions",
            "system",
            "Python",
            "NumPy",
            "BLAS",
            "kernels",
            "threads",
        )
        for name in names:
            assert re.search(rf"^{name} +\S", result.out, re.M), name
        assert processor_name(read_cpuinfo()) in result.out
        bounds = ", ".join(f"{name}=1" for name in VARIABLES)
        assert re.search(rf"^threads +1: {bounds}$", result.out, re.M)
        assert re.match(r"nothing to set|export |unset |the kernels", result.out.splitlines()[-1])
        assert result.err == ""  # the bar is for terminals
        if library().name == "OpenBLAS":
            used = library().kernels
            cells = r"\d+ \(\d+ to \d+\)"
            assert re.search(rf"^{used} \(in use\) +{cells}$", result.out, re.M)

    def test_json_is_the_python_calls_result_and_offers_no_kernels_that_cannot_run(
        self, quick, monkeypatch
    ):
        """As on a processor that has neither AVX2 nor AVX-512: only OpenBLAS's own choice, which
        the real processor can run, is measured."""
        real = flags(read_cpuinfo())
        hidden = cpuinfo("AuthenticAMD", 26, 2, " ".join(real - all_flags(AVX512) | {"pni"}))
        monkeypatch.setattr(doctor, "read_cpuinfo", lambda: hidden)
        found = json.loads(works("doctor", "--json").out)
        assert found["processor"] == "A AuthenticAMD processor (AuthenticAMD, family 26, model 2)"
        assert (found["avx2"], found["avx512"]) == (False, False)
        assert [speed["setting"] for speed in found["speeds"]] in ([None], [])
        for speed in found["speeds"]:
            assert speed["gflops"].keys() == {"1"}

    def test_the_helps_python_prints_the_diagnosis(self, quick):
        out = io.StringIO()
        with redirect_stdout(out):
            exec(python_lines("doctor"), {})
        assert out.getvalue().startswith(f"Diagnosis(processor={processor_name(read_cpuinfo())!r}")

    def test_a_python_that_cannot_be_started_is_one_line(self, quick, monkeypatch):
        if not library().adjustable:
            pytest.skip("nothing is measured with this BLAS")
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        result = minibert("doctor")
        assert result.code == 2
        (line,) = result.err.splitlines()
        assert line.startswith("minibert: error: cannot start /nowhere/python to measure: ")

    def test_kernels_that_died_and_an_unknown_processor_are_said_in_words(self):
        found = doctor.Diagnosis(
            "",
            None,
            None,
            "",
            "",
            "",
            OPENBLAS,
            "OpenBLAS",
            2,
            "",
            [Speed("Haswell", None, {})],
            "",
        )
        text = describe_machine(found)
        assert "AVX2 unknown, AVX-512 unknown" in text
        assert re.search(r"^Haswell \(in use\) +did not run +did not run$", text, re.M)
        assert "1 thread    2 threads" in re.sub(" {5,}", "    ", text)

    def test_the_reason_for_the_number_of_threads_is_the_variable_that_bounds_it(self):
        assert threads_by({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "8"}, 2) == (
            "OMP_NUM_THREADS=2"
        )
        assert threads_by({"OMP_NUM_THREADS": "many"}, 2).startswith("one for each core")
