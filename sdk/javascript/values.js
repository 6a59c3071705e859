// Parameters: scalars of requests and responses, as JavaScript's own booleans, numbers and strings.
//
// Numbers with a fraction become `double`, all others whole numbers. Beyond 2^53 whole numbers are rounded.

const INT_MAX = 2 ** 63;
const INT_MIN = -INT_MAX;

export function parametersFromHost(parameters) {
  return Object.fromEntries(parameters.map(({ name, value }) => [name, value.val]));
}

export function parametersToHost(parameters) {
  return Object.entries(parameters).map(([name, value]) => ({ name, value: valueToHost(name, value) }));
}

export function valueToHost(name, value) {
  switch (typeof value) {
    case "boolean":
      return { tag: "boolean", val: value };
    case "string":
      return { tag: "text", val: value };
    case "number":
      if (!Number.isInteger(value) || value < INT_MIN || value >= 2 * INT_MAX) {
        return { tag: "double", val: value };
      }
      return { tag: value < INT_MAX ? "int" : "uint", val: value };
    default:
      throw new TypeError(`parameter '${name}' is of type ${typeof value}, expected boolean, number or string`);
  }
}
