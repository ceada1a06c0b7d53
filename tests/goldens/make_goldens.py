"""Make the reference values that the tests compare minibert with, using other people's code.

    python tests/goldens/make_goldens.py --minilm FOLDER --minibert-python PYTHON
    python tests/goldens/make_goldens.py tiny optim          # some parts only

Run it as a file, in an environment with `requirements.txt` installed: Python then puts this
folder on the path and not the repository's root, whose folder `adapters` would hide AdapterHub's
package of that name. Nothing here imports minibert. README.md says what each file holds.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is read from local files

PARTS = ("tiny", "beyond", "pooling", "hidden_act", "minilm", "sentences", "shapes", "optim")
PARTS += ("metrics", "activations", "tokenizer")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; parts that need a file or a program get it here."""
    parser = argparse.ArgumentParser(description="Make the reference values in tests/goldens.")
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--minilm", type=Path, metavar="FOLDER", help="all-MiniLM-L6-v2's files")
    parser.add_argument(
        "--minibert-python", metavar="PYTHON", help="a Python that has minibert's dependencies"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="output folder; default: this one")
    args = parser.parse_args(argv)
    args.parts = args.parts or list(PARTS)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    for part in {"minilm", "sentences"} & set(args.parts):
        if args.minilm is None:
            parser.error(f"the part {part} needs --minilm FOLDER")
    if "shapes" in args.parts and args.minibert_python is None:
        parser.error("the part shapes needs --minibert-python PYTHON")
    return args


def main() -> None:
    """Make the chosen parts, one after the other."""
    args = parse()
    if str(ROOT) in (str(Path(p).resolve()) for p in sys.path):
        sys.exit("the repository's root is on the path: run this file itself, with no PYTHONPATH")
    import torch
    from transformers.utils import logging as transformers_logging

    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    logging.getLogger("adapters").setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        print(f"== {part}", flush=True)
        if part == "tiny":
            from tiny_goldens import make_tiny

            make_tiny(args.out)
        elif part == "beyond":
            from beyond_goldens import make_beyond

            make_beyond(args.out)
        elif part == "pooling":
            from pooling_goldens import make_pooling

            make_pooling(args.out)
        elif part == "hidden_act":
            from hidden_act_goldens import make_hidden_act

            make_hidden_act(args.out)
        elif part == "minilm":
            from minilm_goldens import make_minilm

            make_minilm(args.out, args.minilm)
        elif part == "sentences":
            from sentence_goldens import make_sentences

            make_sentences(args.out, args.minilm)
        elif part == "shapes":
            from shape_goldens import make_shapes

            make_shapes(args.out, args.minibert_python, ROOT)
        elif part == "optim":
            from optimiser_goldens import make_optim

            make_optim(args.out)
        elif part == "tokenizer":
            from tokenizer_goldens import make_tokenizer

            make_tokenizer(args.out)
        else:
            import metric_goldens

            getattr(metric_goldens, f"make_{part}")(args.out)


if __name__ == "__main__":
    main()
