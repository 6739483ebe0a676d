"use strict";
// Making elements, and values as people read them. Whatever comes from the daemon becomes text, never markup: names of
// servers and protocols are whatever a client has sent.

const $ = (id) => document.getElementById(id);

function make(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element with attributes and children; strings among them are text. */
function html(tag, attributes = {}, ...children) {
  return make(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
function svg(tag, attributes = {}, ...children) {
  return make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Changes an element's text only if it is another: a screen reader reads what changes. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const MARKS = {
  good: "M3 8.5l3.5 3.5L13 4.5",
  bad: "M4 4l8 8M12 4l-8 8",
  mixed: "M8 2.5v7M8 13v.5",
  none: "M3.5 8h9",
};

/** A sign that tells a state without its colour. */
function mark(kind) {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: MARKS[kind] }));
}

const count = (number) => number.toLocaleString("en-US");
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
const twoDigits = (number) => String(number).padStart(2, "0");

/** "14:03", in the reader's time zone. */
const hourAndMinute = (date) => `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
const clock = (date) => `${hourAndMinute(date)}:${twoDigits(date.getSeconds())}`;

/** Seconds as people say them: "12 s", "3 min", "2 h", "4 d". */
function duration(seconds) {
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(Math.max(0, seconds) / size)} ${unit}`;
}

/** How long before `now` (of the daemon's clock, not of the reader's) something was. */
function age(time, now) {
  const seconds = (new Date(now) - new Date(time)) / 1000;
  return html("time", { datetime: time, title: new Date(time).toString() }, `${duration(seconds)} ago`);
}

/** Microseconds. */
function latency(microseconds) {
  if (microseconds < 1000) return `${microseconds} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toPrecision(3)} ms`;
  return `${(microseconds / 1e6).toPrecision(3)} s`;
}

const SNI = {
  present: "with SNI", absent: "no SNI", empty: "empty SNI", invalid: "invalid SNI", unknown: "incomplete hello",
};
/** Outcomes by which the gateway serves and refuses. An alert refuses only if the gateway sent it. */
const SERVED = ["server_hello", "established", "rejected_by_client"];
const REFUSED = ["refused_after_server_hello", "alert", "reset_by_gateway", "closed_by_gateway"];
const WITHOUT_SNI = ["absent", "empty", "invalid"];
/** Words for outcomes with names that do not say enough. */
const OUTCOMES = {
  server_hello: "answered", rejected_by_client: "the client rejected the certificate",
  refused_after_server_hello: "refused after the ServerHello",
};
const VERSIONS = {
  "0x0304": "TLS 1.3", "0x0303": "TLS 1.2", "0x0302": "TLS 1.1", "0x0301": "TLS 1.0", "0x0300": "SSL 3", "0x0002": "SSL 2",
};

const sniText = (sni) => SNI[sni] ?? sni;
const outcomeText = (outcome) => OUTCOMES[outcome] ?? outcome.replaceAll("_", " ");
/**
 * What an outcome is to the client: `answered`, `refused`, or `ended` otherwise. The sender is that of an alert. A client that
 * rejects the certificate was served, and has no connection.
 */
function fate(outcome, sender) {
  if (outcome === "rejected_by_client") return "ended";
  if (SERVED.includes(outcome)) return "answered";
  return REFUSED.includes(outcome) && sender !== "client" ? "refused" : "ended";
}
const versionText = (version) => VERSIONS[version] ?? (/^0x(.)a\1a$/.test(version) ? "GREASE" : version);

/** An outcome with its colour, and the alert if it is one. */
function outcome(outcome, alert, sender) {
  const text = alert ? `${outcomeText(outcome)}: ${alert.replaceAll("_", " ")}` : outcomeText(outcome);
  return html("span", { class: `outcome ${fate(outcome, sender)}` }, text);
}

const total = (counts) => counts.reduce((sum, each) => sum + each.handshakes, 0);
