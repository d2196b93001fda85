"""Gives messages of the quarantine back to their lanes, where a corrected parser finds them.

It reads the quarantine as far as it goes when this starts, writes what is asked for to the topic that it came
from, key and value untouched, and prints a line of JSON for each record. Its consumer group remembers how far
it came: a record is given back once. Events of such a message have the ids that they always had.
"""

import argparse
import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

PATIENCE_SECONDS = 30


def main():
    options = arguments()
    servers = {"bootstrap.servers": options.bootstrap_servers}
    consumer = Consumer(servers | {"group.id": options.group, "enable.auto.commit": False})
    producer = Producer(servers | {"enable.idempotence": True})
    failed = []
    for partition, end in places(consumer, options.quarantine):
        consumer.assign([partition])
        while partition.offset < end:
            message = consumer.poll(PATIENCE_SECONDS)
            if message is None:
                raise TimeoutError(f"nothing came of {partition} in {PATIENCE_SECONDS} s")
            if message.error():
                raise KafkaException(message.error())
            partition.offset = message.offset() + 1
            give_back(message, options, producer, failed)
        producer.flush()
        if failed:
            # What was not committed is given back at the next start; doubles have the same ids.
            raise KafkaException(failed[0])
        if not options.dry_run:
            consumer.commit(offsets=[partition], asynchronous=False)
    consumer.close()


def places(consumer, topic):
    """Where to begin in each partition, and its end now."""
    partitions = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
    committed = consumer.committed([TopicPartition(topic, number) for number in partitions])
    for partition in committed:
        first, end = consumer.get_watermark_offsets(partition)
        partition.offset = max(partition.offset, first)
        yield partition, end


def give_back(message, options, producer, failed):
    said = {name.removeprefix("landfall-"): value.decode() for name, value in message.headers() or []}
    if options.reason and said["reason"] not in options.reason:
        return
    if options.parser and said.get("parser") not in options.parser:
        return
    if "cut" in said:
        print(f"{said['source']} is too large for the quarantine: it is only there", file=sys.stderr)
        return
    print(json.dumps(said), flush=True)
    if not options.dry_run:
        producer.produce(
            # TOPIC/PARTITION/OFFSET
            said["source"].rsplit("/", 2)[0],
            key=message.key(),
            value=message.value(),
            headers={"content-type": "application/protobuf"},
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        producer.poll(0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT,…")
    parser.add_argument("--quarantine", default="landfall.quarantine", metavar="TOPIC")
    parser.add_argument("--reason", action="append", help="only what failed for it; may be given again")
    parser.add_argument("--parser", action="append", help="only what it failed at; may be given again")
    parser.add_argument("--group", default="landfall-replay", help="the consumer group")
    parser.add_argument("--dry-run", action="store_true", help="say what would be given back")
    return parser.parse_args()


if __name__ == "__main__":
    main()
