// Publishes messages with mqtt.js and ends when each of them is acknowledged.
//
// mqttjs_publish.js PORT VERSION CLIENT_ID TOPIC QOS COUNT; VERSION is 3 (3.1), 4 (3.1.1) or 5. The
// payloads are "CLIENT_ID 1" and so on. With version 5 each message has a content type and a user
// property. In place of PORT there may be a URL of ws or wss, with the file of its authority
// behind #.
"use strict";

const fs = require("fs");
const mqtt = require("mqtt");

const PATIENCE_MS = 20_000;

async function main() {
  const [port, version, clientId, topic, qos, count] = process.argv.slice(2);
  const protocolVersion = Number(version);
  const [url, authority] = (port.includes("://") ? port : `mqtt://127.0.0.1:${port}`).split("#");
  const client = await mqtt.connectAsync(url, {
    ca: authority && fs.readFileSync(authority),
    protocolVersion,
    protocolId: protocolVersion === 3 ? "MQIsdp" : "MQTT",
    clientId,
    reconnectPeriod: 0,
  });
  const properties =
    protocolVersion === 5
      ? { contentType: "text/plain", userProperties: { "firmware-version": "2.10.1" } }
      : undefined;
  const messages = Array.from({ length: Number(count) }, (_, index) =>
    client.publishAsync(topic, `${clientId} ${index + 1}`, { qos: Number(qos), properties }),
  );
  await Promise.all(messages);
  await client.endAsync();
  console.log(`${messages.length} acknowledged`);
}

setTimeout(() => {
  console.error(`not everything was acknowledged in ${PATIENCE_MS} ms`);
  process.exit(1);
}, PATIENCE_MS).unref();
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
