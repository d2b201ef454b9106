"""Creates Arrow scalars without a Python value.

`pa.scalar`, `pa.array` and literals in `pyarrow.compute` import pandas if it is installed, as with the extra `stitch`.
That would cost 0.3 s and 56 MB: https://github.com/apache/arrow/blob/main/python/pyarrow/pandas-shim.pxi
"""

from __future__ import annotations

import struct
from functools import cache

import pyarrow as pa


@cache
def constant(text: str, kind: pa.DataType) -> pa.Scalar:
    """The scalar that Arrow casts a text to, such as `1` to an integer.

    Raises:
        pa.ArrowInvalid: the text is not a value of the type.
    """
    data = text.encode()
    offsets = pa.py_buffer(struct.pack("=2i", 0, len(data)))
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(data)]).cast(kind)[0]


@cache
def null(kind: pa.DataType) -> pa.Scalar:
    """The null of a type."""
    return pa.nulls(1, kind)[0]
