// The last hour: bars stacked by sni and outcome, a legend that hides kinds, and the same as a table.

const CHART = { height: 240, left: 44, right: 4, top: 8, bottom: 24 };
/** From the baseline up: what matters most lies on the ground, where changes are seen best. */
const STACK = ["without-refused", "with-refused", "without-answered", "without-ended", "unknown", "with-ended", "with-answered"];

const chart = { history: null, series: [], hidden: new Set(), selected: null };

function colour(sni, outcome, sender) {
  if (sni === "unknown") return "unknown";
  return `${WITHOUT_SNI.includes(sni) ? "without" : "with"}-${fate(outcome, sender)}`;
}

/** A series of alerts as two, by sender; any other as it is. */
function bySender(series) {
  const { outcome, handshakes, refused } = series;
  if (outcome !== "alert" || !refused) return [series];
  const byClient = handshakes.map((all, step) => all - refused[step]);
  return [
    { ...series, handshakes: refused, sender: "gateway" },
    { ...series, handshakes: byClient, sender: "client" },
  ].filter((part) => part.handshakes.some((each) => each > 0));
}

/** Takes a new history and draws it. */
function showHistory(history) {
  const tints = {};
  chart.history = history;
  chart.series = history.series
    .flatMap(bySender)
    .map(({ sni, outcome, handshakes, sender }) => ({
      key: `${sni} ${outcome} ${sender ?? ""}`,
      name: `${sniText(sni)}, ${outcomeText(outcome)}${sender === "client" ? " by client" : ""}`,
      colour: colour(sni, outcome, sender),
      handshakes,
      total: handshakes.reduce((sum, each) => sum + each, 0),
    }))
    .sort((a, b) => STACK.indexOf(a.colour) - STACK.indexOf(b.colour) || b.total - a.total);
  // Kinds of one colour differ by its depth.
  for (const series of chart.series) {
    const tint = (tints[series.colour] = (tints[series.colour] ?? -1) + 1);
    series.paint = tint === 0 ? series.colour : `${series.colour} tint-${Math.min(tint, 3)}`;
  }
  drawLegend();
  drawChart();
  drawTable();
}

const steps = () => Math.max(0, ...chart.series.map((series) => series.handshakes.length));
const shown = () => chart.series.filter((series) => !chart.hidden.has(series.key));

/** When a step began. */
function beginning(index) {
  const { end, step_seconds } = chart.history;
  return new Date(new Date(end) - (steps() - index) * step_seconds * 1000);
}

const swatch = (paint) =>
  svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: paint, width: 10, height: 10, rx: 2 }));

function drawLegend() {
  const focused = document.activeElement?.dataset?.series;
  const buttons = chart.series.map((series) => {
    const attributes = { type: "button", "data-series": series.key, "aria-pressed": !chart.hidden.has(series.key) };
    const button = html("button", attributes, swatch(series.paint), `${series.name} `, html("b", {}, count(series.total)));
    button.addEventListener("click", () => {
      if (!chart.hidden.delete(series.key)) chart.hidden.add(series.key);
      drawLegend();
      drawChart();
    });
    return button;
  });
  $("legend").replaceChildren(...buttons);
  buttons.find((button) => button.dataset.series === focused)?.focus({ preventScroll: true });
}

