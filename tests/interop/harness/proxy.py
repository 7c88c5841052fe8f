"""A TCP proxy between a client and the server: the network that can be taken away."""
import asyncio
import socket
import struct


class Proxy:
    def __init__(self, address, port):
        self.target = (address, port)
        self.port = None
        self._connections = []
        self._tasks = set()
        self._down = False

    async def __aenter__(self):
        self._listener = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()

    def cut(self):
        """Resets every connection on both sides, as when a router forgets them."""
        connections, self._connections = self._connections, []
        for client, server, _ in connections:
            for writer in (client, server):
                _reset(writer)
        return len(connections)

    def freeze(self):
        """Every connection of now stays open, and nothing more passes, as when a phone leaves the wireless
        network: the server does not learn of it. New connections work."""
        for _, _, passing in self._connections:
            passing.clear()

    def cut_clients(self):
        """Resets the clients' sides only: the server goes on as if they were there."""
        for client, _, _ in self._connections:
            _reset(client)

    def take_down(self):
        """No network: connections are cut, and new ones are refused at once."""
        self._down = True
        self.cut()

    def bring_up(self):
        self._down = False

    async def _accepted(self, reader, writer):
        if self._down:
            return _reset(writer)
        try:
            server_reader, server = await asyncio.open_connection(*self.target)
        except OSError:
            return _reset(writer)
        passing = asyncio.Event()
        passing.set()
        self._connections.append((writer, server, passing))
        for source, sink in ((reader, server), (server_reader, writer)):
            task = asyncio.ensure_future(_pass(source, sink, passing))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pass(source, sink, passing):
    try:
        while data := await source.read(65536):
            await passing.wait()
            sink.write(data)
            await sink.drain()
        await passing.wait()
        sink.write_eof()
    except (OSError, RuntimeError):
        pass


def _reset(writer):
    """Closes with RST, not FIN."""
    peer = writer.get_extra_info("socket")
    try:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()
