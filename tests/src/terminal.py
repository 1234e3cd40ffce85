"""Runs a program on a terminal of its own and does what the arguments say, one after the other.

usage: terminal.py COLUMNS ROWS PROGRAM ARGUMENTS... -- STEPS...

A step is `expect:TEXT` (waits until the screen has shown it since the last step), `send:KEYS` (with Python's escapes),
`resize:COLUMNSxROWS`, `signal:NUMBER` or `end` (waits until the program has ended). The last line tells the exit code, and
whether the terminal is as it was before, with its first screen and its cursor.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

LONGEST_SECONDS = 60


def size(terminal, columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main():
    columns, rows = int(sys.argv[1]), int(sys.argv[2])
    split = sys.argv.index("--")
    program, steps = sys.argv[3:split], sys.argv[split + 1 :]
    terminal, other = pty.openpty()
    size(terminal, columns, rows)
    before = termios.tcgetattr(other)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(other, termios.TIOCSCTTY, 0)
        for descriptor in range(3):
            os.dup2(other, descriptor)
        os.execvp(program[0], program)
    # `other` stays open here, so that the terminal is there after the program has ended.
    seen = b""
    everything = b""
    deadline = time.monotonic() + LONGEST_SECONDS

    def read(patience):
        nonlocal seen, everything
        if time.monotonic() > deadline:
            sys.exit(f"nothing came in time; since the last step: {seen!r}")
        if select.select([terminal], [], [], patience)[0]:
            piece = os.read(terminal, 1 << 16)
            seen += piece
            everything += piece

    def plain():
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode(errors="replace")

    status = None
    for step in steps:
        verb, _, what = step.partition(":")
        if verb == "expect":
            while what not in plain():
                read(0.2)
        elif verb == "send":
            seen = b""
            os.write(terminal, what.encode().decode("unicode_escape").encode("latin-1"))
        elif verb == "resize":
            seen = b""
            size(terminal, *map(int, what.split("x")))
        elif verb == "signal":
            seen = b""
            os.kill(child, int(what))
        elif verb == "end":
            while status is None:
                read(0.05)
                ended, found = os.waitpid(child, os.WNOHANG)
                status = found if ended else None
        else:
            sys.exit(f"unknown step {step!r}")
    while select.select([terminal], [], [], 0)[0]:
        read(0)
    after = termios.tcgetattr(other)
    is_back = everything.rfind(b"\x1b[?1049h") < everything.rfind(b"\x1b[?1049l")
    has_cursor = everything.rfind(b"\x1b[?25l") < everything.rfind(b"\x1b[?25h")
    code = None if status is None else os.waitstatus_to_exitcode(status)
    sys.stdout.write(plain())
    print(f"\nexit {code}, modes {before == after}, screen {is_back}, cursor {has_cursor}")


main()
