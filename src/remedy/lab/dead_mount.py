"""A FUSE server that says hello and then never answers; runs in a lab host as: PATH DESCRIPTOR."""

import ctypes
import os
import struct
import sys

INIT = 26
HEADER = struct.Struct("<IIQQIIII")  # struct fuse_in_header of linux/fuse.h
ANSWER = struct.Struct("<IiQ")  # struct fuse_out_header
HELLO = struct.Struct("<IIIIHHIIHHI7I")  # struct fuse_init_out since 7.23


def main(path: str, device: int) -> None:
    """Mount on `path`, answer INIT, swallow the rest."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"fileserver:/export", path.encode(), b"fuse.sshfs", 0, options.encode()):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    while True:
        request = os.read(device, 1 << 18)
        _, kind, unique, *_ = HEADER.unpack_from(request)
        if kind == INIT:
            body = HELLO.pack(7, 31, 65536, 0, 0, 0, 65536, 1, 0, 0, *[0] * 8)
            os.write(device, ANSWER.pack(ANSWER.size + len(body), 0, unique) + body)
            sys.stdout.write("ready\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
