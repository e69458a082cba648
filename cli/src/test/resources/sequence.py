"""Writes numbered blocks of 1 MiB over NBD, one after the other, and reads them back.

    sequence.py write URI BOOK FROM TO    until block TO or ENOSPC, and says which; BOOK gets a line per block acknowledged.
                                          Anything else that goes wrong is exit code 1
    sequence.py check URI BOOK            exit code 1 and a line per block of BOOK that does not hold what was acknowledged
"""
import errno
import struct
import sys

import nbd

BLOCK = 1 << 20


def content(block):
    return struct.pack(">Q", block * 2654435761 + 1) * (BLOCK // 8)


def write(uri, book_path, first, last):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    with open(book_path, "a", buffering=1) as book:
        for block in range(int(first), int(last)):
            try:
                handle.pwrite(content(block), block * BLOCK)
            except nbd.Error as e:
                if e.errnum != errno.ENOSPC:
                    raise
                print("ENOSPC at block", block)
                break
            book.write(f"{block}\n")
        else:
            print("all written")
    handle.flush()
    handle.shutdown()


def check(uri, book_path):
    with open(book_path) as book:
        blocks = sorted(set(int(line) for line in book))
    handle = nbd.NBD()
    handle.connect_uri(uri)
    wrong = [block for block in blocks if bytes(handle.pread(BLOCK, block * BLOCK)) != content(block)]
    handle.shutdown()
    print("acknowledged", len(blocks), "wrong", wrong)
    sys.exit(1 if wrong else 0)


{"write": write, "check": check}[sys.argv[1]](*sys.argv[2:])
