// @ts-check
// Parser of `initial-value`, which Ground Truth's templates write with single quotes and trailing commas, unlike JSON.

const TOKEN = /\s*(?:([{}[\]:,])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([\w.+-]+))/gy;
const WORDS = new Map(Object.entries({ true: true, false: false, null: null }));

function unescaped(text) {
  return JSON.parse(`"${text.replace(/\\'/g, "'").replace(/(^|[^\\])"/g, '$1\\"')}"`);
}

function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new Error(`initial-value cannot be read at character ${at}: ${text.slice(at, at + 30)}`);
    if (match[1]) found.push({ mark: match[1] });
    else found.push({ value: unescapedOrWord(match) });
  }
  return found;
}

/** @param {string[]} match */
function unescapedOrWord([, , double, single, word]) {
  if (double !== undefined) return JSON.parse(`"${double}"`);
  if (single !== undefined) return unescaped(single);
  if (WORDS.has(word)) return WORDS.get(word);
  return Number.isNaN(Number(word)) ? word : Number(word);
}

/** Text -> value. Throws an Error with the position of invalid text. */
export function parseLooseJson(text) {
  const list = tokens(text);
  let at = 0;
  const mark = (m) => list[at]?.mark === m && (at += 1);
  const value = () => {
    if (mark("{")) {
      const made = {};
      while (!mark("}")) {
        const key = list[at++]?.value;
        if (key === undefined || !mark(":")) throw new Error("initial-value is not a JSON object");
        made[key] = value();
        mark(",");
      }
      return made;
    }
    if (mark("[")) {
      const made = [];
      while (!mark("]")) {
        made.push(value());
        mark(",");
      }
      return made;
    }
    const token = list[at++];
    if (!token || token.mark) throw new Error("initial-value is not a JSON value");
    return token.value;
  };
  return value();
}
