"""Publishes messages with Paho and ends when each of them is acknowledged.

paho_publish.py PORT VERSION CLIENT_ID TOPIC QOS COUNT [USER_NAME PASSWORD]; VERSION is 3 (3.1), 4 (3.1.1)
or 5. The payloads are "CLIENT_ID 1" and so on. With version 5 each message has a content type and a user property.
In place of PORT there may be a URL of ws or wss, with the file of its authority behind #.
"""

import sys
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_SECONDS = 20


def main():
    port, version, client_id, topic, qos, count, *credentials = sys.argv[1:]
    url = urlsplit(port) if "://" in port else None
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=int(version),
        transport="websockets" if url else "tcp",
    )
    if credentials:
        client.username_pw_set(*credentials)
    if url and url.fragment:
        client.tls_set(ca_certs=url.fragment)
    if url:
        client.ws_set_options(path=url.path)
        client.connect(url.hostname, url.port)
    else:
        client.connect("127.0.0.1", int(port))
    client.loop_start()
    properties = None
    if client.protocol == mqtt.MQTTv5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = "text/plain"
        properties.UserProperty = ("firmware-version", "2.10.1")
    messages = [
        client.publish(topic, f"{client_id} {number}", qos=int(qos), properties=properties)
        for number in range(1, int(count) + 1)
    ]
    for message in messages:
        message.wait_for_publish(PATIENCE_SECONDS)
        if not message.is_published():
            sys.exit(f"message {message.mid} was not acknowledged in {PATIENCE_SECONDS} s")
    client.disconnect()
    client.loop_stop()
    print(f"{len(messages)} acknowledged")


main()
