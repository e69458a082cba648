"""Writes blocks over NBD and keeps book of what was acknowledged; later checks that it is there.

    acked_writes.py write URI BOOK    until the connection breaks or STOP exists beside BOOK; exit code 0 either way
    acked_writes.py check URI BOOK    exit code 1 and a line per block that holds neither what was acknowledged last nor
                                      a later write whose outcome is unknown

The blocks are zeroed before the first write.

BOOK: "S seq block" before a write is sent, "A seq" when it is acknowledged. No two writes of a block are under way at once,
so of each block at most the newest write is unknown. The order of blocks comes from ACKED_WRITES_SEED, which is printed.
"""
import os
import random
import struct
import sys

import nbd

BLOCK = 4096
BLOCKS = 4096
DEPTH = 16


def content(seq, block):
    return struct.pack(">QQ", seq, block) * (BLOCK // 16)


def write(uri, book_path):
    seed = int(os.environ.get("ACKED_WRITES_SEED", random.SystemRandom().randrange(2**32)))
    print("seed", seed, flush=True)
    chance = random.Random(seed)
    handle = nbd.NBD()
    handle.connect_uri(uri)
    handle.zero(BLOCKS * BLOCK, 0)
    busy = set()
    refused = []
    seq = 0
    stop = os.path.join(os.path.dirname(book_path), "STOP")
    with open(book_path, "w", buffering=1) as book:

        def done(seq, block):
            def call(error):
                if error.value == 0:
                    book.write(f"A {seq}\n")
                else:
                    refused.append(error.value)
                busy.discard(block)
                return 1

            return call

        try:
            while not refused and not os.path.exists(stop):
                while len(busy) < DEPTH:
                    block = chance.randrange(BLOCKS)
                    if block in busy:
                        continue
                    seq += 1
                    busy.add(block)
                    book.write(f"S {seq} {block}\n")
                    handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(content(seq, block))), block * BLOCK,
                                      completion=done(seq, block))
                handle.poll(1000)
            while busy:
                handle.poll(1000)
        except nbd.Error as e:
            print("the connection broke:", e)
        if refused:
            print("the connection broke: error replies", sorted(set(refused)))
    print("writes sent", seq)


def check(uri, book_path):
    sent, acked = {}, set()
    with open(book_path) as book:
        for line in book:
            fields = line.split()
            if fields[0] == "S":
                sent[int(fields[1])] = int(fields[2])
            else:
                acked.add(int(fields[1]))
    allowed = {}
    for seq, block in sorted(sent.items()):
        if seq in acked:
            allowed[block] = {seq}
        else:
            allowed.setdefault(block, {0}).add(seq)
    handle = nbd.NBD()
    handle.connect_uri(uri)
    wrong = 0
    for block, seqs in sorted(allowed.items()):
        data = bytes(handle.pread(BLOCK, block * BLOCK))
        if not any(data == (content(seq, block) if seq else bytes(BLOCK)) for seq in seqs):
            wrong += 1
            print("block", block, "holds", struct.unpack(">QQ", data[:16]), "instead of one of", sorted(seqs))
    handle.shutdown()
    print("acknowledged", len(acked), "blocks", len(allowed), "wrong", wrong)
    sys.exit(1 if wrong else 0)


{"write": write, "check": check}[sys.argv[1]](sys.argv[2], sys.argv[3])
