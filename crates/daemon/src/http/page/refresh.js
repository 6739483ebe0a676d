// Asks the daemon every few seconds while the page is to be seen, and shows the answers.

const INTERVAL = 5000;
/** After this an answer will not come. */
const PATIENCE = 10000;
const HANDSHAKES = 50;

// Below the page's own path, whatever a proxy has put before it; without the password that the address may have had.
const base = location.origin + location.pathname.replace(/[^/]*$/, "");

const refresh = { timer: undefined, under_way: false, paused: false, answered: null };

async function ask(what) {
  const options = { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
  const answer = await fetch(`${base}api/v1/${what}`, options).catch(() => {
    // What a browser says of a connection that fails helps nobody.
    throw new Error("");
  });
  if (answer.status === 401) throw new Error("the password is not taken any more; load the page anew");
  if (!answer.ok) throw new Error(`it says ${answer.status}`);
  return answer.json();
}

async function askAll() {
  if (refresh.under_way) return;
  refresh.under_way = true;
  clearTimeout(refresh.timer);
  try {
    const answers = await Promise.all([ask("summary"), ask("clients"), ask(`handshakes?limit=${HANDSHAKES}`), ask("facts")]);
    show(...answers);
    refresh.answered = new Date();
    showPace();
    notice(null);
  } catch (error) {
    notice(error);
  }
  refresh.under_way = false;
  schedule();
}

function schedule() {
  clearTimeout(refresh.timer);
  if (!document.hidden && !refresh.paused) refresh.timer = setTimeout(askAll, INTERVAL);
}

/** When the last answer came, and when the next is asked for. */
function showPace() {
  if (!refresh.answered) return;
  setText($("updated"), `Updated ${clock(refresh.answered)}, ${refresh.paused ? "paused" : `every ${INTERVAL / 1000} s`}`);
}

/** Says that there is no answer that can be shown, and since when; or nothing. */
function notice(error) {
  document.querySelector("main").classList.toggle("stale", error !== null && refresh.answered !== null);
  $("notice").hidden = error === null;
  if (error === null) return setText($("notice"), "");
  const since = refresh.answered ? `No answer since ${clock(refresh.answered)}` : "No answer from the daemon yet";
  const reason = error.message ? ` (${error.message})` : "";
  setText($("notice"), `${since}${reason}. The page asks again every ${INTERVAL / 1000} seconds.`);
}

function show(summary, clientsAnswer, handshakesAnswer, factsAnswer) {
  showSummary(summary);
  showHistory(summary.last_hour);
  if (!isSelected($("facts"))) showFacts(factsAnswer);
  // Who is about to copy an address shall not lose it.
  if (isSelected($("clients")) || isSelected($("handshakes"))) return setText($("clients-note"), "held while text is selected");
  showClients(clientsAnswer);
  showHandshakes(handshakesAnswer);
}

/** Whether text within an element is selected. */
function isSelected(element) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(element, true);
}

const STATES = {
  not_ready: ["Not watching everything", "mixed"],
  idle: ["Idle", "none"],
  fine: ["Fine", "good"],
  accepting: ["Accepting", "good"],
  mixed: ["Refusing some", "mixed"],
  refusing: ["Refusing", "bad"],
  failing: ["Failing", "bad"],
  unclear: ["Unclear", "mixed"],
};

function showSummary(summary) {
  const [word, sign] = STATES[summary.state] ?? [summary.state, "none"];
  if ($("state").dataset.state !== summary.state) {
    $("state").dataset.state = summary.state;
    $("state").replaceChildren(mark(sign), word);
  }
  setText($("sentence"), summary.sentence);
  document.title = `${word} – sni-probe${summary.node ? ` on ${summary.node}` : ""}`;
  setText($("where"), summary.node ? `on ${summary.node}` : "");
  setText($("version"), `sni-probe ${summary.version}, up ${duration((new Date(summary.time) - new Date(summary.started)) / 1000)}`);
  showFigures(summary);
  showInterfaces(summary);
  showLoss(summary);
}

function showFigures(summary) {
  const hour = summary.last_hour.series;
  const sum = (series) => series.reduce((all, { handshakes }) => all + handshakes.reduce((a, b) => a + b, 0), 0);
  const without = hour.filter(({ sni }) => WITHOUT_SNI.includes(sni));
  const figures = [
    [count(summary.clients_refused), "clients without SNI refused in the last hour"],
    [count(sum(without)), "handshakes without SNI in the last hour"],
    [count(sum(hour)), "handshakes in the last hour"],
    [count(summary.clients_without_sni), "clients without SNI since the start"],
  ];
  $("figures").replaceChildren(...figures.map(([figure, name]) =>
    html("div", {}, html("dt", {}, name), html("dd", {}, figure))));
}

function showInterfaces({ interfaces, ports }) {
  setText($("ports"), `${ports.length === 1 ? "port" : "ports"} ${ports.join(", ")}`);
  const lines = interfaces.map(({ name, ready, status }) =>
    html("li", { class: ready ? "good" : "bad" }, mark(ready ? "good" : "bad"), html("strong", {}, name), html("span", {}, status)));
  const none = html("li", { class: "bad" }, mark("bad"), html("span", {}, "none yet"));
  $("interfaces").replaceChildren(...(lines.length ? lines : [none]));
}

function showLoss({ not_seen, flows }) {
  const lines = not_seen.map(({ metric, reason, count: number }) =>
    html("li", { class: "warn" }, mark("mixed"),
      html("span", {}, metric.replace(/_total$/, "").replaceAll("_", " "), reason ? `: ${reason.replaceAll("_", " ")}` : ""),
      html("strong", {}, count(number))));
  const none = html("li", {}, mark("good"), html("span", {}, "Nothing was missed."));
  $("loss").replaceChildren(...(lines.length ? lines : [none]));
  setText($("flows"), `${plural(flows.open, "flow")} open, room for ${count(flows.capacity)}`);
}

function start() {
  startChart();
  startTables();
  document.addEventListener("visibilitychange", () => (document.hidden || refresh.paused ? clearTimeout(refresh.timer) : askAll()));
  $("pause").addEventListener("click", () => {
    refresh.paused = !refresh.paused;
    setText($("pause"), refresh.paused ? "Go on" : "Pause");
    showPace();
    if (refresh.paused) clearTimeout(refresh.timer);
    else askAll();
  });
  askAll();
}

start();
