//! `landfall tail LANE`: a lane's records from the beginning, as they come, references resolved.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bridge::kafka::consumer::Consumer;
use bridge::objects::Objects;
use url::Url;

use super::dev::{FLEET, Running};
use super::{Failure, READER, environment, show};
use crate::config::{self, Secrets, Whole};

/// How long one look for records takes.
const LOOK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Arguments {
    /// The lane, such as fast; or a canonical topic, metadata or quarantine
    lane: String,
    /// The folder of a running `landfall dev`
    #[arg(long, value_name = "DIR", default_value = "landfall-data", conflicts_with = "config")]
    data_dir: PathBuf,
    /// The gateway's configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End after this many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Where the records and objects are.
struct Source {
    servers: String,
    properties: BTreeMap<String, String>,
    lanes: Vec<(String, Vec<String>)>,
    store: Option<(Url, BTreeMap<String, String>)>,
}

pub fn tail(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let source = source(arguments)?;
    let names: Vec<&str> = source.lanes.iter().map(|(name, _)| name.as_str()).collect();
    let found = source.lanes.iter().find(|(name, _)| *name == arguments.lane);
    let (_, topics) = found.ok_or_else(|| {
        Failure::Usage(format!(
            "there is no lane or topic {:?}: there are {}",
            arguments.lane,
            names.join(", ")
        ))
    })?;
    let objects = match &source.store {
        Some((url, options)) => Some(Objects::open(url, options).map_err(anyhow::Error::from)?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let consumer = Consumer::open(READER, &source.servers, &source.properties, topics);
    let consumer = consumer.map_err(anyhow::Error::from)?;
    let mut out = io::stdout().lock();
    let mut shown = 0;
    while arguments.count.is_none_or(|count| shown < count) {
        if let Some(record) = consumer.next(LOOK).map_err(anyhow::Error::from)? {
            let objects = objects.as_ref().map(|objects| (objects, &runtime));
            writeln!(out, "{}", show::line(&record, objects))?;
            shown += 1;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What can be read, by name, with its Kafka topics: each lane, and what is made of them.
pub fn readable(whole: &Whole) -> Vec<(String, Vec<String>)> {
    let plans = whole.gateway.routing.lanes.values();
    let lanes = plans.map(|plan| (plan.name.clone(), plan.topic.all().to_vec()));
    let events = whole.parse.iter().flat_map(|events| {
        let plan = &events.plan;
        let metadata = plan.metadata.iter().map(|metadata| ("metadata", &metadata.topic));
        let topics = plan.topics.iter().map(|topic| (&*topic.topic, &topic.topic));
        metadata.chain([("quarantine", &plan.quarantine)]).chain(topics)
    });
    lanes.chain(events.map(|(name, topic)| (name.to_owned(), vec![topic.clone()]))).collect()
}

fn source(arguments: &Arguments) -> Result<Source, Failure> {
    let whole = match &arguments.config {
        Some(file) => config::load_whole(Some(file), environment(), Secrets::Read)?,
        None => {
            let running = Running::read(&arguments.data_dir)?;
            let whole = config::parse_whole(FLEET, environment(), Secrets::Read)?;
            return Ok(Source {
                servers: running.bootstrap_servers,
                properties: BTreeMap::new(),
                lanes: readable(&whole),
                store: Some((running.object_store, BTreeMap::new())),
            });
        }
    };
    let lanes = readable(&whole);
    let settings = whole.gateway;
    Ok(Source {
        lanes,
        servers: settings.kafka.bootstrap_servers,
        properties: settings.kafka.properties,
        store: settings.object_store.map(|store| (store.url, store.options)),
    })
}
