// Connections by listener and version, and why they ended.

function connectionsPanel(body) {
  const facts = element("p");
  const plot = new Plot("Open", "", count, [{ name: "open", tone: "came" }], 10, true);
  const minutes = new Minutes("Open connections of the last 30 minutes", [
    { name: "open", unit: count, how: LARGEST },
  ]);
  const columns = ["listener", "open", "limit", "MQTT 3.1", "3.1.1", "5"];
  const listeners = new Table(
    "By listener",
    columns.map((name) => ({ name })),
  );
  const reasons = new Table("Why they ended", [
    { name: "reason" },
    { name: "since the start" },
    { name: "now" },
  ]);
  const none = element("p", { class: "quiet" }, "None has ended.");
  body.append(facts, plot.node, minutes.node, listeners.node, reasons.node, none);
  return (data) => {
    const { now, history, time } = data;
    const { open, limit, silent, ended = [] } = now.connections;
    const quiet = silent > 0 ? `, and ${plural(silent, "socket", "sockets")} that said nothing yet` : "";
    say(facts, `${count(open)} open of at most ${count(limit)}${quiet}`);
    const list = history.values(CONNECTIONS);
    plot.show([list], data, { current: [open] });
    minutes.show([list], time);
    listeners.show(
      now.connections.listeners.map(({ listener, open, limit, versions = {} }) => {
        const byVersion = ["3.1", "3.1.1", "5"].map((version) => count(versions[version] ?? 0));
        return [listener, count(open), count(limit), ...byVersion];
      }),
    );
    const some = ended.filter((one) => one.count > 0).sort(mostFirst);
    reasons.show(some.map((one) => [one.reason, count(one.count), rate(one.per_second)]));
    mark(reasons.node, "hidden", some.length === 0);
    mark(none, "hidden", some.length > 0);
  };
}
