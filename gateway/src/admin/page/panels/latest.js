// The latest messages of each lane, and a line to publish one: only `landfall dev` tells them.

/** Lines of a lane that are drawn at most: there are many lanes. */
const LINES_MAX = 3;

function latestPanel(body) {
  const line = element("code");
  const copied = element("span", { role: "status" });
  const button = element("button", { type: "button" }, "Copy");
  const publish = element("div", { class: "publish" }, element("pre", {}, line), button, copied);
  const blocks = element("div", { class: "blocks wide" });
  const lanes = new Repeat(blocks, () => {
    const [name, list] = [element("h3", { class: "name" }), element("ol", { class: "messages" })];
    const lines = new Repeat(list, () => {
      const node = element("li");
      return [node, (text) => say(node, text)];
    });
    const show = (lane) => {
      say(name, lane.lane);
      lines.show(lane.lines.slice(0, LINES_MAX));
    };
    return [element("section", {}, name, list), show];
  });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      say(copied, "copied");
    } catch {
      // Browsers let pages of this machine and of TLS write there, and others not.
      getSelection().selectAllChildren(line);
      say(copied, "marked: press Ctrl+C");
    }
    setTimeout(() => say(copied, ""), 3000);
  });
  body.append(publish, blocks);
  return ({ now: { latest } }) => {
    mark(publish, "hidden", !latest.publish);
    say(line, latest.publish);
    lanes.show(latest.lanes.slice(0, ROWS_MAX));
  };
}
