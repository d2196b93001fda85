// Promise 2 as a sum that can be added up: received is what landed and the rest.

const TERMS = [
  ["landed", "landed", "="],
  ["dead_lettered", "dead-lettered", "+"],
  ["refused", "refused", "+"],
  ["failed", "failed", "+"],
  ["in_flight", "in flight", "+"],
];

function sumPanel(body) {
  const list = element("dl", { class: "terms" });
  const term = (name, sign) => {
    const value = element("span");
    const number = element("dd", {}, value);
    if (sign) number.prepend(element("span", { class: "sign" }, sign));
    const node = element("div", {}, element("dt", {}, name), number);
    list.append(node);
    return [node, value];
  };
  const [, received] = term("received", "");
  const values = TERMS.map(([, name, sign]) => term(name, sign)[1]);
  const [box, difference] = term("difference", "");
  mark(box, "class", "difference");
  const columns = ["lane", "received", ...TERMS.map(([, name]) => name), "difference"];
  const table = new Table(
    "The sum by lane",
    columns.map((name) => ({ name })),
  );
  body.append(list, table.node);
  const marked = (value) => ({ text: count(value), mark: value === 0 ? "good" : "bad" });
  return ({ now }) => {
    say(received, count(now.sum.received));
    TERMS.forEach(([key], at) => say(values[at], count(now.sum[key])));
    say(difference, count(now.sum.difference));
    mark(box, "data-mark", marked(now.sum.difference).mark);
    const row = (lane) => {
      const name = lane.lane === NO_LANE ? "none: before it had one" : lane.lane;
      const terms = TERMS.map(([key]) => count(lane[key]));
      return [name, count(lane.received), ...terms, marked(lane.difference)];
    };
    table.show(now.lanes.map(row));
  };
}
