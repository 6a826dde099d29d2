/** A partition's term with those who watch it: what handlers find where a partition is led here. */

import { Term, type TermMeter, type TermOptions } from '../partition/term.ts';
import type { Events } from './events.ts';
import { noLeader } from './place.ts';

export interface ServingOptions<Command, Stored, Reply, Message>
  extends Omit<TermOptions<Command, Stored, Reply, Message>, 'emit'> {
  readonly service: string;
  readonly partition: number;
  readonly meter?: ServingMeter | undefined;
}

/** Counts what a term does, and reads what it has while it leads. */
export interface ServingMeter extends TermMeter {
  begin(term: { readonly leading: boolean }): void;
  end(): void;
}

export class ServingTerm<Command extends object, Stored, Reply, Message, Event> extends Term<Command, Stored, Reply, Message> {
  readonly events: Events<Event>;

  constructor(options: ServingOptions<Command, Stored, Reply, Message>, events: Events<Event>) {
    super({
      ...options,
      emit: (event) => events.publish(event as Event),
      onEnd: (reason) => {
        // Watches go on where the partition is led next.
        events.end(noLeader(options.service, options.partition));
        options.meter?.end();
        options.onEnd(reason);
      },
    });
    this.events = events;
    options.meter?.begin(this);
  }
}
