"""Starts and stops the servers of the comparison, each in a folder of its own, on loopback, pinned to one core."""

import os
import shutil
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
POSTGRES = Path("/usr/lib/postgresql/15/bin")
KAFKA_LIBRARIES = Path(os.environ.get("MEERKAT_KAFKA_LIBS", HERE.parents[1] / ".cache/kafka"))
CONFIGURATIONS = {"prosody": "prosody.cfg.lua", "ejabberd": "ejabberd.yml", "meerkat": "meerkat.toml"}
START_SECONDS = 60
STOP_SECONDS = 30


# What is filled in for @ARCHIVE@.
ARCHIVES = {
    "prosody": {
        None: "",
        "internal": "",
        "sqlite": 'storage = { archive = "sql" }; sql = { driver = "SQLite3"; database = "prosody.sqlite" }',
    },
    "ejabberd": {
        None: "",
        "mnesia": "  mod_mam: {default: always, db_type: mnesia}\n",
        "postgres": "  mod_mam: {default: always, db_type: sql}\n"
                    "sql_type: pgsql\nsql_server: 127.0.0.1\nsql_port: @DATABASE_PORT@\nsql_database: bench\n"
                    "sql_username: postgres\nsql_password: '@PASSWORD@'\n",
    },
    "meerkat": {
        None: "[modules.mam]\nenabled = false\n",
        "sqlite": "",
        "postgres": '[storage]\nmain = "postgres"\n[storage.postgres]\nurl = "@URL@"\n',
    },
}


class Unavailable(Exception):
    """The server is not installed or not built."""


