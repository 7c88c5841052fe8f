//! An Apache Kafka of the tests' own: one broker in KRaft mode, in a temporary folder, on an address of the loopback
//! network that nobody else has, ended and deleted when the test's process ends, however it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::keeper::Keeper;

/// The user of the port with SASL and TLS, and its password.
pub const USER: (&str, &str) = ("meerkat", "secret-of-kafka");

const PORT: u16 = 19094;
const SECURE_PORT: u16 = 19095;
const CONTROLLER_PORT: u16 = 19093;
/// What topics have.
pub const PARTITIONS: i32 = 3;

/// Does what it is told, a line at a time, and answers each with a line. It lives as long as its input.
const KEEPER: &str = r#"
libs=$1
dir=$(mktemp -d)
pid=
end() { [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir"; }
trap end EXIT
(umask 077; printf %s "$3" >"$dir/server.pem")
printf '%s\nlog.dirs=%s\nssl.keystore.location=%s\n' "$2" "$dir/data" "$dir/server.pem" >"$dir/server.properties"
java -cp "$libs/*" kafka.tools.StorageTool format --ignore-formatted -t MkU3OEVBNTcwNTJENDM2Qk -c "$dir/server.properties" \
    --add-scram "$4" --add-scram "$5" >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 1; }
echo "$dir"
run() {
    rm -f "$dir/log"
    java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$libs/*" kafka.Kafka "$dir/server.properties" >"$dir/log" 2>&1 &
    pid=$!
    for _ in $(seq 1200); do
        grep -q 'Kafka Server started' "$dir/log" 2>/dev/null && { echo done; return; }
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    echo failed
}
while read -r line; do
    case $line in
        start) run ;;
        stop) kill "$pid"; wait "$pid"; pid=; echo done ;;
        kill) kill -9 "$pid"; wait "$pid"; pid=; echo done ;;
        pause) kill -STOP "$pid" && echo done ;;
        resume) kill -CONT "$pid" && echo done ;;
        log) wc -l <"$dir/log"; cat "$dir/log" ;;
    esac 2>/dev/null
done
"#;

pub struct KafkaServer {
    address: String,
    keeper: Mutex<Keeper>,
    /// The authority that its certificate is from.
    authority: tempfile::TempDir,
}

/// An event as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    pub key: String,
    pub payload: Vec<u8>,
}

impl KafkaServer {
    pub fn start() -> KafkaServer {
        KafkaServer::start_with("")
    }

    /// `settings`: lines of its `server.properties`.
    pub fn start_with(settings: &str) -> KafkaServer {
        let server = KafkaServer::stopped(settings);
        server.tell("start");
        server
    }

    /// One that is there, and does not run yet.
    pub fn stopped(settings: &str) -> KafkaServer {
        let address = own_address();
        let authority = tempfile::TempDir::new().expect("a folder");
        let certificate = certificate(authority.path(), &address);
        let scram = |mechanism: &str| format!("{mechanism}=[name={},password={}]", USER.0, USER.1);
        let mut command = Command::new("bash");
        command.args(["-c", KEEPER, "keeper"]).arg(libraries()).arg(properties(&address, settings));
        command.args([certificate, scram("SCRAM-SHA-256"), scram("SCRAM-SHA-512")]);
        // A test that is interrupted is not to take the keeper with it, which has still to clean up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash starts");
        let mut keeper = Keeper::new(child);
        assert!(Path::new(&keeper.hear()).is_absolute(), "Kafka's folder is not made");
        KafkaServer { address, keeper: Mutex::new(keeper), authority }
    }

    /// `start`, `stop`, `kill`, `pause` or `resume`.
    pub fn tell(&self, word: &str) {
        let answer = self.keeper.lock().expect("nobody panicked with it").ask(word);
        assert_eq!(answer, "done", "Kafka: {word}: {}", self.log());
    }

    pub fn log(&self) -> String {
        let mut keeper = self.keeper.lock().expect("nobody panicked with it");
        let lines = keeper.ask("log").parse().unwrap_or(0);
        (0..lines).map(|_| keeper.hear() + "\n").collect()
    }

    /// "HOST:PORT" without TLS and SASL.
    pub fn broker(&self) -> String {
        format!("{}:{PORT}", self.address)
    }

    /// With both.
    pub fn secure_broker(&self) -> String {
        format!("{}:{SECURE_PORT}", self.address)
    }

    /// A folder with an authority (`authority.pem`) that no server has anything from.
    pub fn authority_alone() -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().expect("a folder");
        certificate(folder.path(), "127.0.0.1");
        folder
    }

    pub fn authority(&self) -> PathBuf {
        self.authority.path().join("authority.pem")
    }

    /// Makes topics; a broker that has just started may take a moment.
    pub async fn create_topics(&self, names: &[&str]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.broker()).create().expect("a client");
        let topics: Vec<NewTopic> =
            names.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        for made in admin.create_topics(&topics, &options).await.expect("Kafka answers") {
            made.expect("the topic is made");
        }
    }

    /// Everything that is in a topic now, partition by partition, each in its order.
    pub fn consume(&self, topic: &str) -> Vec<Consumed> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.broker())
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let mut places = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let ask = || consumer.fetch_watermarks(topic, partition, Duration::from_secs(30));
            let (_, end) = ask().or_else(|_| ask()).expect("the partition's end");
            if end > 0 {
                ends.insert(partition, end);
                places.add_partition_offset(topic, partition, Offset::Beginning).expect("a place");
            }
        }
        consumer.assign(&places).expect("assigned");
        let mut found: BTreeMap<i32, Vec<Consumed>> = BTreeMap::new();
        let until = Instant::now() + Duration::from_secs(60);
        while !ends.is_empty() {
            assert!(Instant::now() < until, "the consumer came no further: {ends:?} of {topic}");
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(500)) else { continue };
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec());
            let key = text(message.key()).expect("a key is text");
            let payload = message.payload().unwrap_or_default().to_vec();
            found.entry(message.partition()).or_default().push(Consumed { key, payload });
            if ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
                ends.remove(&message.partition());
            }
        }
        found.into_values().flatten().collect()
    }
}

/// Where the libraries are: named by `MEERKAT_KAFKA_LIBS` (tests/run does), or installed now.
fn libraries() -> PathBuf {
    if let Some(named) = std::env::var_os("MEERKAT_KAFKA_LIBS") {
        return PathBuf::from(named);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = folder.join(".cache/kafka");
    let install = Command::new(folder.join("kafka/install")).arg(&libraries).status();
    assert!(
        install.is_ok_and(|status| status.success()),
        "tests/kafka/install cannot install Kafka (see above)"
    );
    libraries
}

/// By process and by server: several test programs run at the same time.
fn own_address() -> String {
    static SERVERS: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let server = SERVERS.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{}.{server}", 64 + (process >> 8) % 64, process % 256)
}

fn properties(address: &str, settings: &str) -> String {
    let module = "org.apache.kafka.common.security";
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{address}:{CONTROLLER_PORT}
listeners=PLAINTEXT://{address}:{PORT},SASL_SSL://{address}:{SECURE_PORT},CONTROLLER://{address}:{CONTROLLER_PORT}
advertised.listeners=PLAINTEXT://{address}:{PORT},SASL_SSL://{address}:{SECURE_PORT}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
ssl.keystore.type=PEM
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{}=\"{}\";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;
{settings}",
        USER.0, USER.1
    )
}

/// A key and its certificate in one text; the authority that it is from is put into the folder.
fn certificate(folder: &Path, address: &str) -> String {
    // Each has a name of its own: a certificate whose subject is its issuer looks to OpenSSL as if it had signed itself.
    let named = |name: &str, params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, name);
    };
    let mut authority = CertificateParams::default();
    named("An authority of the tests", &mut authority);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("signs");
    std::fs::write(folder.join("authority.pem"), authority.pem()).expect("writes");
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec![address.to_owned()]).expect("a name");
    named("Kafka", &mut leaf);
    let leaf = leaf.signed_by(&key, &authority).expect("signs");
    format!("{}{}", key.serialize_pem(), leaf.pem())
}
