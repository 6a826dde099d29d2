/** A DNS server on loopback, over UDP, that knows one name's IPv4 addresses (RFC 1035). */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

const HEADER_BYTES = 12;
const IPV4_BYTES = 4;
/** Type A, class IN. */
const ADDRESS = [0, 1, 0, 1];
/** A response to a standard query, by an authority for the name, recursion being desired and not available. */
const ANSWERED = 0x8500;
const NO_SUCH_NAME = 3;
/** Points to the question's name, behind the header. */
const SAME_NAME = [0xc0, HEADER_BYTES];
/** Nothing may be kept. */
const TTL_SECONDS = [0, 0, 0, 0];

export class NameServer {
  /** What the name leads to now. */
  addresses: readonly string[];
  /** How often its addresses were asked for. */
  asked = 0;
  private readonly name: string;
  private readonly socket: Socket = createSocket('udp4');

  constructor(name: string, addresses: readonly string[]) {
    this.name = name;
    this.addresses = addresses;
    this.socket.on('message', (query, { port, address }) => this.socket.send(this.answer(query), port, address));
  }

  /** @returns host:port where it answers. */
  async listen(): Promise<string> {
    this.socket.bind(0, '127.0.0.1');
    await once(this.socket, 'listening');
    return `127.0.0.1:${(this.socket.address() as AddressInfo).port}`;
  }

  close(): void {
    this.socket.close();
  }

  private answer(query: Buffer): Buffer {
    const labels: string[] = [];
    let end = HEADER_BYTES;
    for (let length = query[end++]!; length > 0; length = query[end++]!) labels.push(query.toString('latin1', end, (end += length)));
    const isHere = labels.join('.').toLowerCase() === this.name;
    const wanted = isHere && query.subarray(end, end + IPV4_BYTES).equals(Buffer.from(ADDRESS));
    if (wanted) this.asked++;
    const records = (wanted ? this.addresses : []).map((address) => [...SAME_NAME, ...ADDRESS, ...TTL_SECONDS, 0, IPV4_BYTES, ...address.split('.').map(Number)]);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt16BE(query.readUInt16BE(0), 0);
    header.writeUInt16BE(ANSWERED | (isHere ? 0 : NO_SUCH_NAME), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, query.subarray(HEADER_BYTES, end + ADDRESS.length), Buffer.from(records.flat())]);
  }
}
