"""Reads a lane's topic with confluent-kafka and prints each record as a line of JSON, its envelope
decoded with the class that protoc made of proto/landfall/v1/envelope.proto.

read_envelopes.py BOOTSTRAP_SERVERS TOPIC COUNT
"""

import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from google.protobuf.json_format import MessageToDict
from landfall.v1 import envelope_pb2

PATIENCE_SECONDS = 30


def main():
    servers, topic, count = sys.argv[1:]
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "reader", "enable.auto.commit": False}
    )
    partitions = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    end = time.monotonic() + PATIENCE_SECONDS
    seen = 0
    while seen < int(count):
        if time.monotonic() > end:
            sys.exit(f"{seen} records of {count} came in {PATIENCE_SECONDS} s")
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        print(json.dumps(line(message)))
        seen += 1
    consumer.close()


def line(message):
    envelope = envelope_pb2.Envelope()
    envelope.ParseFromString(message.value())
    return {
        "key": message.key().decode(),
        "partition": message.partition(),
        "headers": {name: value.decode() for name, value in message.headers() or []},
        "payload": envelope.inline.decode(),
        "envelope": MessageToDict(envelope, preserving_proto_field_name=True),
    }


main()
