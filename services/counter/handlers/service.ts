/** What the handlers of counter services share. */

import type { CounterEvent, CounterTypes } from '../../kernel/counter/types.ts';
import type { ParticipantReply } from '../../kernel/participant/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { serviceOfKind, type ParticipantServices, type ParticipantTerm } from '../../runtime/participant/service.ts';
import { DEFAULT_SERVICE } from './names.ts';

export type CounterReply = ParticipantReply<CounterTypes>;

/** A partition of a counter service that is led here. */
export type CounterTerm = ParticipantTerm<CounterTypes, CounterEvent>;

export type CounterServices = ParticipantServices<CounterTypes, CounterEvent>;

/** The counter service of this name; '': the default one. @throws FailureError */
export function counterService(services: Pick<CounterServices, 'view' | 'kind'>, name: string): Service {
  return serviceOfKind(services, name === '' ? DEFAULT_SERVICE : name);
}
