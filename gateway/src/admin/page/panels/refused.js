// What was refused, and why.

function refusedPanel(body) {
  const table = new Table("What was refused, and why", [
    { name: "what" },
    { name: "lane", words: true },
    { name: "reason", words: true },
    { name: "since the start" },
    { name: "now" },
  ]);
  const none = element("p", { class: "quiet" }, "Nothing was refused.");
  body.append(table.node, none);
  return ({ now }) => {
    const some = now.refused.filter((one) => one.count > 0).sort(mostFirst);
    table.show(
      some.map(({ what, lane, reason, count: many, per_second: now }) => [
        what,
        lane && lane !== NO_LANE ? lane : NONE,
        reason,
        count(many),
        { text: rate(now), mark: now > 0 && "warn" },
      ]),
    );
    mark(table.node, "hidden", some.length === 0);
    mark(none, "hidden", some.length > 0);
  };
}
