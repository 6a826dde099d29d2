/**
 * The language of subscriptions' filters (proto/txmesh/queue/v1/queue.proto, message Subscription):
 * parsed once, evaluated on a message's attributes.
 *
 *   expression := term ( AND term )* | term ( OR term )*
 *   term       := [ NOT | - ] ( '(' expression ')' | comparison )
 *   comparison := attributes.key = "v" | attributes.key != "v" | attributes:key | hasPrefix(attributes.key, "v")
 */

export type Filter = (attributes: ReadonlyMap<string, string>) => boolean;

/** Most characters, and most parentheses within each other. */
const MAX_CHARACTERS = 1024;
const MAX_DEPTH = 32;

interface Token {
  readonly type: 'word' | 'text' | 'sign' | 'end';
  readonly value: string;
  /** Of its first character, from 1 on. */
  readonly column: number;
}

/** What is wrong, and where. */
export interface FilterError {
  readonly error: string;
}

/** @returns what matches, or what is wrong with the filter */
export function parseFilter(source: string): Filter | FilterError {
  if (source.length > MAX_CHARACTERS) return { error: `has ${source.length} characters, the limit is ${MAX_CHARACTERS}` };
  try {
    return new Parser(tokensOf(source)).parse();
  } catch (error) {
    if (error instanceof Mistake) return { error: error.message };
    throw error;
  }
}

class Mistake extends Error {}

const SPACE = /\s/;
const WORD = /[A-Za-z0-9_]/;

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < source.length) {
    const character = source[at]!;
    const column = at + 1;
    if (SPACE.test(character)) at++;
    else if (WORD.test(character)) {
      const start = at;
      while (at < source.length && WORD.test(source[at]!)) at++;
      tokens.push({ type: 'word', value: source.slice(start, at), column });
    } else if (character === '"') {
      let value = '';
      for (at++; source[at] !== '"'; at++) {
        if (at >= source.length) throw new Mistake(`has a text that is not closed, at character ${column}`);
        if (source[at] === '\\') at++;
        value += source[at] ?? '';
      }
      at++;
      tokens.push({ type: 'text', value, column });
    } else {
      const sign = source.startsWith('!=', at) ? '!=' : character;
      if (!'()=.:,-'.includes(character) && sign !== '!=') throw new Mistake(`has an unexpected "${character}" at character ${column}`);
      at += sign.length;
      tokens.push({ type: 'sign', value: sign, column });
    }
  }
  tokens.push({ type: 'end', value: 'the end', column: source.length + 1 });
  return tokens;
}

class Parser {
  private readonly tokens: readonly Token[];
  private at = 0;
  private depth = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  parse(): Filter {
    const filter = this.expression();
    if (this.next.type !== 'end') throw this.unexpected('AND, OR or the end');
    return filter;
  }

  private get next(): Token {
    return this.tokens[this.at]!;
  }

  private expression(): Filter {
    if (++this.depth > MAX_DEPTH) throw new Mistake(`has more than ${MAX_DEPTH} parentheses within each other`);
    const first = this.term();
    const joint = this.next.type === 'word' ? this.next.value : '';
    const terms = [first];
    if (joint === 'AND' || joint === 'OR') {
      while (this.takeWord(joint)) terms.push(this.term());
      const { value, column } = this.next;
      if (value === 'AND' || value === 'OR') throw new Mistake(`mixes AND and OR without parentheses, at character ${column}`);
    }
    this.depth--;
    if (terms.length === 1) return first;
    return joint === 'AND'
      ? (attributes) => terms.every((term) => term(attributes))
      : (attributes) => terms.some((term) => term(attributes));
  }

  private term(): Filter {
    let negated = false;
    while (this.takeWord('NOT') || this.takeSign('-')) negated = !negated;
    const inner = this.primary();
    return negated ? (attributes) => !inner(attributes) : inner;
  }

  private primary(): Filter {
    if (this.takeSign('(')) {
      const inner = this.expression();
      this.expectSign(')');
      return inner;
    }
    if (this.takeWord('hasPrefix')) {
      this.expectSign('(');
      this.expectAttributes();
      this.expectSign('.');
      const key = this.key();
      this.expectSign(',');
      const prefix = this.text();
      this.expectSign(')');
      return (attributes) => attributes.get(key)?.startsWith(prefix) ?? false;
    }
    this.expectAttributes();
    if (this.takeSign(':')) {
      const key = this.key();
      return (attributes) => attributes.has(key);
    }
    this.expectSign('.');
    const key = this.key();
    if (this.takeSign('!=')) {
      const value = this.text();
      return (attributes) => attributes.get(key) !== value;
    }
    this.expectSign('=');
    const value = this.text();
    return (attributes) => attributes.get(key) === value;
  }

  private key(): string {
    const { type, value } = this.next;
    if (type !== 'word' && type !== 'text') throw this.unexpected("an attribute's key");
    this.at++;
    return value;
  }

  private text(): string {
    const { type, value } = this.next;
    if (type !== 'text') throw this.unexpected('a text in quotes');
    this.at++;
    return value;
  }

  private expectAttributes(): void {
    if (!this.takeWord('attributes')) throw this.unexpected('attributes, hasPrefix, NOT or (');
  }

  private expectSign(sign: string): void {
    if (!this.takeSign(sign)) throw this.unexpected(`"${sign}"`);
  }

  private takeSign(sign: string): boolean {
    return this.take('sign', sign);
  }

  private takeWord(word: string): boolean {
    return this.take('word', word);
  }

  private take(type: Token['type'], value: string): boolean {
    if (this.next.type !== type || this.next.value !== value) return false;
    this.at++;
    return true;
  }

  private unexpected(wanted: string): Mistake {
    const { type, value, column } = this.next;
    return new Mistake(`has ${type === 'end' ? value : `"${value}"`} at character ${column}, where ${wanted} should be`);
  }
}
