/** ParticipantService and the client's half of Exchange, with the links' own codec for frames. */

import { ParticipantServiceService } from '../../../gen/txmesh/participant/v1/participant.ts';
import type { Clock } from '../../clock.ts';
import type { StrictReader } from '../decode.ts';
import { decodeRequestFrame, decodeResponseFrame } from './decode-codec.ts';
import type { RequestFrame, ResponseFrame } from './frames.ts';

/** Frames are encoded before they are written, where their size is known. */
const asIs = (frame: Buffer): Buffer => frame;

/**
 * What a server registers in place of the generated definition. A deserializer is handed a
 * StrictReader where the type says Buffer; see `strict` in decode.ts.
 */
export function participantService(clock: Clock) {
  return {
    ...ParticipantServiceService,
    exchange: {
      ...ParticipantServiceService.exchange,
      requestDeserialize: (bytes: Buffer): RequestFrame =>
        decodeRequestFrame(bytes as Uint8Array | StrictReader, clock.nowMs()),
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  };
}

export const exchangeMethod = {
  path: ParticipantServiceService.exchange.path,
  requestSerialize: asIs,
  responseDeserialize: (bytes: Buffer): ResponseFrame => decodeResponseFrame(bytes as Uint8Array | StrictReader),
};
