"""Processes that the tests started: each is ended by its id, whatever happens."""
import asyncio
import subprocess

_started = []


def start(command, **options):
    """A process without an asyncio loop around it, for the server and for programs on a terminal."""
    process = subprocess.Popen(command, **options)
    _started.append(process)
    return process


async def start_piped(*command, **options):
    """A process whose standard input and output are asyncio streams. A line may be long: it is a stanza."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, limit=1 << 22, **options)
    _started.append(process)
    return process


def end_all():
    """Those that should have ended by themselves are killed; how many they were."""
    left = [process for process in _started if process.returncode is None and not _over(process)]
    for process in left:
        process.kill()
    return len(left)


def _over(process):
    return isinstance(process, subprocess.Popen) and process.poll() is not None
