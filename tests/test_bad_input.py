"""Every rule for what is read has a file that breaks it, and each such file one message (`bad_input/`)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import rules
import transcripts

from dirsweep.cluster.job import Job
from dirsweep.config import TrialConfig
from dirsweep.search.model import SweepSpec

CORPUS = Path(__file__).parent / "bad_input"
CASES = [case for file in sorted(CORPUS.glob("*/transcript.txt")) for case in transcripts.read(file)]
DISTRIBUTIONS = (("Uniform", "ends"), ("Log", "ends"), ("Int", "ends"), ("Choice", "values"))
READERS = (
    *(f"config/{name}.py" for name in ("dataset", "encoder", "files", "ordinality", "overrides", "plain")),
    *(f"config/{name}.py" for name in ("stages", "training", "trial")),
    *(f"search/{name}.py" for name in ("check", "distribution", "known", "model", "parts", "reach", "spec")),
    *(f"cluster/{name}.py" for name in ("job", "kuberay", "parts", "slurm")),
    *(f"data/{name}.py" for name in ("csv", "encoding", "image_decoding", "image_store", "images", "inputs")),
    *(f"data/{name}.py" for name in ("labelled", "split", "table", "target")),
    *(
        "shots.py",
        "ledger/file.py",
        "kinds.py",
        "pipeline.py",
        "trial_folder.py",
        "device.py",
        "storage/record.py",
    ),
    *(f"checkpoint/{name}.py" for name in ("files", "journal", "state", "store")),
    *("loop/state.py", "search/warm.py", "data/faces.py", "data/sts_b_dir.py", "tables.py"),
    *(f"models/{name}.py" for name in ("backbone", "custom", "sentence_encoder", "sources", "word_vectors")),
)
"""Modules that say what a file of the user's, or of a sweep, may hold."""
ELSEWHERE = {
    "cluster/slurm.py submit": "the answer of sbatch (test_submit)",
    "data/image_decoding.py _append": "a store that shrank while it was made (test_image_store)",
    "data/image_store.py check_bytes": "test is opened by finalize alone (test_images)",
    "data/inputs.py encode": "rows to predict for (test_image_encoders, test_sentence_encoder)",
    "shots.py index": "labels that were not checked before (test_shots)",
    "shots.py cut_shots": "a split without training rows, refused where it is cut (test_shots)",
    "ledger/file.py create": "a sweep that is there already (test_ledger)",
    'ledger/file.py open: raise ValueError(f"{path}: no such file': "commands look first (test_ledger)",
    "pipeline.py _check_processes": "how a trial was started, which no file says (test_group)",
    "trial_folder.py _check_files": "files that changed while a trial was stopped (test_custom_encoder)",
    "device.py _own_caches": "folders that others may write to (test_compiled)",
    'device.py check: raise ValueError( f"device is cuda and': "a machine with too few GPUs (test_device)",
    'device.py check: raise ValueError( f"compiled': "a machine without a compiler (test_compiled)",
    "checkpoint/state.py": "a damaged state is removed and trained again (test_checkpoint)",
    "search/warm.py _take": "a sweep of the same data and method, as they are now (test_warm)",
    "search/warm.py _check_same": "a whole sweep of other data or of another method (test_warm)",
    **{
        f"search/warm.py {why}": "why one trial of an earlier sweep is left out (test_warm)"
        for why in ("_metrics", "_config", "_here", "_params")
    },
    "data/faces.py": "benchmarks that lie where the machine keeps them (test_faces)",
    "data/sts_b_dir.py": "a benchmark that lies where the machine keeps it, or is fetched (test_sts_b_dir)",
    "tables.py": "tables that a trial leaves, from which pictures are made (test_pictures, test_report)",
    "models/custom.py prepare": "sentence pairs that the machine keeps (test_custom_encoder)",
    "models/custom.py source_hash": "code that changed meanwhile, or is no Python (test_custom_encoder)",
    "models/sources.py": "a module without a Python file (test_custom_encoder)",
    "models/sentence_encoder.py": "a model for sentence pairs, or its cache (test_sentence_encoder)",
    "models/word_vectors.py": "word vectors for sentence pairs (test_bilstm)",
}
"""What refuses something else than a bad file, with what it refuses; the tests named break it."""
NEVER = {
    **{f"{kind}.{key}: missing": "the key says which distribution it is" for kind, key in DISTRIBUTIONS},
}
"""Limits that no file can break, with why."""
ROOTS = (TrialConfig, SweepSpec, Job)


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, transcripts.Told], rules.Broken]]:
    """What each command of the corpus said, and which rules were broken meanwhile."""
    here = tmp_path_factory.mktemp("bad") / "input"
    shutil.copytree(CORPUS, here)
    found, broken = {}, rules.Broken()
    with pytest.MonkeyPatch.context() as patch:
        for case in CASES:
            with rules.watched(broken, (*READERS, "cli/shared.py"), ROOTS):
                found[case.name] = transcripts.run(case, here, patch)
    return found, broken


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_file_ends_with_status_2_and_its_message(case, told):
    assert told[0][case.name] == case.expected


def test_a_message_names_a_file_of_the_case():
    for case in CASES:
        if case.message == transcripts.WELL:
            continue
        names = [path.name for path in (CORPUS / case.folder).iterdir() if path.name != transcripts.FILE]
        assert any(name in case.message for name in [*names, "nowhere"]), case.name


def test_no_file_of_the_corpus_lies_idle():
    for transcript in CORPUS.glob("*/transcript.txt"):
        folder = transcript.parent
        texts = [
            transcript.read_text(),
            *(file.read_text("latin-1") for file in folder.glob("*.yaml") if file.is_file()),
        ]
        idle = [path.name for path in folder.iterdir() if not any(path.name in text for text in texts)]
        assert idle in ([], [transcripts.FILE]), folder.name


@pytest.mark.slow
def test_every_place_that_refuses_has_a_case(told):
    missing = [
        str(place)
        for place in rules.places(READERS)
        if not (told[1].reached(place) or place.name.startswith(tuple(ELSEWHERE)))
    ]
    assert not missing, "no file in tests/bad_input reaches:\n" + "\n".join(missing)


@pytest.mark.slow
def test_every_limit_of_a_field_has_a_case(told):
    missing = sorted(rules.limits(*ROOTS) - told[1].limits - NEVER.keys())
    assert not missing, "no file in tests/bad_input breaks:\n" + "\n".join(missing)


def test_what_is_broken_elsewhere_is_there():
    names = [place.name for place in rules.places(READERS)]
    assert [entry for entry in ELSEWHERE if not any(name.startswith(entry) for name in names)] == []
