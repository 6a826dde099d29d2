/** A client: a machine of its own that sends requests to replicas and may never hear of them again. */

import type { Failure } from '../../../services/kernel/failure.ts';
import type { OpaqueOperation } from '../../../services/kernel/messages.ts';
import type { Service } from '../../../services/runtime/cluster/view.ts';
import type { Answer, AnyReply, AnyTypes, Build, Leaving } from './commands.ts';
import { decodeOperations } from './kinds.ts';
import type { Machine } from './machine.ts';
import type { Network } from './network.ts';
import type { Node } from './node.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface ClientWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly random: Random;
  readonly services: readonly Service[];
  /** Replicas that run now. */
  nodes(): readonly Node[];
  /** Who leads by the election key in the store. */
  leader(service: string, partition: number): Node | undefined;
}

export interface CallOptions {
  /** Hears of every answer as it is let out, also of one that is lost then. */
  onLeave?(reply: AnyReply, leaving: Leaving): void;
  /** The request is not idempotent: the network makes no copies of it. */
  readonly single?: boolean;
}

/** Wherever the client's own knowledge of leaders may stand. */
const ROUTES = { leader: 6, anybody: 2, before: 3 };

export class Client {
  readonly machine: Machine;
  private readonly world: ClientWorld;
  /** The last known leader of each partition, and the one before. */
  private readonly known = new Map<string, { readonly now: Node; readonly before: Node | undefined }>();

  constructor(world: ClientWorld, machine: Machine) {
    this.world = world;
    this.machine = machine;
  }

  get random(): Random {
    return this.world.random;
  }

  get trueMs(): number {
    return this.world.scheduler.nowMs;
  }

  /** As a handler would, for commands that take operations decoded. */
  decode(participant: string, operations: readonly OpaqueOperation[]): readonly AnyTypes['operation'][] {
    return decodeOperations(this.world.services.find(({ name }) => name === participant)!, operations);
  }

  sleep(delayMs: number): Promise<void> {
    return this.world.scheduler.sleep(delayMs);
  }

  /** A UUIDv7 of this client's clock. */
  newId(): string {
    const { random } = this.world;
    const time = this.machine.clock.nowMs().toString(16).padStart(12, '0');
    const hex = (digits: number): string => random.below(16 ** digits).toString(16).padStart(digits, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(3)}-${random.pick(['8', '9', 'a', 'b'])}${hex(3)}-${hex(6)}${hex(6)}`;
  }

  /**
   * Sends a request and waits for its answer, or until the timeout.
   */
  call(service: string, partition: number, build: Build, timeoutMs: number, options: CallOptions = {}): Promise<Answer> {
    const { scheduler } = this.world;
    return new Promise((resolve) => {
      this.send(service, partition, build, resolve, options);
      scheduler.after(timeoutMs, () => resolve({ type: 'unanswered' }));
    });
  }

  private send(service: string, partition: number, build: Build, resolve: (answer: Answer) => void, { onLeave, single = false }: CallOptions): void {
    const { network } = this.world;
    const node = this.route(service, partition);
    if (node === undefined) return;
    const { machine } = node.options;
    network.send(this.machine, machine, () => {
      const back = (answer: Answer): void => network.send(machine, this.machine, () => resolve(answer));
      const caller = {
        onReply: (reply: AnyReply, leaving: Leaving): void => {
          onLeave?.(reply, leaving);
          back(reply);
        },
        onFailure: (failure: Failure): void => back({ type: 'failure', failure }),
      };
      node.receive(service, partition, build, caller, single);
    }, single);
  }

  private route(service: string, partition: number): Node | undefined {
    const { world } = this;
    const key = `${service}/${partition}`;
    const leader = world.leader(service, partition);
    const known = this.known.get(key);
    if (leader !== undefined && leader !== known?.now) this.known.set(key, { now: leader, before: known?.now });
    const { before } = this.known.get(key) ?? {};
    const route = world.random.weighted(ROUTES);
    if (route === 'before' && before?.options.machine.alive === true) return before;
    if (route === 'leader' && leader !== undefined) return leader;
    const nodes = world.nodes();
    return nodes.length === 0 ? undefined : world.random.pick(nodes);
  }
}
