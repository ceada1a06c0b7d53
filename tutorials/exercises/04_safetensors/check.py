"""What the reader of exercise 4 must do. The files are assembled here, byte by byte."""

import json
import math

import numpy as np

from adapters.exercises.assertions import at_each_size, exactly, same

NAMES = {"float32": "F32", "float16": "F16", "int64": "I64"}
RNG = np.random.default_rng(5)
TENSORS = {
    "ids": RNG.integers(-9, 9, size=5).astype("<i8"),
    "pooler.dense.bias": RNG.normal(size=4).astype("<f4"),
    "pooler.dense.weight": RNG.normal(size=(4, 6)).astype("<f4"),  # [out, in]
    "half": RNG.normal(size=(3, 2)).astype("<f2"),
    "scalar": np.array(0.5, "<f4"),
}


def file_of(tensors, metadata=None, spaces=0, listed=()):
    """-> (the file's bytes, its header, the header's length). JSON may end in spaces. `listed`: the
    names in the header's order, if that is not the numbers' own."""
    header, numbers = {"__metadata__": metadata} if metadata else {}, b""
    for name, tensor in tensors.items():
        size = math.prod(tensor.shape) * tensor.dtype.itemsize
        offsets = [len(numbers), len(numbers) + size]
        dtype = NAMES[tensor.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += tensor.tobytes()
    header = {name: header[name] for name in listed or header}
    text = json.dumps(header, ensure_ascii=False).encode() + b" " * spaces
    return len(text).to_bytes(8, "little") + text + numbers, header, len(text)


DATA, HEADER, LENGTH = file_of(TENSORS, {"format": "pt"})


def smaller():
    """A smaller file without metadata, whose numbers do not start at a multiple of 4 bytes."""
    tensors = {"w": np.arange(6, dtype="<f4").reshape(2, 3)}
    length = file_of(tensors)[2]
    return file_of(tensors, spaces=1 - length % 4 + 4)


def misread(name, begin):
    """What reading this tensor would give if the offsets were counted from `begin`."""
    start, stop = HEADER[name]["data_offsets"]
    part = DATA[begin + start : begin + stop]
    if len(part) < stop - start:
        return None
    return np.frombuffer(part, TENSORS[name].dtype).reshape(TENSORS[name].shape)


def check_the_header_s_length_is_in_the_first_8_bytes(student):
    """The header's length is the number in the first 8 bytes, lowest byte first."""
    meanings = [
        (
            int.from_bytes(DATA[:8], "big"),
            "That is the number with the highest byte first (big-endian); the file's is "
            "little-endian",
        ),
        (LENGTH + 8, "The 8 bytes of the length itself are not included"),
        (DATA[0], "That is only the first byte: the number has 8"),
        (len(DATA), "That is the length of the whole file"),
        (len(DATA) - 8 - LENGTH, "That is the length of the numbers, after the header"),
        (int.from_bytes(DATA[1:9], "little"), "That is data[1:9]: the first 8 bytes are data[:8]"),
        (
            int.from_bytes(DATA[8:16], "little"),
            "That is the second 8 bytes; the first are data[:8]",
        ),
        (int.from_bytes(DATA[:4], "big"), "The number has 8 bytes, lowest first"),
    ]
    given = {}
    exactly(student.header_length(DATA), LENGTH, "header_length(data)", meanings, given)
    data, _, length = smaller()
    exactly(student.header_length(data), length, "header_length(data)", given=given)
    # no file has such a header, but all 8 bytes count
    length = 3 * 2**56 + 5
    meanings = [(5, "That is only the first few bytes: the number has 8")]
    data = length.to_bytes(8, "little")
    exactly(student.header_length(data), length, "header_length of 8 bytes", meanings)


def check_the_header_lists_every_tensor_and_nothing_else(student):
    """The header has an entry for each tensor, and "__metadata__" is left out."""
    data, header, _ = file_of({"b": TENSORS["pooler.dense.bias"]}, {"format": "pt"})
    meanings = [(header, 'The entry "__metadata__" is not a tensor and should not be there')]
    exactly(student.read_header(data), {"b": header["b"]}, "read_header(data)", meanings)
    expected = {name: entry for name, entry in HEADER.items() if name != "__metadata__"}
    exactly(student.read_header(DATA), expected, "read_header(data)")
    data, header, _ = smaller()
    what = "read_header(data) of a file without metadata"
    exactly(student.read_header(data), header, what)


def check_each_tensor_has_its_numbers_shape_and_dtype(student):
    """Each tensor has its numbers, shape and dtype."""
    for name, tensor in TENSORS.items():
        meanings = [
            (
                misread(name, 0),
                "The offsets count from the beginning of the third part, not of the file",
            ),
            (misread(name, 8), "The third part begins after the 8 bytes *and* the header"),
            (misread(name, LENGTH), "The third part begins after the header *and* the 8 bytes"),
            *(
                (
                    misread(name, begin),
                    "That begins a byte or a few too early or too late: the third part begins at "
                    "8 + the header's length",
                )
                for begin in range(LENGTH + 1, LENGTH + 17)
                if begin != LENGTH + 8
            ),
            (tensor.ravel(), "Those are the right numbers; the header gives their shape"),
            (tensor.T, "The numbers are stored in row order: read_tensor does not transpose"),
            (
                tensor.ravel().reshape(tensor.shape, order="F"),
                "The numbers are stored row by row (order C), not column by column",
            ),
            (
                tensor.ravel().reshape(tensor.shape[::-1]),
                "The shape is that of the header; there it is reversed",
            ),
            (
                np.frombuffer(tensor.tobytes(), tensor.dtype.newbyteorder()).reshape(tensor.shape),
                "That is the number with the highest byte first (big-endian): '<' in the dtype, "
                "as in DTYPES, means lowest first",
            ),
        ]
        what = f"read_tensor(data, {name!r})"
        got = student.read_tensor(DATA, name)
        same(got, tensor, what, 0.0, meanings, tensor.dtype, given={})
    data = smaller()[0]
    expected = np.arange(6.0).reshape(2, 3)
    same(student.read_tensor(data, "w"), expected, "read_tensor(data, 'w')", given={})


def check_a_weight_comes_as_in_by_out(student):
    """A linear map's weight is returned as [in, out], though the file has [out, in]."""
    other = {"w": np.arange(15, dtype="<f4").reshape(5, 3)}
    for data, name, stored in (
        (DATA, "pooler.dense.weight", TENSORS["pooler.dense.weight"]),
        (file_of(other)[0], "w", other["w"]),
    ):
        meanings = [
            (stored, "That is [out, in], as in the file; x W + b needs [in, out]: transpose it"),
            (
                stored.reshape(stored.shape[::-1]),
                "reshape keeps the order of the numbers; .T turns rows into columns",
            ),
            (stored[::-1], "That turns the rows around; .T turns rows into columns"),
        ]
        what = f"read_weight(data, {name!r})"
        same(student.read_weight(data, name), stored.T, what, 0.0, meanings, given={})


def check_the_offsets_alone_say_where_a_tensor_is(student):
    """The header may list the tensors in any order, and their names may have any letters."""

    def compare(rows, columns):
        half = np.arange(rows * columns, dtype="<f2").reshape(rows, columns)
        tensors = {"früh": half, "später": np.arange(7, 7 + half.size, dtype="<f4")}
        data, header, length = file_of(tensors, listed=("später", "früh"))
        exactly(student.read_header(data), header, "read_header(data)")
        in_turn = {"später": 0, "früh": tensors["später"].nbytes}
        for name, tensor in tensors.items():
            begin = 8 + length + in_turn[name]
            there = data[begin : begin + tensor.nbytes]
            meanings = [
                (
                    np.frombuffer(there, tensor.dtype).reshape(tensor.shape),
                    "The tensors need not lie in the header's order: data_offsets says where",
                )
            ]
            what = f"read_tensor(data, {name!r})"
            same(student.read_tensor(data, name), tensor, what, 0.0, meanings, tensor.dtype)
        what = "read_weight(data, 'früh')"
        same(student.read_weight(data, "früh"), half.T, what, 0.0, (), half.dtype)

    at_each_size(compare, (2, 3), (4, 2))
