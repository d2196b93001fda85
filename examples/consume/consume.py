"""Reads lanes as a consumer does, and prints a line of JSON for each message.

It decodes the envelope, fetches a large payload by its reference and holds it against its hash, drops
doubles within a window of time, and commits what it has handled. A failure ends it with exit code 1, so
that nothing is skipped without a word; what was not committed is read again at the next start.
"""

import argparse
import base64
import hashlib
import json
import os
import sys
from collections import OrderedDict
from urllib.parse import unquote, urlsplit

from confluent_kafka import Consumer, KafkaException
from google.protobuf.message import DecodeError
from landfall.v1 import envelope_pb2

CHUNK_BYTES = 1024 * 1024
# The most that limits.message_size may be.
LARGEST_BYTES = 256 * 1024 * 1024


def main():
    options = arguments()
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap_servers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(options.topic)
    doubles = Doubles(options.window_minutes * 60_000)
    store = Store(options.object_store, options.s3_endpoint)
    handled = 0
    try:
        while options.count is None or handled < options.count:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            handled += handle(message, doubles, store)
            # After the work: a crash before it repeats the message and loses none.
            consumer.commit(message)
    finally:
        consumer.close()


def handle(message, doubles, store):
    """Handles a record and says how many messages that was: 0 or 1."""
    envelope = envelope_pb2.Envelope()
    try:
        envelope.ParseFromString(message.value() or b"")
    except DecodeError as error:
        # Somebody else wrote to the topic. Trying again would not help.
        place = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        print(f"{place} is no envelope: {error}", file=sys.stderr)
        return 0
    if doubles.is_double(envelope):
        return 0
    payload = envelope.inline
    if envelope.WhichOneof("payload") == "reference":
        payload = store.read(envelope.reference)
    # Of dead letters, and of what the parse role has quarantined.
    reason = dict(message.headers() or []).get("landfall-reason", b"").decode()
    work(envelope, payload, reason)
    return 1


def work(envelope, payload, reason):
    """Yours. Here: one line for each message."""
    line = {
        "device": envelope.device_id,
        "topic": envelope.source_topic,
        "lane": envelope.lane,
        "received_ms": envelope.received_ms,
        "size": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "payload": base64.b64encode(payload[:60]).decode(),
    }
    if envelope.HasField("event_start_ms"):
        line["event_start_ms"] = envelope.event_start_ms
    if reason:
        line["reason"] = reason
    if envelope.cut:
        # The dead-letter lane did not take it whole; its size and hash are in the envelope.
        line["cut"] = [cut.field for cut in envelope.cut]
    print(json.dumps(line), flush=True)


class Doubles:
    """The messages of the last while by dedupe key, oldest first."""

    def __init__(self, window_ms):
        self.window_ms = window_ms
        self.seen = OrderedDict()

    def is_double(self, envelope):
        now_ms = envelope.received_ms
        while self.seen:
            key, (seen_ms, _, _) = next(iter(self.seen.items()))
            if now_ms - seen_ms <= self.window_ms:
                break
            del self.seen[key]
        # An equal key alone is no proof: a device that wakes up and says the same again under its first
        # packet id has it too. Proof is that one of both was marked as sent again, that the device gave
        # the message an id, or that it is the very same record.
        named = any(entry.name == "message-id" for entry in envelope.user_properties)
        again = envelope.dup or named
        seen_ms, message_id, seen_again = self.seen.pop(envelope.dedupe_key, (None, None, False))
        is_double = (
            seen_ms is not None
            and now_ms - seen_ms <= self.window_ms
            and (again or seen_again or message_id == envelope.message_id)
        )
        self.seen[envelope.dedupe_key] = (now_ms, envelope.message_id, again)
        return is_double


class Place:
    """What a URI names, without its escapes: `s3://bucket/my%20devices` is the key `my devices`."""

    def __init__(self, uri):
        parts = urlsplit(uri)
        self.scheme, self.bucket = parts.scheme, parts.netloc
        self.path = unquote(parts.path, errors="strict")


class Store:
    """Opens what lies under one URL, and nothing else: a reference is data, not a permission."""

    def __init__(self, url, s3_endpoint):
        self.url = url
        self.s3_endpoint = s3_endpoint
        self.s3 = None

    def holds(self, place):
        if self.url is None:
            return False
        root = Place(self.url.rstrip("/") + "/")
        same = (place.scheme, place.bucket) == (root.scheme, root.bucket)
        return same and place.path.startswith(root.path) and ".." not in place.path.split("/")

    def read(self, reference):
        uri = reference.uri
        place = Place(uri)
        if not self.holds(place):
            raise ValueError(f"{uri!r} is not under --object-store {self.url}")
        if reference.compression != envelope_pb2.COMPRESSION_NONE:
            raise ValueError(f"{uri!r} is compressed in a way that is not known here")
        if reference.size > LARGEST_BYTES:
            raise ValueError(f"{uri!r} is larger than any message of Landfall")
        digest, payload = hashlib.sha256(), bytearray()
        # Held whole here; write the pieces to a file where payloads are too large for that.
        for piece in self.pieces(place):
            digest.update(piece)
            payload += piece
            if len(payload) > reference.size:
                break
        if len(payload) != reference.size or digest.digest() != reference.sha256:
            raise ValueError(f"{uri!r} is not what the gateway wrote: its size or hash differs")
        return bytes(payload)

    def pieces(self, place):
        if place.scheme == "file":
            # Links are followed first: what counts is where the file is.
            root, path = (os.path.realpath(it.path) for it in (Place(self.url), place))
            if os.path.commonpath([root, path]) != root or not os.path.isfile(path):
                raise ValueError(f"{place.path!r} is no file in {root!r}")
            with open(path, "rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        elif place.scheme == "s3":
            if self.s3 is None:
                import boto3

                # Credentials and region come from AWS_… in the environment.
                self.s3 = boto3.client("s3", endpoint_url=self.s3_endpoint)
            found = self.s3.get_object(Bucket=place.bucket, Key=place.path[1:])
            yield from found["Body"].iter_chunks(CHUNK_BYTES)
        else:
            raise ValueError(f"{place.scheme}:// is not known here: add its client to Store.pieces")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT,…")
    parser.add_argument("--topic", required=True, action="append", help="may be given again")
    parser.add_argument("--group", default="landfall-example", help="the consumer group")
    parser.add_argument("--object-store", metavar="URL", help="object_store.url of the gateway")
    parser.add_argument("--s3-endpoint", metavar="URL", help="where S3 is not Amazon's")
    parser.add_argument("--window-minutes", type=int, default=10, help="for doubles")
    parser.add_argument("--count", type=int, help="end after so many messages")
    return parser.parse_args()


main()
