"""Files: slixmpp uploads them by XEP-0363, and curl, on disk and in S3."""
import asyncio
import io
import os

from harness.s3 import S3
from harness.server import Server
from harness.slix import Slixmpp

from . import check

CONTENT = os.urandom(300_000)


@check(seconds=120)
async def files_on_disk_and_in_s3(stage):
    """slixmpp and curl upload files to a server that keeps them on disk, and to one that keeps them in S3; both read
    what the other one put."""
    folder = stage.server.folder / "uploads-s3"
    folder.mkdir()
    s3 = S3(folder)
    there = Server(folder, s3.variables())
    there.start()
    try:
        # Before slixmpp's HTTP client is loaded: then it reads whom it trusts.
        trusted = folder / "trusted.pem"
        authorities = [stage.server.certificates.ca, there.certificates.ca]
        trusted.write_text("".join(authority.read_text() for authority in authorities))
        os.environ["SSL_CERT_FILE"] = str(trusted)
        for server in (stage.server, there):
            await _both_upload(server, trusted)
        assert len(s3.objects()) == 2, s3.objects()
        assert all(path.read_bytes() == CONTENT for path in s3.objects())
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
        there.stop()
        s3.stop()
    return f"{len(CONTENT)} bytes by each of the two, on disk and in S3"


async def _both_upload(server, trusted):
    romeo = Slixmpp(server, await server.account("romeo-uploads"), "orchard")
    async with romeo:
        romeo.xmpp.register_plugin("xep_0363")
        upload = romeo.xmpp["xep_0363"]
        url = await upload.upload_file("très cool.png", size=len(CONTENT), content_type="image/png",
                                       input_file=io.BytesIO(CONTENT))
        assert url.startswith(f"https://{server.address}:{server.https}/upload/"), url
        assert url.endswith("/tr%C3%A8s%20cool.png"), url
        service = (await upload.find_upload_service())["from"]
        slot = await upload.request_slot(service, "b.png", len(CONTENT), "image/png")
        put, get = slot["http_upload_slot"]["put"]["url"], slot["http_upload_slot"]["get"]["url"]
        file = server.folder / "b.png"
        file.write_bytes(CONTENT)
        status = await _curl(trusted, "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: image/png",
                             "-T", file, put)
        assert status == b"201", status
        for address in (url, get):
            assert await _curl(trusted, address) == CONTENT
            assert await _curl(trusted, "-r", "10-19", address) == CONTENT[10:20]


async def _curl(trusted, *arguments):
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "30", "--cacert", str(trusted), *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    said, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return said
