import type { Failure } from '../../kernel/failure.ts';

export interface AdmissionLimits {
  /** The most unary calls that may be under way. */
  readonly maxCalls: number;
  /** The most streams that may be open. */
  readonly maxStreams: number;
  /** The same of control; see {@link isControl}. */
  readonly maxControlCalls: number;
  readonly maxControlStreams: number;
  /** The most streams of health and reflection, which are no work: they are taken while the server stops, too. */
  readonly maxSupportStreams: number;
}

export const DEFAULT_ADMISSION_LIMITS: AdmissionLimits = { maxCalls: 20_000, maxStreams: 2_000, maxControlCalls: 10_000, maxControlStreams: 1_000, maxSupportStreams: 1_000 };

/** What is counted by itself. */
export type Admitted = 'call' | 'stream' | 'control call' | 'control stream' | 'support stream';

/**
 * What ends work that is under way, or keeps a part of the mesh alive: phase 2, inquiries, links,
 * registrations. It has limits of its own, so that new work, however much there is, never keeps it out.
 */
const CONTROL: ReadonlySet<string> = new Set([
  '/txmesh.participant.v1.ParticipantService/Commit',
  '/txmesh.participant.v1.ParticipantService/Abort',
  '/txmesh.participant.v1.ParticipantService/Exchange',
  '/txmesh.coordinator.v1.CoordinatorService/Inquire',
  '/txmesh.cluster.v1.ClusterService/RegisterParticipant',
]);

/** @param path of a method, "/package.Service/Method" */
export const isControl = (path: string): boolean => CONTROL.has(path);

/** Why a call is refused: as many are under way as may be, or the server is stopping. */
export type Refusal = 'capacity' | 'draining';

/** The one place where calls are counted and refused before any of their work is done (invariant P8). */
export class Admission {
  private readonly limits: Readonly<Record<Admitted, number>>;
  private readonly entropy: () => number;
  private readonly onRefused: ((why: Refusal) => void) | undefined;
  private readonly counts: Record<Admitted, number> = { call: 0, stream: 0, 'control call': 0, 'control stream': 0, 'support stream': 0 };
  private idle: (() => void) | undefined;
  /** Set once nothing new is taken. */
  draining = false;

  constructor(limits: Partial<AdmissionLimits>, entropy: () => number, onRefused?: (why: Refusal) => void) {
    const { maxCalls, maxStreams, maxControlCalls, maxControlStreams, maxSupportStreams } = { ...DEFAULT_ADMISSION_LIMITS, ...limits };
    this.limits = { call: maxCalls, stream: maxStreams, 'control call': maxControlCalls, 'control stream': maxControlStreams, 'support stream': maxSupportStreams };
    this.entropy = entropy;
    this.onRefused = onRefused;
  }

  /** Takes a call in, to be let out with {@link leave}; or says why not. */
  enter(kind: Admitted): Failure | undefined {
    if (this.draining && kind !== 'support stream') {
      this.onRefused?.('draining');
      return { ...DRAINING, retryAfterMs: this.retryAfterMs() };
    }
    const limit = this.limits[kind];
    if (this.counts[kind] >= limit) {
      this.onRefused?.('capacity');
      return {
        reason: 'OVERLOADED',
        message: `${limit} ${kind}s are under way at this replica, its limit; try again later`,
        retryAfterMs: this.retryAfterMs(),
      };
    }
    this.counts[kind]++;
    return undefined;
  }

  leave(kind: Admitted): void {
    this.counts[kind]--;
    if (this.isIdle) this.idle?.();
  }

  /** Resolves when no unary call is under way. */
  callsDone(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => (this.idle = resolve));
  }

  private get isIdle(): boolean {
    return this.counts.call === 0 && this.counts['control call'] === 0;
  }

  /** Spread out, so that those who were refused together don't come back together. */
  private retryAfterMs(): number {
    return 100 + Math.floor(this.entropy() * 400);
  }
}

export const DRAINING: Failure = {
  reason: 'DRAINING',
  message: 'this replica is stopping: ask another, or try again when it is back',
  retryAfterMs: 500,
};
