// `tensors.py`: safetensors in Python, without a package.

/** The file. */
export const TENSORS = `"""Reads and writes safetensors files: a header of JSON, and the numbers behind it. Needs PyTorch alone."""

import json
import os
import struct

import torch

DTYPES = {
    "F64": torch.float64, "I64": torch.int64, "F32": torch.float32, "I32": torch.int32, "F16": torch.float16,
    "BF16": torch.bfloat16, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read_tensors(path):
    """Tensors by name, and the file's metadata."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        numbers = torch.frombuffer(data[begin:end], dtype=DTYPES[about["dtype"]]) if end > begin else torch.empty(0)
        tensors[name] = numbers.reshape(about["shape"])
    return tensors, metadata


def write_tensors(path, tensors, metadata):
    """All of the file or nothing: what was there before is replaced at the end."""
    tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    order = sorted(tensors, key=lambda name: (list(NAMES).index(tensors[name].dtype), name))
    header, offset = {"__metadata__": metadata}, 0
    for name in order:
        x = tensors[name]
        size = x.numel() * x.element_size()
        header[name] = {"dtype": NAMES[x.dtype], "shape": list(x.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
`;
