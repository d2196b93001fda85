// Publishes messages from a web page in a real browser, with mqtt.js as web pages have it.
//
// browser_publish.js BROWSER URL ORIGIN CLIENT_ID TOPIC COUNT; BROWSER is the program of a Chromium, URL one of
// ws or wss, ORIGIN the page's. The payloads are "CLIENT_ID 1" and so on. Prints how many were acknowledged, or
// that the page could not connect.
"use strict";

const path = require("path");
const { chromium } = require("playwright-core");

const PATIENCE_MS = 40_000;
const bundle = path.join(path.dirname(require.resolve("mqtt/package.json")), "dist/mqtt.min.js");

async function main() {
  const [executablePath, url, origin, clientId, topic, count] = process.argv.slice(2);
  // The authority is the test's own, and Chromium has a store for authorities that is the user's. A page of
  // the internet may not reach this machine without asking its user.
  const args = [
    "--no-sandbox",
    "--ignore-certificate-errors",
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
  ];
  const browser = await chromium.launch({ executablePath, args });
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  // The page is nobody's, and has this origin.
  await page.route(`${origin}/**`, (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><title>devices</title>" }),
  );
  await page.goto(`${origin}/`);
  await page.addScriptTag({ path: bundle });
  page.on("console", (message) => console.error(message.text()));
  const said = await page.evaluate(
    async ({ url, clientId, topic, count }) => {
      let client;
      try {
        const options = { clientId, protocolVersion: 5, reconnectPeriod: 0, connectTimeout: 10_000 };
        client = await window.mqtt.connectAsync(url, options, false);
      } catch (error) {
        return `not connected: ${error.message}`;
      }
      for (let number = 1; number <= count; number++) {
        await client.publishAsync(topic, `${clientId} ${number}`, { qos: 1 });
      }
      await client.endAsync();
      return `${count} acknowledged`;
    },
    { url, clientId, topic, count: Number(count) },
  );
  await browser.close();
  console.log(said);
}

setTimeout(() => {
  console.error(`the browser was not done in ${PATIENCE_MS} ms`);
  process.exit(1);
}, PATIENCE_MS).unref();
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
