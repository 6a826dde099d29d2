/** What is done one after the other, with the time that each took. */
export class Steps {
  private readonly startMs = performance.now();
  private readonly taken: { readonly what: string; readonly seconds: number }[] = [];

  say(text: string): void {
    console.log(`[${seconds(this.startMs)} s] ${text}`);
  }

  /** @param what a noun, for the list of times */
  async run<T>(what: string, step: () => Promise<T>): Promise<T> {
    this.say(`${what} …`);
    const startMs = performance.now();
    try {
      return await step();
    } finally {
      this.taken.push({ what, seconds: seconds(startMs) });
    }
  }

  summary(): string {
    const lines = [...this.taken, { what: 'all of it', seconds: seconds(this.startMs) }];
    return lines.map(({ what, seconds: each }) => `${String(each).padStart(5)} s  ${what}`).join('\n');
  }
}

const seconds = (sinceMs: number): number => Math.round((performance.now() - sinceMs) / 1000);
