// The latest messages of each lane, and a line to publish one: only `landfall dev` tells them.

/** Messages that are drawn at most. */
const MESSAGES_MAX = 30;

function latestPanel(body) {
  const line = element("code");
  const copied = element("span", { role: "status" });
  const button = element("button", { type: "button" }, "Copy");
  const publish = element("div", { class: "publish" }, element("pre", {}, line), button, copied);
  const list = element("ol", { class: "messages" });
  const messages = new Repeat(list, () => {
    const node = element("li");
    const show = ({ time, lane, text }) => say(node, `${clock(Date.parse(time))}  ${lane}  ${text}`);
    return [node, show];
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
  body.append(publish, list);
  return ({ latest }) => {
    mark(publish, "hidden", !latest.publish);
    say(line, latest.publish);
    messages.show((latest.messages ?? []).slice(0, MESSAGES_MAX));
  };
}
