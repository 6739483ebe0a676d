// What the refusals of each gateway show.

/** Draws the gateways that have facts; without any, the section is hidden. */
function showFacts({ gateways, since, time }) {
  const known = gateways.filter(({ facts }) => facts.length > 0);
  $("facts").hidden = known.length === 0;
  setText($("facts-note"), `of the last ${duration((new Date(time) - new Date(since)) / 1000)}`);
  $("facts-list").replaceChildren(...known.flatMap(({ gateway, refused, served, facts }) => [
    html("h3", {}, `${gateway} `, html("span", { class: "quiet" }, `${count(refused)} refused, ${count(served)} served`)),
    html("ul", {}, ...facts.map(({ fact, certainty, sentence }) =>
      html("li", { class: certainty }, html("strong", {}, fact.replaceAll("_", " ")), html("span", {}, sentence)))),
  ]));
}
