//! The stack as plain processes: no engine, no root, nothing installed on the machine.
//!
//! Downloads and starts overlap as far as they can:
//! ```text
//!   packages --> initdb --> PostgreSQL
//!   jars ------> format --> Kafka --\
//!          \---> registry -----------+--> Connect
//! ```

use std::thread;
use std::time::{Duration, Instant};

use crate::certificates::Certificates;
use crate::maven::{self, Part};
use crate::stack::{Addresses, Request, Site, variable};
use crate::steps::Steps;
use crate::supervisor::Service;
use crate::trouble::{Result, Trouble};
use crate::{connect, kafka, postgres, registry};

/// How long a server may take to answer for the first time; a loaded machine is slow, a broken server ends by itself.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// Everything up, in parallel; the addresses of all.
pub(crate) fn up(request: &Request, site: &Site, steps: Steps) -> Result<Addresses> {
    let certificates = match request.secure {
        true => Some(steps.step("certificates made", || {
            Certificates::make(&site.directory.join("certificates"))
        })?),
        false => None,
    };
    thread::scope(|scope| {
        let databases: Vec<_> = request
            .postgres
            .iter()
            .map(|version| scope.spawn(|| database(*version, site, certificates.as_ref(), steps)))
            .collect();
        let streams = messaging(request, site, certificates.as_ref(), steps);
        let mut addresses = Addresses::new();
        // All are waited for before any error is told: what they started is ended by the supervisor.
        let databases: Vec<Result<Addresses>> = databases
            .into_iter()
            .map(|one| one.join().expect("bringing up a database does not panic"))
            .collect();
        for (index, one) in databases.into_iter().enumerate() {
            let one = one?;
            if index == 0 {
                addresses.extend(one.iter().map(|(what, value)| (variable(what), value.clone())));
            }
            addresses.extend(one.iter().map(|(what, value)| {
                (variable(&versioned(what, request.postgres[index])), value.clone())
            }));
        }
        addresses.extend(streams?.into_iter().map(|(what, value)| (variable(&what), value)));
        if let Some(certificates) = &certificates {
            for (what, file) in [
                ("TLS_CA", certificates.authority()),
                ("TLS_CLIENT_CERTIFICATE", certificates.client()),
                ("TLS_CLIENT_KEY", certificates.client_key()),
            ] {
                addresses.insert(variable(what), file.display().to_string());
            }
        }
        Ok(addresses)
    })
}

/// Everything downloaded that `up` would download.
pub(crate) fn download(request: &Request, steps: Steps) -> Result<()> {
    thread::scope(|scope| {
        let databases: Vec<_> = request
            .postgres
            .iter()
            .map(|version| scope.spawn(|| install(*version, steps).map(drop)))
            .collect();
        let jars = fetch(&parts(request), steps);
        databases.into_iter().try_for_each(|one| one.join().expect("installing does not panic"))?;
        jars
    })
}

/// `POSTGRES_ADMIN` of version 15 is `POSTGRES_15_ADMIN`.
fn versioned(what: &str, version: u32) -> String {
    what.replacen("POSTGRES", &format!("POSTGRES_{version}"), 1)
}

fn install(version: u32, steps: Steps) -> Result<postgres::Server> {
    if postgres::has(version) {
        return postgres::install(version);
    }
    steps.step(&format!("PostgreSQL {version} downloaded and unpacked"), || {
        postgres::install(version)
    })
}

fn database(
    version: u32,
    site: &Site,
    certificates: Option<&Certificates>,
    steps: Steps,
) -> Result<Addresses> {
    let server = install(version, steps)?;
    let name = format!("postgres-{version}");
    let place = postgres::Place {
        directory: site.directory.join(&name),
        port: site.port(),
        sockets: crate::cache::sockets()?,
        certificate: certificates.map(|all| (all.server(), all.server_key())),
    };
    steps.step(&format!("PostgreSQL {} up on port {}", server.version, place.port), || {
        server.initialise(&place)?;
        run(site, &server.service(&name, &place, site.log(&name)), || server.answers(place.port))
    })?;
    let url = |user: &str| {
        format!("postgres://{user}:{user}@127.0.0.1:{}/{}", place.port, postgres::DATABASE)
    };
    Ok(Addresses::from([
        ("POSTGRES".to_owned(), url("cdc")),
        ("POSTGRES_ADMIN".to_owned(), url("admin")),
        ("POSTGRES_VERSION".to_owned(), server.version.clone()),
        ("POSTGRES_PROGRAMS".to_owned(), server.programs.display().to_string()),
        ("POSTGRES_SERVICE".to_owned(), name),
    ]))
}

fn parts(request: &Request) -> Vec<Part> {
    let mut parts = vec![Part::Kafka, Part::Registry];
    if request.connect {
        parts.extend([Part::Debezium, Part::Converter]);
    }
    parts
}

fn fetch(parts: &[Part], steps: Steps) -> Result<()> {
    if maven::has(parts) {
        return Ok(());
    }
    steps.step("jars fetched with Maven", || maven::fetch(parts)).map(drop)
}

