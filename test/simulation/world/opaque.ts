/** Operations as the coordinator carries them, past the codec of their participant. */

import { deserialize, serialize } from 'node:v8';
import type { OpaqueOperation } from '../../../services/kernel/messages.ts';
import type { AnyTypes } from './commands.ts';

const TYPE_URL = 'simulated';

export function opaqueOf(operation: AnyTypes['operation']): OpaqueOperation {
  return { typeUrl: TYPE_URL, value: serialize(operation) };
}

export const isSimulated = ({ typeUrl }: OpaqueOperation): boolean => typeUrl === TYPE_URL;

export function operationIn({ value }: OpaqueOperation): AnyTypes['operation'] {
  return deserialize(value) as AnyTypes['operation'];
}
