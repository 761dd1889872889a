// Delivers the orders of one region above an amount.
//
// The broker hands over columns: what is wanted of a whole batch of messages, as one array a column.

/** What was opened, by the id that the broker gave it. */
const opened = new Map();

export const lifecycle = {
  init(_context) {
    return { name: "orders", version: "0.1.0", language: "javascript" };
  },

  /** Throws a sentence when the plugin must not be put in service. */
  selfCheck() {},
};

export const filter = {
  /** Prepares for one topic and group; throws a sentence for the operator. */
  open(id, { params }) {
    const given = new Map(params.map(({ name, value }) => [name, value]));
    for (const name of given.keys()) {
      if (name !== "region" && name !== "above") throw `unknown parameter \`${name}\`; known are region, above`;
    }
    const above = given.get("above") ?? "0";
    if (!/^-?\d{1,18}$/.test(above)) throw `the parameter \`above\` is "${above}", expected a whole number`;
    opened.set(id, { region: utf8(given.get("region") ?? "eu"), above: BigInt(above) });
    return {
      columns: [
        { source: { tag: "property", val: "region" }, shape: "text" },
        { source: { tag: "property", val: "amount" }, shape: "int" },
      ],
      tags: [],
      maxBatch: 0,
    };
  },

  /** One byte a message: 0 skip, 1 deliver, 2 cannot decide. */
  evaluate(id, { count, columns }) {
    const { region, above } = opened.get(id);
    const [{ val: regions }, { val: amounts }] = columns;
    const verdicts = new Uint8Array(count);
    for (let index = 0; index < count; index++) {
      const passes = isText(regions, index, region) && isPresent(amounts, index) && amounts.values[index] > above;
      verdicts[index] = passes ? 1 : 0;
    }
    return verdicts;
  },
};

/** Whether message `index` has a value: bit `index` of the bitmap; without one (null or undefined, by engine) all have one. */
function isPresent({ present }, index) {
  return present == null || (present[index >> 3] & (1 << (index & 7))) !== 0;
}

/** Whether text `index` of a column is these bytes. */
function isText(column, index, bytes) {
  const [from, to] = [column.offsets[index], column.offsets[index + 1]];
  if (!isPresent(column, index) || to - from !== bytes.length) return false;
  return bytes.every((byte, place) => column.data[from + place] === byte);
}

/** The UTF-8 of a text. Small engines lack TextEncoder. */
function utf8(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
}
