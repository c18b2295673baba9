// @ts-check
// The template's HTML is untrusted. It is parsed without running scripts (DOMParser), and only the elements and attributes listed here are copied. No script,
// style, frame, handler or external URL reaches the page; the page's Content-Security-Policy is a second defense.

const ELEMENTS = new Set(`a abbr article aside b bdi bdo blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure
  footer h1 h2 h3 h4 h5 h6 header hr i img input ins kbd label li main mark ol optgroup option p pre q s samp section select small span strong sub summary
  sup table tbody td textarea tfoot th thead time tr u ul var
  crowd-form crowd-semantic-segmentation crowd-image-classifier full-instructions short-instructions worker-comment`.split(/\s+/));
const DROPPED = new Set("script style template iframe object embed link meta base noscript svg math audio video source form button crowd-button".split(" "));
const ATTRIBUTES = {
  "*": ["title", "lang", "dir"],
  a: ["href"],
  img: ["src", "alt", "width", "height"],
  input: ["name", "value", "type", "placeholder", "required", "checked", "min", "max", "step"],
  textarea: ["name", "placeholder", "required", "rows"],
  select: ["name", "required"],
  option: ["value", "selected"],
  td: ["colspan", "rowspan"],
  th: ["colspan", "rowspan", "scope"],
  details: ["open"],
  ol: ["start", "type"],
  "crowd-semantic-segmentation": ["name", "src", "labels", "header", "initial-value"],
  "crowd-image-classifier": ["name", "src", "categories", "header", "overlay"],
  "worker-comment": ["header", "placeholder", "required-for"],
  "full-instructions": ["header"],
  "short-instructions": ["header"],
};

function safeAddress(text, schemes) {
  try {
    const address = new URL(text, location.href);
    return schemes.includes(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}

function copyAttributes(from, to, tag) {
  for (const name of [...ATTRIBUTES["*"], ...(ATTRIBUTES[tag] ?? [])]) {
    let value = from.getAttribute(name);
    if (value === null) continue;
    if (name === "href") value = safeAddress(value, ["http:", "https:"]);
    if (name === "src" && tag === "img") value = safeAddress(value, ["http:", "https:", "data:"]);
    if (tag === "input" && name === "type" && ["file", "image", "submit", "button", "password", "hidden"].includes(value)) value = "text";
    if (value !== null) to.setAttribute(name, value);
  }
  if (tag === "a") {
    to.target = "_blank";
    to.rel = "noopener noreferrer";
  }
}

function copy(node, into) {
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) into.append(child.textContent);
    if (child.nodeType !== Node.ELEMENT_NODE) continue;
    const tag = child.localName;
    if (DROPPED.has(tag)) continue;
    if (!ELEMENTS.has(tag)) copy(child, into); // copy only the children of an unknown element
    else {
      const made = document.createElement(tag);
      copyAttributes(child, made, tag);
      copy(child, made);
      into.append(made);
    }
  }
}

/** HTML text -> DocumentFragment of allowed elements. Throws an Error without a <crowd-form> that has a supported element. */
export function readTemplate(html) {
  const fragment = document.createDocumentFragment();
  const parsed = new DOMParser().parseFromString(html, "text/html");
  copy(parsed.body, fragment);
  if (!fragment.querySelector("crowd-form")) throw new Error("the job's template has no <crowd-form>: its answers could not be submitted");
  if (!fragment.querySelector("crowd-form :is(crowd-semantic-segmentation, crowd-image-classifier)")) {
    throw new Error("the job's template has no <crowd-semantic-segmentation> (or <crowd-image-classifier>), the elements this page can show");
  }
  return fragment;
}
