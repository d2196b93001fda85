// Kafka as each lane's producer sees it: its brokers and partitions.

/** Partitions of one topic that are drawn at most, those that are not well first. */
const PARTITIONS_MAX = 300;

function kafkaPanel(body) {
  const blocks = element("div", { class: "blocks" });
  body.append(blocks);
  const lanes = new Repeat(blocks, () => {
    const name = element("h3", { class: "name" });
    const [facts, error] = [element("p", { class: "facts" }), element("p", { class: "error" })];
    const [ready, rest] = [element("span"), element("span")];
    facts.append(ready, rest);
    const [topics, left] = [element("div"), element("p", { class: "quiet" })];
    const drawn = new Repeat(topics, topicRow);
    const show = (lane) => {
      say(name, lane.lane);
      say(ready, lane.producer_ready ? "producer ready" : "producer not ready");
      mark(ready, "data-raised", !lane.producer_ready);
      const trip = lane.round_trip_p99_seconds;
      const brokers = isNumber(lane.brokers_up) ? `, ${plural(lane.brokers_up, "broker", "brokers")}` : "";
      say(rest, brokers + (trip > 0 ? `, round trip p99 ${duration(trip)}` : ""));
      say(error, lane.error);
      mark(error, "hidden", !lane.error);
      const byTopic = new Map();
      for (const partition of lane.partitions ?? []) {
        if (!byTopic.has(partition.topic)) byTopic.set(partition.topic, []);
        byTopic.get(partition.topic).push(partition);
      }
      drawn.show([...byTopic].slice(0, ROWS_MAX));
      const more = lane.partitions_left_out;
      say(left, more > 0 ? `and ${plural(more, "partition", "partitions")} more, none worse than these` : "");
    };
    return [element("section", {}, name, facts, error, topics, left), show];
  });
  return ({ now }) => lanes.show(now.kafka);
}

/** One topic: how many of its partitions are well, and each of them. */
function topicRow() {
  const [name, told] = [element("span", { class: "name" }), element("span", { class: "quiet" })];
  const list = element("ul", { class: "partitions" });
  const more = element("p", { class: "quiet" });
  const partitions = new Repeat(list, () => {
    const [number, words] = [element("span"), element("span")];
    const node = element("li", {}, number, words);
    const show = ({ partition, state, leader, waiting_records: waits }) => {
      mark(node, "data-state", state);
      say(number, partition);
      mark(words, "class", state === "well" && "heard");
      say(words, ` ${state}`);
      const records = waits > 0 ? `, ${plural(waits, "record waits", "records wait")}` : "";
      mark(node, "title", `partition ${partition}: ${state}, leader ${leader ?? "none"}${records}`);
    };
    return [node, show];
  });
  const show = ([topic, all]) => {
    say(name, topic);
    const states = ["away", "slow", "well"].map((state) => [
      state,
      all.filter((one) => one.state === state).length,
    ]);
    say(
      told,
      ": " +
        states
          .filter(([, many]) => many > 0)
          .map(([state, many]) => `${count(many)} ${state}`)
          .join(", "),
    );
    mark(told, "data-mark", states[0][1] > 0 ? "bad" : states[1][1] > 0 && "warn");
    // What is not well is not left out.
    const order = { away: 0, slow: 1, well: 2 };
    const shown = [...all].sort(
      (one, other) => order[one.state] - order[other.state] || one.partition - other.partition,
    );
    partitions.show(shown.slice(0, PARTITIONS_MAX));
    say(more, all.length > PARTITIONS_MAX ? `and ${count(all.length - PARTITIONS_MAX)} more` : "");
  };
  return [element("div", {}, element("p", {}, name, told), list, more), show];
}