def certificate(folder):
    """One key and certificate for all servers: ECDSA P-256, what certification authorities sign by default today."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"localhost.{name}" for name in ("crt", "key", "pem")}
    if not paths["pem"].exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", paths["key"], "-out", paths["crt"], "-days", "3650", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"],
            check=True, stderr=subprocess.DEVNULL)
        paths["pem"].write_bytes(paths["crt"].read_bytes() + paths["key"].read_bytes())
        for path in paths.values():
            path.chmod(0o644)
    return paths


class Server:
    """One running server with an empty database."""

    def __init__(self, kind, folder, port, cores, binaries, save="always", archive=None, streamed=False):
        """`archive`: where one is kept, if it is; `streamed`: events go to a Kafka. A database or broker beside the
        server gets the tool's core."""
        self.kind, self.folder, self.port, self.direct = kind, folder / kind, port, port + 1
        self.core, self.other_core = cores
        self.save, self.archive, self.binaries, self.tool = save, archive, binaries, binaries / "meerkat-load"
        self.database, self.broker, self.streamed = None, None, streamed
        self.paths = certificate(folder / "certificate")
        self.process = None

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)
        if self.archive == "postgres":
            self.database = Postgres(self.folder / "postgres", self.port + 2, self.other_core)
        if self.streamed:
            self.broker = Kafka(self.folder / "kafka", self.port + 3, self.other_core)
        configuration = self.folder / CONFIGURATIONS[self.kind]
        configuration.write_text(self.fill((HERE / CONFIGURATIONS[self.kind]).read_text()))
        command, environment = getattr(self, self.kind)(configuration)
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(self.core), *command], cwd=self.folder, env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            self.wait_until_listening()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for beside in (self.database, self.broker):
            if beside:
                beside.stop()

    @property
    def pid(self):
        # `taskset`, and the shell script `erl`, become the server by exec.
        return self.process.pid

    def fill(self, text):
        values = {"DIR": self.folder, "PORT": self.port, "DIRECT": self.direct, "SAVE": self.save,
                  "CERTIFICATE": self.paths["crt"], "KEY": self.paths["key"], "PEM": self.paths["pem"],
                  "ARCHIVE": ARCHIVES[self.kind][self.archive], "MAM": '"mam";' if self.archive else "",
                  "EVENTS": f'\n[storage.kafka]\nbrokers = ["{self.broker.address}"]\n' if self.broker else ""}
        if self.database:
            values |= {"URL": self.database.url, "DATABASE_PORT": self.database.port,
                       "PASSWORD": self.database.password}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def prosody(self, configuration):
        if not shutil.which("prosody"):
            raise Unavailable("prosody is not installed (apt-get install prosody)")
        return ["prosody", "--config", str(configuration), "-F"], {}

    def ejabberd(self, configuration):
        listing = subprocess.run(["dpkg", "-L", "ejabberd"], capture_output=True, text=True).stdout
        beams = [line for line in listing.splitlines() if line.endswith("/ejabberd.beam")]
        if not beams or not shutil.which("erl"):
            raise Unavailable("ejabberd is not installed (apt-get install ejabberd)")
        if self.database:
            self.database.load(Path("/usr/share/ejabberd/sql/pg.sql"))
        environment = {"EJABBERD_CONFIG_PATH": str(configuration), "ERL_CRASH_DUMP_BYTES": "0",
                       "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
                       "ERL_LIBS": str(Path(beams[0]).parents[2])}
        # ejabberdctl's own flags, and no busy waiting: it would count as work that the server does not do.
        flags = ["+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        return ["erl", "-noinput", *flags, "-mnesia", "dir", f'"{self.folder}/data"', "-s", "ejabberd"], environment

    def meerkat(self, configuration):
        if not (self.binaries / "meerkat").exists():
            raise Unavailable("meerkat is not built (cargo build --release --bin meerkat --bin meerkatctl)")
        return [str(self.binaries / "meerkat"), "--config", str(configuration)], {}

    def wait_until_listening(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                for port in (self.port, self.direct):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                time.sleep(1)
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"{self.kind} did not come up, see {self.folder}/output")

    def make_accounts(self, count):
        if self.kind == "meerkat" and (self.binaries / "meerkatctl").exists():
            accounts = subprocess.run([self.tool, "register", "--csv", "--count", str(count)],
                                      check=True, capture_output=True).stdout
            listing = self.folder / "accounts.csv"
            listing.write_bytes(accounts)
            subprocess.run([self.binaries / "meerkatctl", "--socket", self.folder / "data/ctl.sock", "account",
                            "importUsers", "--filename", listing], check=True, stdout=subprocess.DEVNULL)
            return
        subprocess.run([self.tool, "register", "--port", str(self.port), "--count", str(count)],
                       check=True, stdout=subprocess.DEVNULL)

    def stored_rows(self):
        """Rows in each table of Meerkat's database; none for the others."""
        database = self.folder / "data/meerkat.db"
        if not database.exists():
            return None
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
        try:
            tables = [name for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
            return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
        finally:
            connection.close()


class Postgres:
    """A PostgreSQL of its own, as shipped: fsync is on."""

    def __init__(self, folder, port, core):
        if not (POSTGRES / "initdb").exists():
            raise Unavailable("PostgreSQL is not installed (apt-get install postgresql-15)")
        self.folder, self.port, self.password = folder, port, "bench"
        folder.mkdir()
        for parent in (folder, *folder.parents):
            # The server runs as another user, who has to reach its folder.
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        (folder / "password").write_text(self.password)
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "password", "postgres")
        self.run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256",
                 f"--pwfile={folder}/password", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        self.run("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", options, "start",
                 before=["taskset", "-c", str(core)])
        self.pid = int((folder / "data/postmaster.pid").read_text().split()[0])
        self.url = f"postgres://postgres:{self.password}@127.0.0.1:{port}/bench"
        self.run("createdb", "-h", folder, "-p", str(port), "-U", "postgres", "bench")

    def run(self, program, *arguments, before=()):
        command = [*before, "runuser", "-u", "postgres", "--", POSTGRES / program, *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/",
                       env={**os.environ, "PGPASSWORD": self.password})

    def load(self, schema):
        self.run("psql", "-q", "-h", self.folder, "-p", self.port, "-U", "postgres", "-d", "bench", "-f", schema)

    def stop(self):
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "fast", "-w", "stop")


class Kafka:
    """An Apache Kafka of its own: one broker in KRaft mode, which makes topics by itself."""

    def __init__(self, folder, port, core):
        if not KAFKA_LIBRARIES.exists():
            raise Unavailable(f"there is no Kafka in {KAFKA_LIBRARIES} (tests/kafka/install {KAFKA_LIBRARIES})")
        self.address = f"127.0.0.1:{port}"
        folder.mkdir()
        properties = folder / "server.properties"
        properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{port + 1}
listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{port + 1}
advertised.listeners=PLAINTEXT://{self.address}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.listener.names=CONTROLLER
offsets.topic.replication.factor=1
num.partitions=3
auto.create.topics.enable=true
log.dirs={folder}/data
""")
        java = ["java", "-cp", f"{KAFKA_LIBRARIES}/*"]
        storage = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(properties)]
        subprocess.run([*java, *storage], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        log = folder / "log"
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), java[0], "-Xmx512m", "-XX:+UseSerialGC", *java[1:], "kafka.Kafka",
                 str(properties)], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        while b"Kafka Server started" not in log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Kafka did not come up, see {log}")
            time.sleep(0.2)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.kill()
        self.process.wait()
