"""The small pictures of the tutorials' index, from the pictures that the tutorials have drawn:

    make tutorials thumbnails

Each is the first picture of its tutorial or, where CUTS says so, another or a part of it, cut so
that its words can still be read at the width of a card. Needs Pillow, which matplotlib brings.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "figures" / "tutorials"
WIDTH = 800  # pixels; a card is about 400 wide, twice as many on a fine screen

# tutorial: its picture, and (left, top, right, bottom) as parts of the width and height
CUTS = {
    "01_tokens": ("01_nearest_words", (0.0, 0.07, 0.255, 1.0)),
    "02_attention": ("02_heads", (0.5, 0.452, 1.0, 0.9)),
    "03_layer": ("03_skip_connections", (0.0, 0.0, 1.0, 1.0)),
    "05_backward": ("05_backward", (0.5, 0.0, 1.0, 0.905)),
    "06_adam": ("06_adam", (0.0, 0.0, 0.393, 1.0)),
    "07_the_adapter": ("07_where_it_sits", (0.0, 0.0, 1.0, 1.0)),
    "04_loading": ("04_meanings", (0.0, 0.04, 0.582, 0.535)),
    "08_train_a_task": ("08_train_a_task", (0.515, 0.08, 1.0, 0.875)),
    "11_initialisation": ("11_initialisation", (0.0, 0.0, 0.5, 1.0)),
    "12_many_tasks": ("12_many_tasks", (0.525, 0.0, 1.0, 0.86)),
    "13_extensions": ("13_extensions", (0.0, 0.07, 0.53, 1.0)),
    "14_questions": ("14_questions", (0.0, 0.0, 0.7, 0.88)),
    "17_your_own_texts": ("17_your_own_texts", (0.0, 0.0, 0.46, 1.0)),
    "18_looking_inside": ("18_states", (0.5, 0.0, 1.0, 1.0)),
    "19_meaning": ("19_meaning", (0.0, 0.0, 0.5, 1.0)),
    "21_other_libraries": ("21_other_libraries", (0.0, 0.0, 0.66, 1.0)),
    "20_pretraining": ("20_pretraining", (0.45, 0.0, 1.0, 1.0)),
}
WHOLE = (0.0, 0.0, 1.0, 1.0)


def cut_of(stem: str, drawn: Path) -> tuple[Path, tuple[float, float, float, float]] | None:
    """The picture of a tutorial, and which part of it; None when it has drawn none."""
    if stem in CUTS:
        name, part = CUTS[stem]
        return drawn / f"{name}.png", part
    found = sorted(drawn.glob(f"{stem[:2]}_*.png"))
    return (found[0], WHOLE) if found else None


def thumbnails(drawn: Path) -> Iterator[tuple[Path, Image.Image]]:
    """(where it goes, the small picture) of each tutorial that has drawn one."""
    for script in sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py")):
        cut = cut_of(script.stem, drawn)
        if cut is not None and cut[0].exists():
            with Image.open(cut[0]) as picture:
                sides = (picture.width, picture.height) * 2
                box = tuple(round(part * side) for part, side in zip(cut[1], sides, strict=True))
                small = picture.convert("RGB").crop(box)
            small.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
            yield OUT / f"{script.stem}.png", small


def main(drawn: Path) -> None:
    """Write the small pictures of all tutorials."""
    OUT.mkdir(parents=True, exist_ok=True)
    for path, small in thumbnails(drawn):
        small.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(path, optimize=True)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
