/** Patterns of rules: a text as it is, or the beginning of one with a `*` at its end. */

export class Patterns {
  private readonly exact = new Set<string>();
  private readonly prefixes: string[] = [];

  /** @param patterns each found right by {@link isPattern} */
  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      if (pattern.endsWith('*')) this.prefixes.push(pattern.slice(0, -1));
      else this.exact.add(pattern);
    }
  }

  matches(text: string): boolean {
    if (this.exact.has(text)) return true;
    for (const prefix of this.prefixes) if (text.startsWith(prefix)) return true;
    return false;
  }

  /** Whether every text that begins so matches. */
  matchesAll(prefix: string): boolean {
    return this.prefixes.some((own) => prefix.startsWith(own));
  }
}

export function isPattern(text: string): boolean {
  const star = text.indexOf('*');
  return text !== '' && (star < 0 || star === text.length - 1);
}
