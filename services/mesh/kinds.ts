/** The kinds of participants, and which services of each kind a process hosts. One entry adds a kind. */

import { keyValueKind } from '../participant/handlers/kind.ts';
import type { ParticipantKind } from '../runtime/participant/kind.ts';
import type { NodeSettings } from './types.ts';

export interface MountedKind {
  readonly kind: ParticipantKind;
  /** Names of the services of this kind to host here; the API is served in any case. */
  readonly names: readonly string[];
}

const DEFAULT_HISTORY_LIMIT = 0;

export function kindsOf({ participants, historyLimit = DEFAULT_HISTORY_LIMIT }: NodeSettings): readonly MountedKind[] {
  return [{ kind: keyValueKind({ historyLimit }), names: participants }];
}
