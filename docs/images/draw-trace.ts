/**
 * Draws a trace as Jaeger shows it, for a page: what Jaeger's API answers comes on standard input, an SVG
 * goes to standard output.
 *
 *   curl -s http://127.0.0.1:16686/api/traces/TRACE_ID | node docs/images/draw-trace.ts > docs/images/trace.svg
 */

import { text } from 'node:stream/consumers';

interface Span {
  readonly spanID: string;
  readonly operationName: string;
  readonly processID: string;
  /** Microseconds. */
  readonly startTime: number;
  readonly duration: number;
  readonly references: readonly { readonly refType: string; readonly spanID: string }[];
}
interface Trace {
  readonly spans: readonly Span[];
  readonly processes: Readonly<Record<string, { readonly serviceName: string }>>;
}

const NAMES_WIDTH = 330;
const BARS_WIDTH = 470;
const WIDTH = NAMES_WIDTH + BARS_WIDTH + 60;
const ROW = 20;
const TOP = 30;
const INDENT = 14;
const TICKS = 5;
/** Told apart by those who see no red or green, too. */
const COLORS = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377'];

const { data } = JSON.parse(await text(process.stdin)) as { data: readonly Trace[] };
const trace = data[0];
if (trace === undefined) throw new Error('there is no such trace; give Jaeger some seconds to have it');
console.log(draw(trace));

function draw({ spans, processes }: Trace): string {
  const startUs = Math.min(...spans.map(({ startTime }) => startTime));
  const lastUs = Math.max(...spans.map(({ startTime, duration }) => startTime + duration)) - startUs;
  const services = [...new Set(spans.toSorted((a, b) => a.startTime - b.startTime).map(({ processID }) => processes[processID]!.serviceName))];
  const x = (us: number): number => NAMES_WIDTH + Math.round((us / lastUs) * BARS_WIDTH);
  const rows = inTreeOrder(spans).map(({ span, depth }, index) => {
    const y = TOP + index * ROW;
    const service = processes[span.processID]!.serviceName;
    const left = x(span.startTime - startUs);
    const width = Math.max(2, x(span.startTime - startUs + span.duration) - left);
    const name = escape(span.operationName.replace(/^txmesh\.\w+\.v1\./, ''));
    return (
      `<text x="${8 + depth * INDENT}" y="${y + 14}">${name}</text>` +
      `<rect x="${left}" y="${y + 4}" width="${width}" height="${ROW - 8}" rx="2" fill="${COLORS[services.indexOf(service) % COLORS.length]}"/>` +
      `<text x="${left + width + 4}" y="${y + 14}" class="small">${milliseconds(span.duration)}</text>`
    );
  });
  const height = TOP + rows.length * ROW + 34;
  const ticks = Array.from({ length: TICKS }, (_, index) => {
    const us = (lastUs * index) / (TICKS - 1);
    return `<line x1="${x(us)}" y1="${TOP - 6}" x2="${x(us)}" y2="${height - 34}"/><text x="${x(us)}" y="18" class="small">${milliseconds(us)}</text>`;
  });
  const legend = services.map((service, index) => {
    const left = 8 + index * 190;
    return `<rect x="${left}" y="${height - 22}" width="12" height="12" rx="2" fill="${COLORS[index % COLORS.length]}"/><text x="${left + 18}" y="${height - 12}">${escape(service)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    '<title>The spans of one transaction</title>',
    '<style>svg{background:#fff}text{font:12px sans-serif;fill:#222}.small{font-size:10px;fill:#666}line{stroke:#ddd}</style>',
    ...ticks,
    ...rows,
    ...legend,
    '</svg>',
  ].join('\n');
}

/** Parents before their children, those by time. */
function inTreeOrder(spans: readonly Span[]): { span: Span; depth: number }[] {
  const ids = new Set(spans.map(({ spanID }) => spanID));
  const parentOf = ({ references }: Span): string | undefined => {
    // A write is a child of the first that waited for it, and linked with all: Jaeger has links as FOLLOWS_FROM.
    const parent = references.find(({ refType }) => refType === 'CHILD_OF') ?? references[0];
    return parent !== undefined && ids.has(parent.spanID) ? parent.spanID : undefined;
  };
  const below = (id: string | undefined, depth: number): { span: Span; depth: number }[] =>
    spans
      .filter((span) => parentOf(span) === id)
      .toSorted((a, b) => a.startTime - b.startTime || b.duration - a.duration)
      .flatMap((span) => [{ span, depth }, ...below(span.spanID, depth + 1)]);
  return below(undefined, 0);
}

function milliseconds(us: number): string {
  return `${us < 10_000 ? (us / 1000).toFixed(1) : Math.round(us / 1000)} ms`;
}

function escape(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
