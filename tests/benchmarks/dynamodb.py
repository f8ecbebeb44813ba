"""DynamoDB as far as a benchmark needs it: TLS, its headers, and an answer at once.

A process of its own, so that its CPU time is nobody else's. It knows the items it is given as JSON on
standard input, by their `id`, and takes every write. It says on standard output where it listens;
the authority that signed its certificate is in `ca.pem` in the folder it is given.

    python -m tests.benchmarks.dynamodb FOLDER < items.json
"""

import asyncio
import json
import ssl
import sys
from binascii import crc32
from pathlib import Path

import trustme

HEAD = (
    "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Mon, 23 Nov 2026 13:00:00 GMT\r\n"
    "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\nConnection: keep-alive\r\n"
    "x-amzn-RequestId: VH9R5L3QF0ABCDEFGHIJKLMNOPVV4KQNSO5AEMVJF66Q9ASUAAJG\r\nx-amz-crc32: %d\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """Answers one request after the other; written for little CPU, so it takes what SDKs send and no more."""

    def __init__(self, items):
        self.items = items
        self.data = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower() + b"\r\n"
            length = int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
            if len(self.data) < end + 4 + length:
                return
            body, self.data = self.data[end + 4 : end + 4 + length], self.data[end + 4 + length :]
            self.transport.write(self.answer(head, body))

    def answer(self, head, body):
        found = {}
        if b".getitem" in head:
            item = self.items.get(json.loads(body)["Key"]["id"]["S"])
            found = {"Item": item} if item else {}
        content = json.dumps(found).encode()
        return (HEAD % (len(content), crc32(content))).encode() + content


async def serve(folder, items):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(items), "127.0.0.1", 0, ssl=context
    )
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"https://localhost:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.load(sys.stdin)))
