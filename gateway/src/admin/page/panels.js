// The panels of the page, in the order in which they stand on it. A part of Landfall that has something to show adds
// its own here, in a file beside the others, which `page.rs` names too.

/** What was refused before it had a lane is counted there. */
const NO_LANE = "none";

/**
 * Each panel has a title, a hint for who sees it for the first time, and `make`: it puts its elements into the
 * panel's node, once, and returns what draws them, which is called each second with
 * `{ now, history, time, back }`. Where `when` is not true there is nothing to show. Half a panel stands
 * beside another one on a wide screen.
 */
const PANELS = [
  { title: "Is it well?", make: wellPanel },
  {
    title: "Lanes",
    hint: "A lane is a way into Kafka with a queue and memory of its own. Received came from devices, landed is confirmed by Kafka and only then acknowledged, shed was left out for lack of room (QoS 0 only).",
    when: ({ now }) => now.lanes?.length > 0,
    make: lanesPanel,
  },
  {
    title: "Latest messages",
    hint: "What landed last and what was made of it, as landfall tail shows it; and a line that publishes one more.",
    when: ({ now }) => Boolean(now.latest),
    make: latestPanel,
  },
  {
    title: "No message without an outcome",
    hint: "Everything that was received since the start has landed, or is in one of the other places: add it up.",
    when: ({ now }) => isNumber(now.sum?.received) && now.lanes?.length > 0,
    half: true,
    make: sumPanel,
  },
  {
    title: "Connections",
    hint: "By listener and version of MQTT, and why connections ended since the start.",
    when: ({ now }) => now.connections?.listeners?.length > 0,
    half: true,
    make: connectionsPanel,
  },
  {
    title: "Kafka",
    hint: "Each lane has a producer of its own. A partition is well, slow, or away: then what belongs there waits.",
    when: ({ now }) => now.kafka?.length > 0,
    half: true,
    make: kafkaPanel,
  },
  {
    title: "Large messages",
    hint: "What is larger than its lane takes goes to the object store, and a reference to it through Kafka.",
    when: ({ now }) => isNumber(now.sum?.received) && now.lanes?.length > 0,
    half: true,
    make: largePanel,
  },
  {
    title: "Refused",
    hint: "What was not let in or not taken since the start, and why.",
    when: ({ now }) => Array.isArray(now.refused),
    half: true,
    make: refusedPanel,
  },
  {
    title: "Making events",
    hint: "The pools of the parse role: how far each is behind what landed.",
    when: ({ now }) => now.pools?.length > 0,
    half: true,
    make: poolsPanel,
  },
];

/** What happens now stands first, then what happened most. */
const mostFirst = (one, other) => other.per_second - one.per_second || other.count - one.count;
