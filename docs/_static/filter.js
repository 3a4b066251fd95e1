// A field above the families that finds features by words, and the way from former places to the pages.

// As `hemafeat describe` reads words; data-words holds its patterns.
function reader(patterns) {
  const changes = patterns.map(([pattern, text]) => [new RegExp(pattern, "g"), text]);
  return (text) => {
    text = text.toLowerCase().replaceAll("_", " ");
    for (const [pattern, other] of changes) text = text.replace(pattern, other);
    return text.match(/[a-z0-9]+/g) || [];
  };
}

function alike(word, other) {
  const short = Math.min(word.length, other.length, 5);
  return word === other || (short > 3 && word.slice(0, short) === other.slice(0, short));
}

// Whether every word of the query, or the query itself, is in a text.
function matches(read, query, text) {
  if (!query.trim() || text.toLowerCase().includes(query.trim().toLowerCase())) return true;
  const there = read(text);
  const wanted = read(query);
  return wanted.length > 0 && wanted.every((word) => there.some((other) => alike(word, other)));
}

const SHOWN = 60;

function addFilter(field) {
  const read = reader(JSON.parse(field.dataset.words));
  const count = field.closest("p").querySelector("output");
  const list = document.getElementById("feature-results");
  field.addEventListener("input", () => {
    const query = field.value.trim();
    const found = [];
    for (const [family, features] of Object.entries(query ? FEATURES : {})) {
      for (const feature of features) {
        const columns = feature[feature.length - 1];
        const text = [family, ...feature.slice(0, -1)].join(" ");
        if (columns.includes(query) || matches(read, query, text)) found.push([family, ...feature]);
      }
    }
    // Those with the words in their names come first.
    const named = ([family, feature]) => matches(read, query, `${family} ${feature}`);
    found.sort((one, other) => named(other) - named(one));
    list.replaceChildren(...found.slice(0, SHOWN).map(([family, feature, , , meaning]) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = `generated/features/${family}.html#feature-${feature}`;
      link.textContent = `${family}: ${feature}`;
      item.append(link, ` ${meaning}`);
      return item;
    }));
    const more = found.length > SHOWN ? `, the first ${SHOWN} shown` : "";
    count.textContent = query ? `${found.length} features${more}` : "";
  });
}

// All families were on one page once: features.html#shape.
function follow() {
  const family = location.hash.slice(1).replaceAll("-", "_");
  if (Object.hasOwn(FEATURES, family)) location.replace(`generated/features/${family}.html`);
}

if (typeof document !== "undefined") {
  document.addEventListener("DOMContentLoaded", () => {
    const field = document.querySelector("input#feature-filter");
    if (!field) return;
    addFilter(field);
    follow();
  });
} else {
  module.exports = { reader, matches };
}
