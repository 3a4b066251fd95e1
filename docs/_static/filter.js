// A field above the catalogue of features that hides what has nothing to do with the words typed in it.

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

function addFilter(field) {
  const read = reader(JSON.parse(field.dataset.words));
  const count = field.closest("p").querySelector("output");
  const families = [...document.querySelectorAll("section")].filter((part) =>
    part.querySelector(":scope > .pst-scrollable-table-container, :scope > table, :scope > div > table")
    && field.compareDocumentPosition(part) & Node.DOCUMENT_POSITION_FOLLOWING);
  field.addEventListener("input", () => {
    let shown = 0;
    for (const family of families) {
      let found = 0;
      const name = family.querySelector("h2, h3").textContent;
      for (const row of family.querySelectorAll("tbody tr")) {
        row.hidden = !matches(read, field.value, `${name} ${row.textContent}`);
        found += !row.hidden;
      }
      family.hidden = !found;
      shown += found;
    }
    count.textContent = field.value.trim() ? `${shown} features` : "";
  });
}

if (typeof document !== "undefined") {
  document.addEventListener("DOMContentLoaded", () => {
    const field = document.querySelector("input#feature-filter");
    if (field) addFilter(field);
  });
} else {
  module.exports = { reader, matches };
}
