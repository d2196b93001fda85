//! What a test has a Kafka change: topics, rights, what groups committed.

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::{Kafka, PATIENCE, java};
use crate::process::Process;
use crate::wait;

impl Kafka {
    /// Adds or removes rights, as Kafka's own tool does; it needs a broker with an authorizer.
    #[track_caller]
    pub fn change_rights(&self, arguments: &[&str]) {
        self.tool("kafka-acls", "org.apache.kafka.tools.AclCommand", arguments);
    }

    /// Every client may send so many bytes in a second; None takes that back.
    #[track_caller]
    pub fn throttle(&self, bytes_per_second: Option<u32>) {
        let change = match bytes_per_second {
            Some(rate) => ["--add-config".to_owned(), format!("producer_byte_rate={rate}")],
            None => ["--delete-config".to_owned(), "producer_byte_rate".to_owned()],
        };
        let [change, what] = &change;
        let all = ["--alter", "--entity-type", "clients", "--entity-default", change, what];
        self.tool("kafka-configs", "kafka.admin.ConfigCommand", &all);
    }

    /// Has each partition of the topics led by the next of its replicas.
    #[track_caller]
    pub fn move_leaders(&self, topics: &[&str]) {
        let client: BaseConsumer = self.client().create().expect("a client needs no server");
        let next = |topic: &&str| {
            let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("Kafka answers");
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            let led_by_next = partitions.map(|partition| {
                let mut replicas = partition.replicas().to_vec();
                let leader = replicas.iter().position(|replica| *replica == partition.leader());
                let next = leader.map_or(0, |index| (index + 1) % replicas.len());
                replicas.rotate_left(next);
                json!({ "topic": topic, "partition": partition.id(), "replicas": replicas })
            });
            led_by_next.collect::<Vec<Value>>()
        };
        let partitions: Vec<Value> = topics.iter().flat_map(next).collect();
        let file = self.folder.join("reassignment.json");
        let plan = json!({ "version": 1, "partitions": partitions });
        std::fs::write(&file, plan.to_string()).expect("the test's folder can be written");
        let file = file.to_string_lossy();
        self.tool(
            "kafka-reassign",
            "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
            &["--reassignment-json-file", &file, "--execute"],
        );
        self.tool(
            "kafka-leaders",
            "org.apache.kafka.tools.LeaderElectionCommand",
            &["--election-type", "preferred", "--all-topic-partitions"],
        );
    }

    /// Runs one of Kafka's own tools against this broker.
    #[track_caller]
    fn tool(&self, name: &str, class: &str, arguments: &[&str]) {
        let mut command = java(&self.folder, class);
        command.args(["--bootstrap-server", &self.address()]).args(arguments);
        let mut process = Process::start(name, command, &self.folder);
        let status = process.wait(wait::START);
        assert!(status.success(), "{name} {arguments:?}: {}", process.tail());
    }

    /// Changes a setting of a topic, such as `max.message.bytes`; its others become the broker's.
    #[track_caller]
    pub fn set_topic(&self, topic: &str, name: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let done =
            self.administer(async |admin, options| admin.alter_configs([&change], options).await);
        assert!(done.iter().all(Result::is_ok), "{topic} does not change: {done:?}");
    }

    /// The brokers that lead the topic's partitions, by partition.
    #[track_caller]
    pub fn leaders(&self, topic: &str) -> Vec<i32> {
        let client: BaseConsumer = self.client().create().expect("a client needs no server");
        let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("Kafka answers");
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let mut leaders: Vec<(i32, i32)> =
            partitions.map(|partition| (partition.id(), partition.leader())).collect();
        leaders.sort_unstable();
        leaders.into_iter().map(|(_, leader)| leader).collect()
    }

    /// Makes a topic with such settings as `max.message.bytes`.
    #[track_caller]
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        self.create_topics(&[name], partitions, settings);
    }

    #[track_caller]
    pub fn create_topics(&self, names: &[&str], partitions: i32, settings: &[(&str, &str)]) {
        let new = |&name| {
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
            settings.iter().fold(topic, |topic, &(name, value)| topic.set(name, value))
        };
        let topics: Vec<NewTopic<'_>> = names.iter().map(new).collect();
        let created =
            self.administer(async |admin, options| admin.create_topics(&topics, options).await);
        for result in created {
            match result {
                // A controller that changes is asked again for what it may have done already.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => panic!("topic {name} cannot be created: {error}"),
            }
        }
    }

    /// Makes a topic with these brokers for each partition, the leader first.
    #[track_caller]
    pub fn create_topic_on(&self, name: &str, replicas: &[&[i32]], settings: &[(&str, &str)]) {
        let partitions = replicas.len() as i32;
        let topic = NewTopic::new(name, partitions, TopicReplication::Variable(replicas));
        let topic = settings.iter().fold(topic, |topic, &(name, value)| topic.set(name, value));
        let done =
            self.administer(async |admin, options| admin.create_topics([&topic], options).await);
        assert!(done.iter().all(Result::is_ok), "{name} cannot be created: {done:?}");
    }

    /// Gives a topic more partitions, so many in all.
    #[track_caller]
    pub fn grow_topic(&self, name: &str, partitions: usize) {
        let more = [NewPartitions::new(name, partitions)];
        let done =
            self.administer(async |admin, options| admin.create_partitions(&more, options).await);
        assert!(done.iter().all(Result::is_ok), "{name} does not grow: {done:?}");
    }

    /// Deletes a topic; it is gone when this returns.
    #[track_caller]
    pub fn delete_topic(&self, name: &str) {
        let done =
            self.administer(async |admin, options| admin.delete_topics(&[name], options).await);
        assert!(done.iter().all(Result::is_ok), "{name} cannot be deleted: {done:?}");
        let client: BaseConsumer = self.client().create().expect("a client needs no server");
        wait::until_true(&format!("{name} is gone"), wait::SOON, || {
            let metadata = client.fetch_metadata(Some(name), PATIENCE).expect("Kafka answers");
            metadata.topics().iter().all(|topic| topic.partitions().is_empty())
        });
    }

    /// Has a partition forget its records before an offset, as retention does.
    #[track_caller]
    pub fn forget_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("it is an offset");
        let done =
            self.administer(async |admin, options| admin.delete_records(&before, options).await);
        assert!(
            done.elements().iter().all(|one| one.error().is_ok()),
            "{topic} forgets nothing: {done:?}"
        );
    }

    /// From where on a group is to read a partition; None where nothing was committed.
    #[track_caller]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let mut config = self.client();
        config.set("group.id", group);
        let client: BaseConsumer = config.create().expect("a client needs no server");
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let told = client.committed_offsets(asked, PATIENCE).expect("Kafka answers");
        told.elements().first().and_then(|one| one.offset().to_raw()).filter(|at| *at >= 0)
    }

    /// Commits for a group that has no members.
    #[track_caller]
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let mut config = self.client();
        config.set("group.id", group);
        let client: BaseConsumer = config.create().expect("a client needs no server");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("it is an offset");
        client.commit(&list, CommitMode::Sync).expect("Kafka takes it");
    }

    /// Asks Kafka's administration for something.
    #[track_caller]
    fn administer<T>(
        &self,
        ask: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> KafkaResult<T>,
    ) -> T {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("an admin client needs no server");
        let options = AdminOptions::new().operation_timeout(Some(Timeout::After(PATIENCE)));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .expect("a runtime without drivers can be built")
            .block_on(ask(&admin, &options))
            .expect("Kafka answers")
    }
}
