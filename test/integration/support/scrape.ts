/** Reads what Prometheus would read. */

export interface Sample {
  /** As it stands on the page, with _bucket, _sum and _count. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export class Scrape {
  /** Types by the name of the family. */
  readonly types = new Map<string, string>();
  readonly samples: Sample[] = [];

  constructor(page: string) {
    for (const line of page.split('\n')) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type !== null) this.types.set(type[1]!, type[2]!);
      if (line === '' || line.startsWith('#')) continue;
      const match = /^([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (match === null) throw new Error(`not a sample: ${line}`);
      this.samples.push({ name: match[1]!, labels: labelsOf(match[2] ?? ''), value: Number(match[3]!.replace('Inf', 'Infinity')) });
    }
  }

  /** The samples of this name that have all of these labels. */
  of(name: string, labels: Readonly<Record<string, string>> = {}): Sample[] {
    return this.samples.filter((sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value));
  }

  /** Their sum; undefined if there is none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number | undefined {
    const found = this.of(name, labels);
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
  }
}

function labelsOf(text: string): Record<string, string> {
  const pairs = [...text.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)];
  return Object.fromEntries(pairs.map(([, key, value]) => [key!, value!.replaceAll('\\"', '"').replaceAll('\\\\', '\\')]));
}

export async function scrape(port: number): Promise<Scrape> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  if (!response.ok) throw new Error(`the metrics page answers ${response.status}`);
  return new Scrape(await response.text());
}

/** How an instrument is named on the page. */
export function prometheusName(name: string, kind: string): string {
  const plain = name.replaceAll('.', '_');
  return kind.endsWith('counter') ? `${plain}_total` : plain;
}
