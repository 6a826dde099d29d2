/** Tables of a page that are written from the code: each stands between two comments that name it. */

const begin = (name: string): string => `<!-- begin: ${name}, written by npm run reference -->`;
const end = (name: string): string => `<!-- end: ${name} -->`;

/** A table in Markdown; what would end a cell is escaped. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

/**
 * The page with its tables as they are now.
 * @param tables by name
 * @throws Error where the page has no place for one of them, or a place for another
 */
export function withTables(page: string, tables: Readonly<Record<string, string>>): string {
  let result = page;
  for (const [name, text] of Object.entries(tables)) {
    const from = result.indexOf(begin(name));
    const to = result.indexOf(end(name));
    if (from < 0 || to < from) throw new Error(`the page has no place for "${name}": ${begin(name)} … ${end(name)}`);
    result = `${result.slice(0, from)}${begin(name)}\n\n${text}\n\n${result.slice(to)}`;
  }
  const places = page.match(/^<!-- begin: /gm)?.length ?? 0;
  if (places !== Object.keys(tables).length) throw new Error(`the page has places for ${places} tables, and there are ${Object.keys(tables).length}`);
  return result;
}