/** The next round number that is not below, and of which half is whole. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return Math.max(2, [1, 2, 4, 6, 8, 10].map((each) => each * power).find((each) => each >= value));
}

function drawChart() {
  const width = Math.max(280, $("chart").clientWidth);
  const { height, left, right, top, bottom } = CHART;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const series = shown();
  const columns = steps();
  const sums = Array.from({ length: columns }, (_, i) => series.reduce((sum, { handshakes }) => sum + (handshakes[i] ?? 0), 0));
  const highest = ceiling(Math.max(0, ...sums));
  const y = (value) => height - bottom - (value / highest) * (height - top - bottom);
  const step = (width - left - right) / Math.max(columns, 1);
  for (const value of [0, highest / 2, highest]) {
    picture.append(
      svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, count(value)),
    );
  }
  if (columns === 0 || series.length === 0) {
    const text = columns === 0 ? "no handshakes in the last hour" : "all kinds are hidden";
    picture.append(svg("text", { class: "empty", x: width / 2, y: height / 2 }, text));
  }
  drawTimes(picture, columns, (index) => left + index * step, height - 6);
  const ground = new Array(columns).fill(0);
  const gap = step > 6 ? 1.5 : 0.5;
  for (const { handshakes, paint, name } of series) {
    const bars = handshakes.map((value, i) => {
      if (!value) return "";
      const [low, high] = [y(ground[i]), y((ground[i] += value))];
      return `M${(left + i * step).toFixed(1)} ${low.toFixed(1)}V${high.toFixed(1)}h${(step - gap).toFixed(1)}V${low.toFixed(1)}z`;
    });
    picture.append(svg("path", { class: paint, d: bars.join("") }, svg("title", {}, name)));
  }
  picture.append(svg("rect", { class: "cursor", y: top, width: step, height: height - top - bottom, visibility: "hidden" }));
  const tip = $("tip") ?? html("div", { id: "tip", role: "status", hidden: "" });
  $("chart").replaceChildren(picture, tip);
  chart.geometry = { left, step, columns, width };
  select(chart.selected);
}

/** A time at each tenth minute, with room for it. */
function drawTimes(picture, columns, x, y) {
  let last = -Infinity;
  for (let index = 0; index < columns; index += 1) {
    const time = beginning(index);
    const place = x(index);
    if (time.getMinutes() % 10 !== 0 || place - last < 48 || place > x(columns) - 20) continue;
    last = place;
    picture.append(svg("text", { x: place, y, "text-anchor": place < x(0) + 20 ? "start" : "middle" }, hourAndMinute(time)));
  }
}

/** Tells of one step, or of none. */
function select(index) {
  const tip = $("tip");
  const cursor = $("chart").querySelector(".cursor");
  const { left, step, columns, width } = chart.geometry;
  chart.selected = index === null || columns === 0 ? null : Math.min(Math.max(index, 0), columns - 1);
  tip.hidden = chart.selected === null;
  cursor.setAttribute("visibility", chart.selected === null ? "hidden" : "visible");
  if (chart.selected === null) return;
  const at = chart.selected;
  const parts = shown().filter((series) => series.handshakes[at] > 0).reverse();
  const sum = parts.reduce((all, series) => all + series.handshakes[at], 0);
  tip.replaceChildren(
    html("strong", {}, `${hourAndMinute(beginning(at))}: ${plural(sum, "handshake")}`),
    html("ul", {}, ...parts.map((series) =>
      html("li", {}, swatch(series.paint), `${series.name} `, html("b", {}, count(series.handshakes[at]))))),
  );
  const x = left + at * step;
  cursor.setAttribute("x", x);
  // Beside the bar, on the side where there is room.
  const scale = $("chart").clientWidth / width;
  const room = $("chart").clientWidth - tip.offsetWidth;
  const side = at < columns / 2 ? (x + step) * scale + 8 : x * scale - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(0, Math.min(side, room))}px`;
}

function drawTable() {
  if (!$("hour-details").open) return;
  const head = html("tr", {}, html("th", { scope: "col" }, "Minute"),
    ...chart.series.map((series) => html("th", { scope: "col", class: "number" }, series.name)));
  const rows = Array.from({ length: steps() }, (_, index) =>
    html("tr", {}, html("th", { scope: "row" }, hourAndMinute(beginning(index))),
      ...chart.series.map((series) => html("td", { class: "number" }, count(series.handshakes[index] ?? 0)))));
  $("hour").replaceChildren(html("thead", {}, head), html("tbody", {}, ...rows.reverse()));
}

function startChart() {
  const area = $("chart");
  area.addEventListener("pointermove", (event) => {
    if (!chart.geometry) return;
    const { left, step, width } = chart.geometry;
    const x = ((event.clientX - area.getBoundingClientRect().left) * width) / area.clientWidth;
    select(x < left ? null : Math.floor((x - left) / step));
  });
  area.addEventListener("pointerleave", () => chart.geometry && select(null));
  area.addEventListener("blur", () => chart.geometry && select(null));
  area.addEventListener("keydown", (event) => {
    if (!chart.geometry) return;
    const last = chart.geometry.columns - 1;
    const at = chart.selected ?? last + 1;
    const next = { ArrowLeft: at - 1, ArrowRight: Math.min(at + 1, last), Home: 0, End: last, Escape: null }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(next);
  });
  $("hour-details").addEventListener("toggle", () => chart.history && drawTable());
  new ResizeObserver(() => chart.history && drawChart()).observe(area);
}
