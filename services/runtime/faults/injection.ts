/**
 * Faults of one server: what they strike is wrapped once, when the server starts. A server without
 * --fault-injection has none of this, so that its calls and writes go no other way than ever.
 */

import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';
import type { Spans } from '../telemetry/spans.ts';
import { Connections } from './connections.ts';
import { FaultBoard } from './fault-board.ts';
import { faulty } from './faulty-calls.ts';
import { faultyStore } from './faulty-store.ts';
import { FaultServiceService, faultHandlers } from './handlers.ts';

/** The proto of FaultService, which reflection tells of only where it is served. */
export const FAULT_PROTO = 'txmesh/admin/v1/fault.proto';
export const FAULT_API = 'txmesh.admin.v1.FaultService';

export interface InjectionOptions {
  readonly clock: Clock;
  readonly spans: Spans;
  /** A number in [0, 1). */
  entropy(): number;
  log(message: string, fields: Record<string, unknown>): void;
}

export class FaultInjection {
  readonly board: FaultBoard;
  /** What a server adds to its services. */
  readonly service;
  private readonly options: InjectionOptions;
  private readonly connections = new Connections();
  private readonly methods = new Set<string>();

  constructor(options: InjectionOptions) {
    this.options = options;
    this.board = new FaultBoard(options);
    this.service = { definition: FaultServiceService, handlers: faultHandlers(this.board, () => this.methods) };
  }

  store(store: Store): Store {
    const { clock, entropy } = this.options;
    return faultyStore(store, { board: this.board, clock, entropy });
  }

  handlers<Handlers extends object>(definition: object, handlers: Handlers): Handlers {
    for (const { path } of Object.values(definition as Record<string, { readonly path: string }>)) this.methods.add(path.slice(1));
    const { board, connections, options } = this;
    return faulty(definition, handlers, { ...options, board, connections });
  }

  close(): void {
    this.board.close();
    this.connections.close();
  }
}
