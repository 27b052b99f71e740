"""A TensorFlow checkpoint (format V2) written without TensorFlow, from its file formats alone."""

import struct
from pathlib import Path

MAGIC = 0xDB4775248B80FB57


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(array, offset):
    dimensions = b"".join(field(2, field(1, length)) for length in array.shape)
    checksum = varint(6 << 3 | 5) + struct.pack("<I", 0)
    return field(1, 1) + field(2, dimensions) + field(4, offset) + field(5, array.nbytes) + checksum


def block(pairs, every=16):
    out, restarts, last = bytearray(), [], b""
    for count, (key, value) in enumerate(pairs):
        shared = 0
        if count % every:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def write_checkpoint(path: Path, arrays, per_block=50):
    """Write path.index and path.data-00000-of-00001; returns them."""
    data, pairs, offset = b"", [], 0
    for name in sorted(arrays, key=str.encode):
        pairs.append((name.encode(), entry(arrays[name], offset)))
        data += arrays[name].astype("<f4").tobytes()
        offset = len(data)
    pairs.insert(0, (b"", field(1, 1)))  # BundleHeaderProto: one shard
    index, handles = bytearray(), []
    for start in range(0, len(pairs), per_block):
        some = pairs[start : start + per_block]
        body = block(some)
        handles.append((some[-1][0], varint(len(index)) + varint(len(body))))
        index += body + b"\0" + struct.pack("<I", 0)
    ends = []
    for body in (block([]), block(handles, every=1)):
        ends.append(varint(len(index)) + varint(len(body)))
        index += body + b"\0" + struct.pack("<I", 0)
    index += b"".join(ends).ljust(40, b"\0") + struct.pack("<Q", MAGIC)
    files = path.with_name(path.name + ".index"), path.with_name(path.name + ".data-00000-of-00001")
    files[0].write_bytes(bytes(index))
    files[1].write_bytes(data)
    return files
