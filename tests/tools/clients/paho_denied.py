"""Publishes one message with Paho and says what came of it: `acknowledged`, the name of the reason code, or
`closed`.

paho_denied.py PORT VERSION USER PASSWORD TOPIC; VERSION is mqttv311 or mqttv5.
"""

import sys
import threading

import paho.mqtt.client as mqtt

PATIENCE_SECONDS = 20
VERSIONS = {"mqttv311": mqtt.MQTTv311, "mqttv5": mqtt.MQTTv5}


def main():
    port, version, user, password, topic = sys.argv[1:]
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=f"paho-{version}", protocol=VERSIONS[version]
    )
    client.username_pw_set(user, password)
    said, ended = [], threading.Event()

    def say(text):
        said.append(text)
        ended.set()

    def on_publish(_client, _data, _mid, reason, _properties):
        say(str(reason) if reason.is_failure else "acknowledged")

    client.on_connect = lambda *_: client.publish(topic, "x", qos=1)
    client.on_publish = on_publish
    client.on_disconnect = lambda *_: say("closed")
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    if not ended.wait(PATIENCE_SECONDS):
        sys.exit(f"nothing came of it in {PATIENCE_SECONDS} s")
    client.disconnect()
    client.loop_stop()
    print(said[0])


main()
