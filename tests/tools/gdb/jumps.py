"""In gdb: the operator()s of nn/ and models/ in which `next` comes to the last bracket before it comes to the last line."""
import re

import gdb


def lines(file, line):
    """The function that begins there, and its lines in the order of the machine's instructions."""
    pc = gdb.decode_line(f"{file}:{line}")[1][0].pc
    block = gdb.block_for_pc(pc)
    while block.function is None:
        block = block.superblock
    table = gdb.find_pc_line(pc).symtab.linetable()
    rows = sorted((row.pc, row.line) for row in table if block.start <= row.pc < block.end)
    return block.function.name, [line for _, line in rows]


found = {}
listing = gdb.execute(r"info functions -q ^cutaway::.*operator\(\)", to_string=True)
for file, functions in re.findall(r"^File (.*/(?:nn|models)/.*):\n((?:.+\n)*)", listing, re.MULTILINE):
    for line in re.findall(r"^(\d+):", functions, re.MULTILINE):
        name, seen = lines(file, line)
        if len(set(seen)) > 2:
            bracket = max(seen)
            last = max(line for line in seen if line < bracket)
            found[name.partition("::operator()")[0].rpartition("::")[2]] = seen.index(bracket) < seen.index(last)
print("".join(name + "\n" for name, jumps in found.items() if jumps) + f"{len(found)} boxes")
