/** JSON for people and diffs: what fits on a line is on one. */

const LINE = 140;

export function toJson(value: unknown, indent = ''): string {
  const line = JSON.stringify(value);
  if (line.length + indent.length <= LINE || typeof value !== 'object' || value === null) return line;
  const deeper = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((each) => `${deeper}${toJson(each, deeper)}`).join(',\n')}\n${indent}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{\n${members.map(([key, member]) => `${deeper}${JSON.stringify(key)}: ${toJson(member, deeper)}`).join(',\n')}\n${indent}}`;
}
