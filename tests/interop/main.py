"""Runs the checks against one server: `main.py [--list] [CHECK...]`. `run` beside it prepares what this needs."""
import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import checks
# Each module adds its checks, in this order.
from checks import conversation, accounts, archives, copies, contacts, away, resumption, rust_client, terminals, uploads, health, slixmpp_own, log  # noqa: F401
from harness import processes
from harness.server import Server

OVERALL_SECONDS = 900


def main():
    arguments = argparse.ArgumentParser(prog="tests/interop/run")
    arguments.add_argument("--list", action="store_true", help="what there is")
    arguments.add_argument("--keep", action="store_true", help="keep the server's folder: its log, its database")
    arguments.add_argument("checks", nargs="*", metavar="CHECK")
    wanted = arguments.parse_args()
    known = [check.name for check in checks.ALL]
    if unknown := set(wanted.checks) - set(known):
        arguments.error(f"no check is named {', '.join(sorted(unknown))}; --list tells their names")
    chosen = [check for check in checks.ALL if not wanted.checks or check.name in wanted.checks]
    if wanted.list:
        for check in chosen:
            print(f"{check.name}\n    {check.about}")
        return 0
    # The libraries' own complaints are told by the checks.
    logging.disable(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="meerkat-interop-"))
    try:
        passed, failed = asyncio.run(play(chosen, folder))
    finally:
        processes.end_all()
        if wanted.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


async def play(chosen, folder):
    server = Server(folder)
    server.start()
    print(f"{os.environ['MEERKAT_BIN']} listens on {server.address}, {server.starttls} and {server.direct}", flush=True)
    until = time.monotonic() + OVERALL_SECONDS
    passed = failed = 0
    for check in chosen:
        begun = time.monotonic()
        log_before = len(server.log_text())
        try:
            seconds = min(check.seconds, max(1, until - begun))
            said = await asyncio.wait_for(check.run(checks.Stage(server)), seconds)
            passed += 1
            print(f"PASS {check.name} ({time.monotonic() - begun:.1f} s)" + (f": {said}" if said else ""), flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL {check.name} ({time.monotonic() - begun:.1f} s): {_reason(error)}", flush=True)
            for line in server.log_text()[log_before:].splitlines()[-20:]:
                print(f"    log: {line}", flush=True)
    if code := server.stop():
        failed += 1
        print(f"FAIL the server ended with exit code {code}")
    return passed, failed


def _reason(error):
    if isinstance(error, AssertionError) and str(error):
        return str(error)
    if isinstance(error, asyncio.TimeoutError):
        return "it took too long"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno}: {where.line})"


if __name__ == "__main__":
    sys.exit(main())
