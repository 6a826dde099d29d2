/** Encoding with one writer for all messages: a new one for each costs more than the encoding. */

import { BinaryWriter } from '@bufbuild/protobuf/wire';

const writer = new BinaryWriter();

export function encode<Message>(type: { encode(message: Message, writer: BinaryWriter): BinaryWriter }, message: Message): Uint8Array {
  try {
    return type.encode(message, writer).finish();
  } catch (error) {
    writer.finish(); // Leaves nothing behind of a message that can't be encoded.
    throw error;
  }
}
