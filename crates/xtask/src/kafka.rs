//! Apache Kafka: one node that is broker and controller, with transactions usable.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certificates::Certificates;
use crate::java;
use crate::maven::{self, Part};
use crate::supervisor::Service;
use crate::trouble::{Doing, Result};

/// Users of the SASL listener: the same name and password for PLAIN and both kinds of SCRAM.
pub(crate) const SASL_USER: &str = "connector";
pub(crate) const SASL_PASSWORD: &str = "connector-secret";
/// A user that may do nothing but what a test allows it; everybody else may do everything.
pub(crate) const LIMITED_USER: &str = "limited";
pub(crate) const LIMITED_PASSWORD: &str = "limited-secret";

/// Ports and files of one broker.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) controller: u16,
    pub(crate) secure: Option<Secure>,
}

/// The further listeners: SASL_PLAINTEXT, SSL and SASL_SSL.
pub(crate) struct Secure {
    pub(crate) sasl: u16,
    pub(crate) tls: u16,
    pub(crate) sasl_tls: u16,
    pub(crate) certificates: Certificates,
}

/// Writes the configuration and formats the empty log directory.
pub(crate) fn initialise(place: &Place) -> Result<()> {
    let dir = &place.directory;
    fs::create_dir_all(dir).doing(dir.display())?;
    fs::write(dir.join("server.properties"), properties(place)).doing(dir.display())?;
    let cluster = cluster_id()?;
    let scram: Vec<String> = match place.secure {
        None => vec![],
        Some(_) => ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .iter()
            .flat_map(|kind| {
                [(SASL_USER, SASL_PASSWORD), (LIMITED_USER, LIMITED_PASSWORD)]
                    .map(|(user, password)| format!("{kind}=[name={user},password={password}]"))
            })
            .collect(),
    };
    let mut arguments =
        vec!["kafka.tools.StorageTool", "format", "-t", &cluster, "-c", "server.properties"];
    for user in &scram {
        arguments.extend(["--add-scram", user]);
    }
    java::tool(&maven::class_path(Part::Kafka)?, dir, &arguments)?;
    Ok(())
}

pub(crate) fn service(place: &Place, log: PathBuf) -> Result<Service> {
    let properties = place.directory.join("server.properties").display().to_string();
    let arguments = [
        "-Xms256m".to_owned(),
        "-cp".to_owned(),
        maven::class_path(Part::Kafka)?,
        "kafka.Kafka".to_owned(),
        properties,
    ];
    Ok(Service {
        name: "kafka".to_owned(),
        words: java::server(512, &place.directory, &arguments)?,
        environment: vec![],
        log,
        end: "KILL",
    })
}

/// Whether the broker answers a request of Kafka's protocol (ApiVersions, version 0); an open port alone says little, since
/// it is opened before requests are served.
pub(crate) fn answers(authority: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        // length; api key 18, version 0, correlation id 7, client id null
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
        let mut head = [0; 10];
        stream.read_exact(&mut head)?;
        // length, then the correlation id, then error code 0
        Ok(head[4..] == [0, 0, 0, 7, 0, 0])
    };
    ask().unwrap_or(false)
}

fn properties(place: &Place) -> String {
    let mut listeners = vec![format!("PLAINTEXT://127.0.0.1:{}", place.port)];
    if let Some(secure) = &place.secure {
        listeners.push(format!("SASL_PLAINTEXT://127.0.0.1:{}", secure.sasl));
        listeners.push(format!("SSL://127.0.0.1:{}", secure.tls));
        listeners.push(format!("SASL_SSL://127.0.0.1:{}", secure.sasl_tls));
    }
    let advertised = listeners.join(",");
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners={advertised},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={advertised}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={logs}\n\
         # one node cannot hold three copies, the default of all of these\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         # fewer partitions: a shorter first start\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.num.partitions=4\n\
         group.initial.rebalance.delay.ms=0\n\
         num.partitions=1\n\
         auto.create.topics.enable=false\n\
         log.cleaner.dedupe.buffer.size=16777216\n",
        controller = place.controller,
        logs = place.directory.join("logs").display(),
    );
    if let Some(secure) = &place.secure {
        text += &secure_properties(&secure.certificates);
    }
    text
}

fn secure_properties(certificates: &Certificates) -> String {
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{SASL_USER}=\"{SASL_PASSWORD}\" \
         user_{LIMITED_USER}=\"{LIMITED_PASSWORD}\";"
    );
    let mut text = format!(
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
         ssl.keystore.type=PKCS12\n\
         ssl.keystore.location={}\n\
         ssl.keystore.password={}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n\
         # a client may show a certificate; one that is shown must be good\n\
         ssl.client.auth=requested\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:{SASL_USER};User:CN=connector\n",
        certificates.key_store().display(),
        Certificates::KEY_STORE_PASSWORD,
        certificates.authority().display(),
    );
    for listener in ["sasl_plaintext", "sasl_ssl"] {
        text += &format!("listener.name.{listener}.plain.sasl.jaas.config={plain}\n");
        for kind in ["scram-sha-256", "scram-sha-512"] {
            text += &format!("listener.name.{listener}.{kind}.sasl.jaas.config={scram}\n");
        }
    }
    text
}

/// A random id in Kafka's form: 16 bytes as 22 characters of URL-safe base64.
fn cluster_id() -> Result<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 18];
    let random = Path::new("/dev/urandom");
    fs::File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes[..16]))
        .doing(random.display())?;
    // Kafka refuses an id that begins with a dash.
    bytes[0] &= 0x7f;
    let text: String = bytes
        .chunks(3)
        .flat_map(|three| {
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize] as char)
        })
        .take(22)
        .collect();
    Ok(text)
}
