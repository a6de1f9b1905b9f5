const make = (tag, text, parent, className) => {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (className) node.className = className;
  if (parent) parent.append(node);
  return node;
};
const at = (id) => document.getElementById(id);
const figure = (value) => {
  if (value === null || value === undefined) return "–";
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : Number(value.toPrecision(3)).toString();
};
const head = (table, names) => {
  const row = make("tr", null, make("thead", null, table));
  return names.map((name) => make("th", name, row));
};
const fact = (name, value) => { make("dt", name, at("about")); return make("dd", value, at("about")); };
