"""What the reader of exercise 5 must do. The files are made by the safetensors library, and one by
hand, with the header that its equation says."""

import json

import numpy as np
from safetensors.numpy import save

from adapters.exercises.check import exactly, same

RNG = np.random.default_rng(5)
TENSORS = {
    "ids": RNG.integers(-9, 9, size=5),
    "pooler.dense.bias": RNG.normal(size=4).astype(np.float32),
    "pooler.dense.weight": RNG.normal(size=(4, 6)).astype(np.float32),  # [out, in]
    "half": RNG.normal(size=(3, 2)).astype(np.float16),
    "scalar": np.array(0.5, np.float32),
}
DATA = save(TENSORS, {"format": "pt"})
LENGTH = int.from_bytes(DATA[:8], "little")
HEADER = json.loads(DATA[8 : 8 + LENGTH])


def by_hand():
    """A file without metadata, whose numbers do not begin at a multiple of 4 bytes."""
    numbers = np.arange(6, dtype="<f4")
    header = {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    text = json.dumps(header).encode()
    text += b" " * (1 - len(text) % 4 + 4)  # JSON may end in spaces
    return len(text).to_bytes(8, "little") + text + numbers.tobytes(), header, len(text)


def misread(name, begin):
    """The tensor of that name, if its offsets were counted from `begin`; None where there are too
    few bytes."""
    start, stop = HEADER[name]["data_offsets"]
    part = DATA[begin + start : begin + stop]
    return np.frombuffer(part, TENSORS[name].dtype).reshape(TENSORS[name].shape)


def check_the_header_s_length_is_in_the_first_8_bytes(student):
    """header_length is the number in the first 8 bytes, lowest byte first."""
    meanings = [
        (
            int.from_bytes(DATA[:8], "big"),
            "That is the number with the highest byte first (big-endian); the file's is "
            "little-endian",
        ),
        (LENGTH + 8, "The 8 bytes of the length itself do not count"),
        (DATA[0], "That is the first byte only: the number has 8"),
        (len(DATA), "That is the length of the whole file"),
    ]
    exactly(student.header_length(DATA), LENGTH, "header_length(data)", meanings)
    data, _, length = by_hand()
    exactly(student.header_length(data), length, "header_length(data)")


def check_the_header_lists_every_tensor_and_nothing_else(student):
    """read_header has an entry for each tensor, and no "__metadata__"."""
    expected = {name: entry for name, entry in HEADER.items() if name != "__metadata__"}
    meanings = [(HEADER, 'The entry "__metadata__" is no tensor and should not be there')]
    exactly(student.read_header(DATA), expected, "read_header(data)", meanings)
    data, header, _ = by_hand()
    what = "read_header(data) of a file without metadata"
    exactly(student.read_header(data), header, what)


def check_each_tensor_has_its_numbers_shape_and_dtype(student):
    """read_tensor gives each tensor as it was written."""
    for name, tensor in TENSORS.items():
        meanings = [
            (misread(name, 0), "The offsets count from the third part's beginning, not the file's"),
            (misread(name, 8), "The third part begins after the 8 bytes *and* the header"),
            (misread(name, LENGTH), "The third part begins after the header *and* the 8 bytes"),
            (tensor.ravel(), "Those are the right numbers; the header says their shape"),
            (tensor.T, "The numbers lie in row order: no transposing in read_tensor"),
        ]
        what = f"read_tensor(data, {name!r})"
        same(student.read_tensor(DATA, name), tensor, what, 0.0, meanings, tensor.dtype)
    data = by_hand()[0]
    expected = np.arange(6.0).reshape(2, 3)
    same(student.read_tensor(data, "w"), expected, "read_tensor(data, 'w')")


def check_a_weight_comes_as_in_by_out(student):
    """read_weight gives [in, out] from the file's [out, in]."""
    stored = TENSORS["pooler.dense.weight"]
    meanings = [
        (stored, "That is [out, in], as the file has it; x W + b wants [in, out]: transpose it"),
        (
            stored.reshape(6, 4),
            "reshape keeps the order of the numbers; .T turns rows into columns",
        ),
    ]
    what = "read_weight(data, 'pooler.dense.weight')"
    same(student.read_weight(DATA, "pooler.dense.weight"), stored.T, what, 0.0, meanings)
