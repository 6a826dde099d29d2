/** Reads a YAML file strictly: every mistake is found, with its line, and nothing is guessed. */

import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node } from 'yaml';

/** All that is wrong with a file, a line for each mistake. */
export class FileInvalid extends Error {
  override readonly name = 'FileInvalid';
}

/** Mistakes that one error names. */
const MOST_NAMED = 20;

export class YamlFile {
  private readonly file: string;
  private readonly lines = new LineCounter();
  private readonly mistakes: string[] = [];
  readonly root: Node | null;

  /** @param file for messages. @throws FileInvalid if it is no YAML. */
  constructor(file: string, text: string) {
    this.file = file;
    const document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false, version: '1.2', merge: false });
    for (const { message, pos } of document.errors) this.addAt(pos[0], message);
    this.check();
    this.root = document.contents;
  }

  add(node: Node | null | undefined, mistake: string): void {
    this.addAt(node?.range?.[0] ?? 0, mistake);
  }

  /** @throws FileInvalid if anything was found. */
  check(): void {
    const { mistakes } = this;
    if (mistakes.length === 0) return;
    const more = mistakes.length > MOST_NAMED ? [`… and ${mistakes.length - MOST_NAMED} more`] : [];
    throw new FileInvalid([...mistakes.slice(0, MOST_NAMED), ...more].join('\n'));
  }

  /** The fields of a map, those that are not known reported. Undefined: it is no map. */
  fields(node: Node | null | undefined, path: string, known: readonly string[]): Map<string, Node> | undefined {
    const fields = this.map(node, path);
    if (fields === undefined) return undefined;
    for (const [key, value] of fields)
      if (!known.includes(key)) this.add(value, `${path === '' ? '' : `${path}.`}${key} is not known here; there are ${known.join(', ')}`);
    return fields;
  }

  map(node: Node | null | undefined, path: string): Map<string, Node> | undefined {
    if (!isMap(node)) {
      this.add(node, `${path === '' ? 'the file' : path} must be a map of fields`);
      return undefined;
    }
    const fields = new Map<string, Node>();
    for (const { key, value } of node.items) {
      if (isScalar(key) && typeof key.value === 'string') fields.set(key.value, value as Node);
      else this.add(key as Node, `${path}: a field's name must be text`);
    }
    return fields;
  }

  list(node: Node | null | undefined, path: string, most: number): readonly Node[] {
    if (node === undefined) return [];
    if (!isSeq(node)) {
      this.add(node, `${path} must be a list`);
      return [];
    }
    if (node.items.length > most) this.add(node, `${path} has ${node.items.length} elements, the limit is ${most}`);
    return node.items.slice(0, most) as Node[];
  }

  /** Undefined: it is no text, which is reported. */
  text(node: Node | null | undefined, path: string): string | undefined {
    if (isScalar(node) && typeof node.value === 'string') return node.value;
    this.add(node, `${path} must be text`);
    return undefined;
  }

  scalar(node: Node | null | undefined): unknown {
    return isScalar(node) ? node.value : undefined;
  }

  private addAt(offset: number, mistake: string): void {
    this.mistakes.push(`${this.file}:${this.lines.linePos(offset).line}: ${mistake}`);
  }
}
