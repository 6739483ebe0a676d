// The tables: clients without SNI, which are sorted, filtered and opened; and the last handshakes.

/** Rows of the last handshakes that are shown until more are asked for. */
const FEW = 12;

const last = (client) => client.last_handshakes[0];

/** By `value` a column is sorted; of text `ascending` comes first, of numbers the most. */
const COLUMNS = [
  { key: "client", name: "Client", value: (client) => client.name ?? client.client, text: true },
  { key: "software", name: "Software, JA4", class: "medium", value: (client) => `${client.likely ?? "~"} ${client.ja4 ?? ""}`, text: true },
  { key: "handshakes", name: "Handshakes", class: "number medium", value: (client) => client.handshakes },
  { key: "refused", name: "Refused", class: "number", value: (client) => client.refused },
  { key: "trend", name: "Last hour", class: "wide", value: (client) => client.per_minute.reduce((a, b) => a + b, 0) },
  { key: "outcome", name: "Last outcome", value: (client) => last(client)?.outcome ?? "", text: true },
  { key: "seen", name: "Last seen", class: "wide nowrap", value: (client) => Date.parse(client.last_seen) },
];

const clients = { answer: null, sort: "refused", descending: true, open: new Set(), filter: "" };

/** Takes a new answer and draws it. */
function showClients(answer) {
  clients.answer = answer;
  const how = { subnet: ", by subnet", hash: ", by hash", none: ", told together" }[answer.label] ?? "";
  setText($("clients-note"), `at most ${count(answer.capacity)}, those with most handshakes${how}`);
  drawClients();
}

function drawClients() {
  keepFocus($("clients-table"), () => {
    const { clients: all, other, expected } = clients.answer;
    const found = all.filter(matches).sort(compare);
    $("clients-table").tHead.replaceChildren(html("tr", {}, ...COLUMNS.map(header)));
    $("clients-table").tBodies[0].replaceChildren(...found.flatMap(rows), ...(found.length ? [] : [noClients(all)]));
    const rest = [[other, "All other clients"], [expected, "Expected sources"]];
    $("clients-table").tFoot.replaceChildren(...rest.filter(([counts]) => total(counts) > 0).map(([counts, what]) =>
      html("tr", {}, html("td", { colspan: COLUMNS.length }, `${what}: ${kinds(counts)}`))));
  });
}

function noClients(all) {
  const text = all.length ? "No client matches the filter." : "No client without SNI has been seen.";
  return html("tr", { class: "none" }, html("td", { colspan: COLUMNS.length }, text));
}

function matches(client) {
  const text = [client.client, client.name, client.likely, client.ja4, last(client)?.outcome].join(" ").toLowerCase();
  return clients.filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function compare(a, b) {
  const { value, text } = COLUMNS.find((column) => column.key === clients.sort);
  const [left, right] = [value(a), value(b)];
  const order = text ? left.localeCompare(right, "en", { numeric: true }) : left - right;
  return (clients.descending ? -order : order) || a.client.localeCompare(b.client, "en", { numeric: true });
}

function header({ key, name, class: style, text }) {
  const isSorted = clients.sort === key;
  const button = html("button", { type: "button", "data-key": `sort ${key}` }, name);
  button.addEventListener("click", () => {
    clients.descending = isSorted ? !clients.descending : !text;
    clients.sort = key;
    drawClients();
  });
  const order = isSorted ? (clients.descending ? "descending" : "ascending") : "none";
  return html("th", { scope: "col", class: style, "aria-sort": order }, button);
}

/** The row of a client and, if it is open, the one with its details. */
function rows(client) {
  const isOpen = clients.open.has(client.client);
  const button = html("button", { type: "button", "data-key": `client ${client.client}`, "aria-expanded": isOpen }, client.client);
  const newest = last(client);
  const cells = {
    client: [button, client.name ? html("span", { class: "under" }, client.name) : null],
    software: [client.likely ?? "unknown", html("span", { class: "under mono" }, client.ja4 ?? "")],
    handshakes: [count(client.handshakes)],
    refused: [count(client.refused)],
    trend: [spark(client.per_minute)],
    outcome: [newest ? outcome(newest.outcome, newest.alert, newest.alert_sender) : "–"],
    seen: [age(client.last_seen, clients.answer.time)],
  };
  const row = html("tr", {}, ...COLUMNS.map(({ key, class: style }) =>
    html("td", { class: key === "client" ? "client long" : style }, ...cells[key])));
  row.addEventListener("click", (event) => {
    if (!button.contains(event.target) && !getSelection().isCollapsed) return;
    if (!clients.open.delete(client.client)) clients.open.add(client.client);
    drawClients();
  });
  return isOpen ? [row, html("tr", { class: "detail" }, html("td", { colspan: COLUMNS.length }, ...details(client)))] : [row];
}

/** Sixty minutes as bars. */
function spark(values) {
  const highest = Math.max(1, ...values);
  const bars = values.map((value, i) => (value ? `M${2 * i} 20V${(20 - (19 * value) / highest).toFixed(1)}h1.5V20z` : ""));
  const sum = values.reduce((a, b) => a + b, 0);
  const label = `${plural(sum, "handshake")} in the last hour`;
  return svg("svg", { class: "spark", viewBox: `0 0 ${2 * Math.max(values.length, 1)} 20`, role: "img", "aria-label": label },
    svg("title", {}, label), svg("path", { d: bars.join("") }));
}

/** "398 no SNI, reset by gateway; 14 no SNI, alert". */
const kinds = (counts) =>
  counts.map((each) => `${count(each.handshakes)} ${sniText(each.sni)}, ${outcomeText(each.outcome)}`).join("; ");

function details(client) {
  const now = clients.answer.time;
  const lines = [
    ["Handshakes", kinds(client.outcomes)],
    ["Gateway", client.gateway],
    ["First seen", age(client.first_seen, now)],
    ["Last seen", age(client.last_seen, now)],
    ["Last refused", client.last_refused ? age(client.last_refused, now) : "never"],
    ["Offers", client.offered_versions.map(versionText).join(", ") || versionName(client.tls_version)],
    ["ALPN", client.alpn.join(", ") || "none"],
    ["Negotiated", client.last_handshakes.map(negotiated).find((text) => text) ?? "–"],
    ["JA4", html("span", { class: "mono" }, client.ja4 ?? "–")],
    ["JA3", html("span", { class: "mono" }, client.ja3 ?? "–")],
  ];
  const list = html("dl", {}, ...lines.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]));
  const recent = client.last_handshakes.map((each) =>
    html("tr", {}, html("td", { class: "nowrap" }, age(each.time, now)), html("td", {}, sniText(each.sni)),
      html("td", {}, outcome(each.outcome, each.alert, each.alert_sender)), html("td", { class: "number nowrap" }, latency(each.latency_us)),
      html("td", { class: "medium" }, each.gateway)));
  if (recent.length === 0) return [list];
  const names = [["When"], ["SNI"], ["Outcome"], ["Latency", "number"], ["Gateway", "medium"]];
  const head = html("tr", {}, ...names.map(([name, style]) => html("th", { scope: "col", class: style }, name)));
  return [list, html("h3", {}, "Last handshakes"), html("table", {}, html("thead", {}, head), html("tbody", {}, ...recent))];
}

