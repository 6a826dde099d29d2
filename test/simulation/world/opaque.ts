/** Operations as the coordinator carries them, of participants that are simulated without their transport. */

import { deserialize, serialize } from 'node:v8';
import type { OpaqueOperation } from '../../../services/kernel/messages.ts';
import type { AnyTypes } from './commands.ts';

const TYPE_URL = 'simulated';

export function opaqueOf(operation: AnyTypes['operation']): OpaqueOperation {
  return { typeUrl: TYPE_URL, value: serialize(operation) };
}

export function operationIn({ value }: OpaqueOperation): AnyTypes['operation'] {
  return deserialize(value) as AnyTypes['operation'];
}
