/** The kinds of participants, and which services of each kind a process hosts. One entry adds a kind. */

import { counterKind } from '../counter/handlers/kind.ts';
import { keyValueKind } from '../participant/handlers/kind.ts';
import { queueKind } from '../queue/handlers/kind.ts';
import type { ParticipantKind } from '../runtime/participant/kind.ts';
import type { NodeSettings } from './types.ts';

export interface MountedKind {
  readonly kind: ParticipantKind;
  /** Names of the services of this kind to host here; the API is served in any case. */
  readonly names: readonly string[];
}

const DEFAULT_HISTORY_LIMIT = 0;

export function kindsOf(settings: NodeSettings): readonly MountedKind[] {
  const { participants, historyLimit = DEFAULT_HISTORY_LIMIT, queues = [], counters = [], counterPeers = [] } = settings;
  return [
    { kind: keyValueKind({ historyLimit }), names: participants },
    { kind: queueKind(), names: queues },
    { kind: counterKind({ peers: counterPeers }), names: counters },
  ];
}