/** What the gateway chose: "TLS 1.3, TLS_AES_128_GCM_SHA256, x25519". */
const negotiated = ({ negotiated_version: version, cipher_suite: suite, group }) =>
  [version && versionName(version), suite, group].filter(Boolean).join(", ");

const versionName = (version) => (/^\d/.test(version) ? `TLS ${version}` : version.replace("ssl", "SSL "));

/**
 * The name in the ClientHello. With Encrypted Client Hello it is the outer one, and the client's own name is encrypted. GREASE
 * looks the same: then it is the client's own.
 */
function serverName({ server_name: name, sni, features }) {
  if (!name) return [html("span", { class: "quiet" }, sniText(sni))];
  return features?.includes("ech") ? [name, html("span", { class: "under" }, "ECH: outer name or GREASE")] : [name];
}

const handshakes = { answer: null, all: false };

/** Takes a new answer and draws it. */
function showHandshakes(answer) {
  handshakes.answer = answer;
  drawHandshakes();
}

function drawHandshakes() {
  const { handshakes: list } = handshakes.answer;
  const names = [["Time"], ["Client"], ["Server name"], ["TLS", "medium"], ["Outcome"], ["Latency", "number medium"], ["JA4", "wide"]];
  const head = html("tr", {}, ...names.map(([name, style]) => html("th", { scope: "col", class: style }, name)));
  const rows = list.slice(0, handshakes.all ? list.length : FEW).map((each) => {
    const time = new Date(each.time);
    return html("tr", {},
      html("td", { class: "nowrap" }, html("time", { datetime: each.time, title: time.toString() }, clock(time))),
      html("td", { class: "long" }, each.proxied_client ?? each.client),
      html("td", { class: "long" }, ...serverName(each)),
      html("td", { class: "medium" }, each.tls_version),
      html("td", {}, outcome(each.outcome, each.alert, each.alert_sender)),
      html("td", { class: "number medium nowrap" }, latency(each.latency_us)),
      html("td", { class: "wide mono" }, each.ja4 ?? "–"));
  });
  const none = html("tr", { class: "none" }, html("td", { colspan: names.length }, "None so far."));
  $("handshakes").replaceChildren(html("thead", {}, head), html("tbody", {}, ...(rows.length ? rows : [none])));
  $("more").hidden = list.length <= FEW;
  setText($("more"), handshakes.all ? "Show fewer" : `Show all ${count(list.length)}`);
}

/** Draws within `area` anew, and gives the focus back to the element with the same key. */
function keepFocus(area, draw) {
  const key = area.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  draw();
  if (key === undefined) return;
  [...area.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus({ preventScroll: true });
}

function startTables() {
  $("filter").addEventListener("input", () => {
    clients.filter = $("filter").value.trim();
    if (clients.answer) drawClients();
  });
  $("more").addEventListener("click", () => {
    handshakes.all = !handshakes.all;
    drawHandshakes();
  });
}
