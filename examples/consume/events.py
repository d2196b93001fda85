"""Reads events and the metadata stream as a consumer does, and prints lines of JSON.

A line for each event, of which doubles by id are dropped; with --metadata, a line for each message at the end:
what became of it, and how many of its events came. A failure ends it with exit code 1, and what was not
committed is read again at the next start.
"""

import argparse
import base64
import calendar
import json
import sys
import time
from collections import OrderedDict
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from confluent_kafka import Consumer, KafkaException
from landfall.v1 import envelope_pb2, event_pb2

# Events of which doubles are known, and messages of which something is missing: more go into a database.
REMEMBERED_MAX = 100_000
VERIFIED = envelope_pb2.IDENTITY_TRUST_VERIFIED


class Event(NamedTuple):
    """An event, whichever way it was written. The types of its fields are Python's, null is None."""

    event_id: str
    message_id: str
    device_id: str
    verified: bool
    time: "Time"
    revision: int
    index: int
    fields: dict


class Time(int):
    """Nanoseconds since 1970 UTC: datetime has none."""


def read(value):
    """An event out of a record: JSON begins with a brace, and protobuf never does."""
    if value.startswith(b"{"):
        return of_json(json.loads(value))
    return of_message(event_pb2.Event.FromString(value))


def of_json(event):
    # Integers are read whole: Python's have no bound. Decimals are texts, and json leaves them alone.
    return Event(
        event["event_id"],
        event["message_id"],
        event["device_id"],
        event["verified"],
        time_of(event["time"]),
        event["revision"],
        event["index"],
        typed(event["fields"], "", event.get("types", {})),
    )


def typed(value, pointer, types):
    """A value of JSON as what it is: `types` names what JSON has no type for, by its pointer (RFC 6901)."""
    match types.get(pointer):
        case "decimal":
            return Decimal(value)
        case "bytes":
            return base64.b64decode(value)
        case "time":
            return time_of(value)
        case "float":
            return float(value)
    if isinstance(value, dict):
        escaped = {name: name.replace("~", "~0").replace("/", "~1") for name in value}
        return {name: typed(value[name], f"{pointer}/{escaped[name]}", types) for name in value}
    if isinstance(value, list):
        return [typed(item, f"{pointer}/{at}", types) for at, item in enumerate(value)]
    return value


def time_of(text):
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return Time(seconds * 1_000_000_000 + int(fraction.ljust(9, "0")))


def of_message(event):
    return Event(
        str(UUID(bytes=event.event_id)),
        str(UUID(bytes=event.message_id)),
        event.device_id,
        event.device_id_trust == VERIFIED,
        Time(event.time.ToNanoseconds()),
        event.revision,
        event.index,
        {name: of_value(value) for name, value in event.fields.items()},
    )


def of_value(value):
    kind = value.WhichOneof("kind")
    match kind:
        case "null_value":
            return None
        case "decimal_value":
            return Decimal(value.decimal_value)
        case "time_value":
            return Time(value.time_value.ToNanoseconds())
        case "list_value":
            return [of_value(item) for item in value.list_value.values]
        case "map_value":
            return {name: of_value(item) for name, item in value.map_value.values.items()}
    return getattr(value, kind)


class Latest:
    """The last events by id: a double has the same id and revision, a corrected event a higher revision."""

    def __init__(self):
        self.revisions = OrderedDict()

    def is_new(self, event):
        known = self.revisions.pop(event.event_id, 0)
        self.revisions[event.event_id] = max(known, event.revision)
        if len(self.revisions) > REMEMBERED_MAX:
            self.revisions.popitem(last=False)
        return event.revision > known


class Messages:
    """What is known of each message: what the metadata stream says, and which of its events came."""

    def __init__(self):
        self.known = OrderedDict()

    def told(self, record):
        # What is no envelope has no id; its place is told.
        source = record["source"]
        place = f"{source['topic']}/{source['partition']}/{source['offset']}"
        self.of(record.get("message_id", place))[record["kind"]] = record

    def came(self, event):
        self.of(event.message_id)["came"].add(event.index)

    def of(self, message_id):
        if message_id not in self.known and len(self.known) == REMEMBERED_MAX:
            show(*self.known.popitem(last=False))
        return self.known.setdefault(message_id, {"came": set()})

    def show_all(self):
        for message_id, known in self.known.items():
            show(message_id, known)


def show(message_id, known):
    parsed = known.get("parsed", {})
    line = {
        "message": message_id,
        "landed": "landed" in known,
        "outcome": parsed.get("outcome"),
        "reason": parsed.get("reason"),
        "events": parsed.get("events", 0),
        "came": len(known["came"]),
    }
    print(json.dumps(line), flush=True)


def work(event):
    """Yours. Here: one line for each event, each value under its type."""
    line = {
        "event": event.event_id,
        "message": event.message_id,
        "device": event.device_id,
        "verified": event.verified,
        "time": event.time,
        "revision": event.revision,
        "index": event.index,
        "fields": {name: shown(value) for name, value in event.fields.items()},
    }
    print(json.dumps(line), flush=True)


def shown(value):
    match value:
        case None:
            return {"null": None}
        # A boolean and a Time are integers too, so they come first.
        case bool():
            return {"bool": value}
        case Time():
            return {"time": value}
        case int():
            return {"int": value}
        case float():
            return {"float": value if abs(value) < float("inf") else str(value)}
        case Decimal():
            return {"decimal": f"{value:f}"}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case list():
            return {"list": [shown(item) for item in value]}
        case dict():
            return {"map": {name: shown(item) for name, item in value.items()}}
    return {"text": value}


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
    consumer.subscribe([*options.topic, *options.metadata])
    latest, messages, records = Latest(), Messages(), 0
    try:
        while options.count is None or records < options.count:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            records += 1
            if message.topic() in options.metadata:
                messages.told(json.loads(message.value()))
            else:
                event = read(message.value())
                if latest.is_new(event):
                    work(event)
                messages.came(event)
            # After the work: a crash before it repeats the event and loses none.
            consumer.commit(message)
    finally:
        consumer.close()
    if options.metadata:
        messages.show_all()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT,…")
    parser.add_argument("--topic", required=True, action="append", help="may be given again")
    parser.add_argument("--metadata", action="append", default=[], metavar="TOPIC")
    parser.add_argument("--group", default="landfall-events", help="the consumer group")
    parser.add_argument("--count", type=int, help="end after so many records")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