fn messaging(
    request: &Request,
    site: &Site,
    certificates: Option<&Certificates>,
    steps: Steps,
) -> Result<Addresses> {
    fetch(&parts(request), steps)?;
    let (broker, registry_port) = (broker_place(site, certificates), site.port());
    let kafka_address = format!("127.0.0.1:{}", broker.port);
    let registry_address = format!("127.0.0.1:{registry_port}");
    thread::scope(|scope| {
        let registry_up = scope.spawn(|| {
            steps.step(
                &format!("Apicurio Registry {} up on port {registry_port}", maven::REGISTRY),
                || {
                    run(
                        site,
                        &registry::service(
                            &site.directory.join("registry"),
                            registry_port,
                            site.log("registry"),
                        )?,
                        || registry::answers(&registry_address),
                    )
                },
            )
        });
        let kafka_up =
            steps.step(&format!("Kafka {} up on port {}", maven::KAFKA, broker.port), || {
                kafka::initialise(&broker)?;
                run(site, &kafka::service(&broker, site.log("kafka"))?, || {
                    kafka::answers(&kafka_address)
                })
            });
        registry_up.join().expect("starting the registry does not panic").and(kafka_up)
    })?;
    let mut addresses = Addresses::from([
        ("KAFKA".to_owned(), kafka_address.clone()),
        ("KAFKA_VERSION".to_owned(), maven::KAFKA.to_owned()),
        ("KAFKA_CLASSPATH".to_owned(), maven::class_path(Part::Kafka)?),
        ("REGISTRY".to_owned(), registry::url(&registry_address)),
        ("REGISTRY_NATIVE".to_owned(), registry::native_url(&registry_address)),
        ("REGISTRY_VERSION".to_owned(), maven::REGISTRY.to_owned()),
    ]);
    if let Some(secure) = &broker.secure {
        addresses.extend([
            ("KAFKA_SASL".to_owned(), format!("127.0.0.1:{}", secure.sasl)),
            ("KAFKA_TLS".to_owned(), format!("127.0.0.1:{}", secure.tls)),
            ("KAFKA_SASL_TLS".to_owned(), format!("127.0.0.1:{}", secure.sasl_tls)),
            ("KAFKA_SASL_USER".to_owned(), kafka::SASL_USER.to_owned()),
            ("KAFKA_SASL_PASSWORD".to_owned(), kafka::SASL_PASSWORD.to_owned()),
            ("KAFKA_LIMITED_USER".to_owned(), kafka::LIMITED_USER.to_owned()),
            ("KAFKA_LIMITED_PASSWORD".to_owned(), kafka::LIMITED_PASSWORD.to_owned()),
        ]);
    }
    if request.connect {
        addresses.extend(connect_up(request, site, &kafka_address, &registry_address, steps)?);
    }
    Ok(addresses)
}

fn broker_place(site: &Site, certificates: Option<&Certificates>) -> kafka::Place {
    kafka::Place {
        directory: site.directory.join("kafka"),
        port: site.port(),
        controller: site.port(),
        secure: certificates.map(|certificates| kafka::Secure {
            sasl: site.port(),
            tls: site.port(),
            sasl_tls: site.port(),
            certificates: certificates.clone(),
        }),
    }
}

/// Kafka Connect over a broker and a registry that are up.
pub(crate) fn connect_up(
    request: &Request,
    site: &Site,
    kafka: &str,
    registry: &str,
    steps: Steps,
) -> Result<Addresses> {
    let port = site.port();
    let address = format!("127.0.0.1:{port}");
    let what = format!(
        "Kafka Connect {} with Debezium {} up on port {port}",
        maven::KAFKA,
        maven::DEBEZIUM
    );
    steps.step(&what, || {
        let (directory, native) = (site.directory.join("connect"), registry::native_url(registry));
        let service = connect::service(
            &directory,
            port,
            kafka,
            &native,
            request.exactly_once,
            site.log("connect"),
        )?;
        run(site, &service, || connect::answers(&address))
    })?;
    Ok(Addresses::from([
        ("CONNECT".to_owned(), format!("http://{address}")),
        ("CONNECT_VERSION".to_owned(), maven::KAFKA.to_owned()),
        ("DEBEZIUM_VERSION".to_owned(), maven::DEBEZIUM.to_owned()),
    ]))
}

/// Starts a server and waits until it answers; when it ends instead, its last words are the error.
fn run(site: &Site, service: &Service, answers: impl Fn() -> bool) -> Result<()> {
    site.control.start(service)?;
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if answers() {
            return Ok(());
        }
        let said =
            || crate::program::tail(&std::fs::read_to_string(&service.log).unwrap_or_default());
        if let Some((_, Some(ended))) = site.control.status()?.get(&service.name) {
            return Err(Trouble(format!(
                "{} ended with {ended} while it started\n{}",
                service.name,
                said()
            )));
        }
        if Instant::now() > deadline {
            return Err(Trouble(format!(
                "{} did not answer in {} s\n{}",
                service.name,
                START_PATIENCE.as_secs(),
                said()
            )));
        }
        thread::sleep(Duration::from_millis(50));
    }
}
